/* What the runtime needs of a board. A port implements all of it; the runtime calls nothing else outside C11. */

#ifndef PORT_H
#define PORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* -- Who it is -- */

/* As in `info`: "virt-rv32", "posix", "esp32c3". */
const char *port_name(void);

/* Differs from board to board and from call to call as far as the board can; not for secrets. */
uint32_t port_random(void);

/* -- Time -- */

/* Milliseconds of a clock that never goes back, and wraps. */
uint32_t port_now_ms(void);

/*
 * Returns when bytes have arrived (at once if some are there), when there is room again behind a write that took less than it was given, when the network
 * has news, or after `max_ms`.
 */
void port_sleep(uint32_t max_ms);

/* -- The serial line -- */

/* Takes what has arrived, at most `capacity` bytes. What has no room in the port stays in the UART. */
size_t port_serial_read(uint8_t *to, size_t capacity);

/* Answers how many of the bytes were taken; never waits. */
size_t port_serial_write(const uint8_t *bytes, size_t length);

/* True when everything that was taken has left the board. */
bool port_serial_is_flushed(void);

/* -- Flash -- */

typedef enum {
  PORT_AREA_SLOT_0,
  PORT_AREA_SLOT_1,
  /* Which module runs: slots.c. */
  PORT_AREA_STATE,
  PORT_AREA_CONFIG,
  /* The Session State: journal.c. */
  PORT_AREA_JOURNAL,
  PORT_AREA_COUNT
} port_area;

/* The length is a multiple of the sector's, that of the word's (1 to 16, a power of two). State, config and journal have two sectors or more. */
typedef struct {
  uint32_t length;
  uint32_t sector_length;
  uint32_t word_length;
} port_area_info;

port_area_info port_flash_info(port_area area);

/* The whole area for reading, at an address that stays. */
const uint8_t *port_flash_at(port_area area);

/* Offset and length are multiples of the word; each word is programmed once between two erasures. False: the flash has failed, or was asked for else. */
bool port_flash_program(port_area area, uint32_t offset, const uint8_t *bytes, uint32_t length);

/* Makes the sector that begins at `offset` all 0xff. */
bool port_flash_erase(port_area area, uint32_t offset);

/* -- Starting and stopping -- */

typedef enum { PORT_RESET_POWER, PORT_RESET_REQUEST, PORT_RESET_WATCHDOG } port_reset_reason;

/* Why the board started. */
port_reset_reason port_why_reset(void);

/* Does not return. */
_Noreturn void port_reset(void);

/* The board resets unless it is fed again within `timeout_ms`. The first call starts the watchdog. */
void port_watchdog_feed(uint32_t timeout_ms);

/* -- What is used -- */

/* High-water mark and size of the native stack, in bytes. */
typedef struct {
  uint32_t used;
  uint32_t size;
} port_stack_info;

port_stack_info port_stack(void);

#endif
