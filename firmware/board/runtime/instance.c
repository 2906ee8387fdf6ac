/* The instance of a module: no address that it answers is believed, and after a fall it is not asked again. */

#include "instance.h"

#include <stddef.h>
#include <string.h>

#include "../engine/engine.h"
#include "../port/port.h"
#include "runtime.h"

#define WHY_LENGTH_MAX 95u

const wasm_module_function instance_exports[CALL_COUNT] = {
    [CALL_BLOCK_AT] = {"blockAt", 0},
    [CALL_BLOCK_LENGTH] = {"blockLength", 0},
    [CALL_CLIENT_SIZE] = {"clientSize", 5},
    [CALL_CLIENT_INIT] = {"clientInit", 6},
    [CALL_SET_NEXT_PACKET_ID] = {"setNextPacketId", 2},
    [CALL_SET_CLIENT_ID] = {"setClientId", 3},
    [CALL_SET_USER_NAME] = {"setUserName", 3},
    [CALL_SET_PASSWORD] = {"setPassword", 3},
    [CALL_CONFIGURE] = {"configure", 4},
    [CALL_SET_SEQUENCE] = {"setSequence", 2},
    [CALL_SET_CLOCK] = {"setClock", 4},
    [CALL_CONNECT] = {"connect", 5},
    [CALL_CONNECTION_LOST] = {"connectionLost", 1},
    [CALL_RECEIVE_AT] = {"receiveAt", 1},
    [CALL_RECEIVE_ROOM] = {"receiveRoom", 1},
    [CALL_RECEIVED] = {"received", 2},
    [CALL_POLL] = {"poll", 2},
    [CALL_EVENT_AT] = {"eventAt", 1},
    [CALL_TRANSMIT_AT] = {"transmitAt", 1},
    [CALL_TRANSMIT_LENGTH] = {"transmitLength", 1},
    [CALL_TRANSMITTED] = {"transmitted", 3},
    [CALL_STORE_LENGTH] = {"storeLength", 1},
    [CALL_STORE_AT] = {"storeAt", 1},
    [CALL_STORED] = {"stored", 2},
    [CALL_SAVE_IMAGE] = {"saveImage", 6},
    [CALL_RESTORE] = {"restore", 3},
    [CALL_TICK] = {"tick", 2},
    [CALL_NEXT_DEADLINE_MS] = {"nextDeadlineMs", 2},
    [CALL_READING] = {"reading", 3},
    [CALL_READING_PUBLISHED] = {"readingPublished", 1},
    [CALL_SEQUENCE] = {"sequence", 1},
    [CALL_INTERVAL_MS] = {"intervalMs", 1},
    [CALL_SET_PROFILE] = {"setProfile", 3},
};

#define ARGUMENT_COUNT_MAX 6

static struct {
  engine_function *functions[CALL_COUNT];
  uint32_t memory_length;
  bool has_fallen;
  char why[WHY_LENGTH_MAX + 1];
} instance;

static void keep_why(const char *why, const char *what);

bool instance_start(const module_place *place) {
  instance_stop();
  instance.has_fallen = false;
  instance.why[0] = '\0';
  instance.memory_length = place->memory_length;
  if (!engine_start(place->module, place->module_length, place->memory_length, place->heap, place->heap_length)) {
    instance_fall(engine_error());
    return false;
  }
  for (uint32_t call = 0; call < CALL_COUNT; call++) {
    /* The engine compiles what it can reach; nothing of it runs. */
    port_watchdog_feed(RUNTIME_WATCHDOG_MS);
    instance.functions[call] = engine_find(instance_exports[call].name, instance_exports[call].argument_count);
    if (instance.functions[call] != NULL || call == CALL_SET_PROFILE) continue;
    keep_why("it has no export ", instance_exports[call].name);
    return false;
  }
  return true;
}

void instance_stop(void) {
  engine_stop();
  memset(instance.functions, 0, sizeof instance.functions);
  instance.memory_length = 0;
}

bool instance_has(instance_call call) {
  return instance.functions[call] != NULL;
}

int32_t instance_ask(instance_call call, const uint32_t *arguments) {
  if (instance.has_fallen || instance.functions[call] == NULL) return 0;
  int32_t values[ARGUMENT_COUNT_MAX];
  const uint32_t count = instance_exports[call].argument_count;
  for (uint32_t index = 0; index < count; index++) values[index] = (int32_t)arguments[index];
  int32_t answer = 0;
  if (engine_call(instance.functions[call], values, count, &answer)) return answer;
  instance_fall(engine_error());
  return 0;
}

uint8_t *instance_memory(uint32_t at, uint32_t length) {
  if (instance.has_fallen) return NULL;
  if (length <= instance.memory_length && at <= instance.memory_length - length) return engine_memory() + at;
  instance_fall("it answered an address outside of its memory");
  return NULL;
}

void instance_fall(const char *why) {
  keep_why(why, "");
}

bool instance_has_fallen(void) {
  return instance.has_fallen;
}

const char *instance_why(void) {
  return instance.why;
}

static void keep_why(const char *why, const char *what) {
  if (instance.has_fallen) return;
  instance.has_fallen = true;
  size_t length = 0;
  while (*why != '\0' && length < WHY_LENGTH_MAX) instance.why[length++] = *why++;
  while (*what != '\0' && length < WHY_LENGTH_MAX) instance.why[length++] = *what++;
  instance.why[length] = '\0';
}
