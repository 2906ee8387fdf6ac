/* The floor: epoll, prebuilt bytes, one send each. What a message costs when nothing but the system call is left. */

#define _GNU_SOURCE

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "generator.h"

#define EVENT_COUNT_MAX 512
#define CHUNK_LENGTH 16384

struct device {
  int socket;
  int number;
  int is_connected;
  uint8_t *packets; /* one packet, or unpaced a run of them */
  int sent_of_run;  /* bytes of the run at QoS 0, packets at QoS 1 */
  uint16_t packet_id;
  long received_length;
};

static struct arguments arguments;
static struct measurement measurement;
static struct device *devices;
static int epoll_fd;
static int packet_length;
static int run_count; /* packets in `packets` */
static int started_count;
static int connected_count;

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static int id_offset(void) { return packet_length - arguments.payload_length - 2; }

static uint8_t *write_field(uint8_t *at, const void *bytes, int length) {
  *at++ = (uint8_t)(length >> 8);
  *at++ = (uint8_t)length;
  memcpy(at, bytes, (size_t)length);
  return at + length;
}

static void build_packets(struct device *device) {
  char topic[TOPIC_LENGTH + 1];
  topic_name(topic, device->number);
  int topic_length = (int)strlen(topic);
  int remaining = 2 + topic_length + (arguments.qos > 0 ? 2 : 0) + arguments.payload_length;
  packet_length = remaining + (remaining < 128 ? 2 : 3);
  device->packets = malloc((size_t)(packet_length * run_count));
  uint8_t *at = device->packets;
  for (int index = 0; index < run_count; index++) {
    *at++ = (uint8_t)(0x30 | (arguments.qos << 1));
    if (remaining < 128) *at++ = (uint8_t)remaining;
    else {
      *at++ = (uint8_t)(0x80 | (remaining & 0x7f));
      *at++ = (uint8_t)(remaining >> 7);
    }
    at = write_field(at, topic, topic_length);
    if (arguments.qos > 0) {
      *at++ = 0;
      *at++ = (uint8_t)(1 + index % INFLIGHT_COUNT_MAX);
    }
    memset(at, 'x', (size_t)arguments.payload_length);
    at += arguments.payload_length;
  }
}

static void start_connect(struct device *device) {
  device->socket = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  if (device->socket < 0) fail("socket");
  int one = 1;
  setsockopt(device->socket, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)arguments.port)};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(device->socket, (struct sockaddr *)&address, sizeof address) < 0 && errno != EINPROGRESS) fail("connect");
  struct epoll_event event = {.events = EPOLLOUT, .data.ptr = device};
  if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, device->socket, &event) < 0) fail("epoll_ctl");
}

static void listen_for(struct device *device, uint32_t events) {
  struct epoll_event event = {.events = events, .data.ptr = device};
  if (epoll_ctl(epoll_fd, EPOLL_CTL_MOD, device->socket, &event) < 0) fail("epoll_ctl");
}

static void send_connect(struct device *device) {
  uint8_t packet[64] = {0x10, 12 + CLIENT_ID_LENGTH, 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 60};
  char id[CLIENT_ID_LENGTH + 1];
  client_id(id, device->number);
  write_field(packet + 12, id, CLIENT_ID_LENGTH);
  if (send(device->socket, packet, 14 + CLIENT_ID_LENGTH, 0) != 14 + CLIENT_ID_LENGTH) fail("CONNECT");
  listen_for(device, EPOLLIN);
}

static void publish(struct device *device) {
  if (arguments.qos > 0) {
    device->packet_id = (uint16_t)(device->packet_id % 65535 + 1);
    device->packets[id_offset()] = (uint8_t)(device->packet_id >> 8);
    device->packets[id_offset() + 1] = (uint8_t)device->packet_id;
  }
  if (send(device->socket, device->packets, (size_t)packet_length, 0) != packet_length) fail("PUBLISH");
  measurement.message_count++;
}

