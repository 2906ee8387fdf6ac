/*
 * A module on a board without the board: the runtime's driver, journal and sensor over the real engine, with a clock, a link and a flash that obey
 * the lines on stdin. Each line is answered with what happened and then `ok`, or `cut` if the power failed meanwhile.
 *
 * needs: runtime/module.c runtime/record.c runtime/instance.c runtime/journal.c runtime/console.c runtime/sensor-simulated.c engine/wasm3.c
 */

#include <inttypes.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../engine/engine.h"
#include "../port/port.h"
#include "../runtime/journal.h"
#include "../runtime/module.h"
#include "../runtime/sensor.h"
#include "../runtime/wire.h"

#define LINE_LENGTH_MAX 400000
#define FLASH_LENGTH_MAX 131072
#define MODULE_LENGTH_MAX 65536
#define FIELD_LENGTH_MAX 1100
#define INPUT_LENGTH_MAX 65536
#define NEVER UINT32_MAX
#define SETTLING_COUNT_MAX 50

static _Alignas(16) uint8_t heap[262144];
static uint8_t module_bytes[MODULE_LENGTH_MAX];
static uint32_t module_length;
static uint32_t memory_length;
static jmp_buf power_failure;

static _Noreturn void give_up(const char *why) {
  printf("broken %s\n", why);
  exit(2);
}

/* -- The port: a clock, a random number, a flash -- */

static uint32_t clock_ms;
static uint32_t random_state = 1;

uint32_t port_now_ms(void) { return clock_ms; }

uint32_t port_random(void) {
  random_state = random_state * 1664525u + 1013904223u;
  return random_state >> 8;
}

static struct {
  uint8_t bytes[FLASH_LENGTH_MAX];
  bool is_programmed[FLASH_LENGTH_MAX];
  port_area_info info;
  uint32_t operation_count;
  /* The power fails in this operation, with so much of it done. */
  uint32_t cut_at;
  uint32_t cut_share;
  bool has_failed;
} flash;

port_area_info port_flash_info(port_area area) {
  if (area != PORT_AREA_JOURNAL) give_up("another area");
  return flash.info;
}

const uint8_t *port_flash_at(port_area area) {
  if (area != PORT_AREA_JOURNAL) give_up("another area");
  return flash.bytes;
}

static bool is_cut(void) {
  return ++flash.operation_count == flash.cut_at;
}

bool port_flash_program(port_area area, uint32_t offset, const uint8_t *bytes, uint32_t length) {
  const uint32_t word = flash.info.word_length;
  if (area != PORT_AREA_JOURNAL || offset % word != 0 || length % word != 0) give_up("no whole words");
  if (length > flash.info.length || offset > flash.info.length - length) give_up("programmed outside");
  if (flash.has_failed) return false;
  const bool cuts = is_cut();
  const uint32_t whole = cuts ? length / word * flash.cut_share / 100 * word : length;
  for (uint32_t index = 0; index < length; index++) {
    if (index >= whole + word) break;
    if (flash.is_programmed[offset + index]) give_up("a word was programmed twice");
    flash.is_programmed[offset + index] = true;
    /* Of the word in which the power fails, each bit is there or not. */
    const uint8_t noise = index < whole ? 0 : (uint8_t)port_random();
    flash.bytes[offset + index] &= (uint8_t)(bytes[index] | noise);
  }
  if (cuts) longjmp(power_failure, 1);
  return true;
}

void port_watchdog_feed(uint32_t timeout_ms) {
  (void)timeout_ms;
}

bool port_flash_erase(port_area area, uint32_t offset) {
  const uint32_t sector = flash.info.sector_length;
  if (area != PORT_AREA_JOURNAL || offset % sector != 0 || offset >= flash.info.length) give_up("no sector");
  if (flash.has_failed) return false;
  const bool cuts = is_cut();
  const uint32_t whole = cuts ? sector * flash.cut_share / 100 : sector;
  for (uint32_t index = 0; index < whole; index++) flash.bytes[offset + index] = 0xff;
  if (cuts) {
    if (whole < sector) flash.bytes[offset + whole] |= (uint8_t)port_random();
    longjmp(power_failure, 1);
  }
  memset(flash.is_programmed + offset, 0, sector);
  return true;
}

/* -- The link -- */

static struct {
  link_state state;
  char reason[100];
  uint8_t input[INPUT_LENGTH_MAX];
  size_t input_length;
  size_t window;
  uint64_t unix_ms;
} wires = {.window = SIZE_MAX};

static void print_bytes(const char *what, const uint8_t *bytes, size_t length) {
  printf("%s ", what);
  for (size_t index = 0; index < length; index++) printf("%02x", bytes[index]);
  printf("\n");
}

