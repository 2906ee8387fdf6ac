/* CBOR (RFC 8949) as SMP needs it: a reader that is given bytes it need not trust, and a writer into a buffer. */

#ifndef CBOR_H
#define CBOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* -- Reading -- */

/* CBOR_OTHER: negative numbers, arrays, maps, floats, tags; nobody here asks for them. */
typedef enum { CBOR_UINT, CBOR_BYTES, CBOR_TEXT, CBOR_BOOL, CBOR_NULL, CBOR_OTHER } cbor_kind;

/*
 * One value: `number` is that of a CBOR_UINT, 0 or 1 of a CBOR_BOOL; `bytes` and `length` what is in CBOR_BYTES and
 * CBOR_TEXT.
 */
typedef struct {
  cbor_kind kind;
  uint64_t number;
  const uint8_t *bytes;
  size_t length;
} cbor_value;

/* Walks through the pairs of one map. */
typedef struct {
  const uint8_t *at;
  const uint8_t *end;
  /* Pairs that are still to come; UINT32_MAX in a map of indefinite length. */
  uint32_t left;
} cbor_pairs;

/*
 * True if the bytes are exactly one map, nested at most 8 deep, without text or bytes in chunks; then `pairs` stands
 * before its first pair.
 */
bool cbor_open_map(cbor_pairs *pairs, const uint8_t *bytes, size_t length);

/* The next pair whose key is a text; others are passed over. False: there are no more. */
bool cbor_next(cbor_pairs *pairs, cbor_value *key, cbor_value *value);

/* True if a text or bytes are these. */
bool cbor_is(const cbor_value *value, const char *text);

/* -- Writing -- */

typedef struct {
  uint8_t *bytes;
  size_t capacity;
  size_t length;
  /* Something had no room; what was written is then of no use. */
  bool is_full;
} cbor_writer;

void cbor_put_map(cbor_writer *writer, uint32_t pair_count);
void cbor_put_array(cbor_writer *writer, uint32_t count);
void cbor_put_uint(cbor_writer *writer, uint32_t number);
void cbor_put_text(cbor_writer *writer, const char *text);
void cbor_put_text_of(cbor_writer *writer, const uint8_t *text, size_t length);
void cbor_put_bytes(cbor_writer *writer, const uint8_t *bytes, size_t length);
void cbor_put_bool(cbor_writer *writer, bool value);

#endif
