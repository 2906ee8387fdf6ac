/* The management server: one request at a time, answered into a buffer of the caller's. */

#include "smp.h"

#include <string.h>

#include "cbor.h"
#include "config.h"
#include "../engine/engine.h"
#include "image.h"
#include "../port/port.h"
#include "runtime.h"
#include "sha256.h"
#include "slots.h"
#include "wasm-module.h"
#include "wire.h"

#define HEADER_LENGTH 8
#define WIRE_VERSION 1

enum { OPERATION_READ, OPERATION_READ_ANSWER, OPERATION_WRITE };

enum { GROUP_OS = 0, GROUP_IMAGE = 1, GROUP_WASMQTT = 64 };

/* MCUMGR_ERR of Zephyr. */
enum {
  ERROR_UNKNOWN = 1,
  ERROR_NO_MEMORY = 2,
  ERROR_INVALID = 3,
  ERROR_NO_ENTRY = 5,
  ERROR_BAD_STATE = 6,
  ERROR_TOO_LARGE = 7,
  ERROR_NOT_SUPPORTED = 8,
  ERROR_TOO_NEW = 13
};

/* The codes of Zephyr's img_mgmt that are used here. */
enum {
  IMAGE_UNKNOWN = 1,
  IMAGE_NO_SUCH_IMAGE = 3,
  IMAGE_NO_FREE_SLOT = 9,
  IMAGE_FLASH_WRITE_FAILED = 12,
  IMAGE_INVALID_SLOT = 14,
  IMAGE_INVALID_OFFSET = 20,
  IMAGE_INVALID_LENGTH = 21,
  IMAGE_INVALID_HASH = 24,
  IMAGE_CURRENT_VERSION_IS_NEWER = 27,
  IMAGE_TOO_LARGE = 30,
  IMAGE_CONFIRMATION_DENIED = 32,
  IMAGE_TEST_OF_ACTIVE_DENIED = 33
};

/* The codes of group 64: CONFIG_OUT_OF_RANGE and those behind it follow this one. */
#define OWN_UNKNOWN 1
#define OWN_KEY_UNFIT 6

/* A request that is being answered. */
typedef struct {
  bool is_write;
  /* 1 or 2. */
  uint32_t version;
  uint32_t group;
  uint32_t command;
  cbor_pairs pairs;
  cbor_writer writer;
} exchange;

/* -- Refusing -- */

static void begin_again(exchange *with, uint32_t pair_count) {
  with->writer.length = HEADER_LENGTH;
  with->writer.is_full = false;
  cbor_put_map(&with->writer, pair_count);
}

static void put_pair_uint(exchange *with, const char *key, uint32_t number) {
  cbor_put_text(&with->writer, key);
  cbor_put_uint(&with->writer, number);
}

static void put_pair_text(exchange *with, const char *key, const char *text) {
  cbor_put_text(&with->writer, key);
  cbor_put_text(&with->writer, text);
}

static void put_pair_bool(exchange *with, const char *key, bool value) {
  cbor_put_text(&with->writer, key);
  cbor_put_bool(&with->writer, value);
}

/* With a code of MCUMGR_ERR, the same in both versions. */
static void refuse(exchange *with, uint32_t code) {
  begin_again(with, 1);
  put_pair_uint(with, "rc", code);
}

/*
 * With a code of the group in version 2; in version 1 with the nearest one of MCUMGR_ERR, and the reason, for which
 * version 2 has no place.
 */
static void refuse_because(exchange *with, uint32_t code, uint32_t nearest, const char *reason) {
  if (with->version == 1) {
    begin_again(with, 2);
    put_pair_uint(with, "rc", nearest);
    put_pair_text(with, "rsn", reason);
  } else {
    begin_again(with, 1);
    cbor_put_text(&with->writer, "err");
    cbor_put_map(&with->writer, 2);
    put_pair_uint(with, "group", with->group);
    put_pair_uint(with, "rc", code);
  }
}

/* -- What a request says -- */

typedef struct {
  const char *key;
  cbor_kind kind;
  /* Set by `read_fields`. */
  bool is_there;
  cbor_value value;
} field;

