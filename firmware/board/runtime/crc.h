/* The two checksums of docs/wire.md. */

#ifndef CRC_H
#define CRC_H

#include <stddef.h>
#include <stdint.h>

/* CRC-32 of IEEE 802.3, as in zlib. Begin with 0; what it answers goes on with the next bytes. */
uint32_t crc_32(uint32_t so_far, const uint8_t *bytes, size_t length);

/* CRC-16/XMODEM (polynomial 0x1021). Begin with 0; what it answers goes on with the next bytes. */
uint16_t crc_16(uint16_t so_far, const uint8_t *bytes, size_t length);

#endif
