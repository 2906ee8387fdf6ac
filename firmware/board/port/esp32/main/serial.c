/* The serial line: the chip's own USB plug, or UART0, whichever sdkconfig makes the console. */

#include "serial.h"

#include "esp_err.h"
#include "freertos/FreeRTOS.h"
#include "sdkconfig.h"

#include "net.h"
#include "port.h"

#if CONFIG_ESP_CONSOLE_USB_SERIAL_JTAG
#include "driver/usb_serial_jtag.h"
#else
#include "driver/uart.h"
#endif

/* More than the windows of SMP and of the tunnel let the host have under way (docs/wire.md). */
#define RECEIVE_LENGTH 4096
#define TRANSMIT_LENGTH 2048

/* The USB driver takes a piece whole or not at all. */
#define PIECE_LENGTH 64u

/* USB takes nothing while no program has the port open; after so long what is said goes nowhere, as on a UART. */
#define UNHEARD_MS 1000u

/* Nothing wakes the board when there is room for more, or when a socket has news: it looks as often as this. */
#define POLL_MS 5u

#define SLEEP_MS_MAX 1000u

#define BAUD_RATE 115200

/* `port_sleep` waits by reading one byte, which the next `port_serial_read` gives. */
static struct {
  uint8_t byte;
  bool is_there;
} peeked;

static bool is_full;
static uint32_t heard_at_ms;

static size_t read_driver(uint8_t *to, size_t capacity, uint32_t wait_ms);
static size_t write_driver(const uint8_t *bytes, size_t length);

size_t port_serial_read(uint8_t *to, size_t capacity) {
  size_t length = 0;
  if (peeked.is_there && capacity > 0) {
    to[length++] = peeked.byte;
    peeked.is_there = false;
  }
  return length < capacity ? length + read_driver(to + length, capacity - length, 0) : length;
}

size_t port_serial_write(const uint8_t *bytes, size_t length) {
  size_t taken = 0;
  while (taken < length) {
    const size_t left = length - taken;
    const size_t piece = write_driver(bytes + taken, left < PIECE_LENGTH ? left : PIECE_LENGTH);
    if (piece == 0) break;
    taken += piece;
  }
  is_full = taken < length;
  if (taken > 0) heard_at_ms = port_now_ms();
  const bool is_unheard = is_full && port_now_ms() - heard_at_ms >= UNHEARD_MS;
  return is_unheard ? length : taken;
}

void port_sleep(uint32_t max_ms) {
  uint32_t wait_ms = max_ms < SLEEP_MS_MAX ? max_ms : SLEEP_MS_MAX;
  if ((is_full || net_is_used()) && wait_ms > POLL_MS) wait_ms = POLL_MS;
  if (!peeked.is_there) peeked.is_there = read_driver(&peeked.byte, 1, wait_ms) == 1;
}

#if CONFIG_ESP_CONSOLE_USB_SERIAL_JTAG

void serial_start(void) {
  usb_serial_jtag_driver_config_t config = {.tx_buffer_size = TRANSMIT_LENGTH, .rx_buffer_size = RECEIVE_LENGTH};
  ESP_ERROR_CHECK(usb_serial_jtag_driver_install(&config));
}

bool port_serial_is_flushed(void) { return usb_serial_jtag_wait_tx_done(0) == ESP_OK; }

static size_t read_driver(uint8_t *to, size_t capacity, uint32_t wait_ms) {
  const int length = usb_serial_jtag_read_bytes(to, (uint32_t)capacity, pdMS_TO_TICKS(wait_ms));
  return length > 0 ? (size_t)length : 0;
}

static size_t write_driver(const uint8_t *bytes, size_t length) {
  const int taken = usb_serial_jtag_write_bytes(bytes, length, 0);
  return taken > 0 ? (size_t)taken : 0;
}

#else

void serial_start(void) {
  const uart_config_t config = {
      .baud_rate = BAUD_RATE,
      .data_bits = UART_DATA_8_BITS,
      .parity = UART_PARITY_DISABLE,
      .stop_bits = UART_STOP_BITS_1,
      .flow_ctrl = UART_HW_FLOWCTRL_DISABLE,
      .source_clk = UART_SCLK_DEFAULT,
  };
  ESP_ERROR_CHECK(uart_driver_install(UART_NUM_0, RECEIVE_LENGTH, TRANSMIT_LENGTH, 0, NULL, 0));
  ESP_ERROR_CHECK(uart_param_config(UART_NUM_0, &config));
}

bool port_serial_is_flushed(void) { return uart_wait_tx_done(UART_NUM_0, 0) == ESP_OK; }

static size_t read_driver(uint8_t *to, size_t capacity, uint32_t wait_ms) {
  const int length = uart_read_bytes(UART_NUM_0, to, (uint32_t)capacity, pdMS_TO_TICKS(wait_ms));
  return length > 0 ? (size_t)length : 0;
}

/* The driver would wait until all of it has room, so it is given no more than that. */
static size_t write_driver(const uint8_t *bytes, size_t length) {
  size_t room = 0;
  if (uart_get_tx_buffer_free_size(UART_NUM_0, &room) != ESP_OK || room < length) return 0;
  const int taken = uart_write_bytes(UART_NUM_0, bytes, length);
  return taken > 0 ? (size_t)taken : 0;
}

#endif