/*
 * Keys that nobody asks for are passed over. False: a value is of another kind, or a number is beyond 32 bits, and the
 * request has been refused.
 */
static bool read_fields(exchange *with, field *fields, size_t count) {
  cbor_value key;
  cbor_value value;
  while (cbor_next(&with->pairs, &key, &value)) {
    for (size_t index = 0; index < count; index++) {
      if (!cbor_is(&key, fields[index].key)) continue;
      if (value.kind != fields[index].kind || (value.kind == CBOR_UINT && value.number > UINT32_MAX)) {
        refuse(with, ERROR_INVALID);
        return false;
      }
      fields[index].is_there = true;
      fields[index].value = value;
    }
  }
  return true;
}

/* -- Group 0: the system -- */

static void answer_echo(exchange *with) {
  field text = {.key = "d", .kind = CBOR_TEXT};
  if (!read_fields(with, &text, 1)) return;
  if (!text.is_there) {
    refuse(with, ERROR_INVALID);
    return;
  }
  begin_again(with, 1);
  cbor_put_text(&with->writer, "r");
  cbor_put_text_of(&with->writer, text.value.bytes, text.value.length);
}

static void answer_params(exchange *with) {
  begin_again(with, 2);
  put_pair_uint(with, "buf_size", WIRE_PACKET_MAX);
  put_pair_uint(with, "buf_count", 1);
}

/* What the letters of a format stand for, in the order of the answer. */
static void answer_os_info(exchange *with) {
  static const char letters[] = "srvmpi";
  const char *const words[] = {"wasmqtt", RUNTIME_VERSION, RUNTIME_VERSION, port_name(), port_name(), port_name()};
  char output[96];
  size_t length = 0;
  field format = {.key = "format", .kind = CBOR_TEXT};
  if (!read_fields(with, &format, 1)) return;
  if (!format.is_there) format.value = (cbor_value){.bytes = (const uint8_t *)letters, .length = 1};
  uint32_t asked = 0;
  for (size_t index = 0; index < format.value.length; index++) {
    char letter = (char)format.value.bytes[index];
    const char *found = letter == 0 ? NULL : strchr(letters, letter);
    if (found == NULL && letter != 'a') {
      refuse(with, ERROR_INVALID);
      return;
    }
    asked |= letter == 'a' ? UINT32_MAX : 1u << (found - letters);
  }
  for (size_t index = 0; index < sizeof letters - 1; index++) {
    size_t word_length = strlen(words[index]);
    if ((asked >> index & 1) == 0 || length + 1 + word_length > sizeof output) continue;
    if (length > 0) output[length++] = ' ';
    memcpy(output + length, words[index], word_length);
    length += word_length;
  }
  begin_again(with, 1);
  cbor_put_text(&with->writer, "output");
  cbor_put_text_of(&with->writer, (const uint8_t *)output, length);
}

static void answer_reset(exchange *with) {
  begin_again(with, 0);
  runtime_request_reset();
}

/* -- Group 1: modules -- */

/* The console's line of what happened to a slot. */
static void say_of_slot(uint32_t slot, const char *what) {
  char line[80] = "slot 0: ";
  const size_t at = 8;
  line[5] = (char)('0' + slot);
  size_t length = strlen(what);
  if (length > sizeof line - at - 1) length = sizeof line - at - 1;
  memcpy(line + at, what, length);
  runtime_say(line);
}

/* `state_code` is what a bad state is called in the request at hand. */
static void refuse_slots(exchange *with, slots_result result, uint32_t state_code) {
  const char *reason = slots_reason();
  switch (result) {
    case SLOTS_FLASH:
      refuse_because(with, IMAGE_FLASH_WRITE_FAILED, ERROR_UNKNOWN, reason);
      break;
    case SLOTS_NO_ENTRY:
      refuse_because(with, IMAGE_NO_SUCH_IMAGE, ERROR_NO_ENTRY, reason);
      break;
    case SLOTS_BAD_STATE:
      refuse_because(with, state_code, ERROR_BAD_STATE, reason);
      break;
    default:
      refuse_because(with, IMAGE_UNKNOWN, ERROR_UNKNOWN, reason);
  }
}

