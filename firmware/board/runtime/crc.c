/* The two checksums of docs/wire.md, four bits at a time: tables of 16 entries instead of 256. */

#include "crc.h"

static const uint32_t crc_32_table[16] = {
    0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
    0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c, 0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
};

uint32_t crc_32(uint32_t so_far, const uint8_t *bytes, size_t length) {
  uint32_t crc = ~so_far;
  for (size_t index = 0; index < length; index++) {
    crc ^= bytes[index];
    crc = crc >> 4 ^ crc_32_table[crc & 15];
    crc = crc >> 4 ^ crc_32_table[crc & 15];
  }
  return ~crc;
}

static const uint16_t crc_16_table[16] = {
    0x0000, 0x1021, 0x2042, 0x3063, 0x4084, 0x50a5, 0x60c6, 0x70e7,
    0x8108, 0x9129, 0xa14a, 0xb16b, 0xc18c, 0xd1ad, 0xe1ce, 0xf1ef,
};

uint16_t crc_16(uint16_t so_far, const uint8_t *bytes, size_t length) {
  uint32_t crc = so_far;
  for (size_t index = 0; index < length; index++) {
    crc = (crc << 4 & 0xffff) ^ crc_16_table[(crc >> 12 ^ bytes[index] >> 4) & 15];
    crc = (crc << 4 & 0xffff) ^ crc_16_table[(crc >> 12 ^ bytes[index]) & 15];
  }
  return (uint16_t)crc;
}
