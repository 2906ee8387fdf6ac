/* The driver of one module: its record, its session, its connection, its readings; docs/abi.md from the embedder's side. */

#ifndef MODULE_H
#define MODULE_H

#include <stdbool.h>
#include <stdint.h>

#include "link.h"

/* Where a module lies and what it runs in. */
typedef struct {
  /* In flash; must stay as it is. */
  const uint8_t *module;
  uint32_t module_length;
  /* Its __heap_base. */
  uint32_t memory_length;
  /* For the engine; a multiple of 16. */
  uint8_t *heap;
  uint32_t heap_length;
} module_place;

/* A field that is not set has length 0. Read during `module_start` only. */
typedef struct {
  const uint8_t *bytes;
  uint32_t length;
} module_field;

typedef struct {
  module_field id;
  module_field user;
  module_field pass;
  /* A profile block (docs/profiles.md); ignored by a module without `setProfile`. */
  module_field profile;
  uint32_t interval_ms;
  /* Of telemetry, 0 to 2. */
  uint32_t qos;
} module_settings;

typedef enum {
  MODULE_STOPPED,
  MODULE_RUNNING,
  /* It trapped, or answered what no module may answer. */
  MODULE_FELL,
  /* It cannot run before somebody changes something: its configuration, the journal, the flash. */
  MODULE_REFUSED
} module_state;

/* Makes an instance, takes its session back from the journal, and begins to connect. False: `module_now` and `module_why` say more. */
bool module_start(const module_place *place, const module_settings *settings, const link_driver *link, uint32_t now_ms);

/* One round: bytes in, what is due, what must be stored, bytes out. Harmless unless it runs. */
void module_run(uint32_t now_ms);

/* Milliseconds until `module_run` has work without news from the link, UINT32_MAX for never. */
uint32_t module_next_deadline_ms(uint32_t now_ms);

/* Ends the connection, stores what is not stored, forgets the instance. Harmless at any time. */
void module_stop(uint32_t now_ms);

module_state module_now(void);

/* Why it fell or was refused, in English; "" otherwise. Valid until the next start. */
const char *module_why(void);

/* True while the server has accepted the connection. */
bool module_is_connected(void);

/* Readings that became messages since the board's start. */
uint32_t module_published_count(void);

#endif
