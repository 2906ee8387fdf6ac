/*
 * A board for the tests of the management server: flash in memory, a runtime that only notes what it was asked for, and
 * signatures that are never right.
 */

#ifndef FAKE_BOARD_H
#define FAKE_BOARD_H

#include <stdbool.h>
#include <stdint.h>

#define FAKE_SLOT_LENGTH 65536u

/* What the management has asked of the runtime since the last `fake_board_forget`. */
typedef struct {
  uint32_t reset_count;
  uint32_t config_count;
  bool is_id_written;
  /* The last line for the console; "" if there was none. */
  char said[120];
} fake_board_notes;

fake_board_notes fake_board_seen(void);
void fake_board_forget(void);

/* All of the flash as it leaves the factory. */
void fake_board_erase(void);

/* From now on the runtime says that it has no module, until the flash is erased. */
void fake_board_lose_module(void);

/* Opens configuration and slots, as a start of the board does. */
void fake_board_start(void);

#endif
