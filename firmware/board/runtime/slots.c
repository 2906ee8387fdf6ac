/*
 * All that is to survive a restart is one value in flash, written as a whole: so each change happens or does not. What
 * it says about a slot is written before the slot is touched, when it loses its module, and after the whole is checked,
 * when it gets one.
 *
 *   next:  NONE ──test──> TEST ──restart──> TRIAL ──confirm──> NONE, and it is the one that runs
 *            │                                └──restart, three falls──> NONE, and the one before runs
 *            └──confirm (of one that does not run)──> PERMANENT ──restart──> NONE, and it is the one that runs
 */

#include "slots.h"

#include <stddef.h>
#include <string.h>

#include "flash-log.h"
#include "runtime.h"
#include "sha256.h"

#define FORMAT 1
#define NO_SLOT SLOTS_COUNT
#define FALLS_MAX 3
#define FLASH_FAILED "the flash failed"

typedef enum { NEXT_NONE, NEXT_TEST, NEXT_PERMANENT, NEXT_TRIAL } next_kind;

typedef enum { UPLOAD_NONE, UPLOAD_ERASING, UPLOAD_RECEIVING, UPLOAD_DONE } upload_kind;

typedef struct {
  /* Of the container; 0 if there is none. */
  uint32_t length;
  uint8_t hash[IMAGE_HASH_LENGTH];
} slot_content;

/* As it lies in flash: no gaps between the fields. */
typedef struct {
  uint8_t format;
  /* The slot that runs by right, or NO_SLOT. */
  uint8_t run;
  uint8_t next;
  uint8_t next_kind;
  uint8_t fall_count;
  uint8_t upload;
  uint8_t upload_kind;
  uint8_t has_upload_sha;
  /* Modules that were confirmed, and have not fallen three times since. */
  uint8_t is_good[SLOTS_COUNT];
  uint8_t unused[2];
  uint32_t upload_length;
  uint8_t upload_sha[SHA256_LENGTH];
  slot_content contents[SLOTS_COUNT];
  /* The version that was confirmed last. */
  image_version floor;
  char note[SLOTS_NOTE_LENGTH_MAX + 1];
} state;

_Static_assert(sizeof(state) == 272, "the state in flash has gaps");

static struct {
  flash_log log;
  state state;
  /* The slot that runs, or NO_SLOT. */
  uint32_t running;
  /*
   * The watchdog has ended it again and again: it does not run before another restart, so that somebody can speak with
   * the board.
   */
  bool is_held;
  uint32_t upload_next;
  const char *reason;
} slots;

static bool save(const state *changed);
static slots_result refuse(slots_result result, const char *reason);
static void set_note(state *changed, const char *what, const char *why);
static bool admit(uint32_t slot, const image_version *floor, admission_facts *facts);
static uint32_t resume_offset(void);

const char *slots_reason(void) {
  return slots.reason;
}

const char *slots_note(void) {
  return slots.state.note;
}

static port_area area_of(uint32_t slot) {
  return slot == 0 ? PORT_AREA_SLOT_0 : PORT_AREA_SLOT_1;
}

uint32_t slots_length(uint32_t slot) {
  return port_flash_info(area_of(slot)).length;
}

static bool is_trial(void) {
  return slots.state.next_kind == NEXT_TRIAL;
}

/* Slot 0 if there is no slot to be kept. */
static uint32_t other_than(uint32_t slot) {
  return slot == 0 ? 1 : 0;
}

/* -- At the start -- */

void slots_open(void) {
  flash_log_open(&slots.log, PORT_AREA_STATE);
  slots.running = NO_SLOT;
  slots.is_held = false;
  slots.reason = "";
  uint32_t length;
  const uint8_t *value = flash_log_value(&slots.log, &length);
  if (value != NULL && length == sizeof slots.state && value[0] == FORMAT) {
    memcpy(&slots.state, value, sizeof slots.state);
  } else {
    slots.state = (state){.format = FORMAT, .run = NO_SLOT, .next = NO_SLOT, .upload = NO_SLOT};
  }
  slots.upload_next = resume_offset();
}

static void set_next(state *changed, uint32_t slot, next_kind kind) {
  changed->next = (uint8_t)slot;
  changed->next_kind = (uint8_t)kind;
}

