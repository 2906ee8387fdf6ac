/* What measures: one temperature sensor, of the port's choice or simulated. */

#ifndef SENSOR_H
#define SENSOR_H

#include <stdbool.h>
#include <stdint.h>

/* Once, before the first reading. `seed` makes simulated sensors differ. */
void sensor_start(uint32_t seed);

/* Thousandths of a degree Celsius at this time. False: the sensor did not answer, and there is no reading. */
bool sensor_read(uint32_t now_ms, int32_t *milli_celsius);

#endif
