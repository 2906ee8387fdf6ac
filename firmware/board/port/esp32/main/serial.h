/* The serial line: the chip's own USB plug, or UART0. */

#ifndef SERIAL_H
#define SERIAL_H

/* Once, before the runtime. */
void serial_start(void);

#endif
