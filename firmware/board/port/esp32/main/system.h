/* The chip under the runtime: identity, time, resets, watchdog, stack. */

#ifndef SYSTEM_H
#define SYSTEM_H

/* Of the thread in which the runtime runs, in bytes. */
#define SYSTEM_STACK_LENGTH 12288u

#endif
