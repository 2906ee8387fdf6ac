/* One connection at a time: what was sent, what was taken, and when something has to be said next. */

#include "tunnel.h"

#include <string.h>

#define PROTOCOL_VERSION 1

#define KIND_HELLO 1
#define KIND_OPEN 2
#define KIND_OPENED 3
#define KIND_DATA 4
#define KIND_CREDIT 5
#define KIND_ASK 6
#define KIND_CLOSE 7

#define BRIDGE_TIME_MS 3000
#define OPEN_INTERVAL_MS 1000
#define OPEN_COUNT_MAX 30
#define ASK_INTERVAL_MS 1000
#define ASK_IDLE_INTERVAL_MS 5000
#define ASK_COUNT_MAX 3

/* Frames that may be sent behind a mark before the mark must have been taken: twice as many may be under way. */
#define MARK_FRAME_COUNT 64
#define CREDIT_FRAME_COUNT 32

/* Of CLOSE: reason and text. */
#define CLOSE_PAYLOAD_MAX 201

/* How long to wait where the transmit ring has no room. */
#define NO_ROOM_MS 10

static struct {
  link_state state;
  tunnel_reason reason;
  uint8_t connection;
  /* When this subject was called last with a time. */
  uint32_t now_ms;

  bool has_hello;
  uint32_t hello_ms;
  /* 0: nobody has said it. Right at `clock_ms`. */
  uint64_t unix_ms;
  uint32_t clock_ms;

  /* OPENs that were said, or ASKs that were not answered; and when the last one was. */
  uint32_t said_count;
  uint32_t said_ms;
  bool is_ask_due;

  /* To the host, in bytes of this connection: sent, taken by the host, how many more may be under way. */
  uint32_t sent;
  uint32_t taken;
  uint32_t window;
  uint8_t sequence;
  uint32_t marked;
  uint32_t frames_since_mark;

  /* From the host: what was received and not yet read. */
  uint8_t buffer[TUNNEL_WINDOW];
  size_t buffer_at;
  size_t buffer_length;
  uint32_t received;
  uint8_t expected;
  /* `taken` as the host was told last, and frames that came since. */
  uint32_t told;
  uint32_t frames_since_told;
  bool is_credit_due;

  /* A CLOSE that is still to be said, of this connection or another one. */
  bool is_close_due;
  uint8_t close_connection;
  tunnel_reason close_reason;
} tunnel;

void tunnel_start(uint8_t first_connection) {
  memset(&tunnel, 0, sizeof tunnel);
  tunnel.connection = (uint8_t)(first_connection - 1);
}

link_state tunnel_state(void) { return tunnel.state; }

tunnel_reason tunnel_why(void) { return tunnel.reason; }

const char *tunnel_ended(void) {
  static const char *const texts[] = {
      "closed in order", "the broker cannot be reached", "the broker closed", "a frame was lost",
      "no answer from the bridge", "the bridge does not know it", "the bridge ends", "the module restarts",
      "more was sent than the window allows",
  };
  bool is_known = (size_t)tunnel.reason < sizeof texts / sizeof texts[0];
  return is_known ? texts[tunnel.reason] : "closed for a reason unknown here";
}

bool tunnel_has_bridge(uint32_t now_ms) {
  return tunnel.state == LINK_UP || (tunnel.has_hello && now_ms - tunnel.hello_ms < BRIDGE_TIME_MS);
}

uint64_t tunnel_unix_ms(uint32_t now_ms) {
  return tunnel.unix_ms == 0 ? 0 : tunnel.unix_ms + (now_ms - tunnel.clock_ms);
}

/* -- Numbers on the line -- */

static uint32_t little_endian(const uint8_t *bytes, size_t count) {
  uint32_t number = 0;
  for (size_t index = count; index > 0; index--) number = number << 8 | bytes[index - 1];
  return number;
}

static void put_little_endian(uint8_t *bytes, uint32_t number, size_t count) {
  for (size_t index = 0; index < count; index++) bytes[index] = (uint8_t)(number >> 8 * index);
}

