/*
 * Slots and configuration over a flash in RAM: commands on stdin, one a line, each answered with a line;
 * test/board/slots.test.ts speaks to it. `cuts` and `walk` try every moment at which the power can fail, and end the
 * program where a promise is broken.
 * needs: tests/ram-flash.c runtime/slots.c runtime/flash-log.c runtime/admission.c runtime/config.c
 * needs: runtime/image.c runtime/wasm-module.c runtime/sha256.c runtime/signature.c runtime/crc.c
 */

#include "../runtime/slots.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../port/port.h"
#include "../runtime/config.h"
#include "../runtime/sha256.h"
#include "ram-flash.h"

#define FILE_COUNT_MAX 8
#define FILE_LENGTH_MAX 32768
#define NAME_LENGTH_MAX 15
#define LINE_LENGTH_MAX 4096

typedef struct {
  char name[NAME_LENGTH_MAX + 1];
  uint8_t bytes[FILE_LENGTH_MAX];
  uint32_t length;
  uint8_t sha[SHA256_LENGTH];
} file;

static file files[FILE_COUNT_MAX];
static uint32_t file_count;
static uint32_t room = 4096;

static slots_choice choice;
static bool runs;

static const wasm_module_function NEEDED[] = {{"abiVersion", 0}};

static void broken(const char *promise) {
  printf("broken: %s\n", promise);
  fflush(stdout);
  abort();
}

static void check(bool is_kept, const char *promise) {
  if (!is_kept) broken(promise);
}

/* -- What a board does -- */

static void open_board(const char *watchdog) {
  config_open();
  admission_open(room, NEEDED, sizeof NEEDED / sizeof NEEDED[0]);
  slots_open();
  if (watchdog[0] != '\0') slots_fell(watchdog);
  runs = slots_choose(&choice);
}

static file *file_called(const char *name) {
  for (uint32_t index = 0; index < file_count; index++) {
    if (strcmp(files[index].name, name) == 0) return &files[index];
  }
  broken("the test names a file that it loaded");
  return NULL;
}

static bool is_tried(void) {
  slots_info info;
  slots_describe(choice.slot, &info);
  return !info.is_confirmed;
}

/* The file whose module is to run: it must be there to the last byte. */
static file *running_file(void) {
  for (uint32_t index = 0; index < file_count; index++) {
    const file *candidate = &files[index];
    const image_parts *image = &choice.facts.image;
    if (runs && image->length == candidate->length &&
        memcmp(image->module - IMAGE_HEADER_LENGTH, candidate->bytes, candidate->length) == 0)
      return &files[index];
  }
  check(!runs, "what runs is whole, and one of the modules that were uploaded");
  return NULL;
}

static const uint8_t *hash_of(const file *of) {
  image_parts image;
  check(image_read(&image, of->bytes, of->length) == IMAGE_OK, "the file is a container");
  return image.hash;
}

/* Sends the file in chunks as a host does, until `limit` bytes are there. */
static slots_result upload(const file *from, uint32_t chunk, uint32_t limit, uint32_t *offset) {
  const uint32_t head = chunk < from->length ? chunk : from->length;
  slots_result result = slots_upload_begin(from->length, from->sha, from->bytes, head, offset);
  for (uint32_t tries = 0; result == SLOTS_OK && *offset < limit && tries < 100000; tries++) {
    const uint32_t at = *offset;
    const uint32_t left = from->length - at;
    if (at == 0 && tries > 0) result = slots_upload_begin(from->length, from->sha, from->bytes, head, offset);
    if (result == SLOTS_OK) result = slots_upload_write(at, from->bytes + at, left < chunk ? left : chunk, offset);
  }
  return result;
}

typedef struct {
  bool has_tested;
  bool has_begun_confirm;
  bool has_confirmed;
} progress;