/* Writes `number` and then `end`; answers where it ended. */
static char *write_number(char *to, uint32_t number, char end) {
  char digits[10];
  size_t count = 0;
  do {
    digits[count++] = (char)('0' + number % 10);
    number /= 10;
  } while (number > 0);
  while (count > 0) *to++ = digits[--count];
  *to++ = end;
  return to;
}

/* As img_mgmt writes it: "1.2.3", and ".4" behind it if there is a build number. */
static void put_version(exchange *with, const image_version *version) {
  char text[32];
  char *end = write_number(text, version->major, '.');
  end = write_number(end, version->minor, '.');
  end = write_number(end, version->revision, '.');
  if (version->build > 0) end = write_number(end, version->build, '.');
  cbor_put_text(&with->writer, "version");
  cbor_put_text_of(&with->writer, (const uint8_t *)text, (size_t)(end - text - 1));
}

static void put_slot(exchange *with, uint32_t slot, const slots_info *info) {
  cbor_put_map(&with->writer, 8);
  put_pair_uint(with, "slot", slot);
  put_version(with, &info->version);
  cbor_put_text(&with->writer, "hash");
  cbor_put_bytes(&with->writer, info->hash, IMAGE_HASH_LENGTH);
  put_pair_bool(with, "bootable", true);
  put_pair_bool(with, "pending", info->is_pending);
  put_pair_bool(with, "confirmed", info->is_confirmed);
  put_pair_bool(with, "active", info->is_active);
  put_pair_bool(with, "permanent", info->is_permanent);
}

static void answer_state_read(exchange *with) {
  slots_info infos[SLOTS_COUNT];
  uint32_t count = 0;
  for (uint32_t slot = 0; slot < SLOTS_COUNT; slot++) {
    slots_describe(slot, &infos[slot]);
    count += infos[slot].is_present;
  }
  begin_again(with, 2);
  cbor_put_text(&with->writer, "images");
  cbor_put_array(&with->writer, count);
  for (uint32_t slot = 0; slot < SLOTS_COUNT; slot++) {
    if (infos[slot].is_present) put_slot(with, slot, &infos[slot]);
  }
  put_pair_uint(with, "splitStatus", 0);
}

static void answer_state_write(exchange *with) {
  enum { HASH, CONFIRM };
  field fields[] = {{.key = "hash", .kind = CBOR_BYTES}, {.key = "confirm", .kind = CBOR_BOOL}};
  if (!read_fields(with, fields, 2)) return;
  const uint8_t *hash = fields[HASH].is_there ? fields[HASH].value.bytes : NULL;
  bool is_confirm = fields[CONFIRM].is_there && fields[CONFIRM].value.number != 0;
  if (hash == NULL ? !is_confirm : fields[HASH].value.length != IMAGE_HASH_LENGTH) {
    refuse_because(with, IMAGE_INVALID_HASH, ERROR_INVALID, "a hash has 32 bytes");
    return;
  }
  slots_result result = is_confirm ? slots_confirm(hash) : slots_test(hash);
  if (result != SLOTS_OK) {
    refuse_slots(with, result, is_confirm ? IMAGE_CONFIRMATION_DENIED : IMAGE_TEST_OF_ACTIVE_DENIED);
    return;
  }
  runtime_say(is_confirm ? "a module was confirmed" : "a module is to be tried after the next restart");
  answer_state_read(with);
}

enum { UPLOAD_IMAGE, UPLOAD_LENGTH, UPLOAD_OFFSET, UPLOAD_SHA, UPLOAD_DATA, UPLOAD_UPGRADE, UPLOAD_FIELD_COUNT };