/* The slot is from now on the one that runs by right. */
static void make_right(state *changed, uint32_t slot, const image_version *version) {
  changed->run = (uint8_t)slot;
  changed->is_good[slot] = true;
  changed->floor = *version;
  changed->fall_count = 0;
  set_next(changed, NO_SLOT, NEXT_NONE);
}

static bool give_up_trial(const char *why) {
  state changed = slots.state;
  set_next(&changed, NO_SLOT, NEXT_NONE);
  changed.fall_count = 0;
  set_note(&changed, "the module that was tried was given up: ", why);
  return save(&changed);
}

/* Begins the trial, or makes the module permanent; false: it does not run. */
static bool choose_next(slots_choice *choice) {
  state changed = slots.state;
  choice->slot = changed.next;
  choice->is_trial = changed.next_kind == NEXT_TEST;
  if (!admit(choice->slot, &changed.floor, &choice->facts)) {
    set_next(&changed, NO_SLOT, NEXT_NONE);
    set_note(&changed, "the module that was to run next was refused: ", slots.reason);
    save(&changed);
    return false;
  }
  changed.fall_count = 0;
  set_note(&changed, "", "");
  if (choice->is_trial) {
    set_next(&changed, choice->slot, NEXT_TRIAL);
  } else {
    make_right(&changed, choice->slot, &choice->facts.image.version);
  }
  return save(&changed);
}

/* The module that runs by right, or the one before it if that is damaged. */
static bool choose_right(slots_choice *choice) {
  if (slots.state.run == NO_SLOT || slots.is_held) return false;
  choice->slot = slots.state.run;
  choice->is_trial = false;
  if (admit(choice->slot, NULL, &choice->facts)) return true;

  state changed = slots.state;
  set_note(&changed, "the module that was confirmed was refused: ", slots.reason);
  choice->slot = other_than(changed.run);
  const bool returns = changed.is_good[choice->slot] && admit(choice->slot, NULL, &choice->facts);
  if (returns) {
    changed.is_good[changed.run] = false;
    changed.run = (uint8_t)choice->slot;
    changed.fall_count = 0;
  }
  if (memcmp(&changed, &slots.state, sizeof changed) != 0) save(&changed);
  return returns;
}

bool slots_choose(slots_choice *choice) {
  slots.running = NO_SLOT;
  if (is_trial() && !give_up_trial("the board restarted before it was confirmed")) {
    /* The flash takes nothing more: what is in RAM decides, and a restart comes to the same. */
    set_next(&slots.state, NO_SLOT, NEXT_NONE);
  }
  const bool has_next = slots.state.next_kind == NEXT_TEST || slots.state.next_kind == NEXT_PERMANENT;
  if (!(has_next && choose_next(choice)) && !choose_right(choice)) return false;
  slots.running = choice->slot;
  return true;
}

/* -- While it runs -- */

/* After three falls: false if there is nothing to go back to. */
static bool go_back(const char *why) {
  if (is_trial()) return give_up_trial(why);
  state changed = slots.state;
  const uint32_t before = other_than(changed.run);
  admission_facts facts;
  if (!changed.is_good[before] || !admit(before, NULL, &facts)) return false;
  changed.is_good[changed.run] = false;
  changed.run = (uint8_t)before;
  changed.fall_count = 0;
  set_note(&changed, "the module before returned after three falls: ", why);
  return save(&changed);
}

bool slots_fell(const char *reason) {
  if (slots.running == NO_SLOT) {
    /* It is told after a restart: a trial is over by that alone. */
    if (is_trial()) {
      give_up_trial(reason);
      return false;
    }
    if (slots.state.run == NO_SLOT) return false;
  }
  if (slots.state.fall_count < FALLS_MAX) {
    state changed = slots.state;
    changed.fall_count++;
    save(&changed);
  }
  if (slots.state.fall_count < FALLS_MAX) return false;
  if (go_back(reason)) {
    slots.running = NO_SLOT;
    return true;
  }
  if (slots.running == NO_SLOT) {
    slots.is_held = true;
    set_note(&slots.state, "held until the next restart: ", reason);
  }
  return false;
}

void slots_healthy(void) {
  if (slots.state.fall_count == 0) return;
  state changed = slots.state;
  changed.fall_count = 0;
  save(&changed);
}

/* -- What the management asks -- */