/* What a host does to bring a module to a board for good. */
static void install(const file *wanted, bool is_permanent, progress *done) {
  uint32_t offset;
  if (runs && choice.is_trial) {
    if (running_file() == wanted) {
      done->has_begun_confirm = true;
      check(slots_confirm(NULL) == SLOTS_OK, "a module that runs can be confirmed");
    }
    open_board("");
  }
  if (running_file() != wanted) {
    const slots_result result = upload(wanted, 48, wanted->length, &offset);
    check(result == SLOTS_OK && offset == wanted->length, "an upload can be begun and ended");
    if (is_permanent) {
      done->has_begun_confirm = true;
      check(slots_confirm(hash_of(wanted)) == SLOTS_OK, "a module that was uploaded can be made permanent");
    } else {
      done->has_tested = true;
      check(slots_test(hash_of(wanted)) == SLOTS_OK, "a module that was uploaded can be tried");
    }
    open_board("");
    check(running_file() == wanted && choice.is_trial != is_permanent,
          "what is to be tried runs from the next restart");
    done->has_begun_confirm = true;
    check(slots_confirm(NULL) == SLOTS_OK, "a module that runs can be confirmed");
  }
  done->has_confirmed = true;
  slots_healthy();
}

/* -- Power cuts -- */

typedef enum { STORY_INSTALL, STORY_PERMANENT, STORY_FALLS, STORY_ERASE, STORY_CONFIG, STORY_COUNT } story_kind;

static const char *const STORIES[STORY_COUNT] = {"install", "permanent", "falls", "erase", "config"};

static void set_config(const char *id, const char *user, const char *pass) {
  config_changes changes;
  config_begin(&changes);
  config_put(&changes, CONFIG_ID, (const uint8_t *)id, (uint32_t)strlen(id));
  config_put(&changes, CONFIG_USER, (const uint8_t *)user, (uint32_t)strlen(user));
  config_put(&changes, CONFIG_PASS, (const uint8_t *)pass, (uint32_t)strlen(pass));
  check(config_save(&changes) == CONFIG_OK, "a configuration can be saved");
}

static bool has_config(const char *id, const char *user, const char *pass) {
  const char *const wanted[] = {id, user, pass};
  for (unsigned index = 0; index < 3; index++) {
    uint32_t length;
    const uint8_t *bytes = index == 2 ? config_password(&length) : config_bytes((config_key)index, &length);
    if (bytes == NULL || length != strlen(wanted[index]) || memcmp(bytes, wanted[index], length) != 0) return false;
  }
  return true;
}

static void tell(story_kind story, const file *wanted, progress *done) {
  switch (story) {
    case STORY_INSTALL:
    case STORY_PERMANENT:
      install(wanted, story == STORY_PERMANENT, done);
      return;
    case STORY_FALLS:
      done->has_begun_confirm = true;
      for (int falls = 0; falls < 3 && running_file() != wanted; falls++) {
        if (slots_fell("it trapped")) runs = slots_choose(&choice);
      }
      return;
    case STORY_ERASE:
      check(slots_erase(slots_inactive()) == SLOTS_OK, "the inactive slot can be erased");
      return;
    default:
      set_config("mote-1", "ann", "a first secret");
      set_config("mote-22", "bob", "the second secret, which is longer");
      set_config("mote-333", "eve", "3");
  }
}

/* What is said to lie in a slot lies there to the last byte. */
static void check_slots(void) {
  for (uint32_t slot = 0; slot < SLOTS_COUNT; slot++) {
    slots_info info;
    slots_describe(slot, &info);
    bool is_there = !info.is_present;
    for (uint32_t index = 0; index < file_count && !is_there; index++) {
      const file *candidate = &files[index];
      const uint8_t *bytes = port_flash_at(slot == 0 ? PORT_AREA_SLOT_0 : PORT_AREA_SLOT_1);
      is_there = info.length == candidate->length && memcmp(bytes, candidate->bytes, info.length) == 0 &&
                 memcmp(info.hash, hash_of(candidate), IMAGE_HASH_LENGTH) == 0;
    }
    check(is_there, "a slot has what is said of it");
  }
}

/* What the board promises whenever its power failed in a story. */
static void check_promises(story_kind story, const file *before, const file *wanted, const progress *done) {
  const file *now = running_file();
  check_slots();
  if (story == STORY_CONFIG) {
    const bool is_one = !config_has_password() || has_config("mote-1", "ann", "a first secret") ||
                        has_config("mote-22", "bob", "the second secret, which is longer") ||
                        has_config("mote-333", "eve", "3");
    check(is_one, "a configuration is the one before or the new one");
  }
  check(before == NULL || now != NULL, "there is always a module to run");
  check(now == before || now == wanted, "what runs is the module before or the new one");
  if (now != wanted || before == wanted) {
    check(!done->has_confirmed || before == wanted || story == STORY_FALLS, "what was confirmed stays");
    return;
  }
  check(choice.is_trial ? done->has_tested : done->has_begun_confirm, "nothing runs that nobody wanted to run");
}

