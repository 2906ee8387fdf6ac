/* The flash: a file that is mapped into memory, with the rules of NOR flash. */

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "posix.h"

#define SECTOR_LENGTH 4096u
#define WORD_LENGTH 8u
#define SECTOR_COUNT 44u
#define FLASH_LENGTH (SECTOR_COUNT * SECTOR_LENGTH)
#define ERASED 0xff

static const struct {
  uint32_t first_sector;
  uint32_t sector_count;
} areas[PORT_AREA_COUNT] = {
    [PORT_AREA_SLOT_0] = {0, 16},
    [PORT_AREA_SLOT_1] = {16, 16},
    [PORT_AREA_STATE] = {32, 2},
    [PORT_AREA_CONFIG] = {34, 2},
    [PORT_AREA_JOURNAL] = {36, 8},
};

static uint8_t *flash;

/* A new file, or one that was not finished, is longer by what was never written: all 0xff. */
static int open_file(const char *path) {
  int descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  struct stat status;
  if (descriptor == -1 || fstat(descriptor, &status) == -1) posix_fail("cannot open", path);
  uint8_t erased[SECTOR_LENGTH];
  memset(erased, ERASED, sizeof erased);
  for (uint32_t length = (uint32_t)status.st_size; length < FLASH_LENGTH;) {
    ssize_t written = pwrite(descriptor, erased, SECTOR_LENGTH - length % SECTOR_LENGTH, length);
    if (written <= 0) posix_fail("cannot write", path);
    length += (uint32_t)written;
  }
  return descriptor;
}

void flash_start(const char *path) {
  int descriptor = path == NULL ? -1 : open_file(path);
  int kind = path == NULL ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
  void *mapped = mmap(NULL, FLASH_LENGTH, PROT_READ | PROT_WRITE, kind, descriptor, 0);
  if (mapped == MAP_FAILED) posix_fail("cannot map", path == NULL ? "memory" : path);
  flash = mapped;
  if (path == NULL) memset(flash, ERASED, FLASH_LENGTH);
}

static uint8_t *at(port_area area, uint32_t offset) { return flash + areas[area].first_sector * SECTOR_LENGTH + offset; }

/* On a board it would be a bug that is found much later. */
static void demand(bool holds, const char *what) {
  if (holds) return;
  fprintf(stderr, "board: flash: %s\n", what);
  abort();
}

static bool is_inside(port_area area, uint32_t offset, uint32_t length) {
  uint32_t area_length = areas[area].sector_count * SECTOR_LENGTH;
  return offset <= area_length && length <= area_length - offset;
}

port_area_info port_flash_info(port_area area) {
  return (port_area_info){
      .length = areas[area].sector_count * SECTOR_LENGTH,
      .sector_length = SECTOR_LENGTH,
      .word_length = WORD_LENGTH,
  };
}

const uint8_t *port_flash_at(port_area area) { return at(area, 0); }

bool port_flash_program(port_area area, uint32_t offset, const uint8_t *bytes, uint32_t length) {
  demand(offset % WORD_LENGTH == 0 && length % WORD_LENGTH == 0, "half a word is programmed");
  demand(is_inside(area, offset, length), "something outside of an area is programmed");
  uint8_t *to = at(area, offset);
  for (uint32_t index = 0; index < length; index++) demand(to[index] == ERASED, "a word is programmed twice");
  /* Word by word: a process that is killed leaves what a board would leave that loses its power. */
  for (uint32_t index = 0; index < length; index += WORD_LENGTH) memcpy(to + index, bytes + index, WORD_LENGTH);
  return true;
}

bool port_flash_erase(port_area area, uint32_t offset) {
  demand(offset % SECTOR_LENGTH == 0 && is_inside(area, offset, SECTOR_LENGTH), "something that is no sector is erased");
  memset(at(area, offset), ERASED, SECTOR_LENGTH);
  return true;
}