/* Unpaced at QoS 0: as many bytes as the socket takes of the run, and over again. */
static void pour(struct device *device) {
  int run_length = packet_length * run_count;
  ssize_t length = send(device->socket, device->packets + device->sent_of_run, (size_t)(run_length - device->sent_of_run), 0);
  if (length < 0) {
    if (errno == EAGAIN) return;
    fail("send");
  }
  int before = device->sent_of_run / packet_length;
  device->sent_of_run += (int)length;
  measurement.message_count += device->sent_of_run / packet_length - before;
  if (device->sent_of_run == run_length) device->sent_of_run = 0;
}

/* Unpaced at QoS 1: as many messages in one send as were acknowledged. The run holds each identifier twice. */
static void refill(struct device *device, int count) {
  int length = count * packet_length;
  if (send(device->socket, device->packets + device->sent_of_run * packet_length, (size_t)length, 0) != length) fail("send");
  device->sent_of_run = (device->sent_of_run + count) % INFLIGHT_COUNT_MAX;
  measurement.message_count += count;
}

static void receive(struct device *device) {
  uint8_t bytes[4096];
  ssize_t length = recv(device->socket, bytes, sizeof bytes, 0);
  if (length <= 0) {
    fprintf(stderr, "the broker closed the connection of device %d\n", device->number);
    exit(1);
  }
  if (!device->is_connected) {
    if (length != 4 || bytes[0] != 0x20 || bytes[3] != 0) fail("CONNACK");
    device->is_connected = 1;
    connected_count++;
    return;
  }
  long before = device->received_length / 4;
  device->received_length += length;
  int acknowledged = (int)(device->received_length / 4 - before);
  measurement.acknowledged_count += acknowledged;
  if (arguments.rate == 0 && acknowledged > 0) refill(device, acknowledged);
}

static void wait_for_events(int timeout_ms) {
  struct epoll_event events[EVENT_COUNT_MAX];
  int count = epoll_wait(epoll_fd, events, EVENT_COUNT_MAX, timeout_ms);
  for (int index = 0; index < count; index++) {
    struct device *device = events[index].data.ptr;
    if (events[index].events & (EPOLLIN | EPOLLERR | EPOLLHUP)) receive(device);
    else if (!device->is_connected) send_connect(device);
    else pour(device);
  }
}

static void connect_all(void) {
  devices = calloc((size_t)arguments.device_count, sizeof *devices);
  for (int number = 1; number <= arguments.device_count; number++) {
    devices[number - 1].number = number;
    build_packets(&devices[number - 1]);
  }
  while (connected_count < arguments.device_count) {
    while (started_count < arguments.device_count && started_count - connected_count < CONNECTING_COUNT_MAX)
      start_connect(&devices[started_count++]);
    wait_for_events(1000);
  }
}

static void run_paced(double ends_at) {
  while (now_seconds() < ends_at) {
    long due = due_count(&measurement, &arguments);
    while (measurement.message_count < due) publish(&devices[measurement.message_count % arguments.device_count]);
    wait_for_events(1);
  }
}

static void begin_unpaced(void) {
  for (int index = 0; index < arguments.device_count; index++) {
    if (arguments.qos == 0) listen_for(&devices[index], EPOLLIN | EPOLLOUT);
    else refill(&devices[index], INFLIGHT_COUNT_MAX);
  }
}

static void run_unpaced(double ends_at) {
  while (now_seconds() < ends_at) wait_for_events(100);
}

int main(int argc, char **argv) {
  arguments = read_arguments(argc, argv);
  run_count = 1;
  if (arguments.rate == 0)
    run_count = arguments.qos > 0 ? 2 * INFLIGHT_COUNT_MAX : CHUNK_LENGTH / (arguments.payload_length + TOPIC_LENGTH + 5);
  epoll_fd = epoll_create1(0);
  double started_at = now_seconds();
  double started_us = cpu_us();
  connect_all();
  begin(&measurement, started_at, started_us);
  if (arguments.rate == 0) begin_unpaced();
  measure(&measurement, &arguments, arguments.rate == 0 ? run_unpaced : run_paced);
  report(&measurement);
  return 0;
}
