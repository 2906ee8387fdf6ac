/* The driver of one module: the loop of docs/abi.md over one link, with the journal before every byte that goes. */

#include "module.h"

#include "../port/port.h"
#include "console.h"
#include "instance.h"
#include "record.h"
#include "sensor.h"

/* Event of docs/abi.md. */
#define EVENT_CONNECTED 1
#define EVENT_REFUSED 2
#define EVENT_SUBSCRIBED 4
#define EVENT_MESSAGE 6
#define EVENT_MESSAGE_SKIPPED 7
#define EVENT_DROPPED 8
#define EVENT_READING_DUE 64
#define EVENT_COMMAND_DONE 65
#define EVENT_COMMAND_UNKNOWN 66

/* Status of docs/abi.md. */
#define STATUS_MALFORMED_PACKET (-16)
#define STATUS_PROTOCOL_VIOLATION (-17)
#define STATUS_RESPONSE_TIMEOUT (-18)
#define STATUS_INCOMING_FULL (-19)

#define SUBSCRIBE_FAILURE 0x80u

#define KEEP_ALIVE_SECONDS 30u
#define RESPONSE_TIMEOUT_MS 10000u

/* As host/src/client/reconnect.ts. */
#define RECONNECT_BASE_MS 1000u
#define RECONNECT_MAX_MS 60000u
#define RECONNECT_STABLE_MS 30000u
#define DOUBLING_COUNT_MAX 6u

/* A module that always has another event, or other bytes, does not keep the runtime from its other work. */
#define EVENT_COUNT_MAX 32
#define TURN_COUNT_MAX 16

/* No connection, and when to try again; the link makes one; the module has been told of it. */
typedef enum { CONNECTION_WAITING, CONNECTION_OPENING, CONNECTION_OPEN } connection_state;

static struct {
  module_state state;
  const char *why;
  const link_driver *link;
  connection_state connection;
  bool is_connected;
  /* When the server accepted the connection, and when to connect again. */
  uint32_t connected_at_ms;
  uint32_t ended_at_ms;
  uint32_t delay_ms;
  uint32_t attempt_count;
  /* The last round ended because of its limits. */
  bool has_more;
  /* People were told, and nothing has changed since. */
  bool is_sensor_silent;
  bool is_outbox_full;
  uint32_t published_count;
} module = {.why = ""};

static void look_at_link(uint32_t now_ms);
static bool take_bytes(uint32_t now_ms);
static bool take_events(uint32_t now_ms);
static bool do_what_is_due(uint32_t now_ms);
static bool pass_on(uint32_t now_ms);
static bool has_failed(uint32_t now_ms);

bool module_start(const module_place *place, const module_settings *settings, const link_driver *link, uint32_t now_ms) {
  module.state = MODULE_RUNNING;
  module.why = "";
  module.link = link;
  module.connection = CONNECTION_WAITING;
  module.is_connected = false;
  module.ended_at_ms = now_ms;
  module.delay_ms = 0;
  module.attempt_count = 0;
  module.has_more = false;
  module.is_sensor_silent = false;
  module.is_outbox_full = false;
  if (instance_start(place)) record_make(settings);
  return !has_failed(now_ms);
}

void module_run(uint32_t now_ms) {
  if (module.state != MODULE_RUNNING) return;
  look_at_link(now_ms);
  uint32_t turn_count = 0;
  bool has_done = true;
  while (has_done && turn_count < TURN_COUNT_MAX) {
    has_done = take_bytes(now_ms);
    has_done = take_events(now_ms) || has_done;
    has_done = do_what_is_due(now_ms) || has_done;
    has_done = pass_on(now_ms) || has_done;
    turn_count++;
  }
  module.has_more = has_done;
  has_failed(now_ms);
}

uint32_t module_next_deadline_ms(uint32_t now_ms) {
  if (module.state != MODULE_RUNNING) return UINT32_MAX;
  if (module.has_more) return 0;
  const uint32_t due_ms = (uint32_t)ASK(CALL_NEXT_DEADLINE_MS, record_at(), now_ms);
  if (module.connection != CONNECTION_WAITING || module.link->state() != LINK_DOWN) return due_ms;
  const uint32_t waited_ms = now_ms - module.ended_at_ms;
  const uint32_t left_ms = waited_ms < module.delay_ms ? module.delay_ms - waited_ms : 0;
  return left_ms < due_ms ? left_ms : due_ms;
}

void module_stop(uint32_t now_ms) {
  if (module.state == MODULE_RUNNING) {
    ASK(CALL_CONNECTION_LOST, record_at());
    record_keep();
  }
  if (module.link != NULL) module.link->close(LINK_CLOSE_RESTART, now_ms);
  instance_stop();
  module.is_connected = false;
  module.state = MODULE_STOPPED;
}

module_state module_now(void) {
  return module.state;
}

const char *module_why(void) {
  return module.why;
}

bool module_is_connected(void) {
  return module.is_connected;
}

uint32_t module_published_count(void) {
  return module.published_count;
}

