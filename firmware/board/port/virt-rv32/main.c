/* Where start.S goes: sets the board up and runs the runtime; and who gets which interrupt. */

#include "machine.h"

#include "runtime.h"
#include "tunnel.h"
#include "port.h"

#define CAUSE_TIMER 0x80000007u
#define CAUSE_EXTERNAL 0x8000000bu

_Noreturn void port_main(void);
void interrupt_handle(uint32_t cause);

_Noreturn void port_main(void) {
  reset_start();
  uart_start();
  timer_start();
  MACHINE_CSR_SET("mie", MACHINE_TIMER_INTERRUPT | MACHINE_EXTERNAL_INTERRUPT);
  MACHINE_CSR_SET("mstatus", MACHINE_INTERRUPTS);
  runtime_run(&tunnel_link);
}

void interrupt_handle(uint32_t cause) {
  if (cause == CAUSE_TIMER) {
    timer_interrupt();
  } else if (cause == CAUSE_EXTERNAL) {
    uart_interrupt();
  } else {
    reset_by_watchdog();
  }
}

const char *port_name(void) { return "virt-rv32"; }