/* -- What is said; each answers false for lack of room -- */

static bool say_open(void) {
  uint8_t payload[3] = {PROTOCOL_VERSION};
  put_little_endian(payload + 1, TUNNEL_WINDOW, 2);
  return wire_send_frame(KIND_OPEN, tunnel.connection, 0, payload, sizeof payload);
}

static bool say_ask(void) {
  uint8_t payload[4];
  put_little_endian(payload, tunnel.sent, 4);
  return wire_send_frame(KIND_ASK, tunnel.connection, 0, payload, sizeof payload);
}

static void say_credit(void) {
  uint8_t payload[6];
  uint32_t taken = tunnel.received - (uint32_t)tunnel.buffer_length;
  put_little_endian(payload, taken, 4);
  put_little_endian(payload + 4, TUNNEL_WINDOW, 2);
  if (!wire_send_frame(KIND_CREDIT, tunnel.connection, 0, payload, sizeof payload)) return;
  tunnel.told = taken;
  tunnel.frames_since_told = 0;
  tunnel.is_credit_due = false;
}

static void say_close(void) {
  uint8_t reason = (uint8_t)tunnel.close_reason;
  if (wire_send_frame(KIND_CLOSE, tunnel.close_connection, 0, &reason, 1)) tunnel.is_close_due = false;
}

/* -- The end -- */

static void end(tunnel_reason reason) {
  tunnel.state = LINK_DOWN;
  tunnel.reason = reason;
  tunnel.is_credit_due = false;
  tunnel.is_ask_due = false;
}

static void close_because(tunnel_reason reason) {
  tunnel.is_close_due = true;
  tunnel.close_connection = tunnel.connection;
  tunnel.close_reason = reason;
  end(reason);
  say_close();
}

void tunnel_close(link_close_reason reason, uint32_t now_ms) {
  (void)now_ms;
  bool is_known_there = tunnel.state == LINK_UP || (tunnel.state == LINK_OPENING && tunnel.said_count > 0);
  if (is_known_there) close_because((tunnel_reason)reason);
  else if (tunnel.state == LINK_OPENING) end((tunnel_reason)reason);
}

/* -- The beginning -- */

void tunnel_open(uint32_t now_ms) {
  if (tunnel.state != LINK_DOWN) return;
  tunnel.state = LINK_OPENING;
  tunnel.connection = (uint8_t)(tunnel.connection == UINT8_MAX ? 1 : tunnel.connection + 1);
  tunnel.said_count = 0;
  tunnel.sent = tunnel.taken = tunnel.window = tunnel.marked = tunnel.frames_since_mark = 0;
  tunnel.sequence = tunnel.expected = 0;
  tunnel.received = tunnel.told = tunnel.frames_since_told = 0;
  tunnel.buffer_at = tunnel.buffer_length = 0;
  tunnel_tick(now_ms);
}

static void take_hello(const wire_frame *frame, uint32_t now_ms) {
  if (frame->payload_length != 9 || frame->payload[0] != PROTOCOL_VERSION) return;
  tunnel.has_hello = true;
  tunnel.hello_ms = tunnel.clock_ms = now_ms;
  tunnel.unix_ms = (uint64_t)little_endian(frame->payload + 5, 4) << 32 | little_endian(frame->payload + 1, 4);
  // Who says HELLO knows of no connection: find out at once.
  if (tunnel.state == LINK_UP) tunnel.is_ask_due = true;
}

static void take_opened(const wire_frame *frame, uint32_t now_ms) {
  if (tunnel.state != LINK_OPENING || tunnel.said_count == 0 || frame->payload_length != 2) return;
  tunnel.state = LINK_UP;
  tunnel.window = little_endian(frame->payload, 2);
  tunnel.said_count = 0;
  tunnel.said_ms = now_ms;
}

/* -- While it stands -- */