void slots_describe(uint32_t slot, slots_info *info) {
  memset(info, 0, sizeof *info);
  if (slot >= SLOTS_COUNT || slots.state.contents[slot].length == 0) return;
  image_parts image;
  if (image_read_header(&image, port_flash_at(area_of(slot)), slots_length(slot)) != IMAGE_OK) return;
  info->is_present = true;
  memcpy(info->hash, slots.state.contents[slot].hash, sizeof info->hash);
  info->version = image.version;
  info->length = slots.state.contents[slot].length;
  info->is_active = slot == slots.running;
  info->is_confirmed = slot == slots.state.run;
  info->is_permanent = slot == slots.state.next && slots.state.next_kind == NEXT_PERMANENT;
  info->is_pending = info->is_permanent || (slot == slots.state.next && slots.state.next_kind == NEXT_TEST);
}

uint32_t slots_inactive(void) {
  return other_than(slots.running == NO_SLOT ? slots.state.run : slots.running);
}

static uint32_t find(const uint8_t hash[IMAGE_HASH_LENGTH]) {
  for (uint32_t slot = 0; slot < SLOTS_COUNT; slot++) {
    const slot_content *content = &slots.state.contents[slot];
    if (content->length != 0 && memcmp(content->hash, hash, IMAGE_HASH_LENGTH) == 0) return slot;
  }
  return NO_SLOT;
}

slots_result slots_test(const uint8_t hash[IMAGE_HASH_LENGTH]) {
  const uint32_t slot = find(hash);
  if (slot == NO_SLOT) return refuse(SLOTS_NO_ENTRY, "no slot has a module with this hash");
  if (slot == slots.running) return refuse(SLOTS_BAD_STATE, "it runs already");
  /* The one to go back to: it runs from the next restart anyhow. */
  if (is_trial()) return SLOTS_OK;
  admission_facts facts;
  if (!admit(slot, &slots.state.floor, &facts)) return SLOTS_REFUSED;
  state changed = slots.state;
  set_next(&changed, slot, NEXT_TEST);
  set_note(&changed, "", "");
  return save(&changed) ? SLOTS_OK : refuse(SLOTS_FLASH, FLASH_FAILED);
}

slots_result slots_confirm(const uint8_t *hash) {
  const uint32_t slot = hash == NULL ? slots.running : find(hash);
  if (slot == NO_SLOT)
    return refuse(SLOTS_NO_ENTRY, hash == NULL ? "no module runs" : "no slot has a module with this hash");
  if (is_trial() != (slot == slots.running)) return SLOTS_OK;

  state changed = slots.state;
  if (is_trial()) {
    image_parts image;
    if (image_read_header(&image, port_flash_at(area_of(slot)), slots_length(slot)) != IMAGE_OK)
      return refuse(SLOTS_FLASH, "the module has gone from the flash");
    make_right(&changed, slot, &image.version);
  } else {
    admission_facts facts;
    if (!admit(slot, &changed.floor, &facts)) return SLOTS_REFUSED;
    set_next(&changed, slot, NEXT_PERMANENT);
  }
  set_note(&changed, "", "");
  return save(&changed) ? SLOTS_OK : refuse(SLOTS_FLASH, FLASH_FAILED);
}

/* -- What a slot loses and gets -- */

/* The slot has no module any more, and nothing refers to one in it. */
static void forget(state *changed, uint32_t slot) {
  memset(&changed->contents[slot], 0, sizeof changed->contents[slot]);
  changed->is_good[slot] = false;
  if (changed->run == slot) changed->run = NO_SLOT;
  if (changed->next == slot) set_next(changed, NO_SLOT, NEXT_NONE);
  if (changed->upload == slot) changed->upload_kind = UPLOAD_NONE;
}

static bool erase(uint32_t slot, uint32_t length) {
  const uint32_t sector_length = port_flash_info(area_of(slot)).sector_length;
  for (uint32_t at = 0; at < length; at += sector_length) {
    if (!port_flash_erase(area_of(slot), at)) return false;
    port_watchdog_feed(RUNTIME_WATCHDOG_MS);
  }
  return true;
}

slots_result slots_erase(uint32_t slot) {
  if (slot >= SLOTS_COUNT) return refuse(SLOTS_NO_ENTRY, "there is no such slot");
  if (slot == slots.running) return refuse(SLOTS_BAD_STATE, "the module in this slot runs");
  if (is_trial())
    return refuse(SLOTS_BAD_STATE, "the module in this slot returns if the one that is being tried is not confirmed");
  state changed = slots.state;
  forget(&changed, slot);
  return save(&changed) && erase(slot, slots_length(slot)) ? SLOTS_OK : refuse(SLOTS_FLASH, FLASH_FAILED);
}

