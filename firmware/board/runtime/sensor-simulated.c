/* A simulated sensor: a room whose temperature follows the hours, and some noise; the same seed gives the same readings. */

#include "sensor.h"

#define MEAN_MILLI_CELSIUS 21000
#define SWING_MILLI_CELSIUS 2000
#define NOISE_MILLI_CELSIUS 50
/* One period of the curve: short, so that people see it move. */
#define PERIOD_MS 600000u
/* Of half a period. */
#define STEP_COUNT 1000

static struct {
  uint32_t noise;
  uint32_t phase_ms;
} sensor;

/* xorshift32: never 0. */
static uint32_t next_noise(void) {
  sensor.noise ^= sensor.noise << 13;
  sensor.noise ^= sensor.noise >> 17;
  sensor.noise ^= sensor.noise << 5;
  return sensor.noise;
}

void sensor_start(uint32_t seed) {
  sensor.noise = seed == 0 ? 1 : seed;
  sensor.phase_ms = next_noise() % PERIOD_MS;
}

/* A parabola for each half period: a sine for those who have no floating point. Between -SWING and SWING. */
static int32_t curve(uint32_t position_ms) {
  const uint32_t half_ms = PERIOD_MS / 2;
  const int32_t x = (int32_t)(position_ms % half_ms / (half_ms / STEP_COUNT));
  const int32_t height = 4 * SWING_MILLI_CELSIUS * x / STEP_COUNT * (STEP_COUNT - x) / STEP_COUNT;
  return position_ms < half_ms ? height : -height;
}

bool sensor_read(uint32_t now_ms, int32_t *milli_celsius) {
  const uint32_t position_ms = (now_ms % PERIOD_MS + sensor.phase_ms) % PERIOD_MS;
  const int32_t noise = (int32_t)(next_noise() % (2 * NOISE_MILLI_CELSIUS + 1)) - NOISE_MILLI_CELSIUS;
  *milli_celsius = MEAN_MILLI_CELSIUS + curve(position_ms) + noise;
  return true;
}