/* True if `upgrade` asks for a higher version than that of the module that runs, and this is none. */
static bool is_no_upgrade(const field *fields) {
  const field *data = &fields[UPLOAD_DATA];
  if (!fields[UPLOAD_UPGRADE].is_there || fields[UPLOAD_UPGRADE].value.number == 0) return false;
  slots_info active = {0};
  for (uint32_t slot = 0; slot < SLOTS_COUNT && !active.is_active; slot++) slots_describe(slot, &active);
  image_parts head;
  image_result result = image_read_header(&head, data->value.bytes, (uint32_t)data->value.length);
  if (!active.is_active || result != IMAGE_OK) return false;
  return image_compare_versions(&head.version, &active.version) <= 0;
}

/* The first request of an upload: refuses it, or says in `*next` where it goes on. */
static bool begin_upload(exchange *with, const field *fields, uint32_t *next) {
  const field *sha = &fields[UPLOAD_SHA];
  const field *data = &fields[UPLOAD_DATA];
  if (!fields[UPLOAD_LENGTH].is_there) {
    refuse_because(with, IMAGE_INVALID_LENGTH, ERROR_INVALID, "len is missing");
    return false;
  }
  uint32_t length = (uint32_t)fields[UPLOAD_LENGTH].value.number;
  if (length > slots_length(slots_inactive())) {
    refuse_because(with, IMAGE_TOO_LARGE, ERROR_UNKNOWN, "the slot is too small for it");
    return false;
  }
  if (is_no_upgrade(fields)) {
    refuse_because(with, IMAGE_CURRENT_VERSION_IS_NEWER, ERROR_BAD_STATE,
        "the module that runs is as new, and an upgrade was asked for");
    return false;
  }
  // Clients may shorten the SHA-256; such an upload cannot be found again.
  const uint8_t *whole_sha = sha->is_there && sha->value.length == IMAGE_HASH_LENGTH ? sha->value.bytes : NULL;
  slots_result result = slots_upload_begin(length, whole_sha, data->value.bytes, (uint32_t)data->value.length, next);
  if (result != SLOTS_OK) refuse_slots(with, result, IMAGE_NO_FREE_SLOT);
  return result == SLOTS_OK;
}

static void answer_upload(exchange *with) {
  field fields[UPLOAD_FIELD_COUNT] = {
      [UPLOAD_IMAGE] = {.key = "image", .kind = CBOR_UINT}, [UPLOAD_LENGTH] = {.key = "len", .kind = CBOR_UINT},
      [UPLOAD_OFFSET] = {.key = "off", .kind = CBOR_UINT},  [UPLOAD_SHA] = {.key = "sha", .kind = CBOR_BYTES},
      [UPLOAD_DATA] = {.key = "data", .kind = CBOR_BYTES},  [UPLOAD_UPGRADE] = {.key = "upgrade", .kind = CBOR_BOOL},
  };
  if (!read_fields(with, fields, UPLOAD_FIELD_COUNT)) return;
  if (!fields[UPLOAD_OFFSET].is_there) {
    refuse_because(with, IMAGE_INVALID_OFFSET, ERROR_INVALID, "off is missing");
    return;
  }
  if (fields[UPLOAD_IMAGE].is_there && fields[UPLOAD_IMAGE].value.number != 0) {
    refuse_because(with, IMAGE_INVALID_SLOT, ERROR_INVALID, "there is only image 0");
    return;
  }
  uint32_t offset = (uint32_t)fields[UPLOAD_OFFSET].value.number;
  uint32_t next = offset;
  if (offset == 0 && !begin_upload(with, fields, &next)) return;
  if (next == offset) {
    const cbor_value *data = &fields[UPLOAD_DATA].value;
    slots_result result = slots_upload_write(offset, data->bytes, (uint32_t)data->length, &next);
    if (result == SLOTS_NO_UPLOAD) {
      next = 0;
    } else if (result != SLOTS_OK) {
      refuse_slots(with, result, IMAGE_NO_FREE_SLOT);
      return;
    }
  }
  begin_again(with, 1);
  put_pair_uint(with, "off", next);
}

