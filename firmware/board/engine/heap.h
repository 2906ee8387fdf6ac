/* The memory that an engine gives to one instance: taken from the front of a given piece, given back all at once. */

#ifndef HEAP_H
#define HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* From here on there are `length` bytes at `at`, a multiple of 16. */
void heap_open(uint8_t *at, uint32_t length);

/* `length` bytes, all zero, at a multiple of 8; NULL if there are not so many. */
void *heap_take(size_t length);

/* Another length for a piece that has `old_length` bytes; it may move. NULL if there is no room: the piece stays. */
void *heap_resize(void *piece, size_t length, size_t old_length);

/* Only the piece that was taken last comes back; of all others, NULL included, nothing happens. */
void heap_give_back(void *piece);

/* Bytes that are still to be had. */
size_t heap_left(void);

/* What has been taken up to here; and gives back all that was taken since, whatever was not to be had meanwhile. */
size_t heap_mark(void);
void heap_return_to(size_t mark);

/* The last `length` bytes for another use, until it is called with 0; heap_left is at least as much. */
uint8_t *heap_lend(size_t length);

/* Bytes in use at most since heap_open. */
uint32_t heap_used_max(void);

/* True if something was not to be had since heap_open or heap_return_to. */
bool heap_was_too_small(void);

#endif
