/* The flash: two 16-bit chips side by side that speak CFI command set 0001, in the second bank of the `virt` machine. */

#include "machine.h"

#include <stddef.h>
#include <string.h>

#include "port.h"

#define FLASH_BASE 0x22000000u
#define SECTOR_LENGTH (256u * 1024u)
#define WORD_LENGTH 4u

/* Each command is given to both chips. */
#define READ_ARRAY 0x00ff00ffu
#define CLEAR_STATUS 0x00500050u
#define PROGRAM 0x00400040u
#define ERASE 0x00200020u
#define ERASE_CONFIRM 0x00d000d0u
#define READY 0x00800080u
#define FAILED 0x003a003au

#define ERASED UINT32_MAX

static const struct {
  uint32_t first_sector;
  uint32_t sector_count;
} areas[PORT_AREA_COUNT] = {
    [PORT_AREA_SLOT_0] = {0, 1},
    [PORT_AREA_SLOT_1] = {1, 1},
    [PORT_AREA_STATE] = {2, 2},
    [PORT_AREA_CONFIG] = {4, 2},
    [PORT_AREA_JOURNAL] = {6, 2},
};

static uint32_t address(port_area area, uint32_t offset) { return FLASH_BASE + areas[area].first_sector * SECTOR_LENGTH + offset; }

static bool is_inside(port_area area, uint32_t offset, uint32_t length) {
  uint32_t area_length = areas[area].sector_count * SECTOR_LENGTH;
  return offset <= area_length && length <= area_length - offset;
}

/* Waits for both chips; the flash shows its status until it is told to read again. */
static bool is_done(volatile uint32_t *word) {
  uint32_t status;
  do {
    status = *word;
  } while ((status & READY) != READY);
  return (status & FAILED) == 0;
}

static void read_again(volatile uint32_t *word) {
  *word = CLEAR_STATUS;
  *word = READ_ARRAY;
}

port_area_info port_flash_info(port_area area) {
  return (port_area_info){
      .length = areas[area].sector_count * SECTOR_LENGTH,
      .sector_length = SECTOR_LENGTH,
      .word_length = WORD_LENGTH,
  };
}

const uint8_t *port_flash_at(port_area area) { return (const uint8_t *)address(area, 0); }

bool port_flash_program(port_area area, uint32_t offset, const uint8_t *bytes, uint32_t length) {
  if (offset % WORD_LENGTH != 0 || length % WORD_LENGTH != 0 || !is_inside(area, offset, length)) return false;

  volatile uint32_t *start = machine_register(address(area, offset));
  uint32_t word_count = length / WORD_LENGTH;
  for (uint32_t index = 0; index < word_count; index++) {
    if (start[index] != ERASED) return false;
  }

  bool is_right = true;
  for (uint32_t index = 0; index < word_count && is_right; index++) {
    uint32_t value;
    memcpy(&value, bytes + (size_t)index * WORD_LENGTH, WORD_LENGTH);
    start[index] = PROGRAM;
    start[index] = value;
    is_right = is_done(&start[index]);
  }
  read_again(start);
  return is_right && memcmp((const uint8_t *)address(area, offset), bytes, length) == 0;
}

bool port_flash_erase(port_area area, uint32_t offset) {
  if (offset % SECTOR_LENGTH != 0 || !is_inside(area, offset, SECTOR_LENGTH)) return false;

  volatile uint32_t *sector = machine_register(address(area, offset));
  *sector = ERASE;
  *sector = ERASE_CONFIRM;
  bool is_right = is_done(sector);
  read_again(sector);
  return is_right && *sector == ERASED;
}