static void answer_erase(exchange *with) {
  field slot = {.key = "slot", .kind = CBOR_UINT};
  if (!read_fields(with, &slot, 1)) return;
  uint32_t number = slot.is_there ? (uint32_t)slot.value.number : slots_inactive();
  if (number >= SLOTS_COUNT) {
    refuse_because(with, IMAGE_INVALID_SLOT, ERROR_INVALID, "there are slots 0 and 1");
    return;
  }
  slots_result result = slots_erase(number);
  if (result != SLOTS_OK) {
    refuse_slots(with, result, IMAGE_NO_FREE_SLOT);
    return;
  }
  say_of_slot(number, "erased");
  begin_again(with, 0);
}

static void answer_slot_info(exchange *with) {
  begin_again(with, 1);
  cbor_put_text(&with->writer, "images");
  cbor_put_array(&with->writer, 1);
  cbor_put_map(&with->writer, 3);
  put_pair_uint(with, "image", 0);
  cbor_put_text(&with->writer, "slots");
  cbor_put_array(&with->writer, SLOTS_COUNT);
  for (uint32_t slot = 0; slot < SLOTS_COUNT; slot++) {
    cbor_put_map(&with->writer, 2);
    put_pair_uint(with, "slot", slot);
    put_pair_uint(with, "size", slots_length(slot));
  }
  put_pair_uint(with, "max_image_size", slots_length(slots_inactive()));
}

/* -- Group 64: wasmqtt -- */

static void put_module(exchange *with, const runtime_status *status) {
  static const char *const states[] = {"none", "running", "waiting", "refused"};
  cbor_put_text(&with->writer, "module");
  bool is_there = status->state != RUNTIME_MODULE_NONE;
  cbor_put_map(&with->writer, is_there ? 10 : 7);
  if (is_there) {
    put_pair_uint(with, "slot", status->slot);
    cbor_put_text(&with->writer, "sha");
    cbor_put_bytes(&with->writer, status->sha256, sizeof status->sha256);
    put_pair_uint(with, "size", status->length);
  }
  put_pair_text(with, "state", states[status->state]);
  put_pair_bool(with, "connected", status->is_connected);
  put_pair_uint(with, "up", status->up_ms);
  put_pair_uint(with, "starts", status->start_count);
  put_pair_uint(with, "falls", status->fall_count);
  put_pair_uint(with, "published", status->published_count);
  put_pair_text(with, "note", status->note);
}

static void answer_info(exchange *with) {
  static const char *const resets[] = {"power", "request", "watchdog"};
  runtime_status status;
  runtime_info(&status);
  port_stack_info stack = port_stack();
  begin_again(with, 10);
  put_pair_uint(with, "abi", WASM_MODULE_ABI_VERSION);
  put_pair_text(with, "board", port_name());
  put_pair_text(with, "runtime", RUNTIME_VERSION);
  put_pair_text(with, "engine", engine_name());
  put_pair_uint(with, "uptime", status.uptime_ms);
  put_pair_text(with, "reset", resets[port_why_reset()]);
  put_pair_uint(with, "wire", WIRE_VERSION);
  cbor_put_text(&with->writer, "ram");
  cbor_put_map(&with->writer, 4);
  put_pair_uint(with, "heap", status.heap_used);
  put_pair_uint(with, "heapMax", status.heap_length);
  put_pair_uint(with, "stack", stack.used);
  put_pair_uint(with, "stackMax", stack.size);
  put_pair_text(with, "link", status.link);
  put_module(with, &status);
}

/* The keys of the configuration, in the order of config_key. */
static const char *const config_names[CONFIG_KEY_COUNT] = {"id", "user", "pass", "interval", "qos", "profile"};

static bool is_number(config_key key) { return key == CONFIG_INTERVAL || key == CONFIG_QOS; }

