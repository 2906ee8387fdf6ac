/* SHA-256 (FIPS 180-4), in pieces or at once. */

#ifndef SHA256_H
#define SHA256_H

#include <stddef.h>
#include <stdint.h>

#define SHA256_LENGTH 32

typedef struct {
  uint32_t state[8];
  uint64_t length;
  uint8_t block[64];
} sha256_context;

void sha256_begin(sha256_context *context);
void sha256_add(sha256_context *context, const uint8_t *bytes, size_t length);
void sha256_end(sha256_context *context, uint8_t digest[SHA256_LENGTH]);

/* All three for bytes that lie in one piece. */
void sha256_of(const uint8_t *bytes, size_t length, uint8_t digest[SHA256_LENGTH]);

#endif
