/* The areas of port.h as partitions: partitions.csv. */

#ifndef FLASH_H
#define FLASH_H

/* Once, before the runtime: finds and maps the partitions, and stops the board without them. */
void flash_start(void);

#endif
