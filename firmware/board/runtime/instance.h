/* The instance of a module as the runtime sees it: its exports by number, and its memory behind a check. */

#ifndef INSTANCE_H
#define INSTANCE_H

#include <stdbool.h>
#include <stdint.h>

#include "module.h"
#include "wasm-module.h"

/* The exports of docs/abi.md that a board calls, in the order of the table in instance.c. */
typedef enum {
  CALL_BLOCK_AT,
  CALL_BLOCK_LENGTH,
  CALL_CLIENT_SIZE,
  CALL_CLIENT_INIT,
  CALL_SET_NEXT_PACKET_ID,
  CALL_SET_CLIENT_ID,
  CALL_SET_USER_NAME,
  CALL_SET_PASSWORD,
  CALL_CONFIGURE,
  CALL_SET_SEQUENCE,
  CALL_SET_CLOCK,
  CALL_CONNECT,
  CALL_CONNECTION_LOST,
  CALL_RECEIVE_AT,
  CALL_RECEIVE_ROOM,
  CALL_RECEIVED,
  CALL_POLL,
  CALL_EVENT_AT,
  CALL_TRANSMIT_AT,
  CALL_TRANSMIT_LENGTH,
  CALL_TRANSMITTED,
  CALL_STORE_LENGTH,
  CALL_STORE_AT,
  CALL_STORED,
  CALL_SAVE_IMAGE,
  CALL_RESTORE,
  CALL_TICK,
  CALL_NEXT_DEADLINE_MS,
  CALL_READING,
  CALL_READING_PUBLISHED,
  CALL_SEQUENCE,
  CALL_INTERVAL_MS,
  /* Optional: only a reporter has it. */
  CALL_SET_PROFILE,
  CALL_COUNT
} instance_call;

/* In the order of instance_call; all but the last must be there, and the admission looks for them. */
extern const wasm_module_function instance_exports[CALL_COUNT];
#define INSTANCE_NEEDED_COUNT CALL_SET_PROFILE

/* Makes the instance and looks all exports up. False: `instance_why`. */
bool instance_start(const module_place *place);

/* Harmless without an instance. */
void instance_stop(void);

bool instance_has(instance_call call);

/* Calls an export with as many arguments as it takes. Answers 0 if the module has fallen, now or before. */
int32_t instance_ask(instance_call call, const uint32_t *arguments);
#define ASK(call, ...) instance_ask(call, (const uint32_t[]){__VA_ARGS__})

/* So many bytes of the linear memory; NULL, and the module has fallen, if they do not lie in it. */
uint8_t *instance_memory(uint32_t at, uint32_t length);

/* The module has done what no module may do: nothing more is asked of it. The first reason stays. */
void instance_fall(const char *why);

bool instance_has_fallen(void);

/* "" as long as it has not fallen. */
const char *instance_why(void);

#endif
