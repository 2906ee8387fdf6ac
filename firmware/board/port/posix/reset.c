/* Resets by running the program again in the same process, with the reason in its environment; and how deep the stack went. */

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "posix.h"

#define REASON "WASMQTT_BOARD_RESET"
#define DESCRIPTOR "WASMQTT_BOARD_DESCRIPTOR"

#define STACK_LENGTH (256u * 1024u)
#define PAINT 0xa5u
/* What lies below the frame of the function that paints is its own. */
#define PAINT_GAP 1024u

extern char **environ;

static struct {
  char *const *arguments;
  /* Made beforehand: a signal handler can only exec. One for each reason but the loss of power. */
  char **environment[2];
  char descriptor_text[64];
  port_reset_reason reason;
  const volatile uint8_t *stack_top;
} restart;

static bool is_ours(const char *variable) {
  return strncmp(variable, REASON "=", sizeof REASON) == 0 || strncmp(variable, DESCRIPTOR "=", sizeof DESCRIPTOR) == 0;
}

static char **environment_with(char *reason) {
  size_t count = 0;
  while (environ[count] != NULL) count++;
  char **made = calloc(count + 3, sizeof *made);
  if (made == NULL) posix_fail("no", "memory");
  size_t length = 0;
  made[length++] = reason;
  made[length++] = restart.descriptor_text;
  for (size_t index = 0; index < count; index++) {
    if (!is_ours(environ[index])) made[length++] = environ[index];
  }
  return made;
}

__attribute__((noinline, no_sanitize("address"))) static void paint_stack(void) {
  volatile uint8_t *top = __builtin_frame_address(0);
  restart.stack_top = top;
  for (size_t depth = PAINT_GAP; depth < STACK_LENGTH; depth++) *(top - depth) = PAINT;
}

void reset_start(char *const *arguments) {
  static char by_request[] = REASON "=request";
  static char by_watchdog[] = REASON "=watchdog";
  const char *reason = getenv(REASON);
  restart.reason = reason == NULL                     ? PORT_RESET_POWER
                   : strcmp(reason, "watchdog") == 0 ? PORT_RESET_WATCHDOG
                                                     : PORT_RESET_REQUEST;
  restart.arguments = arguments;
  reset_keep_descriptor(reset_kept_descriptor());
  restart.environment[0] = environment_with(by_request);
  restart.environment[1] = environment_with(by_watchdog);
  paint_stack();
}

int reset_kept_descriptor(void) {
  const char *text = getenv(DESCRIPTOR);
  return text == NULL ? -1 : atoi(text);
}

void reset_keep_descriptor(int descriptor) {
  snprintf(restart.descriptor_text, sizeof restart.descriptor_text, DESCRIPTOR "=%d", descriptor);
}

_Noreturn void reset_by(port_reset_reason reason) {
  execve("/proc/self/exe", restart.arguments, restart.environment[reason == PORT_RESET_WATCHDOG]);
  _exit(1);
}

port_reset_reason port_why_reset(void) { return restart.reason; }

_Noreturn void port_reset(void) { reset_by(PORT_RESET_REQUEST); }

__attribute__((no_sanitize("address"))) port_stack_info port_stack(void) {
  size_t depth = STACK_LENGTH - 1;
  while (depth > PAINT_GAP && *(restart.stack_top - depth) == PAINT) depth--;
  return (port_stack_info){.used = (uint32_t)depth, .size = STACK_LENGTH};
}
