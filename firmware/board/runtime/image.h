/* The container of a module as docs/wire.md has it: an MCUboot image. */

#ifndef IMAGE_H
#define IMAGE_H

#include <stdint.h>

#define IMAGE_HEADER_LENGTH 32
#define IMAGE_HASH_LENGTH 32

typedef struct {
  uint8_t major;
  uint8_t minor;
  uint16_t revision;
  uint32_t build;
} image_version;

/* Pointers lead into the bytes that were read. */
typedef struct {
  image_version version;
  const uint8_t *module;
  uint32_t module_length;
  /* TLV 10: SHA-256 of header and module; what SMP calls the hash. */
  const uint8_t *hash;
  /* TLV 01 and 24, 32 and 64 bytes; both NULL in an image without a signature. */
  const uint8_t *key_hash;
  const uint8_t *signature;
  /* Of the whole container; what lies behind it belongs to somebody else. */
  uint32_t length;
} image_parts;

typedef enum {
  IMAGE_OK,
  IMAGE_NO_IMAGE,
  IMAGE_ODD_HEADER,
  IMAGE_TOO_SHORT,
  IMAGE_DAMAGED_TLVS,
  IMAGE_NO_HASH,
  IMAGE_WRONG_HASH,
  IMAGE_HALF_SIGNED
} image_result;

/* Reads and checks everything but the signature; `available` bytes may be looked at. `to` counts only with IMAGE_OK. */
image_result image_read(image_parts *to, const uint8_t *bytes, uint32_t available);

/* Reads and checks the first IMAGE_HEADER_LENGTH bytes: of `to` the version and `module_length` count then. */
image_result image_read_header(image_parts *to, const uint8_t *bytes, uint32_t available);

/* A sentence for people. */
const char *image_reason(image_result result);

/* Below, at or above 0 as `left` is below, equal to or above `right`. */
int image_compare_versions(const image_version *left, const image_version *right);

#endif
