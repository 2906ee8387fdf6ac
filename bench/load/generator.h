/* What both generators in C share: arguments, clocks, the connect window, pacing, and the line of JSON. */

#ifndef GENERATOR_H
#define GENERATOR_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* Before the window, or as long as the window if that is shorter; as in generator.mjs. */
#define WARM_UP_SECONDS 2.0

/* So many connections are being made at once, as in generator.mjs. */
#define CONNECTING_COUNT_MAX 50

/* At QoS 1 and unpaced, so many messages of one device wait for their PUBACK. */
#define INFLIGHT_COUNT_MAX 20

#define CLIENT_ID_LENGTH 10
#define TOPIC_LENGTH 26

struct arguments {
  int port;
  int device_count;
  long rate; /* messages a second of all devices together; 0: as fast as they can */
  double seconds;
  int qos;
  int payload_length;
};

/* Programs count from the moment that all are connected; the window opens when they have warmed up. */
struct measurement {
  long message_count;
  long acknowledged_count;
  double connect_cpu_us;
  double connect_seconds;
  long rss_bytes;
  double started_at;
  double window_started_at;
  double window_cpu_us;
  long window_message_count;
  long window_acknowledged_count;
};

static struct arguments read_arguments(int argc, char **argv) {
  if (argc < 7) {
    fprintf(stderr, "usage: %s PORT DEVICES RATE SECONDS QOS PAYLOAD_LENGTH\n", argv[0]);
    exit(2);
  }
  struct arguments arguments = {atoi(argv[1]), atoi(argv[2]), atol(argv[3]),
                                atof(argv[4]), atoi(argv[5]), atoi(argv[6])};
  return arguments;
}

static void client_id(char *text, int number) {
  snprintf(text, CLIENT_ID_LENGTH + 1, "mote-%05u", (unsigned)number % 100000);
}

static void topic_name(char *text, int number) {
  snprintf(text, TOPIC_LENGTH + 1, "motes/mote-%05u/telemetry", (unsigned)number % 100000);
}

static double now_seconds(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static double cpu_us(void) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6 +
         (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

static long rss_bytes(void) {
  long total = 0;
  long resident = 0;
  FILE *file = fopen("/proc/self/statm", "r");
  if (file == NULL) return 0;
  if (fscanf(file, "%ld %ld", &total, &resident) != 2) resident = 0;
  fclose(file);
  return resident * sysconf(_SC_PAGESIZE);
}

/* All devices are connected: messages begin. */
static void begin(struct measurement *measurement, double connect_started_at, double connect_started_us) {
  measurement->connect_seconds = now_seconds() - connect_started_at;
  measurement->connect_cpu_us = cpu_us() - connect_started_us;
  measurement->rss_bytes = rss_bytes();
  measurement->started_at = now_seconds();
}

static void open_window(struct measurement *measurement) {
  measurement->window_message_count = measurement->message_count;
  measurement->window_acknowledged_count = measurement->acknowledged_count;
  measurement->window_cpu_us = cpu_us();
  measurement->window_started_at = now_seconds();
}

/*
 * `run_until` keeps all devices busy, first to warm up and then for the window. Unpaced at QoS 0 there is no warming up:
 * the socket buffers take seconds' worth of messages, and once they are full the pace is the broker's.
 */
static void measure(struct measurement *measurement, const struct arguments *arguments, void (*run_until)(double ends_at)) {
  double warm_up = arguments->seconds < WARM_UP_SECONDS ? arguments->seconds : WARM_UP_SECONDS;
  if (arguments->rate > 0 || arguments->qos > 0) run_until(measurement->started_at + warm_up);
  open_window(measurement);
  run_until(measurement->window_started_at + arguments->seconds);
}

/* How many messages of all devices together are due so far. */
static long due_count(const struct measurement *measurement, const struct arguments *arguments) {
  return (long)((now_seconds() - measurement->started_at) * (double)arguments->rate);
}

static void report(const struct measurement *measurement) {
  double seconds = now_seconds() - measurement->window_started_at;
  printf("{\"messages\":%ld,\"acknowledged\":%ld,\"cpuUs\":%.0f,\"seconds\":%.3f,\"rssBytes\":%ld,"
         "\"connectCpuUs\":%.0f,\"connectSeconds\":%.3f}\n",
         measurement->message_count - measurement->window_message_count,
         measurement->acknowledged_count - measurement->window_acknowledged_count,
         cpu_us() - measurement->window_cpu_us, seconds, measurement->rss_bytes,
         measurement->connect_cpu_us, measurement->connect_seconds);
  fflush(stdout);
}

#endif
