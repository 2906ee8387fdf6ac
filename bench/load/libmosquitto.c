/* libmosquitto in one epoll loop, as a careful programmer would drive it: no thread, no queue of its own. */

#define _GNU_SOURCE

#include <mosquitto.h>
#include <sys/epoll.h>

#include "generator.h"

#define EVENT_COUNT_MAX 512
#define BURST_COUNT 100
#define KEEP_ALIVE_SECONDS 60

struct device {
  struct mosquitto *client;
  char topic[TOPIC_LENGTH + 1];
  int socket;
  int is_connected;
  int inflight_count;
  int is_blocked;
};

static struct arguments arguments;
static struct measurement measurement;
static struct device *devices;
static char *payload;
static int epoll_fd;
static int connected_count;

static void check(const char *what, int result) {
  if (result == MOSQ_ERR_SUCCESS) return;
  fprintf(stderr, "%s: %s\n", what, mosquitto_strerror(result));
  exit(1);
}

static void on_connect(struct mosquitto *client, void *object, int return_code) {
  (void)client;
  struct device *device = object;
  if (return_code != 0) check("CONNACK", MOSQ_ERR_CONN_REFUSED);
  device->is_connected = 1;
  connected_count++;
}

static void on_publish(struct mosquitto *client, void *object, int packet_id) {
  (void)client;
  (void)packet_id;
  struct device *device = object;
  if (arguments.qos == 0) return;
  device->inflight_count--;
  measurement.acknowledged_count++;
}

static void start_connect(struct device *device, int number) {
  char id[CLIENT_ID_LENGTH + 1];
  client_id(id, number);
  topic_name(device->topic, number);
  device->client = mosquitto_new(id, true, device);
  if (device->client == NULL) check("mosquitto_new", MOSQ_ERR_NOMEM);
  mosquitto_connect_callback_set(device->client, on_connect);
  mosquitto_publish_callback_set(device->client, on_publish);
  mosquitto_int_option(device->client, MOSQ_OPT_TCP_NODELAY, 1);
  check("connect", mosquitto_connect(device->client, "127.0.0.1", arguments.port, KEEP_ALIVE_SECONDS));
  device->socket = mosquitto_socket(device->client);
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = device};
  if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, device->socket, &event) < 0) check("epoll_ctl", MOSQ_ERR_ERRNO);
}

static void set_blocked(struct device *device, int is_blocked) {
  if (device->is_blocked == is_blocked) return;
  device->is_blocked = is_blocked;
  struct epoll_event event = {.events = is_blocked ? EPOLLIN | EPOLLOUT : EPOLLIN, .data.ptr = device};
  epoll_ctl(epoll_fd, EPOLL_CTL_MOD, device->socket, &event);
}

static void publish(struct device *device) {
  check("publish", mosquitto_publish(device->client, NULL, device->topic, arguments.payload_length, payload, arguments.qos, false));
  device->inflight_count += arguments.qos > 0;
  measurement.message_count++;
}

static void publish_burst(struct device *device) {
  for (int count = 0; count < BURST_COUNT; count++) {
    if (mosquitto_want_write(device->client)) break;
    if (device->inflight_count >= INFLIGHT_COUNT_MAX) break;
    publish(device);
  }
  set_blocked(device, mosquitto_want_write(device->client));
}

static void wait_for_events(int timeout_ms) {
  struct epoll_event events[EVENT_COUNT_MAX];
  int count = epoll_wait(epoll_fd, events, EVENT_COUNT_MAX, timeout_ms);
  for (int index = 0; index < count; index++) {
    struct device *device = events[index].data.ptr;
    if (events[index].events & EPOLLIN) check("read", mosquitto_loop_read(device->client, 1));
    if (mosquitto_want_write(device->client)) check("write", mosquitto_loop_write(device->client, 1));
    if (arguments.rate == 0 && arguments.qos > 0 && connected_count == arguments.device_count) publish_burst(device);
    else set_blocked(device, mosquitto_want_write(device->client));
  }
}

static void connect_all(void) {
  devices = calloc((size_t)arguments.device_count, sizeof *devices);
  int started = 0;
  while (connected_count < arguments.device_count) {
    while (started < arguments.device_count && started - connected_count < CONNECTING_COUNT_MAX) {
      start_connect(&devices[started], started + 1);
      started++;
    }
    wait_for_events(1000);
  }
}

/* Once a second, as mosquitto_loop_misc wants it. */
static void keep_alive(void) {
  static double done_at;
  if (now_seconds() - done_at < 1) return;
  done_at = now_seconds();
  for (int index = 0; index < arguments.device_count; index++) check("misc", mosquitto_loop_misc(devices[index].client));
}

static void run_paced(double ends_at) {
  while (now_seconds() < ends_at) {
    long due = due_count(&measurement, &arguments);
    while (measurement.message_count < due) publish(&devices[measurement.message_count % arguments.device_count]);
    wait_for_events(1);
    keep_alive();
  }
}

static void run_unpaced(double ends_at) {
  while (now_seconds() < ends_at) {
    int open_count = 0;
    if (arguments.qos == 0) {
      for (int index = 0; index < arguments.device_count; index++) {
        if (!devices[index].is_blocked) publish_burst(&devices[index]);
        open_count += !devices[index].is_blocked;
      }
    }
    wait_for_events(open_count > 0 ? 0 : 100);
    keep_alive();
  }
}

int main(int argc, char **argv) {
  arguments = read_arguments(argc, argv);
  mosquitto_lib_init();
  payload = malloc((size_t)arguments.payload_length);
  memset(payload, 'x', (size_t)arguments.payload_length);
  epoll_fd = epoll_create1(0);
  double started_at = now_seconds();
  double started_us = cpu_us();
  connect_all();
  begin(&measurement, started_at, started_us);
  if (arguments.rate == 0)
    for (int index = 0; index < arguments.device_count; index++) publish_burst(&devices[index]);
  measure(&measurement, &arguments, arguments.rate == 0 ? run_unpaced : run_paced);
  report(&measurement);
  return 0;
}