/* -- Upload -- */

static bool is_same_upload(uint32_t slot, uint32_t length, const uint8_t *sha) {
  const state *now = &slots.state;
  if (now->upload_kind != UPLOAD_RECEIVING && now->upload_kind != UPLOAD_DONE) return false;
  if (sha == NULL || !now->has_upload_sha || now->upload != slot || now->upload_length != length) return false;
  return memcmp(now->upload_sha, sha, sizeof now->upload_sha) == 0;
}

slots_result slots_upload_begin(uint32_t length, const uint8_t *sha, const uint8_t *head, uint32_t head_length,
                                uint32_t *offset) {
  *offset = 0;
  const uint32_t slot = slots_inactive();
  if (is_trial()) return refuse(SLOTS_BAD_STATE, "a module is being tried: confirm it or restart the board before");
  if (is_same_upload(slot, length, sha)) {
    *offset = slots.upload_next;
    return SLOTS_OK;
  }
  if (length < IMAGE_HEADER_LENGTH) return refuse(SLOTS_REFUSED, image_reason(IMAGE_TOO_SHORT));
  if (length > slots_length(slot)) return refuse(SLOTS_REFUSED, "it is larger than a slot of this board");
  if (!admission_check_header(head, head_length, length, &slots.state.floor))
    return refuse(SLOTS_REFUSED, admission_reason());

  state changed = slots.state;
  forget(&changed, slot);
  changed.upload = (uint8_t)slot;
  changed.upload_kind = UPLOAD_ERASING;
  changed.upload_length = length;
  changed.has_upload_sha = sha != NULL;
  memset(changed.upload_sha, 0, sizeof changed.upload_sha);
  if (sha != NULL) memcpy(changed.upload_sha, sha, sizeof changed.upload_sha);
  if (!save(&changed) || !erase(slot, length)) return refuse(SLOTS_FLASH, FLASH_FAILED);
  changed.upload_kind = UPLOAD_RECEIVING;
  slots.upload_next = 0;
  return save(&changed) ? SLOTS_OK : refuse(SLOTS_FLASH, FLASH_FAILED);
}

static bool is_erased(const uint8_t *bytes, uint32_t length) {
  for (uint32_t index = 0; index < length; index++) {
    if (bytes[index] != 0xff) return false;
  }
  return true;
}

/*
 * After a restart: from the last word that has something in it, which is compared with what comes and not programmed
 * again. Words that are all 0xff are never programmed, so a word that reads erased is.
 */
static uint32_t resume_offset(void) {
  const state *now = &slots.state;
  if (now->upload_kind == UPLOAD_DONE) return now->upload_length;
  if (now->upload_kind != UPLOAD_RECEIVING) return 0;
  const uint32_t word_length = port_flash_info(area_of(now->upload)).word_length;
  const uint8_t *bytes = port_flash_at(area_of(now->upload));
  uint32_t at = (now->upload_length + word_length - 1) & ~(word_length - 1);
  while (at > 0 && is_erased(bytes + at - word_length, word_length)) at -= word_length;
  return at == 0 ? 0 : at - word_length;
}

static slots_result give_up_upload(slots_result result, const char *reason) {
  state changed = slots.state;
  changed.upload_kind = UPLOAD_NONE;
  slots.upload_next = 0;
  save(&changed);
  return refuse(result, reason);
}

typedef enum { PROGRAMMED, PROGRAM_FAILED, PROGRAM_FOUND_TORN_WORD } program_result;

/* Programs what is not there yet; the last word of the upload is filled up. */
static program_result program(uint32_t at, const uint8_t *bytes, uint32_t length) {
  const port_area area = area_of(slots.state.upload);
  const uint32_t word_length = port_flash_info(area).word_length;
  while (length > 0) {
    uint8_t word[16];
    const uint32_t part = length < word_length ? length : word_length;
    memset(word, 0xff, sizeof word);
    memcpy(word, bytes, part);
    const uint8_t *there = port_flash_at(area) + at;
    if (memcmp(there, word, word_length) != 0) {
      if (!is_erased(there, word_length)) return PROGRAM_FOUND_TORN_WORD;
      if (!port_flash_program(area, at, word, word_length) || memcmp(there, word, word_length) != 0)
        return PROGRAM_FAILED;
    }
    at += word_length;
    bytes += part;
    length -= part;
  }
  return PROGRAMMED;
}

