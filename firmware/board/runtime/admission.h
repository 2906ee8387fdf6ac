/*
 * Decides whether a container in flash may run on this board: every check, in the order in which a person would want to
 * hear of it.
 */

#ifndef ADMISSION_H
#define ADMISSION_H

#include <stdbool.h>
#include <stdint.h>

#include "image.h"
#include "wasm-module.h"

typedef struct {
  image_parts image;
  wasm_module module;
} admission_facts;

/*
 * Once at the start: the most bytes of linear memory that a module may have here, and the functions that the runtime
 * calls.
 */
void admission_open(uint32_t memory_length_max, const wasm_module_function *needed, uint32_t needed_count);

/*
 * Container, SHA-256, signature (if a key is provisioned), version (at least `floor`, unless that is NULL), module,
 * ABI, memory. `available` bytes may be looked at. `facts` counts only with true. False: `admission_reason` says why.
 */
bool admission_check(admission_facts *facts, const uint8_t *bytes, uint32_t available, const image_version *floor);

/* SHA-256 of a public key as DER SubjectPublicKeyInfo: TLV 01 of a container, which says who has signed it. */
void admission_key_hash(const uint8_t key[32], uint8_t hash[32]);

/* Whether the owner of this public key has signed it. False: `admission_reason` says why. */
bool admission_is_signed_with(const image_parts *image, const uint8_t key[32]);

/*
 * Can be said of the first bytes already: is it a container, is it new enough. With fewer than IMAGE_HEADER_LENGTH
 * bytes: true.
 */
bool admission_check_header(const uint8_t *bytes, uint32_t length, uint32_t length_of_all, const image_version *floor);

/* Why the last check failed: one sentence without a full stop, valid until the next check. */
const char *admission_reason(void);

#endif
