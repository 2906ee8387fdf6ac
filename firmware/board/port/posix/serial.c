/* The serial line: a pty, or a device that exists; and the sleep, which is a wait for it. */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "posix.h"

/* How often to look whether somebody has opened the other end of the pty. */
#define PEER_PERIOD_MS 50

static struct {
  int descriptor;
  /* The last write took less than it was given. */
  bool is_full;
} serial;

static int open_pty(void) {
  int kept = reset_kept_descriptor();
  if (kept != -1) return kept;

  int descriptor = posix_openpt(O_RDWR | O_NOCTTY);
  if (descriptor == -1 || grantpt(descriptor) == -1 || unlockpt(descriptor) == -1) posix_fail("cannot make a", "pty");
  printf("%s\n", ptsname(descriptor));
  fflush(stdout);
  reset_keep_descriptor(descriptor);
  return descriptor;
}

void serial_start(const char *path) {
  serial.descriptor = path == NULL ? open_pty() : open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (serial.descriptor == -1) posix_fail("cannot open", path);
  fcntl(serial.descriptor, F_SETFL, O_NONBLOCK);
  struct termios settings;
  if (tcgetattr(serial.descriptor, &settings) == 0) {
    cfmakeraw(&settings);
    tcsetattr(serial.descriptor, TCSANOW, &settings);
  }
}

/* Events of the line, at once or after `timeout_ms`. POLLHUP: nobody has it open. */
static short wait_for(short events, int timeout_ms) {
  struct pollfd line = {.fd = serial.descriptor, .events = events};
  return poll(&line, 1, timeout_ms) == 1 ? line.revents : 0;
}

size_t port_serial_read(uint8_t *to, size_t capacity) {
  ssize_t length = read(serial.descriptor, to, capacity);
  return length > 0 ? (size_t)length : 0;
}

/* What is said while nobody listens is lost, as on a wire. */
size_t port_serial_write(const uint8_t *bytes, size_t length) {
  if (length == 0 || (wait_for(POLLOUT, 0) & POLLHUP) != 0) return length;
  ssize_t taken = write(serial.descriptor, bytes, length);
  serial.is_full = taken >= 0 ? (size_t)taken < length : errno == EAGAIN;
  if (taken >= 0) return (size_t)taken;
  return errno == EAGAIN || errno == EINTR ? 0 : length;
}

bool port_serial_is_flushed(void) {
  int waiting = 0;
  return ioctl(serial.descriptor, TIOCOUTQ, &waiting) != 0 || waiting == 0;
}

void port_sleep(uint32_t max_ms) {
  uint32_t start = port_now_ms();
  for (;;) {
    uint32_t slept_ms = port_now_ms() - start;
    uint32_t left_ms = slept_ms < max_ms ? max_ms - slept_ms : 0;
    int timeout_ms = left_ms < INT32_MAX ? (int)left_ms : INT32_MAX;
    short events = wait_for(serial.is_full ? POLLIN | POLLOUT : POLLIN, timeout_ms);
    if ((events & (POLLIN | POLLOUT)) != 0 || left_ms == 0) return;
    if ((events & POLLHUP) != 0) {
      uint32_t nap_ms = left_ms < PEER_PERIOD_MS ? left_ms : PEER_PERIOD_MS;
      nanosleep(&(struct timespec){.tv_nsec = (long)nap_ms * 1000000}, NULL);
    }
  }
}
