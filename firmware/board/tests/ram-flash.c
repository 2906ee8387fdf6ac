/* Ends the program where the code under test breaks a rule of port.h. */

#include "ram-flash.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../port/port.h"

#define AREA_LENGTH_MAX 65536u
#define WORD_LENGTH_MAX 16u

typedef struct {
  uint8_t bytes[PORT_AREA_COUNT][AREA_LENGTH_MAX];
  bool is_programmed[PORT_AREA_COUNT][AREA_LENGTH_MAX];
} content;

static struct {
  port_area_info info;
  content now;
  content kept;
  uint32_t cut_at;
  ram_flash_cut_kind cut_kind;
  uint32_t fail_at;
  uint32_t operation_count;
  uint32_t random;
} flash;

jmp_buf ram_flash_power;

static void break_rule(const char *rule) {
  fprintf(stderr, "flash: %s\n", rule);
  abort();
}

static void check(bool is_kept, const char *rule) {
  if (!is_kept) break_rule(rule);
}

void ram_flash_make(uint32_t word_length, uint32_t sector_length, uint32_t sector_count) {
  check(word_length <= WORD_LENGTH_MAX && sector_length * sector_count <= AREA_LENGTH_MAX,
        "it is too large for this test");
  flash.info = (port_area_info){sector_length * sector_count, sector_length, word_length};
  memset(flash.now.bytes, 0xff, sizeof flash.now.bytes);
  memset(flash.now.is_programmed, false, sizeof flash.now.is_programmed);
  ram_flash_cut_at(0, RAM_FLASH_CUT_BEFORE);
  ram_flash_fail_at(0);
}

void ram_flash_keep(void) {
  flash.kept = flash.now;
}

void ram_flash_bring_back(void) {
  flash.now = flash.kept;
}

void ram_flash_cut_at(uint32_t operation, ram_flash_cut_kind kind) {
  flash.cut_at = operation;
  flash.cut_kind = kind;
  flash.operation_count = 0;
}

void ram_flash_fail_at(uint32_t operation) {
  flash.fail_at = operation;
  flash.operation_count = 0;
}

uint32_t ram_flash_operation_count(void) {
  return flash.operation_count;
}

void ram_flash_set_random(uint32_t random) {
  flash.random = random;
}

/* Counts an operation: true if the power fails in it. */
static bool fails(void) {
  flash.operation_count++;
  return flash.operation_count == flash.cut_at;
}

static bool is_broken(void) {
  return flash.fail_at != 0 && flash.operation_count + 1 >= flash.fail_at;
}

/* -- port.h -- */

uint32_t port_random(void) {
  return flash.random;
}

void port_watchdog_feed(uint32_t timeout_ms) {
  check(timeout_ms > 0, "the watchdog gets no time");
}

port_area_info port_flash_info(port_area area) {
  check(area < PORT_AREA_COUNT, "there is no such area");
  return flash.info;
}

const uint8_t *port_flash_at(port_area area) {
  check(area < PORT_AREA_COUNT, "there is no such area");
  return flash.now.bytes[area];
}

static void program_word(port_area area, uint32_t offset, const uint8_t *bytes, uint32_t length) {
  for (uint32_t index = 0; index < length; index++) {
    flash.now.bytes[area][offset + index] &= bytes[index];
    if (bytes[index] != 0xff || length == flash.info.word_length) flash.now.is_programmed[area][offset] = true;
  }
}

bool port_flash_program(port_area area, uint32_t offset, const uint8_t *bytes, uint32_t length) {
  const uint32_t word_length = flash.info.word_length;
  check(area < PORT_AREA_COUNT && offset <= flash.info.length && length <= flash.info.length - offset,
        "programmed outside");
  check(offset % word_length == 0 && length % word_length == 0, "programmed half a word");
  for (uint32_t at = 0; at < length; at += word_length) {
    if (is_broken()) return false;
    check(!flash.now.is_programmed[area][offset + at], "a word is programmed twice");
    if (fails()) {
      if (flash.cut_kind == RAM_FLASH_CUT_WITHIN) program_word(area, offset + at, bytes + at, word_length / 2);
      longjmp(ram_flash_power, 1);
    }
    program_word(area, offset + at, bytes + at, word_length);
  }
  return true;
}

bool port_flash_erase(port_area area, uint32_t offset) {
  const uint32_t sector_length = flash.info.sector_length;
  check(area < PORT_AREA_COUNT && offset < flash.info.length && offset % sector_length == 0,
        "erased what is no sector");
  if (is_broken()) return false;
  const bool is_cut = fails();
  const uint32_t length = !is_cut ? sector_length : flash.cut_kind == RAM_FLASH_CUT_WITHIN ? sector_length / 2 : 0;
  memset(flash.now.bytes[area] + offset, 0xff, length);
  memset(flash.now.is_programmed[area] + offset, false, length * sizeof(bool));
  if (is_cut) longjmp(ram_flash_power, 1);
  return true;
}
