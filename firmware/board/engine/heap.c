/* The memory that an engine gives to one instance. An interpreter takes nearly all of it at the start and keeps it, so there are no holes to fill. */

#include "heap.h"

#include <string.h>

#define ALIGNMENT 8u

static struct {
  uint8_t *at;
  /* Without what is lent. */
  size_t length;
  size_t lent;
  size_t used;
  size_t used_max;
  /* Where the last piece begins; `used` if it has been given back. */
  size_t last;
  bool was_too_small;
} heap;

static bool end_at(size_t from, size_t length) {
  if (length > heap.length - from) {
    heap.was_too_small = true;
    return false;
  }
  size_t end = from + ((length + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1));
  heap.used = end < heap.length ? end : heap.length;
  if (heap.used > heap.used_max) heap.used_max = heap.used;
  return true;
}

void heap_open(uint8_t *at, uint32_t length) {
  memset(&heap, 0, sizeof heap);
  heap.at = at;
  heap.length = length - length % ALIGNMENT;
}

void *heap_take(size_t length) {
  size_t start = heap.used;
  if (!end_at(start, length)) return NULL;
  heap.last = start;
  return memset(heap.at + start, 0, length);
}

void *heap_resize(void *piece, size_t length, size_t old_length) {
  if (piece != NULL && piece == heap.at + heap.last && heap.last < heap.used) {
    if (!end_at(heap.last, length)) return NULL;
  } else {
    void *moved = heap_take(length);
    if (moved == NULL || piece == NULL) return moved;
    piece = memcpy(moved, piece, old_length < length ? old_length : length);
  }
  if (length > old_length) memset((uint8_t *)piece + old_length, 0, length - old_length);
  return piece;
}

void heap_give_back(void *piece) {
  if (piece != NULL && piece == heap.at + heap.last && heap.last < heap.used) heap.used = heap.last;
}

size_t heap_left(void) { return heap.length - heap.used; }

size_t heap_mark(void) { return heap.used; }

void heap_return_to(size_t mark) {
  heap.used = mark;
  heap.last = mark;
  heap.was_too_small = false;
}

uint8_t *heap_lend(size_t length) {
  heap.length += heap.lent;
  heap.lent = length;
  heap.length -= length;
  if (length > 0 && heap.used + length > heap.used_max) heap.used_max = heap.used + length;
  return heap.at + heap.length;
}

uint32_t heap_used_max(void) { return (uint32_t)heap.used_max; }

bool heap_was_too_small(void) { return heap.was_too_small; }