static uint32_t cut_everywhere(story_kind story, const file *wanted) {
  const file *before = running_file();
  ram_flash_keep();
  uint32_t cut_count = 0;
  for (uint32_t at = 1;; at++) {
    bool was_cut = false;
    for (int kind = RAM_FLASH_CUT_BEFORE; kind <= RAM_FLASH_CUT_WITHIN; kind++) {
      static progress done;
      memset(&done, 0, sizeof done);
      ram_flash_bring_back();
      open_board("");
      ram_flash_cut_at(at, (ram_flash_cut_kind)kind);
      if (setjmp(ram_flash_power) == 0) {
        tell(story, wanted, &done);
        ram_flash_cut_at(0, RAM_FLASH_CUT_BEFORE);
      } else {
        was_cut = true;
        cut_count++;
        ram_flash_cut_at(0, RAM_FLASH_CUT_BEFORE);
      }
      open_board("");
      check_promises(story, before, wanted, &done);
      tell(story, wanted, &done);
      if (story == STORY_CONFIG) check(has_config("mote-333", "eve", "3"), "a board goes on after its power failed");
      open_board("");
      if (story == STORY_INSTALL || story == STORY_PERMANENT || story == STORY_FALLS) {
        check(running_file() == wanted && !choice.is_trial, "what was begun can be ended after the power failed");
      }
    }
    if (!was_cut) return cut_count;
  }
}

/* -- A long life -- */

static uint32_t seed;

static uint32_t pick(uint32_t below) {
  seed = seed * 1664525u + 1013904223u;
  return (seed >> 8) % below;
}

static void live_one_step(void) {
  const file *any = &files[pick(file_count)];
  uint32_t offset;
  switch (pick(10)) {
    case 0:
    case 1:
      upload(any, 20 + pick(200), pick(2) == 0 ? any->length : pick(any->length), &offset);
      return;
    case 2:
    case 3:
      slots_test(hash_of(any));
      return;
    case 4:
      slots_confirm(pick(2) == 0 ? NULL : hash_of(any));
      return;
    case 5:
      slots_erase(pick(2));
      return;
    case 6:
      if (slots_fell("it trapped")) runs = slots_choose(&choice);
      return;
    case 7:
      slots_healthy();
      return;
    case 8:
      set_config(any->name, "ann", "secret");
      return;
    default:
      open_board(pick(3) == 0 ? "the watchdog" : "");
  }
}

/* Whatever is done to a board and whenever its power fails: once a module was confirmed, there is one to run. */
static uint32_t walk(uint32_t step_count) {
  static volatile bool has_confirmed;
  static uint32_t step, cut_count;
  has_confirmed = false;
  cut_count = 0;
  open_board("");
  for (step = 0; step < step_count; step++) {
    ram_flash_cut_at(pick(8) == 0 ? 1 + pick(40) : 0, (ram_flash_cut_kind)pick(2));
    if (setjmp(ram_flash_power) == 0) {
      live_one_step();
    } else {
      ram_flash_cut_at(0, RAM_FLASH_CUT_BEFORE);
      cut_count++;
      open_board("");
    }
    if (!runs && strncmp(slots_note(), "held", 4) == 0) open_board("");
    running_file();
    check_slots();
    if (runs && !is_tried()) has_confirmed = true;
    check(!has_confirmed || runs, "once a module was confirmed there is one to run");
  }
  ram_flash_cut_at(0, RAM_FLASH_CUT_BEFORE);
  return cut_count;
}

/* -- Commands -- */

static void say_result(slots_result result) {
  static const char *const NAMES[] = {"ok", "flash", "refused", "no upload", "no entry", "bad state"};
  printf("%s%s%s\n", NAMES[result], result == SLOTS_OK ? "" : ": ", result == SLOTS_OK ? "" : slots_reason());
}

