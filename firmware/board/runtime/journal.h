/* The session journal in flash: docs/journal.md on the area PORT_AREA_JOURNAL, whose sectors are the blocks. */

#ifndef JOURNAL_H
#define JOURNAL_H

#include <stdbool.h>
#include <stdint.h>

typedef enum {
  JOURNAL_OK,
  /* There is no session yet: store an image. */
  JOURNAL_EMPTY,
  /* The batch has no place behind the ones before: store an image instead. */
  JOURNAL_NEEDS_IMAGE,
  /* These bytes are no batch, no image, or do not follow the one before: whoever made them is broken. Nothing has changed. */
  JOURNAL_INVALID,
  /* What is there is damaged, or of another version of the format, or the flash has failed: `journal_error` says it. */
  JOURNAL_REFUSED
} journal_result;

/* Reads what is in flash; call it before the others, as often as wanted. Programs nothing. OK, EMPTY or REFUSED. */
journal_result journal_open(void);

/* Gives one stored batch after the other, the image first, as it lies in flash; false behind the last. After `journal_open` answered OK. */
bool journal_next_batch(const uint8_t **batch, uint32_t *length);

/* What the next image must have as its generation. */
uint32_t journal_next_generation(void);

/* Stores the batch behind the last one. OK: it survives from now on. NEEDS_IMAGE, INVALID or REFUSED: it does not. */
journal_result journal_append(const uint8_t *batch, uint32_t length);

/* Stores an image of the next generation in the next block, and closes the one before. OK, INVALID or REFUSED. */
journal_result journal_replace(const uint8_t *image, uint32_t length);

/* Erases all, the newest block last: a loss of power leaves the session there or none. OK or REFUSED; then open it again. */
journal_result journal_erase(void);

/* Why the last call answered REFUSED, in English; "" otherwise. */
const char *journal_error(void);

#endif
