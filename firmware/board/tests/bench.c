/*
 * What a publish costs on virt-rv32, in ticks of the clock: run by tools/board-bench.mjs, which lays the module into slot 0 and its length into the area of
 * the state, and counts instructions with -icount. Prints NAME NUMBER lines, then "end".
 */

#include <string.h>

#include "engine.h"
#include "port.h"
#include "runtime.h"
#include "tunnel.h"

#define MEMORY_LENGTH 4096u
#define HEAP_LENGTH 49152u
#define WARM_COUNT 5u
#define ROUND_COUNT 200u
#define FUNCTION_COUNT_MAX 24u

/* Milliseconds that pass for the module from one reading to the next. */
#define STEP_MS 1000

#define PACKET_PUBLISH_QOS 0x06u

const link_driver tunnel_link;

static _Alignas(16) uint8_t heap[HEAP_LENGTH];

/* Addresses in the module's memory. */
static int32_t record;
static int32_t now_ms;

static void say(const char *text) {
  size_t length = strlen(text);
  while (length > 0) {
    size_t taken = port_serial_write((const uint8_t *)text, length);
    text += taken;
    length -= taken;
  }
}

static void say_number(const char *name, uint32_t value) {
  char digits[12];
  char *at = digits + sizeof digits - 1;
  *at = '\0';
  do {
    *--at = (char)('0' + value % 10);
    value /= 10;
  } while (value != 0);
  say(name);
  say(" ");
  say(at);
  say("\n");
}

static _Noreturn void end(const char *why) {
  say(why);
  say("\n");
  for (;;) *(volatile uint32_t *)0x00100000 = 0x5555;
}

/* Looked up once, as the runtime does it. Names are literals: the same one is at the same address. */
static engine_function *find(const char *name, uint32_t count) {
  static struct {
    const char *name;
    engine_function *function;
  } known[FUNCTION_COUNT_MAX];
  for (uint32_t index = 0; index < FUNCTION_COUNT_MAX; index++) {
    if (known[index].name == name) return known[index].function;
    if (known[index].name != NULL) continue;
    known[index].name = name;
    known[index].function = engine_find(name, count);
    return known[index].function;
  }
  return NULL;
}

static int32_t call(const char *name, uint32_t count, const int32_t *arguments) {
  engine_function *function = find(name, count);
  int32_t result = 0;
  if (function == NULL) end(name);
  if (!engine_call(function, arguments, count, &result)) end(engine_error());
  return result;
}

#define CALL(name, ...) \
  call(name, sizeof((int32_t[]){__VA_ARGS__}) / sizeof(int32_t), (int32_t[]){__VA_ARGS__})

static void receive(const uint8_t *bytes, int32_t length) {
  int32_t at = CALL("receiveAt", record);
  memcpy(engine_memory() + at, bytes, (size_t)length);
  CALL("received", record, length);
  while (CALL("poll", record, now_ms) > 0) continue;
}

/* What there is to send goes, and is acknowledged if it asks for that. */
static uint32_t transmit(void) {
  int32_t at = CALL("transmitAt", record);
  int32_t length = CALL("transmitLength", record);
  const uint8_t *packet = engine_memory() + at;
  bool is_acknowledged = (packet[0] & PACKET_PUBLISH_QOS) != 0;
  uint32_t topic_length = (uint32_t)packet[2] << 8 | packet[3];
  uint8_t acknowledgement[] = {0x40, 2, packet[4 + topic_length], packet[5 + topic_length]};
  CALL("transmitted", record, length, now_ms);
  if (is_acknowledged) receive(acknowledgement, sizeof acknowledgement);
  return (uint32_t)length;
}

/* Instructions are counted by the clock: port_now_ms of virt-rv32 divides it. */
static uint32_t ticks(void) { return *(volatile uint32_t *)0x0200bff8; }

/* The client alone: a message that is there goes to the outbox, and out. */
static void measure_publish(const char *name) {
  int32_t topic = record + 2600;
  uint32_t spent = 0;
  memcpy(engine_memory() + topic, "motes/bench/telemetry{\"temperature\":21.5}", 41);
  for (uint32_t round = 0; round < WARM_COUNT + ROUND_COUNT; round++) {
    uint32_t before = ticks();
    CALL("publish", record, topic, 21, topic + 21, 20, 0);
    transmit();
    if (round >= WARM_COUNT) spent += ticks() - before;
  }
  say_number(name, spent / ROUND_COUNT);
}

/* A reading becomes a message, with all its texts, and goes out. */
static void measure_reading(const char *name, int32_t qos) {
  CALL("configure", record, STEP_MS, 0, qos);
  uint32_t spent = 0;
  /* The first rounds look functions up and compile them. */
  for (uint32_t round = 0; round < WARM_COUNT + ROUND_COUNT; round++) {
    now_ms += STEP_MS;
    CALL("tick", record, now_ms);
    uint32_t before = ticks();
    CALL("reading", record, 20000 + (int32_t)round, now_ms);
    transmit();
    if (round >= WARM_COUNT) spent += ticks() - before;
  }
  say_number(name, spent / ROUND_COUNT);
}

static void connect_client(void) {
  static const uint8_t connack[] = {0x20, 2, 0, 0};
  static const uint8_t suback[] = {0x90, 3, 0, 2, 0};
  record = call("blockAt", 0, NULL);
  CALL("clientInit", record, 256, 512, 128, 4, 0);
  memcpy(engine_memory() + record + 2600, "bench", 5);
  CALL("setClientId", record, record + 2600, 5);
  CALL("connect", record, 1, 0, 0, now_ms);
  CALL("transmitted", record, CALL("transmitLength", record), now_ms);
  receive(connack, sizeof connack);
  CALL("transmitted", record, CALL("transmitLength", record), now_ms);
  receive((const uint8_t[]){0x40, 2, 0, 1}, 4);
  receive(suback, sizeof suback);
}

_Noreturn void runtime_run(const link_driver *link) {
  (void)link;
  uint32_t length = 0;
  memcpy(&length, port_flash_at(PORT_AREA_STATE), sizeof length);
  uint32_t before = ticks();
  if (!engine_start(port_flash_at(PORT_AREA_SLOT_0), length, MEMORY_LENGTH, heap, sizeof heap)) end(engine_error());
  say_number("start", ticks() - before);
  say_number("heap-start", engine_heap_used());
  say_number("stack-start", port_stack().used);
  connect_client();
  measure_publish("publish");
  measure_reading("reading-qos-0", 0);
  measure_reading("reading-qos-1", 1);
  say_number("heap", engine_heap_used());
  say_number("stack", port_stack().used);
  end("end");
}