/* True if the module has fallen or cannot go on: then there is no instance any more, and no connection. */
static bool has_failed(uint32_t now_ms) {
  const bool is_refused = record_why()[0] != '\0';
  if (module.state != MODULE_RUNNING || (!instance_has_fallen() && !is_refused)) return module.state != MODULE_RUNNING;
  module.state = instance_has_fallen() ? MODULE_FELL : MODULE_REFUSED;
  module.why = instance_has_fallen() ? instance_why() : record_why();
  module.is_connected = false;
  module.link->close(LINK_CLOSE_RESTART, now_ms);
  instance_stop();
  return true;
}

/* -- The connection -- */

/* Full jitter, so that boards that lost their server at one moment do not come back at one moment. */
static uint32_t next_delay_ms(void) {
  const uint32_t doubled_ms = RECONNECT_BASE_MS << (module.attempt_count < DOUBLING_COUNT_MAX ? module.attempt_count : DOUBLING_COUNT_MAX);
  module.attempt_count++;
  return port_random() % (doubled_ms < RECONNECT_MAX_MS ? doubled_ms : RECONNECT_MAX_MS);
}

/* The connection is over, or could not be made. What is said of it was composed before: the reason. */
static void end_connection(link_close_reason reason, uint32_t now_ms) {
  if (module.is_connected && now_ms - module.connected_at_ms >= RECONNECT_STABLE_MS) module.attempt_count = 0;
  module.link->close(reason, now_ms);
  if (module.connection == CONNECTION_OPEN) ASK(CALL_CONNECTION_LOST, record_at());
  module.connection = CONNECTION_WAITING;
  module.is_connected = false;
  module.ended_at_ms = now_ms;
  module.delay_ms = next_delay_ms();
  console_text("; next attempt in ");
  console_number(module.delay_ms);
  console_text(" ms");
  console_end();
}

static const char *status_text(int32_t status) {
  switch (status) {
    case STATUS_MALFORMED_PACKET:
      return "the broker sent bytes that are no MQTT packet";
    case STATUS_PROTOCOL_VIOLATION:
      return "the broker sent a packet that may not come here";
    case STATUS_RESPONSE_TIMEOUT:
      return "the broker does not answer";
    case STATUS_INCOMING_FULL:
      return "the broker left too many QoS 2 messages unfinished";
    default:
      return "the module ended it";
  }
}

static void end_by_status(int32_t status, uint32_t now_ms) {
  if (module.connection != CONNECTION_OPEN) return;
  console_text("connection ended: ");
  console_text(status_text(status));
  end_connection(LINK_CLOSE_SILENT, now_ms);
}

static void begin_connection(uint32_t now_ms) {
  const uint64_t unix_ms = module.link->unix_ms(now_ms);
  if (unix_ms > 0) ASK(CALL_SET_CLOCK, record_at(), (uint32_t)(unix_ms / 1000), (uint32_t)(unix_ms % 1000), now_ms);
  module.connection = CONNECTION_OPEN;
  const int32_t status = ASK(CALL_CONNECT, record_at(), 0, KEEP_ALIVE_SECONDS, RESPONSE_TIMEOUT_MS, now_ms);
  if (status < 0) end_by_status(status, now_ms);
}

/* What came before the end of the connection counts. */
static void finish_connection(uint32_t now_ms) {
  for (uint32_t turn = 0; turn < TURN_COUNT_MAX && take_bytes(now_ms); turn++) take_events(now_ms);
  if (module.connection == CONNECTION_WAITING) return;
  console_text(module.is_connected ? "connection lost: " : "no connection: ");
  console_text(module.link->ended());
  end_connection(LINK_CLOSE_DONE, now_ms);
}

static void look_at_link(uint32_t now_ms) {
  const link_state state = module.link->state();
  switch (module.connection) {
    case CONNECTION_WAITING:
      if (state != LINK_DOWN || now_ms - module.ended_at_ms < module.delay_ms) return;
      module.link->open(now_ms);
      module.connection = CONNECTION_OPENING;
      return;
    case CONNECTION_OPENING:
      if (state == LINK_UP) begin_connection(now_ms);
      else if (state == LINK_DOWN) finish_connection(now_ms);
      return;
    case CONNECTION_OPEN:
      if (state != LINK_UP) finish_connection(now_ms);
      return;
  }
}

/* -- Bytes -- */

static bool take_bytes(uint32_t now_ms) {
  if (module.connection != CONNECTION_OPEN) return false;
  const uint32_t room = (uint32_t)ASK(CALL_RECEIVE_ROOM, record_at());
  if (room == 0) return false;
  uint8_t *to = instance_memory((uint32_t)ASK(CALL_RECEIVE_AT, record_at()), room);
  if (to == NULL) return false;
  const size_t length = module.link->read(to, room);
  if (length == 0) return false;
  const int32_t status = ASK(CALL_RECEIVED, record_at(), (uint32_t)length);
  if (status < 0) end_by_status(status, now_ms);
  return true;
}

