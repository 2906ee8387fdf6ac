/* Numbers at any address, little endian, as containers and records have them. */

#ifndef BYTES_H
#define BYTES_H

#include <stdint.h>

static inline uint16_t bytes_u16(const uint8_t *at) {
  return (uint16_t)(at[0] | at[1] << 8);
}

static inline uint32_t bytes_u32(const uint8_t *at) {
  return bytes_u16(at) | (uint32_t)bytes_u16(at + 2) << 16;
}

static inline void bytes_put_u32(uint8_t *at, uint32_t number) {
  for (int index = 0; index < 4; index++) at[index] = (uint8_t)(number >> 8 * index);
}

#endif