static void say_running(void) {
  const file *now = running_file();
  if (now == NULL) {
    printf("nothing runs; note: %s\n", slots_note());
  } else {
    printf("%s runs in slot %u%s; note: %s\n", now->name, choice.slot, is_tried() ? ", tried" : "", slots_note());
  }
}

static void say_slots(void) {
  for (uint32_t slot = 0; slot < SLOTS_COUNT; slot++) {
    slots_info info;
    slots_describe(slot, &info);
    printf("%s%u:", slot == 0 ? "" : " ", slot);
    if (!info.is_present) {
      printf(" empty");
      continue;
    }
    printf(" %u.%u.%u%s%s%s%s", info.version.major, info.version.minor, info.version.revision,
           info.is_active ? " active" : "", info.is_confirmed ? " confirmed" : "", info.is_pending ? " pending" : "",
           info.is_permanent ? " permanent" : "");
    check(info.length <= slots_length(slot), "a module lies in its slot");
  }
  printf("\n");
}

static void load(const char *name, const char *path) {
  file *to = &files[file_count++];
  snprintf(to->name, sizeof to->name, "%s", name);
  FILE *stream = fopen(path, "rb");
  if (stream == NULL) broken("the test's file can be opened");
  to->length = (uint32_t)fread(to->bytes, 1, sizeof to->bytes, stream);
  fclose(stream);
  sha256_of(to->bytes, to->length, to->sha);
}

static uint32_t unhex(const char *text, uint8_t *to) {
  uint32_t length = 0;
  for (; text[0] != '\0' && text[1] != '\0'; text += 2) {
    unsigned byte;
    if (sscanf(text, "%2x", &byte) != 1) break;
    to[length++] = (uint8_t)byte;
  }
  return length;
}

static void say_config(void) {
  uint32_t length, number;
  static const char *const TEXTS[] = {"id", "user"};
  for (config_key key = CONFIG_ID; key <= CONFIG_USER; key++) {
    const uint8_t *bytes = config_bytes(key, &length);
    if (bytes != NULL) printf("%s=%.*s ", TEXTS[key], (int)length, (const char *)bytes);
  }
  if (config_has_password()) printf("secret ");
  if (config_number(CONFIG_INTERVAL, &number)) printf("interval=%u ", number);
  if (config_number(CONFIG_QOS, &number)) printf("qos=%u ", number);
  if (config_bytes(CONFIG_PROFILE, &length) != NULL) printf("profile=%u ", length);
  if (config_public_key() != NULL) printf("key ");
  printf("%s\n", config_bytes(CONFIG_PASS, &length) == NULL ? "" : "and gives the password away");
}

static void say_config_result(config_result result) {
  static const char *const NAMES[] = {"ok", "out of range", "key exists", "flash", "no room"};
  printf("%s\n", NAMES[result]);
}

/* `set KEY VALUE`: a number, or bytes as hexadecimal digits; without a value it is erased. */
static void set(unsigned key, const char *value) {
  static uint8_t bytes[LINE_LENGTH_MAX];
  config_changes changes;
  config_begin(&changes);
  config_result result = CONFIG_OK;
  if (value[0] == '\0') {
    config_erase(&changes, (config_key)key);
  } else if (key == CONFIG_INTERVAL || key == CONFIG_QOS) {
    result = config_put_number(&changes, (config_key)key, (uint32_t)strtoul(value, NULL, 10));
  } else {
    result = config_put(&changes, (config_key)key, bytes, strcmp(value, "-") == 0 ? 0 : unhex(value, bytes));
  }
  say_config_result(result == CONFIG_OK ? config_save(&changes) : result);
}

static bool obey_about_flash(const char *what, const char *first, const char *second, const char *third) {
  if (strcmp(what, "flash") == 0) {
    ram_flash_make((uint32_t)atoi(first), (uint32_t)atoi(second), (uint32_t)atoi(third));
  } else if (strcmp(what, "fail") == 0) {
    ram_flash_fail_at((uint32_t)atoi(first));
  } else if (strcmp(what, "load") == 0) {
    load(first, second);
  } else if (strcmp(what, "room") == 0) {
    room = (uint32_t)atoi(first);
  } else if (strcmp(what, "random") == 0) {
    ram_flash_set_random((uint32_t)strtoul(first, NULL, 16));
  } else {
    return false;
  }
  printf("ok\n");
  return true;
}