static void take_data(const wire_frame *frame) {
  size_t length = frame->payload_length;
  if (length == 0 || length > WIRE_PAYLOAD_MAX || frame->sequence == (uint8_t)(tunnel.expected - 1)) return;
  if (frame->sequence != tunnel.expected) {
    close_because(TUNNEL_FRAME_LOST);
    return;
  }
  if (tunnel.received + (uint32_t)length - tunnel.told > TUNNEL_WINDOW) {
    close_because(TUNNEL_WINDOW_EXCEEDED);
    return;
  }
  for (size_t index = 0; index < length; index++) {
    tunnel.buffer[(tunnel.buffer_at + tunnel.buffer_length + index) % TUNNEL_WINDOW] = frame->payload[index];
  }
  tunnel.buffer_length += length;
  tunnel.received += (uint32_t)length;
  tunnel.expected++;
  tunnel.frames_since_told++;
}

static void take_credit(const wire_frame *frame) {
  if (frame->payload_length != 6) return;
  uint32_t taken = little_endian(frame->payload, 4);
  if (taken - tunnel.taken > tunnel.sent - tunnel.taken) return;
  tunnel.taken = taken;
  tunnel.window = little_endian(frame->payload + 4, 2);
  tunnel.said_count = 0;
}

static void take_ask(const wire_frame *frame) {
  if (frame->payload_length != 4) return;
  if (little_endian(frame->payload, 4) != tunnel.received) {
    close_because(TUNNEL_FRAME_LOST);
    return;
  }
  tunnel.is_credit_due = true;
  say_credit();
}

static void answer_unknown(const wire_frame *frame) {
  bool is_answered = frame->kind == KIND_DATA || frame->kind == KIND_ASK || frame->kind == KIND_CREDIT;
  if (!is_answered || tunnel.is_close_due) return;
  tunnel.is_close_due = true;
  tunnel.close_connection = frame->connection;
  tunnel.close_reason = TUNNEL_NOT_KNOWN;
  say_close();
}

void tunnel_take(const wire_frame *frame, uint32_t now_ms) {
  if (frame->kind == KIND_HELLO) {
    take_hello(frame, now_ms);
  } else if (tunnel.state == LINK_DOWN || frame->connection != tunnel.connection) {
    answer_unknown(frame);
  } else if (frame->kind == KIND_CLOSE && frame->payload_length > 0 && frame->payload_length <= CLOSE_PAYLOAD_MAX) {
    end((tunnel_reason)frame->payload[0]);
  } else if (tunnel.state == LINK_OPENING) {
    if (frame->kind == KIND_OPENED) take_opened(frame, now_ms);
  } else if (frame->kind == KIND_DATA) {
    take_data(frame);
  } else if (frame->kind == KIND_CREDIT) {
    take_credit(frame);
  } else if (frame->kind == KIND_ASK) {
    take_ask(frame);
  }
  tunnel_tick(now_ms);
}

/* True if one more frame keeps the number of those under way below 2 * MARK_FRAME_COUNT. */
static bool may_send_frame(void) {
  if (tunnel.frames_since_mark < MARK_FRAME_COUNT) return true;
  if (tunnel.sent - tunnel.taken > tunnel.sent - tunnel.marked) return false;
  tunnel.marked = tunnel.sent;
  tunnel.frames_since_mark = 0;
  return true;
}

size_t tunnel_write(const uint8_t *bytes, size_t length) {
  size_t done = 0;
  if (tunnel.state != LINK_UP) return 0;
  // The first byte under way begins the second until ASK.
  if (length > 0 && tunnel.sent == tunnel.taken && tunnel.said_count == 0) tunnel.said_ms = tunnel.now_ms;
  while (done < length) {
    uint32_t under_way = tunnel.sent - tunnel.taken;
    size_t room = under_way < tunnel.window ? tunnel.window - under_way : 0;
    size_t piece = length - done;
    if (piece > room) piece = room;
    if (piece > WIRE_PAYLOAD_MAX) piece = WIRE_PAYLOAD_MAX;
    if (piece == 0 || !may_send_frame()) break;
    if (!wire_send_frame(KIND_DATA, tunnel.connection, tunnel.sequence, bytes + done, piece)) break;
    tunnel.sequence++;
    tunnel.frames_since_mark++;
    tunnel.sent += (uint32_t)piece;
    done += piece;
  }
  return done;
}

