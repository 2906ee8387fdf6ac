/* A board for the tests of the management server. */

#include "fake-board.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../engine/engine.h"
#include "../port/port.h"
#include "../runtime/admission.h"
#include "../runtime/config.h"
#include "../runtime/runtime.h"
#include "../runtime/signature.h"
#include "../runtime/slots.h"

#define SECTOR_LENGTH 8192u
#define WORD_LENGTH 4u
#define LOG_AREA_LENGTH (2 * SECTOR_LENGTH)

static uint8_t flash[PORT_AREA_COUNT][FAKE_SLOT_LENGTH];
static fake_board_notes notes;
static bool has_module = true;

fake_board_notes fake_board_seen(void) { return notes; }

void fake_board_forget(void) { memset(&notes, 0, sizeof notes); }

void fake_board_erase(void) {
  memset(flash, 0xff, sizeof flash);
  has_module = true;
}

void fake_board_start(void) {
  slots_choice choice;
  config_open();
  admission_open(65536, NULL, 0);
  slots_open();
  slots_choose(&choice);
}

void fake_board_lose_module(void) { has_module = false; }

/* -- The port -- */

const char *port_name(void) { return "fake"; }

uint32_t port_random(void) { return 0x12345678; }

void port_watchdog_feed(uint32_t timeout_ms) { (void)timeout_ms; }

port_reset_reason port_why_reset(void) { return PORT_RESET_POWER; }

port_stack_info port_stack(void) { return (port_stack_info){.used = 1000, .size = 4000}; }

port_area_info port_flash_info(port_area area) {
  uint32_t length = area <= PORT_AREA_SLOT_1 ? FAKE_SLOT_LENGTH : LOG_AREA_LENGTH;
  return (port_area_info){.length = length, .sector_length = SECTOR_LENGTH, .word_length = WORD_LENGTH};
}

const uint8_t *port_flash_at(port_area area) { return flash[area]; }

static _Noreturn void misused(const char *how) {
  printf("the flash was misused: %s\n", how);
  abort();
}

bool port_flash_program(port_area area, uint32_t offset, const uint8_t *bytes, uint32_t length) {
  uint32_t area_length = port_flash_info(area).length;
  if (offset % WORD_LENGTH != 0 || length % WORD_LENGTH != 0) misused("not whole words");
  if (offset > area_length || length > area_length - offset) misused("programmed beyond the end");
  for (uint32_t index = 0; index < length; index++) {
    if (flash[area][offset + index] != 0xff) misused("programmed twice");
  }
  memcpy(flash[area] + offset, bytes, length);
  return true;
}

bool port_flash_erase(port_area area, uint32_t offset) {
  if (offset % SECTOR_LENGTH != 0 || offset >= port_flash_info(area).length) misused("erased where no sector begins");
  memset(flash[area] + offset, 0xff, SECTOR_LENGTH);
  return true;
}

/* -- The engine, the signatures and the runtime -- */

const char *engine_name(void) { return "none"; }

bool signature_is_valid(const uint8_t signature[SIGNATURE_LENGTH], const uint8_t digest[32],
    const uint8_t key[SIGNATURE_KEY_LENGTH]) {
  (void)signature, (void)digest, (void)key;
  return false;
}

/* As long as slots_note may be. */
static char longest_note[143 + 1];

void runtime_info(runtime_status *status) {
  memset(status, 0, sizeof *status);
  status->uptime_ms = 4294967295u;
  status->link = "serial";
  status->heap_used = 15000;
  status->heap_length = 40960;
  status->state = has_module ? RUNTIME_MODULE_WAITING : RUNTIME_MODULE_NONE;
  status->slot = 1;
  memset(status->sha256, 0xab, sizeof status->sha256);
  status->length = 20000;
  status->is_connected = true;
  status->up_ms = 5;
  status->start_count = 4;
  status->fall_count = 3;
  status->published_count = 2;
  memset(longest_note, 'n', sizeof longest_note - 1);
  status->note = longest_note;
}

void runtime_request_reset(void) { notes.reset_count++; }

void runtime_config_changed(bool is_id_written) {
  notes.config_count++;
  notes.is_id_written = is_id_written;
}

void runtime_say(const char *what) { snprintf(notes.said, sizeof notes.said, "%s", what); }
