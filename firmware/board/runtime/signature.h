/* Ed25519 (RFC 8032) signatures of SHA-256 digests. */

#ifndef SIGNATURE_H
#define SIGNATURE_H

#include <stdbool.h>
#include <stdint.h>

#define SIGNATURE_LENGTH 64
#define SIGNATURE_KEY_LENGTH 32

/* True if the owner of `key` has signed the 32 bytes of `digest`. */
bool signature_is_valid(const uint8_t signature[SIGNATURE_LENGTH], const uint8_t digest[32],
                        const uint8_t key[SIGNATURE_KEY_LENGTH]);

#endif