size_t tunnel_read(uint8_t *to, size_t capacity) {
  size_t length = capacity < tunnel.buffer_length ? capacity : tunnel.buffer_length;
  for (size_t index = 0; index < length; index++) to[index] = tunnel.buffer[(tunnel.buffer_at + index) % TUNNEL_WINDOW];
  tunnel.buffer_at = (tunnel.buffer_at + length) % TUNNEL_WINDOW;
  tunnel.buffer_length -= length;
  uint32_t untold = tunnel.received - (uint32_t)tunnel.buffer_length - tunnel.told;
  bool is_much = untold >= TUNNEL_WINDOW / 4 || (untold > 0 && tunnel.frames_since_told >= CREDIT_FRAME_COUNT);
  if (tunnel.state == LINK_UP && is_much) {
    tunnel.is_credit_due = true;
    say_credit();
  }
  return length;
}

/* -- Time -- */

static uint32_t remaining(uint32_t since_ms, uint32_t time_ms, uint32_t now_ms) {
  uint32_t passed_ms = now_ms - since_ms;
  return passed_ms < time_ms ? time_ms - passed_ms : 0;
}

static uint32_t open_in_ms(uint32_t now_ms) {
  if (!tunnel_has_bridge(now_ms)) return TUNNEL_NEVER;
  return tunnel.said_count == 0 ? 0 : remaining(tunnel.said_ms, OPEN_INTERVAL_MS, now_ms);
}

static uint32_t ask_in_ms(uint32_t now_ms) {
  if (tunnel.is_ask_due) return 0;
  bool is_waiting = tunnel.said_count > 0 || tunnel.sent != tunnel.taken;
  return remaining(tunnel.said_ms, is_waiting ? ASK_INTERVAL_MS : ASK_IDLE_INTERVAL_MS, now_ms);
}

/* Says OPEN or ASK once more, or gives up. */
static void repeat(bool (*say)(void), uint32_t count_max, uint32_t now_ms) {
  if (tunnel.said_count >= count_max) {
    close_because(TUNNEL_NO_ANSWER);
  } else if (say()) {
    tunnel.said_count++;
    tunnel.said_ms = now_ms;
    tunnel.is_ask_due = false;
  }
}

void tunnel_tick(uint32_t now_ms) {
  tunnel.now_ms = now_ms;
  if (tunnel.has_hello && now_ms - tunnel.hello_ms >= BRIDGE_TIME_MS) tunnel.has_hello = false;
  if (tunnel.unix_ms != 0) tunnel.unix_ms += now_ms - tunnel.clock_ms;
  tunnel.clock_ms = now_ms;
  if (tunnel.is_close_due) say_close();
  if (tunnel.is_credit_due) say_credit();
  if (tunnel.state == LINK_OPENING && open_in_ms(now_ms) == 0) repeat(say_open, OPEN_COUNT_MAX, now_ms);
  if (tunnel.state == LINK_UP && ask_in_ms(now_ms) == 0) repeat(say_ask, ASK_COUNT_MAX, now_ms);
}

uint32_t tunnel_deadline_ms(uint32_t now_ms) {
  uint32_t deadline_ms = TUNNEL_NEVER;
  if (tunnel.state == LINK_OPENING) deadline_ms = open_in_ms(now_ms);
  if (tunnel.state == LINK_UP) deadline_ms = ask_in_ms(now_ms);
  bool is_blocked = tunnel.is_close_due || tunnel.is_credit_due || deadline_ms == 0;
  return is_blocked ? NO_ROOM_MS : deadline_ms;
}

const link_driver tunnel_link = {
    .name = "serial",
    .open = tunnel_open,
    .state = tunnel_state,
    .ended = tunnel_ended,
    .write = tunnel_write,
    .read = tunnel_read,
    .close = tunnel_close,
    .tick = tunnel_tick,
    .next_deadline_ms = tunnel_deadline_ms,
    .unix_ms = tunnel_unix_ms,
};
