/* What the files of the posix port ask of each other. */

#ifndef POSIX_H
#define POSIX_H

#include <stdbool.h>

#include "port.h"

/* -- main.c -- */

/* Says what is wrong on stderr and ends the program with 1. */
_Noreturn void posix_fail(const char *what, const char *name);

/* -- serial.c -- */

/* Opens the line: a device or a pty that exists, or a new pty if `path` is NULL. The pty stays the same over resets. */
void serial_start(const char *path);

/* -- clock.c -- */

void clock_start(void);

/* -- flash.c -- */

/* Keeps the flash in a file, which is made if there is none; in memory if `path` is NULL. */
void flash_start(const char *path);

/* -- reset.c -- */

/* Remembers how to start again, and why it was started. */
void reset_start(char *const *arguments);

/* A file descriptor that the process before has left under this name, or -1; and leaves one. Both before `reset_start`'s environment is used. */
int reset_kept_descriptor(void);
void reset_keep_descriptor(int descriptor);

/* From a signal handler, too. */
_Noreturn void reset_by(port_reset_reason reason);

#endif