static void link_open(uint32_t now_ms) {
  (void)now_ms;
  if (wires.state != LINK_DOWN) give_up("opened twice");
  wires.input_length = 0;
  wires.state = LINK_OPENING;
  printf("open\n");
}

static link_state link_now(void) { return wires.state; }

static const char *link_ended(void) { return wires.reason; }

static size_t link_write(const uint8_t *bytes, size_t length) {
  if (wires.state != LINK_UP) return 0;
  const size_t taken = length < wires.window ? length : wires.window;
  if (wires.window != SIZE_MAX) wires.window -= taken;
  if (taken > 0) print_bytes("out", bytes, taken);
  return taken;
}

static size_t link_read(uint8_t *to, size_t capacity) {
  const size_t length = wires.input_length < capacity ? wires.input_length : capacity;
  memcpy(to, wires.input, length);
  memmove(wires.input, wires.input + length, wires.input_length - length);
  wires.input_length -= length;
  return length;
}

static void link_close(link_close_reason reason, uint32_t now_ms) {
  (void)now_ms;
  if (wires.state == LINK_DOWN) return;
  wires.state = LINK_DOWN;
  printf("close %d\n", (int)reason);
}

static void link_tick(uint32_t now_ms) { (void)now_ms; }

static uint32_t link_deadline_ms(uint32_t now_ms) {
  (void)now_ms;
  return NEVER;
}

static uint64_t link_unix_ms(uint32_t now_ms) {
  (void)now_ms;
  return wires.unix_ms;
}

static const link_driver fake_link = {"test",    link_open,  link_now,  link_ended,       link_write,
                                      link_read, link_close, link_tick, link_deadline_ms, link_unix_ms};

void wire_send_text(const char *text) { printf("say %s\n", text); }

/* -- What the lines ask for -- */

static struct {
  uint8_t bytes[FIELD_LENGTH_MAX];
  uint32_t length;
} fields[4];
static const char *const field_names[4] = {"id", "user", "pass", "profile"};
static uint32_t interval_ms = 1000;
static uint32_t qos = 1;

static uint32_t unhex(const char *digits, uint8_t *to, uint32_t capacity) {
  const size_t count = strlen(digits);
  if (count % 2 != 0 || count / 2 > capacity) give_up("hexadecimal");
  for (size_t index = 0; index < count / 2; index++) {
    unsigned byte = 0;
    if (sscanf(digits + 2 * index, "%2x", &byte) != 1) give_up("hexadecimal");
    to[index] = (uint8_t)byte;
  }
  return (uint32_t)(count / 2);
}

static void load(const char *arguments) {
  char path[1000];
  if (sscanf(arguments, "%" SCNu32 " %999s", &memory_length, path) != 2) give_up("load");
  FILE *file = fopen(path, "rb");
  if (file == NULL) give_up("no such module");
  module_length = (uint32_t)fread(module_bytes, 1, sizeof module_bytes, file);
  fclose(file);
}

static void set_field(const char *arguments) {
  char name[20];
  char digits[2 * FIELD_LENGTH_MAX + 1] = "";
  if (sscanf(arguments, "%19s %2200s", name, digits) < 1) give_up("set");
  for (int index = 0; index < 4; index++) {
    if (strcmp(name, field_names[index]) == 0) fields[index].length = unhex(digits, fields[index].bytes, FIELD_LENGTH_MAX);
  }
}

static module_field field(int index) {
  return (module_field){fields[index].length == 0 ? NULL : fields[index].bytes, fields[index].length};
}

static void start(void) {
  const module_place place = {module_bytes, module_length, memory_length, heap, sizeof heap};
  const module_settings settings = {field(0), field(1), field(2), field(3), interval_ms, qos};
  wires.state = LINK_DOWN;
  wires.input_length = 0;
  sensor_start(1);
  module_start(&place, &settings, &fake_link, clock_ms);
}

/* Lets the time pass, and the module work until it has nothing to do now. */
static void run(uint32_t passed_ms) {
  clock_ms += passed_ms;
  uint32_t count = 0;
  do module_run(clock_ms);
  while (module_next_deadline_ms(clock_ms) == 0 && ++count < SETTLING_COUNT_MAX);
  if (count == SETTLING_COUNT_MAX) printf("restless\n");
}

static void report(void) {
  static const char *const states[] = {"stopped", "running", "fell", "refused"};
  printf("state %s connected %d published %" PRIu32 " deadline %" PRIu32 " operations %" PRIu32 " unread %zu heap %" PRIu32 " why %s\n", states[module_now()],
         module_is_connected(), module_published_count(), module_next_deadline_ms(clock_ms), flash.operation_count, wires.input_length, engine_heap_used(), module_why());
}

