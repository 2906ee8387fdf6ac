/* memcpy and memset by words: those of the cross compiler's C library take a byte at a time, and an interpreter and a flash driver copy all the time. */

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define WORD sizeof(uint32_t)

/* The compiler must not see through these loops: it would call memcpy and memset. */
#define NO_CALL __attribute__((optimize("O2", "no-tree-loop-distribute-patterns"), used))

typedef uint32_t __attribute__((may_alias)) word;

NO_CALL void *memcpy(void *restrict to, const void *restrict from, size_t length) {
  uint8_t *to_byte = to;
  const uint8_t *from_byte = from;
  if ((((uintptr_t)to ^ (uintptr_t)from) % WORD) == 0) {
    for (; length > 0 && (uintptr_t)to_byte % WORD != 0; length--) *to_byte++ = *from_byte++;
    for (; length >= 4 * WORD; length -= 4 * WORD) {
      word first = ((const word *)from_byte)[0];
      word second = ((const word *)from_byte)[1];
      word third = ((const word *)from_byte)[2];
      word fourth = ((const word *)from_byte)[3];
      ((word *)to_byte)[0] = first;
      ((word *)to_byte)[1] = second;
      ((word *)to_byte)[2] = third;
      ((word *)to_byte)[3] = fourth;
      to_byte += 4 * WORD;
      from_byte += 4 * WORD;
    }
    for (; length >= WORD; length -= WORD, to_byte += WORD, from_byte += WORD) *(word *)to_byte = *(const word *)from_byte;
  }
  for (; length > 0; length--) *to_byte++ = *from_byte++;
  return to;
}

NO_CALL void *memset(void *to, int value, size_t length) {
  uint8_t *byte = to;
  word pattern = (uint8_t)value * 0x01010101u;
  for (; length > 0 && (uintptr_t)byte % WORD != 0; length--) *byte++ = (uint8_t)value;
  for (; length >= WORD; length -= WORD, byte += WORD) *(word *)byte = pattern;
  for (; length > 0; length--) *byte++ = (uint8_t)value;
  return to;
}
