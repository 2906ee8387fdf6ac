/* The runtime of a board: starts what is in flash, runs the one loop, and answers what the management asks of it. */

#ifndef RUNTIME_H
#define RUNTIME_H

#include <stdbool.h>
#include <stdint.h>

#include "link.h"

/* As `runtime` in `info`, and in the banner. */
#define RUNTIME_VERSION "0.1.0"

/* The board resets after so long. What takes longer than a moment feeds the watchdog meanwhile, with the same number. */
#define RUNTIME_WATCHDOG_MS 5000u

/* Does not return. Called once, by the port's main; the module's byte stream goes through `link` (&tunnel_link for the serial line). */
_Noreturn void runtime_run(const link_driver *link);

/* -- What the management (smp.c) asks for; none of these waits, and the answer to the request goes out first -- */

typedef enum { RUNTIME_MODULE_NONE, RUNTIME_MODULE_RUNNING, RUNTIME_MODULE_WAITING, RUNTIME_MODULE_REFUSED } runtime_module_state;

/* What `info` of group 64 says and only the runtime knows. */
typedef struct {
  uint32_t uptime_ms;
  /* "serial" or "net". */
  const char *link;
  /* Bytes of the engine's heap: used at most since the module's start, and there are. */
  uint32_t heap_used;
  uint32_t heap_length;
  runtime_module_state state;
  /* Where it lies, and what it is: 0 and zeros with RUNTIME_MODULE_NONE. */
  uint32_t slot;
  uint8_t sha256[32];
  uint32_t length;
  bool is_connected;
  /* Since the module's start; 0 unless it runs. */
  uint32_t up_ms;
  /* Since the board's start: starts and falls of the module, readings that became messages. */
  uint32_t start_count;
  uint32_t fall_count;
  uint32_t published_count;
  /* Why it is not running, or why the one before returned; "" if there is nothing to say. Valid until the next call of anything. */
  const char *note;
} runtime_status;

void runtime_info(runtime_status *status);

/* The board restarts in 250 ms, or when its answer has left the line. */
void runtime_request_reset(void);

/*
 * The module restarts with the configuration as it is in flash now. With `is_id_written` (the key `id` was among what was set, even with
 * the same value) its session begins anew: what was under way is given up.
 */
void runtime_config_changed(bool is_id_written);

/* The inactive slot, or what runs next, has changed: the console says so. `what` is a line of text without a line feed. */
void runtime_say(const char *what);

#endif
