/*
 * Keeps one value in a flash area of two or more sectors so that a loss of power at any moment leaves the new value or
 * the one before.
 */

#ifndef FLASH_LOG_H
#define FLASH_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "port.h"

typedef struct {
  port_area area;
  /* Of the newest whole record; `value_length` counts only with `has_value`. */
  bool has_value;
  uint32_t value_at;
  uint32_t value_length;
  uint32_t generation;
  uint32_t sector_at;
  /* Where the next record goes, and the erased bytes there; none if it needs a fresh sector. */
  uint32_t next_at;
  uint32_t room_length;
} flash_log;

/* A value is written from pieces, one behind the other. */
typedef struct {
  const void *bytes;
  uint32_t length;
} flash_piece;

/* Finds the newest whole value. */
void flash_log_open(flash_log *log, port_area area);

/* The value where it lies, until the next write; NULL if there is none. */
const uint8_t *flash_log_value(const flash_log *log, uint32_t *length);

/*
 * Replaces the value. The pieces may lie in the value that is replaced. False: it did not fit or the flash failed, and
 * the value is the one before.
 */
bool flash_log_write(flash_log *log, const flash_piece *pieces, uint32_t piece_count);

#endif
