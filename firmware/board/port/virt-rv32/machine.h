/* Registers of the QEMU `virt` machine and of its one hart, and what the files of this port ask of each other. */

#ifndef MACHINE_H
#define MACHINE_H

#include <stdbool.h>
#include <stdint.h>

static inline volatile uint32_t *machine_register(uint32_t address) { return (volatile uint32_t *)address; }

#define MACHINE_INTERRUPTS 8u
#define MACHINE_TIMER_INTERRUPT 0x80u
#define MACHINE_EXTERNAL_INTERRUPT 0x800u

#define MACHINE_CSR_SET(name, bits) __asm__ volatile(".option push\n.option arch, +zicsr\ncsrs " name ", %0\n.option pop" ::"r"(bits) : "memory")
#define MACHINE_CSR_CLEAR(name, bits) \
  __asm__ volatile(".option push\n.option arch, +zicsr\ncsrc " name ", %0\n.option pop" ::"r"(bits) : "memory")

/* -- uart.c -- */

void uart_start(void);
void uart_interrupt(void);
/* True when there is something to do for who sleeps: bytes arrived, or there is room again behind a write that took less than all. */
bool uart_has_news(void);

/* -- timer.c -- */

void timer_start(void);
void timer_interrupt(void);

/* -- reset.c -- */

void reset_start(void);
/* Resets with the reason `watchdog`: for the watchdog itself, and for a fault of the processor. */
_Noreturn void reset_by_watchdog(void);

#endif