/* All bytes are there: is it what was announced, and may it run? */
static slots_result finish_upload(void) {
  const state *now = &slots.state;
  const uint8_t *bytes = port_flash_at(area_of(now->upload));
  uint8_t digest[SHA256_LENGTH];
  sha256_of(bytes, now->upload_length, digest);
  if (now->has_upload_sha && memcmp(digest, now->upload_sha, sizeof digest) != 0) {
    return give_up_upload(SLOTS_REFUSED, "what arrived is not what was announced: its SHA-256 is another");
  }
  admission_facts facts;
  if (!admission_check(&facts, bytes, now->upload_length, &now->floor))
    return give_up_upload(SLOTS_REFUSED, admission_reason());
  if (facts.image.length != now->upload_length)
    return give_up_upload(SLOTS_REFUSED, "there are bytes behind its container");

  state changed = *now;
  changed.upload_kind = UPLOAD_DONE;
  changed.contents[changed.upload].length = changed.upload_length;
  memcpy(changed.contents[changed.upload].hash, facts.image.hash, IMAGE_HASH_LENGTH);
  return save(&changed) ? SLOTS_OK : give_up_upload(SLOTS_FLASH, FLASH_FAILED);
}

slots_result slots_upload_write(uint32_t at, const uint8_t *bytes, uint32_t length, uint32_t *offset) {
  *offset = slots.upload_next;
  if (slots.state.upload_kind == UPLOAD_DONE) return SLOTS_OK;
  if (slots.state.upload_kind != UPLOAD_RECEIVING) return refuse(SLOTS_NO_UPLOAD, "no upload was begun");
  if (at != slots.upload_next) return SLOTS_OK;

  const uint32_t left = slots.state.upload_length - at;
  if (length > left) return refuse(SLOTS_REFUSED, "there are more bytes than were announced");
  const bool is_last = length == left;
  if (!is_last) length &= ~(port_flash_info(area_of(slots.state.upload)).word_length - 1);
  *offset = 0;
  const program_result programmed = program(at, bytes, length);
  if (programmed != PROGRAMMED)
    return give_up_upload(programmed == PROGRAM_FAILED ? SLOTS_FLASH : SLOTS_OK, FLASH_FAILED);
  slots.upload_next += length;
  if (is_last) {
    const slots_result result = finish_upload();
    if (result != SLOTS_OK) return result;
  }
  *offset = slots.upload_next;
  return SLOTS_OK;
}

/* -- Below all of it -- */

static bool save(const state *changed) {
  if (!flash_log_write(&slots.log, &(flash_piece){changed, sizeof *changed}, 1)) return false;
  slots.state = *changed;
  return true;
}

static slots_result refuse(slots_result result, const char *reason) {
  slots.reason = reason;
  return result;
}

static void set_note(state *changed, const char *what, const char *why) {
  size_t length = 0;
  memset(changed->note, 0, sizeof changed->note);
  while (*what != '\0' && length < SLOTS_NOTE_LENGTH_MAX) changed->note[length++] = *what++;
  while (*why != '\0' && length < SLOTS_NOTE_LENGTH_MAX) changed->note[length++] = *why++;
}

/* Checks that the slot still has the module that was uploaded, and that it may run. False: `slots.reason`. */
bool slots_would_run_with(const uint8_t key[32]) {
  admission_facts facts;
  if (slots.running == NO_SLOT || !admit(slots.running, NULL, &facts)) return true;
  slots.reason = "the module that runs is not signed with this key: the board would refuse it";
  return admission_is_signed_with(&facts.image, key);
}

static bool admit(uint32_t slot, const image_version *floor, admission_facts *facts) {
  const slot_content *content = &slots.state.contents[slot];
  slots.reason = "there is no module in its slot";
  if (content->length == 0) return false;
  const bool is_admitted = admission_check(facts, port_flash_at(area_of(slot)), content->length, floor);
  slots.reason = is_admitted ? "its slot has another module" : admission_reason();
  return is_admitted && memcmp(facts->image.hash, content->hash, IMAGE_HASH_LENGTH) == 0;
}
