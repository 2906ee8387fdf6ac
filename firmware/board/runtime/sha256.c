/* SHA-256 (FIPS 180-4), written for size. */

#include "sha256.h"

#include <string.h>

static void take_block(uint32_t state[8], const uint8_t block[64]);

void sha256_begin(sha256_context *context) {
  static const uint32_t START[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                    0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  memcpy(context->state, START, sizeof START);
  context->length = 0;
}

void sha256_add(sha256_context *context, const uint8_t *bytes, size_t length) {
  size_t used = (size_t)(context->length % 64);
  context->length += length;
  while (length > 0) {
    size_t part = length < 64 - used ? length : 64 - used;
    memcpy(context->block + used, bytes, part);
    bytes += part;
    length -= part;
    used += part;
    if (used == 64) {
      take_block(context->state, context->block);
      used = 0;
    }
  }
}

void sha256_end(sha256_context *context, uint8_t digest[SHA256_LENGTH]) {
  static const uint8_t PADDING[64] = {0x80};
  uint64_t bit_count = context->length * 8;
  size_t used = (size_t)(context->length % 64);
  sha256_add(context, PADDING, used < 56 ? 56 - used : 120 - used);

  uint8_t last[8];
  for (int index = 0; index < 8; index++) last[index] = (uint8_t)(bit_count >> (56 - 8 * index));
  sha256_add(context, last, sizeof last);

  for (int index = 0; index < SHA256_LENGTH; index++) {
    digest[index] = (uint8_t)(context->state[index / 4] >> (24 - 8 * (index % 4)));
  }
}

void sha256_of(const uint8_t *bytes, size_t length, uint8_t digest[SHA256_LENGTH]) {
  sha256_context context;
  sha256_begin(&context);
  sha256_add(&context, bytes, length);
  sha256_end(&context, digest);
}

static const uint32_t ROUND[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static uint32_t rotate(uint32_t word, int count) {
  return word >> count | word << (32 - count);
}

/* 6.2.2, with a window of 16 words instead of all 64 of the schedule. */
static void take_block(uint32_t state[8], const uint8_t block[64]) {
  uint32_t window[16];
  for (int index = 0; index < 16; index++) {
    const uint8_t *at = block + 4 * index;
    window[index] = (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
  }

  uint32_t work[8];
  memcpy(work, state, sizeof work);
  for (int round = 0; round < 64; round++) {
    uint32_t *word = &window[round % 16];
    if (round >= 16) {
      uint32_t older = window[(round + 1) % 16];
      uint32_t newer = window[(round + 14) % 16];
      *word += (rotate(older, 7) ^ rotate(older, 18) ^ older >> 3) + window[(round + 9) % 16] +
               (rotate(newer, 17) ^ rotate(newer, 19) ^ newer >> 10);
    }
    /* a to h of the standard move one place on with each round; here their names move instead. */
#define NAMED(place) work[((place)-round) & 7]
    uint32_t a = NAMED(0);
    uint32_t e = NAMED(4);
    uint32_t first = NAMED(7) + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) + ((e & NAMED(5)) ^ (~e & NAMED(6))) +
                     ROUND[round] + *word;
    uint32_t second =
        (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) + ((a & NAMED(1)) ^ (a & NAMED(2)) ^ (NAMED(1) & NAMED(2)));
    NAMED(3) += first;
    NAMED(7) = first + second;
#undef NAMED
  }
  for (int index = 0; index < 8; index++) state[index] += work[index];
}
