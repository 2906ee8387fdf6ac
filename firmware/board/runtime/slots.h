/*
 * The two places for modules: which one runs, which is tried, what is uploaded, and the way back (docs/wire.md,
 * "Modules are not moved" and "State").
 */

#ifndef SLOTS_H
#define SLOTS_H

#include <stdbool.h>
#include <stdint.h>

#include "admission.h"

#define SLOTS_COUNT 2

typedef enum {
  SLOTS_OK,
  /* The flash has failed. */
  SLOTS_FLASH,
  /* The module is not admitted, or too large; nothing has changed, or what was uploaded is forgotten. */
  SLOTS_REFUSED,
  /* No upload was begun. */
  SLOTS_NO_UPLOAD,
  /* No slot has this hash, or there is no module. */
  SLOTS_NO_ENTRY,
  /* Not now: the slot is in use, a module is being tried. */
  SLOTS_BAD_STATE
} slots_result;

/*
 * Why the last call was not SLOTS_OK, or why the module that runs by right does not: one sentence without a full stop,
 * never NULL, valid until the next call.
 */
const char *slots_reason(void);

/* -- At the start -- */

/* Once, after config_open and admission_open. */
void slots_open(void);

/* Where the module that is to run lies. */
typedef struct {
  uint32_t slot;
  /* It is being tried: it needs slots_confirm before the next restart. */
  bool is_trial;
  admission_facts facts;
} slots_choice;

/*
 * Decides what runs from now on: after slots_open, and whenever slots_fell answers true. A module to be tried is marked
 * as tried before this returns; one that was being tried when the board restarted is given up. False: there is nothing
 * that may run; slots_note says why, if there is a reason.
 */
bool slots_choose(slots_choice *choice);

/* -- While it runs -- */

/*
 * The module fell: it trapped, could not be started, or (said between slots_open and slots_choose) the watchdog ended
 * it. After three falls without slots_healthy the module before it is to return. True: ask slots_choose what runs now.
 * False: start the same one again, after a while. Where there is none before it, a module that the watchdog ended three
 * times is not chosen until a restart that was not the watchdog's.
 */
bool slots_fell(const char *reason);

/* It has run long enough, and done what it is for: its falls are forgotten. Costs nothing when there were none. */
void slots_healthy(void);

/* In bytes. */
#define SLOTS_NOTE_LENGTH_MAX 143u

/* Why the last module is not running or the one before returned, kept over restarts; "" if there is nothing to say. */
const char *slots_note(void);

/* -- What the management asks -- */

typedef struct {
  /* A whole, admitted module; else nothing below counts. */
  bool is_present;
  uint8_t hash[IMAGE_HASH_LENGTH];
  image_version version;
  /* Of the container. */
  uint32_t length;
  bool is_active;
  bool is_confirmed;
  bool is_pending;
  bool is_permanent;
} slots_info;

void slots_describe(uint32_t slot, slots_info *info);

/* Whether the module that runs, if one does, could still run on a board with this public key. False: `slots_reason`. */
bool slots_would_run_with(const uint8_t key[32]);

/* Bytes that a slot has. */
uint32_t slots_length(uint32_t slot);

/* The slot into which an upload goes, and which `erase` without a slot means. */
uint32_t slots_inactive(void);

/*
 * Begins an upload of `length` bytes with this SHA-256 (of all of them), or finds the one that was begun with the same;
 * `sha` NULL: always a new one. `head` are the first bytes of the file, to refuse what cannot be right before anything
 * is erased. `*offset` is then where to go on. Erases the slot if it begins anew.
 */
slots_result slots_upload_begin(uint32_t length, const uint8_t *sha, const uint8_t *head, uint32_t head_length,
                                uint32_t *offset);

/*
 * Takes bytes of the upload. What lies elsewhere than at the wanted offset is not taken; `*offset` is the next wanted
 * one in any case, and may lie before the end of what was given, because only whole words are programmed; 0 where a
 * word was torn by a loss of power and all has to come again (slots_upload_begin). With the last byte the whole is
 * checked: it is there (`*offset` is its length), or it is SLOTS_REFUSED and forgotten.
 */
slots_result slots_upload_write(uint32_t at, const uint8_t *bytes, uint32_t length, uint32_t *offset);

/* The module with this hash runs once from the next restart; SLOTS_BAD_STATE if it runs already. */
slots_result slots_test(const uint8_t hash[IMAGE_HASH_LENGTH]);

/* The module that runs stays (`hash` NULL or its hash), or another one runs from the next restart for good. */
slots_result slots_confirm(const uint8_t *hash);

/* Forgets and erases a slot, unless the module in it runs or is the one to go back to from a trial. */
slots_result slots_erase(uint32_t slot);

#endif
