/* The machine timer: the clock, the end of a sleep, and the watchdog. */

#include "machine.h"

#include "port.h"

#define TICKS_PER_MS 10000u
#define TIME 0x0200bff8u
#define COMPARE 0x02004000u
#define REAL_TIME_CLOCK 0x00101000u
#define NEVER UINT64_MAX

static struct {
  uint64_t started_at;
  uint64_t watchdog_at;
  uint32_t random;
} timer;

static uint64_t now(void) {
  uint32_t high;
  uint32_t low;
  do {
    high = *machine_register(TIME + 4);
    low = *machine_register(TIME);
  } while (*machine_register(TIME + 4) != high);
  return (uint64_t)high << 32 | low;
}

/* The upper half is out of reach meanwhile: no interrupt comes from a half-written time. */
static void interrupt_at(uint64_t at) {
  *machine_register(COMPARE + 4) = UINT32_MAX;
  *machine_register(COMPARE) = (uint32_t)at;
  *machine_register(COMPARE + 4) = (uint32_t)(at >> 32);
}

void timer_start(void) {
  timer.started_at = now();
  timer.watchdog_at = NEVER;
  timer.random = *machine_register(REAL_TIME_CLOCK);
  interrupt_at(NEVER);
}

void timer_interrupt(void) {
  if (now() >= timer.watchdog_at) reset_by_watchdog();
  interrupt_at(timer.watchdog_at);
}

uint32_t port_now_ms(void) { return (uint32_t)((now() - timer.started_at) / TICKS_PER_MS); }

void port_sleep(uint32_t max_ms) {
  uint64_t wake_at = now() + (uint64_t)max_ms * TICKS_PER_MS;
  for (;;) {
    /* With interrupts off, wfi still ends when one is pending: none can slip in between the question and the sleep. */
    MACHINE_CSR_CLEAR("mstatus", MACHINE_INTERRUPTS);
    if (uart_has_news() || now() >= wake_at) break;
    interrupt_at(wake_at < timer.watchdog_at ? wake_at : timer.watchdog_at);
    __asm__ volatile("wfi");
    MACHINE_CSR_SET("mstatus", MACHINE_INTERRUPTS);
  }
  interrupt_at(timer.watchdog_at);
  MACHINE_CSR_SET("mstatus", MACHINE_INTERRUPTS);
}

void port_watchdog_feed(uint32_t timeout_ms) {
  MACHINE_CSR_CLEAR("mstatus", MACHINE_INTERRUPTS);
  timer.watchdog_at = now() + (uint64_t)timeout_ms * TICKS_PER_MS;
  interrupt_at(timer.watchdog_at);
  MACHINE_CSR_SET("mstatus", MACHINE_INTERRUPTS);
}

/* xorshift32, stirred with the clock: its seed is the real time, and the time of each call is in it. */
uint32_t port_random(void) {
  uint32_t value = timer.random ^ (uint32_t)now();
  if (value == 0) value = 1;
  value ^= value << 13;
  value ^= value >> 17;
  value ^= value << 5;
  timer.random = value;
  return value;
}
