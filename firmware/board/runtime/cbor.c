/* CBOR: whole maps are checked before anything in them is looked at, without recursion. */

#include "cbor.h"

#include <string.h>

#define DEPTH_MAX 8

/* The number of pairs or items of a map or an array whose end a break tells. */
#define INDEFINITE UINT32_MAX

enum { MAJOR_UINT, MAJOR_NEGATIVE, MAJOR_BYTES, MAJOR_TEXT, MAJOR_ARRAY, MAJOR_MAP, MAJOR_TAG, MAJOR_SIMPLE };

#define BREAK 0xff
#define SIMPLE_FALSE 20
#define SIMPLE_TRUE 21
#define SIMPLE_NULL 22

/* The beginning of an item: its first byte taken apart, and the number that follows it. */
typedef struct {
  uint8_t major;
  bool is_indefinite;
  uint64_t number;
} item_head;

/* False: the bytes end too early, or it is no CBOR. */
static bool read_head(item_head *head, const uint8_t **at, const uint8_t *end) {
  if (*at == end) return false;
  uint8_t first = *(*at)++;
  uint8_t short_number = first & 31;
  head->major = first >> 5;
  head->is_indefinite = short_number == 31;
  head->number = short_number;
  if (short_number < 24) return true;
  if (head->is_indefinite) return head->major == MAJOR_ARRAY || head->major == MAJOR_MAP || head->major == MAJOR_SIMPLE;
  if (short_number > 27) return false;
  size_t length = (size_t)1 << (short_number - 24);
  if ((size_t)(end - *at) < length) return false;
  head->number = 0;
  for (size_t index = 0; index < length; index++) head->number = head->number << 8 | *(*at)++;
  return true;
}

/*
 * Passes over one item and all that is in it. False: it is not well-formed, nested too deep, or has text or bytes in
 * chunks.
 */
static bool skip(const uint8_t **at, const uint8_t *end) {
  uint32_t left[DEPTH_MAX + 1] = {1};
  size_t depth = 0;
  for (;;) {
    while (left[depth] == 0) {
      if (depth == 0) return true;
      depth--;
    }
    item_head head;
    if (!read_head(&head, at, end)) return false;
    if (head.major == MAJOR_SIMPLE && head.is_indefinite) {
      if (left[depth] != INDEFINITE) return false;
      left[depth] = 0;
      continue;
    }
    if (left[depth] != INDEFINITE && head.major != MAJOR_TAG) left[depth]--;
    if (head.major < MAJOR_BYTES || head.major > MAJOR_MAP) continue;
    // Bytes that follow, or items of at least one byte each.
    if (!head.is_indefinite && head.number > (uint64_t)(end - *at)) return false;
    uint32_t count = (uint32_t)head.number;
    if (head.major <= MAJOR_TEXT) {
      *at += count;
      continue;
    }
    if (depth == DEPTH_MAX) return false;
    left[++depth] = head.is_indefinite ? INDEFINITE : head.major == MAJOR_MAP ? 2 * count : count;
  }
}

bool cbor_open_map(cbor_pairs *pairs, const uint8_t *bytes, size_t length) {
  const uint8_t *at = bytes;
  const uint8_t *end = bytes + length;
  item_head head;
  if (!skip(&at, end) || at != end) return false;
  at = bytes;
  if (!read_head(&head, &at, end) || head.major != MAJOR_MAP) return false;
  pairs->at = at;
  pairs->end = end;
  pairs->left = head.is_indefinite ? INDEFINITE : (uint32_t)head.number;
  return true;
}

static bool read_value(cbor_value *value, const uint8_t **at, const uint8_t *end) {
  static const uint8_t kinds[] = {CBOR_UINT, CBOR_OTHER, CBOR_BYTES, CBOR_TEXT, CBOR_OTHER, CBOR_OTHER,
      CBOR_OTHER, CBOR_OTHER};
  const uint8_t *after = *at;
  item_head head;
  if (!read_head(&head, at, end) || !skip(&after, end)) return false;
  value->kind = (cbor_kind)kinds[head.major];
  value->number = head.number;
  value->bytes = *at;
  value->length = (size_t)(after - *at);
  if (head.major == MAJOR_SIMPLE && *at == after) {
    if (head.number == SIMPLE_NULL) value->kind = CBOR_NULL;
    if (head.number == SIMPLE_FALSE || head.number == SIMPLE_TRUE) value->kind = CBOR_BOOL;
    value->number = head.number == SIMPLE_TRUE;
  }
  *at = after;
  return true;
}

bool cbor_next(cbor_pairs *pairs, cbor_value *key, cbor_value *value) {
  while (pairs->left > 0 && pairs->at < pairs->end && *pairs->at != BREAK) {
    if (pairs->left != INDEFINITE) pairs->left--;
    if (!read_value(key, &pairs->at, pairs->end) || !read_value(value, &pairs->at, pairs->end)) return false;
    if (key->kind == CBOR_TEXT) return true;
  }
  return false;
}

bool cbor_is(const cbor_value *value, const char *text) {
  return value->length == strlen(text) && memcmp(value->bytes, text, value->length) == 0;
}

/* -- Writing -- */

static void put(cbor_writer *writer, const uint8_t *bytes, size_t length) {
  if (writer->is_full || length > writer->capacity - writer->length) {
    writer->is_full = true;
    return;
  }
  memcpy(writer->bytes + writer->length, bytes, length);
  writer->length += length;
}

static void put_head(cbor_writer *writer, uint32_t major, uint32_t number) {
  uint8_t bytes[5];
  size_t length = number < 24 ? 0 : number <= UINT8_MAX ? 1 : number <= UINT16_MAX ? 2 : 4;
  uint32_t short_number = length == 0 ? number : length == 1 ? 24 : length == 2 ? 25 : 26;
  bytes[0] = (uint8_t)(major << 5 | short_number);
  for (size_t index = 0; index < length; index++) bytes[1 + index] = (uint8_t)(number >> 8 * (length - 1 - index));
  put(writer, bytes, 1 + length);
}

void cbor_put_map(cbor_writer *writer, uint32_t pair_count) { put_head(writer, MAJOR_MAP, pair_count); }

void cbor_put_array(cbor_writer *writer, uint32_t count) { put_head(writer, MAJOR_ARRAY, count); }

void cbor_put_uint(cbor_writer *writer, uint32_t number) { put_head(writer, MAJOR_UINT, number); }

void cbor_put_text_of(cbor_writer *writer, const uint8_t *text, size_t length) {
  put_head(writer, MAJOR_TEXT, (uint32_t)length);
  put(writer, text, length);
}

void cbor_put_text(cbor_writer *writer, const char *text) {
  cbor_put_text_of(writer, (const uint8_t *)text, strlen(text));
}

void cbor_put_bytes(cbor_writer *writer, const uint8_t *bytes, size_t length) {
  put_head(writer, MAJOR_BYTES, (uint32_t)length);
  put(writer, bytes, length);
}

void cbor_put_bool(cbor_writer *writer, bool value) {
  put_head(writer, MAJOR_SIMPLE, value ? SIMPLE_TRUE : SIMPLE_FALSE);
}
