/* The serial line: a 16550 with its receive interrupt and a ring. */

#include "machine.h"

#include <stddef.h>

#include "port.h"

#define UART_BASE 0x10000000u
#define DATA 0
#define INTERRUPT_ENABLE 1
#define FIFO_CONTROL 2
#define LINE_CONTROL 3
#define LINE_STATUS 5

#define RECEIVE_INTERRUPT 1u
#define TRANSMIT_INTERRUPT 2u
#define RECEIVED 1u
#define TRANSMIT_EMPTY 0x20u
#define LINE_IDLE 0x40u
#define FIFO_LENGTH 16

/* The interrupt controller: source 10 for machine mode of hart 0. */
#define PLIC_PRIORITY 0x0c000028u
#define PLIC_ENABLE 0x0c002000u
#define PLIC_THRESHOLD 0x0c200000u
#define PLIC_CLAIM 0x0c200004u
#define PLIC_SOURCE 10u

#define RING_LENGTH 512u

/* Both count bytes for ever; the interrupt moves `in`, the reader `out`. */
static struct {
  volatile uint32_t in;
  volatile uint32_t out;
  volatile bool has_room_news;
  uint8_t bytes[RING_LENGTH];
} ring;

static volatile uint8_t *uart(uint32_t index) { return (volatile uint8_t *)(UART_BASE + index); }

static void enable(uint32_t which) { *uart(INTERRUPT_ENABLE) = (uint8_t)(*uart(INTERRUPT_ENABLE) | which); }

static void disable(uint32_t which) { *uart(INTERRUPT_ENABLE) = (uint8_t)(*uart(INTERRUPT_ENABLE) & ~which); }

void uart_start(void) {
  *uart(LINE_CONTROL) = 3;
  *uart(FIFO_CONTROL) = 7;
  *uart(INTERRUPT_ENABLE) = RECEIVE_INTERRUPT;
  *machine_register(PLIC_PRIORITY) = 1;
  *machine_register(PLIC_ENABLE) = 1u << PLIC_SOURCE;
  *machine_register(PLIC_THRESHOLD) = 0;
}

void uart_interrupt(void) {
  uint32_t source = *machine_register(PLIC_CLAIM);
  while ((*uart(LINE_STATUS) & RECEIVED) != 0 && ring.in - ring.out < RING_LENGTH) {
    ring.bytes[ring.in % RING_LENGTH] = *uart(DATA);
    ring.in++;
  }
  /* What has no room stays in the UART, and holds the sender back; port_serial_read listens again. */
  if (ring.in - ring.out == RING_LENGTH) disable(RECEIVE_INTERRUPT);
  if ((*uart(INTERRUPT_ENABLE) & TRANSMIT_INTERRUPT) != 0 && (*uart(LINE_STATUS) & TRANSMIT_EMPTY) != 0) {
    disable(TRANSMIT_INTERRUPT);
    ring.has_room_news = true;
  }
  *machine_register(PLIC_CLAIM) = source;
}

bool uart_has_news(void) { return ring.in != ring.out || ring.has_room_news; }

size_t port_serial_read(uint8_t *to, size_t capacity) {
  size_t length = 0;
  while (length < capacity && ring.in != ring.out) {
    to[length++] = ring.bytes[ring.out % RING_LENGTH];
    ring.out++;
  }
  if (length > 0) {
    MACHINE_CSR_CLEAR("mstatus", MACHINE_INTERRUPTS);
    enable(RECEIVE_INTERRUPT);
    MACHINE_CSR_SET("mstatus", MACHINE_INTERRUPTS);
  }
  return length;
}

size_t port_serial_write(const uint8_t *bytes, size_t length) {
  size_t taken = 0;
  while (taken < length && (*uart(LINE_STATUS) & TRANSMIT_EMPTY) != 0) {
    for (uint32_t count = 0; count < FIFO_LENGTH && taken < length; count++) *uart(DATA) = bytes[taken++];
  }
  MACHINE_CSR_CLEAR("mstatus", MACHINE_INTERRUPTS);
  ring.has_room_news = false;
  if (taken < length) enable(TRANSMIT_INTERRUPT);
  MACHINE_CSR_SET("mstatus", MACHINE_INTERRUPTS);
  return taken;
}

bool port_serial_is_flushed(void) { return (*uart(LINE_STATUS) & LINE_IDLE) != 0; }