static void answer_config_read(exchange *with) {
  uint32_t id_length = 0;
  uint32_t user_length = 0;
  uint32_t profile_length = 0;
  uint32_t interval_ms = 0;
  uint32_t qos = 0;
  uint8_t sha256[32];
  const uint8_t *id = config_bytes(CONFIG_ID, &id_length);
  const uint8_t *user = config_bytes(CONFIG_USER, &user_length);
  const uint8_t *profile = config_bytes(CONFIG_PROFILE, &profile_length);
  const uint8_t *key = config_public_key();
  bool has_interval = config_number(CONFIG_INTERVAL, &interval_ms);
  bool has_qos = config_number(CONFIG_QOS, &qos);
  begin_again(with, 1u + (id != NULL) + (user != NULL) + (profile != NULL) + (key != NULL) + has_interval + has_qos);
  if (id != NULL) {
    cbor_put_text(&with->writer, "id");
    cbor_put_text_of(&with->writer, id, id_length);
  }
  if (user != NULL) {
    cbor_put_text(&with->writer, "user");
    cbor_put_text_of(&with->writer, user, user_length);
  }
  put_pair_bool(with, "secret", config_has_password());
  if (has_interval) put_pair_uint(with, "interval", interval_ms);
  if (has_qos) put_pair_uint(with, "qos", qos);
  if (profile != NULL) {
    sha256_of(profile, profile_length, sha256);
    cbor_put_text(&with->writer, "profile");
    cbor_put_bytes(&with->writer, sha256, sizeof sha256);
  }
  if (key != NULL) {
    admission_key_hash(key, sha256);
    cbor_put_text(&with->writer, "key");
    cbor_put_bytes(&with->writer, sha256, sizeof sha256);
  }
}

static void refuse_config(exchange *with, config_result result, const char *limits) {
  switch (result) {
    case CONFIG_OUT_OF_RANGE:
      refuse_because(with, OWN_UNKNOWN + (uint32_t)CONFIG_OUT_OF_RANGE, ERROR_INVALID, limits);
      break;
    case CONFIG_KEY_EXISTS:
      refuse_because(with, OWN_UNKNOWN + (uint32_t)CONFIG_KEY_EXISTS, ERROR_BAD_STATE, "there is a key already");
      break;
    case CONFIG_NO_ROOM:
      refuse_because(with, OWN_UNKNOWN + (uint32_t)CONFIG_NO_ROOM, ERROR_NO_MEMORY,
          "no room for all of the configuration");
      break;
    default:
      refuse_because(with, OWN_UNKNOWN + (uint32_t)CONFIG_FLASH, ERROR_UNKNOWN, "the flash has failed");
  }
}

static config_result put_config(config_changes *changes, config_key key, const cbor_value *value) {
  if (value->kind == CBOR_NULL) {
    config_erase(changes, key);
    return CONFIG_OK;
  }
  if (is_number(key)) {
    bool is_right = value->kind == CBOR_UINT && value->number <= UINT32_MAX;
    return is_right ? config_put_number(changes, key, (uint32_t)value->number) : CONFIG_OUT_OF_RANGE;
  }
  bool is_text = value->kind == CBOR_TEXT && key != CONFIG_PROFILE;
  bool is_bytes = value->kind == CBOR_BYTES && (key == CONFIG_PASS || key == CONFIG_PROFILE);
  if (!is_text && !is_bytes) return CONFIG_OUT_OF_RANGE;
  return config_put(changes, key, value->bytes, (uint32_t)value->length);
}

static void answer_config_write(exchange *with) {
  static const char *const limits[CONFIG_KEY_COUNT] = {
      "id: 1 to 64 bytes, no / + # or control characters", "user: at most 128 bytes", "pass: at most 256 bytes",
      "interval: 100 to 86400000 ms", "qos: 0 to 2", "profile: at most 1024 bytes",
  };
  config_changes changes;
  cbor_value name;
  cbor_value value;
  bool is_id_written = false;
  config_begin(&changes);
  while (cbor_next(&with->pairs, &name, &value)) {
    uint32_t key = 0;
    while (key < CONFIG_KEY_COUNT && !cbor_is(&name, config_names[key])) key++;
    if (key == CONFIG_KEY_COUNT) {
      refuse_because(with, OWN_UNKNOWN, ERROR_UNKNOWN, "unknown key");
      return;
    }
    config_result result = put_config(&changes, (config_key)key, &value);
    if (result != CONFIG_OK) {
      refuse_config(with, result, limits[key]);
      return;
    }
    if (key == CONFIG_ID) is_id_written = true;
  }
  config_result result = config_save(&changes);
  if (result != CONFIG_OK) {
    refuse_config(with, result, "a value is out of its range");
    return;
  }
  runtime_config_changed(is_id_written);
  begin_again(with, 0);
}

