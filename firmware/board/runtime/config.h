/*
 * What the host has set on this board, in flash (docs/wire.md, group 64): who it is to the broker, what it reports,
 * whose modules it takes.
 */

#ifndef CONFIG_H
#define CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "flash-log.h"

#define CONFIG_ID_LENGTH_MAX 64
#define CONFIG_USER_LENGTH_MAX 128
#define CONFIG_PASS_LENGTH_MAX 256
#define CONFIG_PROFILE_LENGTH_MAX 1024
#define CONFIG_INTERVAL_MS_MIN 100
#define CONFIG_INTERVAL_MS_MAX 86400000

typedef enum {
  CONFIG_ID,
  CONFIG_USER,
  CONFIG_PASS,
  /* Milliseconds. */
  CONFIG_INTERVAL,
  CONFIG_QOS,
  CONFIG_PROFILE,
  CONFIG_KEY_COUNT
} config_key;

/* As the errors of group 64. */
typedef enum { CONFIG_OK, CONFIG_OUT_OF_RANGE, CONFIG_KEY_EXISTS, CONFIG_FLASH, CONFIG_NO_ROOM } config_result;

/*
 * Once at the start. A board that has not made its own client id yet does so, `board-` and 6 hexadecimal digits, and
 * keeps it.
 */
void config_open(void);

/*
 * A text, bytes; NULL if not set (the client id always is), and for CONFIG_PASS. Valid until the next config_save or
 * config_provision.
 */
const uint8_t *config_bytes(config_key key, uint32_t *length);

/* CONFIG_INTERVAL or CONFIG_QOS. False: not set. */
bool config_number(config_key key, uint32_t *number);

bool config_has_password(void);

/* Only for the start of a module: what this gives goes nowhere else. NULL if not set. */
const uint8_t *config_password(uint32_t *length);

/* The provisioned public key, 32 bytes; NULL if there is none. */
const uint8_t *config_public_key(void);

/* Changes to be made at once; what is pointed to must stay until config_save. */
typedef struct {
  bool is_changed[CONFIG_KEY_COUNT];
  flash_piece values[CONFIG_KEY_COUNT];
  uint8_t interval[4];
  uint8_t qos[4];
} config_changes;

void config_begin(config_changes *changes);
/*
 * CONFIG_OUT_OF_RANGE: too long, or a client id that is empty or has `/`, `+`, `#` or control characters. Anything else
 * that is empty is erased.
 */
config_result config_put(config_changes *changes, config_key key, const uint8_t *bytes, uint32_t length);
config_result config_put_number(config_changes *changes, config_key key, uint32_t number);
/* A client id that is erased gives way to the one that the board made. */
void config_erase(config_changes *changes, config_key key);
/* All of the changes or none. */
config_result config_save(const config_changes *changes);

/* Sets the public key of those whose modules are taken, once; the same again is harmless. */
config_result config_provision(const uint8_t key[32]);

#endif