static bool obey_about_config(const char *what, const char *first, const char *second) {
  static uint8_t bytes[LINE_LENGTH_MAX];
  if (strcmp(what, "config") == 0) {
    say_config();
  } else if (strcmp(what, "set") == 0) {
    set((unsigned)atoi(first), second);
  } else if (strcmp(what, "provision") == 0) {
    unhex(first, bytes);
    say_config_result(config_provision(bytes));
  } else if (strcmp(what, "fits") == 0) {
    unhex(first, bytes);
    printf("%s\n", slots_would_run_with(bytes) ? "yes" : slots_reason());
  } else {
    return false;
  }
  return true;
}

static bool obey_about_power(const char *what, const char *first, const char *second, const char *line) {
  if (strcmp(what, "open") == 0) {
    open_board(line);
    say_running();
  } else if (strcmp(what, "fell") == 0) {
    if (slots_fell(line)) runs = slots_choose(&choice);
    say_running();
  } else if (strcmp(what, "cuts") == 0) {
    story_kind story = STORY_INSTALL;
    while (story < STORY_COUNT && strcmp(STORIES[story], first) != 0) story++;
    printf("%u cuts\n", cut_everywhere(story, second[0] == '\0' ? running_file() : file_called(second)));
  } else if (strcmp(what, "walk") == 0) {
    seed = (uint32_t)atoi(first);
    printf("%u cuts\n", walk((uint32_t)atoi(second)));
  } else {
    return false;
  }
  return true;
}

/* `upload NAME [CHUNK [LIMIT]]` and `send NAME AT LENGTH` answer with the next wanted offset. */
static bool obey_about_uploads(const char *what, const char *first, const char *second, const char *third) {
  uint32_t offset;
  slots_result result;
  if (strcmp(what, "upload") == 0) {
    const file *from = file_called(first);
    result = upload(from, second[0] == '\0' ? 100 : (uint32_t)atoi(second),
                    third[0] == '\0' ? from->length : (uint32_t)atoi(third), &offset);
  } else if (strcmp(what, "begin") == 0) {
    const file *from = file_called(first);
    const uint32_t length = second[0] == '\0' ? from->length : (uint32_t)atoi(second);
    result = slots_upload_begin(length, third[0] == '\0' ? from->sha : NULL, from->bytes,
                                from->length < 40 ? from->length : 40, &offset);
  } else if (strcmp(what, "send") == 0) {
    const uint32_t at = (uint32_t)atoi(second);
    result = slots_upload_write(at, file_called(first)->bytes + at, (uint32_t)atoi(third), &offset);
  } else {
    return false;
  }
  printf("%u ", offset);
  say_result(result);
  return true;
}

static void obey(const char *line) {
  char what[16] = "", first[256] = "", third[16] = "";
  static char second[LINE_LENGTH_MAX];
  second[0] = '\0';
  sscanf(line, "%15s %255s %4095s %15s", what, first, second, third);
  const char *rest = strchr(line, ' ');
  rest = rest == NULL ? "" : rest + 1;
  if (obey_about_flash(what, first, second, third) || obey_about_config(what, first, second)) return;
  if (obey_about_power(what, first, second, rest) || obey_about_uploads(what, first, second, third)) return;
  if (strcmp(what, "test") == 0) {
    say_result(slots_test(hash_of(file_called(first))));
  } else if (strcmp(what, "confirm") == 0) {
    say_result(slots_confirm(first[0] == '\0' ? NULL : hash_of(file_called(first))));
  } else if (strcmp(what, "erase") == 0) {
    say_result(slots_erase((uint32_t)atoi(first)));
  } else if (strcmp(what, "healthy") == 0) {
    const uint32_t before = ram_flash_operation_count();
    slots_healthy();
    printf("%u operations\n", ram_flash_operation_count() - before);
  } else if (strcmp(what, "slots") == 0) {
    say_slots();
  } else {
    broken("the test knows its commands");
  }
}

int main(void) {
  static char line[LINE_LENGTH_MAX];
  while (fgets(line, sizeof line, stdin) != NULL) {
    line[strcspn(line, "\n")] = '\0';
    obey(line);
    fflush(stdout);
  }
  return 0;
}