static void answer_provision(exchange *with) {
  field key = {.key = "key", .kind = CBOR_BYTES};
  if (!read_fields(with, &key, 1)) return;
  bool is_right = key.is_there && key.value.length == 32;
  if (is_right && config_public_key() == NULL && !slots_would_run_with(key.value.bytes)) {
    refuse_because(with, OWN_KEY_UNFIT, ERROR_BAD_STATE, slots_reason());
    return;
  }
  config_result result = is_right ? config_provision(key.value.bytes) : CONFIG_OUT_OF_RANGE;
  if (result != CONFIG_OK) {
    refuse_config(with, result, "key: 32 bytes");
    return;
  }
  runtime_say("a public key was provisioned: only modules signed with it are taken now");
  begin_again(with, 0);
}

/* -- Which request it is -- */

typedef struct {
  uint8_t group;
  uint8_t command;
  void (*read)(exchange *with);
  void (*write)(exchange *with);
} handler;

static const handler handlers[] = {
    {GROUP_OS, 0, answer_echo, answer_echo},
    {GROUP_OS, 5, NULL, answer_reset},
    {GROUP_OS, 6, answer_params, NULL},
    {GROUP_OS, 7, answer_os_info, NULL},
    {GROUP_IMAGE, 0, answer_state_read, answer_state_write},
    {GROUP_IMAGE, 1, NULL, answer_upload},
    {GROUP_IMAGE, 5, NULL, answer_erase},
    {GROUP_IMAGE, 6, answer_slot_info, NULL},
    {GROUP_WASMQTT, 0, answer_info, NULL},
    {GROUP_WASMQTT, 1, answer_config_read, answer_config_write},
    {GROUP_WASMQTT, 2, NULL, answer_provision},
};

static void answer(exchange *with, const uint8_t *map, size_t length) {
  static const uint8_t no_map[] = {0xa0};
  if (with->version > 2) {
    refuse(with, ERROR_TOO_NEW);
    return;
  }
  if (!cbor_open_map(&with->pairs, length == 0 ? no_map : map, length == 0 ? sizeof no_map : length)) {
    refuse(with, ERROR_INVALID);
    return;
  }
  for (size_t index = 0; index < sizeof handlers / sizeof handlers[0]; index++) {
    const handler *known = &handlers[index];
    if (known->group != with->group || known->command != with->command) continue;
    void (*call)(exchange *with) = with->is_write ? known->write : known->read;
    if (call == NULL) break;
    call(with);
    if (with->writer.is_full) refuse(with, ERROR_TOO_LARGE);
    return;
  }
  refuse(with, ERROR_NOT_SUPPORTED);
}

size_t smp_answer(uint8_t *answer_bytes, const uint8_t *request, size_t length) {
  if (length < HEADER_LENGTH) return 0;
  uint32_t operation = request[0] & 7;
  if (operation != OPERATION_READ && operation != OPERATION_WRITE) return 0;
  exchange with = {
      .is_write = operation == OPERATION_WRITE,
      .version = (request[0] >> 3 & 3) + 1u,
      .group = (uint32_t)request[4] << 8 | request[5],
      .command = request[7],
      .writer = {.bytes = answer_bytes, .capacity = SMP_ANSWER_MAX},
  };
  answer(&with, request + HEADER_LENGTH, length - HEADER_LENGTH);
  size_t map_length = with.writer.length - HEADER_LENGTH;
  memcpy(answer_bytes, request, HEADER_LENGTH);
  answer_bytes[0] = (uint8_t)((request[0] & 0x18) | (operation + 1));
  answer_bytes[1] = 0;
  answer_bytes[2] = (uint8_t)(map_length >> 8);
  answer_bytes[3] = (uint8_t)map_length;
  return with.writer.length;
}
