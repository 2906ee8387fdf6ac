/*
 * Records of one value each, one behind the other; the one with the highest generation counts.
 *
 *   0        4            8          12
 *   ┌────────┬────────────┬──────────┬───────┬─ up to a multiple of the word
 *   │ length │ generation │ checksum │ value │ erased
 *   └────────┴────────────┴──────────┴───────┴─
 *
 * The checksum covers length, generation and value. What stands behind a record that is not whole is not read, and the
 * sector with the newest record is never erased: a record that has no room goes into the next one.
 */

#include "flash-log.h"

#include <stddef.h>
#include <string.h>

#include "bytes.h"
#include "crc.h"
#include "runtime.h"

#define HEADER_LENGTH 12u

static uint32_t record_length(const port_area_info *info, uint32_t value_length);
static bool is_whole(const uint8_t *record, uint32_t available);
static bool begin_sector(flash_log *log, const port_area_info *info);
static bool program(const flash_log *log, const port_area_info *info, const uint8_t *header, const flash_piece *pieces,
                    uint32_t piece_count);

void flash_log_open(flash_log *log, port_area area) {
  *log = (flash_log){.area = area};
  const port_area_info info = port_flash_info(area);
  const uint8_t *bytes = port_flash_at(area);
  for (uint32_t sector_at = 0; sector_at < info.length; sector_at += info.sector_length) {
    uint32_t end = sector_at + info.sector_length;
    for (uint32_t at = sector_at; is_whole(bytes + at, end - at); at += record_length(&info, bytes_u32(bytes + at))) {
      uint32_t generation = bytes_u32(bytes + at + 4);
      if (log->has_value && generation <= log->generation) continue;
      log->has_value = true;
      log->generation = generation;
      log->sector_at = sector_at;
      log->value_at = at + HEADER_LENGTH;
      log->value_length = bytes_u32(bytes + at);
    }
  }
}

const uint8_t *flash_log_value(const flash_log *log, uint32_t *length) {
  if (!log->has_value) return NULL;
  *length = log->value_length;
  return port_flash_at(log->area) + log->value_at;
}

bool flash_log_write(flash_log *log, const flash_piece *pieces, uint32_t piece_count) {
  const port_area_info info = port_flash_info(log->area);
  uint32_t value_length = 0;
  for (uint32_t index = 0; index < piece_count; index++) {
    if (pieces[index].length > info.sector_length - value_length) return false;
    value_length += pieces[index].length;
  }
  const uint32_t length = record_length(&info, value_length);
  if (length > info.sector_length || (length > log->room_length && !begin_sector(log, &info))) return false;

  uint8_t header[HEADER_LENGTH];
  bytes_put_u32(header, value_length);
  bytes_put_u32(header + 4, log->generation + 1);
  uint32_t checksum = crc_32(0, header, 8);
  for (uint32_t index = 0; index < piece_count; index++)
    checksum = crc_32(checksum, pieces[index].bytes, pieces[index].length);
  bytes_put_u32(header + 8, checksum);

  /* Until the record is whole nothing can be written behind it. */
  const uint32_t room_length = log->room_length;
  log->room_length = 0;
  if (!program(log, &info, header, pieces, piece_count)) return false;
  if (!is_whole(port_flash_at(log->area) + log->next_at, length)) return false;
  log->has_value = true;
  log->generation++;
  log->sector_at = log->next_at - log->next_at % info.sector_length;
  log->value_at = log->next_at + HEADER_LENGTH;
  log->value_length = value_length;
  log->next_at += length;
  log->room_length = room_length - length;
  return true;
}

static uint32_t record_length(const port_area_info *info, uint32_t value_length) {
  return (HEADER_LENGTH + value_length + info->word_length - 1) & ~(info->word_length - 1);
}

static bool is_whole(const uint8_t *record, uint32_t available) {
  if (available < HEADER_LENGTH) return false;
  const uint32_t length = bytes_u32(record);
  if (length > available - HEADER_LENGTH) return false;
  return crc_32(crc_32(0, record, 8), record + HEADER_LENGTH, length) == bytes_u32(record + 8);
}

static bool begin_sector(flash_log *log, const port_area_info *info) {
  log->room_length = 0;
  log->next_at = log->has_value ? (log->sector_at + info->sector_length) % info->length : 0;
  if (!port_flash_erase(log->area, log->next_at)) return false;
  port_watchdog_feed(RUNTIME_WATCHDOG_MS);
  log->room_length = info->sector_length;
  return true;
}

/* Whole words go to the flash; the last one is filled up with what erased bytes are. */
static bool program(const flash_log *log, const port_area_info *info, const uint8_t *header, const flash_piece *pieces,
                    uint32_t piece_count) {
  uint8_t gathered[64];
  memcpy(gathered, header, HEADER_LENGTH);
  uint32_t used = HEADER_LENGTH;
  uint32_t at = log->next_at;
  for (uint32_t index = 0; index < piece_count; index++) {
    const uint8_t *bytes = pieces[index].bytes;
    uint32_t left = pieces[index].length;
    while (left > 0) {
      if (used == sizeof gathered) {
        if (!port_flash_program(log->area, at, gathered, used)) return false;
        at += used;
        used = 0;
      }
      uint32_t part = left < sizeof gathered - used ? left : (uint32_t)sizeof gathered - used;
      memcpy(gathered + used, bytes, part);
      used += part;
      bytes += part;
      left -= part;
    }
  }
  while (used % info->word_length != 0) gathered[used++] = 0xff;
  return port_flash_program(log->area, at, gathered, used);
}
