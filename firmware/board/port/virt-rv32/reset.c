/* Why the board started, how it starts again, and how deep its stack went. */

#include "machine.h"

#include "port.h"

#define TEST_DEVICE 0x00100000u
#define TEST_DEVICE_RESET 0x7777u

#define MARK_REQUEST 0x52455155u
#define MARK_WATCHDOG 0x57415443u

#define PAINT 0xa5a5a5a5u

extern uint32_t reset_mark;
extern uint32_t stack_bottom;
extern uint32_t stack_top;

static port_reset_reason reason;

/* The mark lies outside of what is loaded or cleared at a start; after a loss of power it is anything else. */
void reset_start(void) {
  if (reset_mark == MARK_REQUEST) {
    reason = PORT_RESET_REQUEST;
  } else if (reset_mark == MARK_WATCHDOG) {
    reason = PORT_RESET_WATCHDOG;
  } else {
    reason = PORT_RESET_POWER;
  }
  reset_mark = 0;
}

static _Noreturn void reset(uint32_t mark) {
  reset_mark = mark;
  MACHINE_CSR_CLEAR("mstatus", MACHINE_INTERRUPTS);
  for (;;) *machine_register(TEST_DEVICE) = TEST_DEVICE_RESET;
}

_Noreturn void reset_by_watchdog(void) { reset(MARK_WATCHDOG); }

port_reset_reason port_why_reset(void) { return reason; }

_Noreturn void port_reset(void) { reset(MARK_REQUEST); }

port_stack_info port_stack(void) {
  const uint32_t *deepest = &stack_bottom;
  while (deepest < &stack_top && *deepest == PAINT) deepest++;
  return (port_stack_info){
      .used = (uint32_t)((const uint8_t *)&stack_top - (const uint8_t *)deepest),
      .size = (uint32_t)((const uint8_t *)&stack_top - (const uint8_t *)&stack_bottom),
  };
}
