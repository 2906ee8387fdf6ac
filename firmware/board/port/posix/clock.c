/* The clock, the watchdog on a timer signal, and random numbers. */

#include <signal.h>
#include <sys/random.h>
#include <sys/time.h>
#include <time.h>

#include "posix.h"

static uint64_t started_at_ms;

static uint64_t now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void bite(int signal_number) {
  (void)signal_number;
  reset_by(PORT_RESET_WATCHDOG);
}

/* The process before this one may have left a timer that runs, and the signal blocked: it was in its handler. */
void clock_start(void) {
  setitimer(ITIMER_REAL, &(struct itimerval){0}, NULL);
  sigaction(SIGALRM, &(struct sigaction){.sa_handler = bite}, NULL);
  sigset_t alarms;
  sigemptyset(&alarms);
  sigaddset(&alarms, SIGALRM);
  sigprocmask(SIG_UNBLOCK, &alarms, NULL);
  started_at_ms = now_ms();
}

uint32_t port_now_ms(void) { return (uint32_t)(now_ms() - started_at_ms); }

void port_watchdog_feed(uint32_t timeout_ms) {
  struct itimerval once = {.it_value = {.tv_sec = timeout_ms / 1000, .tv_usec = (long)(timeout_ms % 1000) * 1000}};
  setitimer(ITIMER_REAL, &once, NULL);
}

uint32_t port_random(void) {
  uint32_t value = 0;
  if (getrandom(&value, sizeof value, 0) != sizeof value) posix_fail("no", "random numbers");
  return value;
}
