/* Verifies Ed25519 (RFC 8032, 5.1.7) on top of TinySSH's arithmetic, which Debian's source package has. */

#include "signature.h"

#include <string.h>

#include "crypto_hash_sha512.h"
#include "ge25519.h"
#include "sc25519.h"

static bool is_below_order(const uint8_t scalar[32]);

/* TinySSH wipes its intermediate results with this; verifying knows no secrets. */
void cleanup_(void *bytes, long long length);
void cleanup_(void *bytes, long long length) {
  (void)bytes;
  (void)length;
}

bool signature_is_valid(const uint8_t signature[SIGNATURE_LENGTH], const uint8_t digest[32],
                        const uint8_t key[SIGNATURE_KEY_LENGTH]) {
  ge25519 minus_key;
  if (!is_below_order(signature + 32) || ge25519_frombytes_negate_vartime(minus_key, key) != 0) return false;

  uint8_t hashed[96];
  memcpy(hashed, signature, 32);
  memcpy(hashed + 32, key, 32);
  memcpy(hashed + 64, digest, 32);
  uint8_t challenge[64];
  crypto_hash_sha512(challenge, hashed, sizeof hashed);
  sc25519_reduce(challenge);

  /* R is to be S * B - challenge * key. */
  ge25519 sum;
  ge25519_scalarmult(minus_key, minus_key, challenge);
  ge25519_scalarmult_base(sum, signature + 32);
  ge25519_add(sum, sum, minus_key);
  uint8_t encoded[32];
  ge25519_tobytes(encoded, sum);
  return memcmp(encoded, signature, sizeof encoded) == 0;
}

/*
 * A signature could be changed without breaking it if its second half were not below the order of the group (5.1.7, 1).
 */
static bool is_below_order(const uint8_t scalar[32]) {
  static const uint8_t ORDER[32] = {0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7,
                                    0xa2, 0xde, 0xf9, 0xde, 0x14, 0,    0,    0,    0,    0,    0,
                                    0,    0,    0,    0,    0,    0,    0,    0,    0,    0x10};
  for (int index = 31; index >= 0; index--) {
    if (scalar[index] != ORDER[index]) return scalar[index] < ORDER[index];
  }
  return false;
}
