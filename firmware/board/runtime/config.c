/*
 * One value in flash holds the whole configuration: key (1 byte), length (2), bytes, for each that is set. A change
 * writes all of it anew.
 */

#include "config.h"

#include <stddef.h>
#include <string.h>

#include "bytes.h"

/* Kept beside what the host sets: the client id that the board made, and the public key. */
enum { OWN_ID = CONFIG_KEY_COUNT, PUBLIC_KEY, STORED_COUNT };

#define HEADER_LENGTH 3u
#define OWN_ID_LENGTH 12u
#define PUBLIC_KEY_LENGTH 32u
/* What flash-log.c adds at most. */
#define RECORD_LENGTH_MAX (12u + 15u)

static struct {
  flash_log log;
  /* If the flash has failed, a client id that lasts until the next restart. */
  uint8_t own_id[OWN_ID_LENGTH];
} config;

static const uint8_t *stored(unsigned key, uint32_t *length);
static config_result store(const flash_piece values[STORED_COUNT]);
static void keep_stored(flash_piece values[STORED_COUNT]);

void config_open(void) {
  flash_log_open(&config.log, PORT_AREA_CONFIG);
  uint32_t length;
  if (stored(OWN_ID, &length) != NULL) return;

  memcpy(config.own_id, "board-", 6);
  uint32_t random = port_random();
  for (unsigned index = 6; index < OWN_ID_LENGTH; index++, random >>= 4)
    config.own_id[index] = (uint8_t) "0123456789abcdef"[random & 15];
  flash_piece values[STORED_COUNT];
  keep_stored(values);
  values[OWN_ID] = (flash_piece){config.own_id, OWN_ID_LENGTH};
  store(values);
}

const uint8_t *config_bytes(config_key key, uint32_t *length) {
  if (key == CONFIG_PASS) return NULL;
  const uint8_t *bytes = stored(key, length);
  if (bytes != NULL || key != CONFIG_ID) return bytes;
  bytes = stored(OWN_ID, length);
  if (bytes != NULL) return bytes;
  *length = OWN_ID_LENGTH;
  return config.own_id;
}

bool config_number(config_key key, uint32_t *number) {
  uint32_t length;
  const uint8_t *bytes = stored(key, &length);
  if (bytes == NULL || length != 4) return false;
  *number = bytes_u32(bytes);
  return true;
}

bool config_has_password(void) {
  uint32_t length;
  return stored(CONFIG_PASS, &length) != NULL;
}

const uint8_t *config_password(uint32_t *length) {
  return stored(CONFIG_PASS, length);
}

const uint8_t *config_public_key(void) {
  uint32_t length;
  return stored(PUBLIC_KEY, &length);
}

/* -- Changes -- */

static bool is_client_id(const uint8_t *text, uint32_t length) {
  for (uint32_t index = 0; index < length; index++) {
    uint8_t character = text[index];
    if (character < 0x20 || character == 0x7f || character == '/' || character == '+' || character == '#') return false;
  }
  return length > 0;
}

void config_begin(config_changes *changes) {
  memset(changes, 0, sizeof *changes);
}

config_result config_put(config_changes *changes, config_key key, const uint8_t *bytes, uint32_t length) {
  static const uint16_t LENGTH_MAX[CONFIG_KEY_COUNT] = {[CONFIG_ID] = CONFIG_ID_LENGTH_MAX,
                                                        [CONFIG_USER] = CONFIG_USER_LENGTH_MAX,
                                                        [CONFIG_PASS] = CONFIG_PASS_LENGTH_MAX,
                                                        [CONFIG_PROFILE] = CONFIG_PROFILE_LENGTH_MAX};
  if (length > LENGTH_MAX[key] || (key == CONFIG_ID && !is_client_id(bytes, length))) return CONFIG_OUT_OF_RANGE;
  changes->is_changed[key] = true;
  changes->values[key] = (flash_piece){bytes, length};
  return CONFIG_OK;
}

config_result config_put_number(config_changes *changes, config_key key, uint32_t number) {
  const bool is_interval = key == CONFIG_INTERVAL;
  const bool fits = is_interval ? number >= CONFIG_INTERVAL_MS_MIN && number <= CONFIG_INTERVAL_MS_MAX
                                : key == CONFIG_QOS && number <= 2;
  if (!fits) return CONFIG_OUT_OF_RANGE;
  uint8_t *bytes = is_interval ? changes->interval : changes->qos;
  bytes_put_u32(bytes, number);
  changes->is_changed[key] = true;
  changes->values[key] = (flash_piece){bytes, 4};
  return CONFIG_OK;
}

void config_erase(config_changes *changes, config_key key) {
  changes->is_changed[key] = true;
  changes->values[key] = (flash_piece){NULL, 0};
}

config_result config_save(const config_changes *changes) {
  flash_piece values[STORED_COUNT];
  keep_stored(values);
  for (unsigned key = 0; key < CONFIG_KEY_COUNT; key++) {
    if (changes->is_changed[key]) values[key] = changes->values[key];
  }
  return store(values);
}

config_result config_provision(const uint8_t key[PUBLIC_KEY_LENGTH]) {
  const uint8_t *known = config_public_key();
  /* Who asks again, because the answer was lost, has what was asked for. */
  if (known != NULL) return memcmp(known, key, PUBLIC_KEY_LENGTH) == 0 ? CONFIG_OK : CONFIG_KEY_EXISTS;
  flash_piece values[STORED_COUNT];
  keep_stored(values);
  values[PUBLIC_KEY] = (flash_piece){key, PUBLIC_KEY_LENGTH};
  return store(values);
}

/* -- In flash -- */

static const uint8_t *stored(unsigned key, uint32_t *length) {
  uint32_t left;
  const uint8_t *at = flash_log_value(&config.log, &left);
  while (at != NULL && left >= HEADER_LENGTH) {
    const uint32_t value_length = bytes_u16(at + 1);
    if (value_length > left - HEADER_LENGTH) return NULL;
    if (at[0] == key) {
      *length = value_length;
      return at + HEADER_LENGTH;
    }
    at += HEADER_LENGTH + value_length;
    left -= HEADER_LENGTH + value_length;
  }
  return NULL;
}

static void keep_stored(flash_piece values[STORED_COUNT]) {
  for (unsigned key = 0; key < STORED_COUNT; key++) {
    values[key].length = 0;
    values[key].bytes = stored(key, &values[key].length);
  }
}

/* What is empty is not stored. */
static config_result store(const flash_piece values[STORED_COUNT]) {
  uint8_t headers[STORED_COUNT][HEADER_LENGTH];
  flash_piece pieces[2 * STORED_COUNT];
  uint32_t count = 0;
  uint32_t length = RECORD_LENGTH_MAX;
  for (unsigned key = 0; key < STORED_COUNT; key++) {
    if (values[key].length == 0) continue;
    headers[key][0] = (uint8_t)key;
    headers[key][1] = (uint8_t)values[key].length;
    headers[key][2] = (uint8_t)(values[key].length >> 8);
    pieces[count++] = (flash_piece){headers[key], HEADER_LENGTH};
    pieces[count++] = values[key];
    length += HEADER_LENGTH + values[key].length;
  }
  if (length > port_flash_info(PORT_AREA_CONFIG).sector_length) return CONFIG_NO_ROOM;
  return flash_log_write(&config.log, pieces, count) ? CONFIG_OK : CONFIG_FLASH;
}