static void format_flash(const char *arguments) {
  if (sscanf(arguments, "%" SCNu32 " %" SCNu32 " %" SCNu32, &flash.info.length, &flash.info.sector_length, &flash.info.word_length) != 3) give_up("flash");
  if (flash.info.length > FLASH_LENGTH_MAX) give_up("flash");
  memset(flash.bytes, 0xff, sizeof flash.bytes);
  memset(flash.is_programmed, 0, sizeof flash.is_programmed);
  flash.has_failed = false;
  flash.cut_at = 0;
}

static void print_result(journal_result result) {
  static const char *const results[] = {"ok", "empty", "needs-image", "invalid", "refused"};
  printf("journal %s %" PRIu32 " %s\n", results[result], journal_next_generation(), journal_error());
}

static void open_journal(void) {
  const journal_result result = journal_open();
  print_result(result);
  const uint8_t *batch;
  uint32_t length;
  while (result == JOURNAL_OK && journal_next_batch(&batch, &length)) print_bytes("batch", batch, length);
}

static void store(const char *arguments, journal_result (*how)(const uint8_t *, uint32_t)) {
  static uint8_t bytes[FLASH_LENGTH_MAX];
  print_result(how(bytes, unhex(arguments, bytes, sizeof bytes)));
}

/* How the flash is to be, or to fail. */
static bool obey_flash(const char *command, const char *arguments) {
  if (strcmp(command, "flash") == 0) format_flash(arguments);
  else if (strcmp(command, "dump") == 0) print_bytes("flash", flash.bytes, flash.info.length);
  else if (strcmp(command, "fill") == 0) unhex(arguments, flash.bytes, sizeof flash.bytes);
  else if (strcmp(command, "fail") == 0) flash.has_failed = true;
  else if (strcmp(command, "heal") == 0) flash.has_failed = false;
  else if (strcmp(command, "cut") == 0) {
    if (sscanf(arguments, "%" SCNu32 " %" SCNu32, &flash.cut_at, &flash.cut_share) != 2) give_up("cut");
    flash.cut_at += flash.operation_count;
  } else if (strcmp(command, "journal-open") == 0) open_journal();
  else if (strcmp(command, "journal-append") == 0) store(arguments, journal_append);
  else if (strcmp(command, "journal-replace") == 0) store(arguments, journal_replace);
  else if (strcmp(command, "journal-erase") == 0) print_result(journal_erase());
  else return false;
  return true;
}

static bool obey_link(const char *command, const char *arguments) {
  if (strcmp(command, "up") == 0) wires.state = LINK_UP;
  else if (strcmp(command, "down") == 0) {
    wires.state = LINK_DOWN;
    snprintf(wires.reason, sizeof wires.reason, "%s", arguments);
  } else if (strcmp(command, "in") == 0) {
    wires.input_length += unhex(arguments, wires.input + wires.input_length, (uint32_t)(INPUT_LENGTH_MAX - wires.input_length));
  } else if (strcmp(command, "window") == 0) wires.window = arguments[0] == '-' ? SIZE_MAX : (size_t)strtoul(arguments, NULL, 10);
  else if (strcmp(command, "time") == 0) wires.unix_ms = strtoull(arguments, NULL, 10);
  else return false;
  return true;
}

static bool obey_module(const char *command, const char *arguments) {
  if (strcmp(command, "load") == 0) load(arguments);
  else if (strcmp(command, "set") == 0) set_field(arguments);
  else if (strcmp(command, "interval") == 0) interval_ms = (uint32_t)strtoul(arguments, NULL, 10);
  else if (strcmp(command, "qos") == 0) qos = (uint32_t)strtoul(arguments, NULL, 10);
  else if (strcmp(command, "seed") == 0) random_state = (uint32_t)strtoul(arguments, NULL, 10);
  else if (strcmp(command, "start") == 0) start();
  else if (strcmp(command, "stop") == 0) module_stop(clock_ms);
  else if (strcmp(command, "run") == 0) run((uint32_t)strtoul(arguments, NULL, 10));
  else if (strcmp(command, "report") == 0) report();
  else return false;
  return true;
}

int main(void) {
  static char line[LINE_LENGTH_MAX];
  while (fgets(line, sizeof line, stdin) != NULL) {
    line[strcspn(line, "\n")] = '\0';
    char *arguments = strchr(line, ' ');
    if (arguments != NULL) *arguments++ = '\0';
    else arguments = line + strlen(line);
    const bool has_power = setjmp(power_failure) == 0;
    if (has_power && !obey_flash(line, arguments) && !obey_link(line, arguments) && !obey_module(line, arguments)) give_up(line);
    printf(has_power ? "ok\n" : "cut\n");
    fflush(stdout);
  }
  return 0;
}