/* Stores, then sends; true if that was anything. */
static bool pass_on(uint32_t now_ms) {
  const record_result result = record_keep();
  if (result == RECORD_FAILED || module.connection != CONNECTION_OPEN) return false;
  const uint32_t length = (uint32_t)ASK(CALL_TRANSMIT_LENGTH, record_at());
  if (length == 0) return result == RECORD_STORED;
  const uint8_t *bytes = instance_memory((uint32_t)ASK(CALL_TRANSMIT_AT, record_at()), length);
  if (bytes == NULL) return false;
  const size_t sent_length = module.link->write(bytes, length);
  if (sent_length > 0) ASK(CALL_TRANSMITTED, record_at(), (uint32_t)sent_length, now_ms);
  return sent_length > 0 || result == RECORD_STORED;
}

/* -- Events -- */

static void on_connected(uint32_t now_ms) {
  module.is_connected = true;
  module.connected_at_ms = now_ms;
  console_say(record_event(EVENT_VALUE) == 1 ? "connected, the broker kept the session" : "connected, the session is new");
}

static void on_refused(uint32_t now_ms) {
  console_text("connection refused by the broker, code ");
  console_number(record_event(EVENT_VALUE));
  end_connection(LINK_CLOSE_DONE, now_ms);
}

static void on_subscribed(void) {
  const uint32_t length = record_event(EVENT_PAYLOAD_LENGTH);
  const uint8_t *codes = instance_memory(record_event(EVENT_PAYLOAD_AT), length);
  for (uint32_t index = 0; codes != NULL && index < length; index++) {
    if (codes[index] == SUBSCRIBE_FAILURE) console_say("the broker refused a subscription: no commands will come");
  }
}

/* A command is worth its text; what else arrives only its size. */
static void on_message(int32_t event) {
  const uint32_t length = record_event(EVENT_PAYLOAD_LENGTH);
  if (event == EVENT_MESSAGE || event == EVENT_MESSAGE_SKIPPED) {
    console_text(event == EVENT_MESSAGE ? "message of " : "message skipped, it is too large: ");
    console_number(length);
    console_text(" bytes");
    console_end();
    return;
  }
  const uint8_t *payload = instance_memory(record_event(EVENT_PAYLOAD_AT), length);
  if (payload == NULL) return;
  console_text(event == EVENT_COMMAND_DONE ? "command done: " : "command unknown: ");
  console_bytes(payload, length);
  console_end();
}

static void on_reading_due(uint32_t now_ms) {
  int32_t milli_celsius = 0;
  const bool has_answered = sensor_read(now_ms, &milli_celsius);
  if (has_answered == module.is_sensor_silent) console_say(has_answered ? "the sensor answers again" : "the sensor does not answer");
  module.is_sensor_silent = !has_answered;
  if (!has_answered) return;

  const int32_t status = ASK(CALL_READING, record_at(), (uint32_t)milli_celsius, now_ms);
  if (status >= 0 && ASK(CALL_READING_PUBLISHED, record_at()) == 1) module.published_count++;
  const bool is_full = status < 0;
  if (is_full && !module.is_outbox_full) console_say("readings are lost: the outbox is full");
  if (!is_full && module.is_outbox_full) console_say("readings are taken again");
  module.is_outbox_full = is_full;
}

static void on_event(int32_t event, uint32_t now_ms) {
  switch (event) {
    case EVENT_CONNECTED:
      return on_connected(now_ms);
    case EVENT_REFUSED:
      return on_refused(now_ms);
    case EVENT_SUBSCRIBED:
      return on_subscribed();
    case EVENT_DROPPED:
      return console_say("in doubt: the broker has forgotten the session, and one message that was under way is not repeated");
    case EVENT_MESSAGE:
    case EVENT_MESSAGE_SKIPPED:
    case EVENT_COMMAND_DONE:
    case EVENT_COMMAND_UNKNOWN:
      return on_message(event);
    case EVENT_READING_DUE:
      return on_reading_due(now_ms);
    default:
      return;
  }
}

/* Of what has arrived; true if there was an event. */
static bool take_events(uint32_t now_ms) {
  for (uint32_t count = 0; count < EVENT_COUNT_MAX; count++) {
    if (module.connection != CONNECTION_OPEN) return count > 0;
    const int32_t event = ASK(CALL_POLL, record_at(), now_ms);
    if (event == 0) return count > 0;
    if (event < 0) {
      end_by_status(event, now_ms);
      return true;
    }
    on_event(event, now_ms);
  }
  return true;
}

/* Of the clock; true if there was an event. */
static bool do_what_is_due(uint32_t now_ms) {
  if (ASK(CALL_NEXT_DEADLINE_MS, record_at(), now_ms) != 0) return false;
  const int32_t event = ASK(CALL_TICK, record_at(), now_ms);
  if (event < 0) end_by_status(event, now_ms);
  else if (event > 0) on_event(event, now_ms);
  return event != 0;
}
