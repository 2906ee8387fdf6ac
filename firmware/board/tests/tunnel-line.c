/*
 * The tunnel over a bad line: tunnel.c and wire.c of a board talk to a bridge that is written here a second time from
 * docs/wire.md, through a line that loses, doubles, damages, swaps and invents bytes, and both sides restart. Whatever
 * happens, each stream arrives as a prefix of what was sent, and once the line is good again a connection stands within
 * a minute and carries bytes both ways. Arguments: first seed, number of seeds. Says what it saw, or the seed that
 * failed.
 * needs: runtime/tunnel.c runtime/wire.c runtime/crc.c runtime/base64.c
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../runtime/crc.h"
#include "../runtime/tunnel.h"
#include "../runtime/wire.h"

#define LINE_LENGTH 16384
#define HOST_WINDOW 4096
#define BYTES_PER_MS 11
#define BAD_MS 20000
#define GOOD_MS 60000
#define ENOUGH_LENGTH 4000

static uint32_t seed;
static uint32_t now_ms;

static _Noreturn void fail(const char *what) {
  printf("seed %u at %u ms: %s\n", seed, now_ms, what);
  exit(1);
}

/* -- Chance: xorshift, so that a seed repeats a run everywhere -- */

static uint32_t chance_state;

static uint32_t chance(uint32_t below) {
  chance_state ^= chance_state << 13;
  chance_state ^= chance_state >> 17;
  chance_state ^= chance_state << 5;
  return chance_state % below;
}

/* -- Streams: four bytes that name the connection, then bytes that follow from its name and their place -- */

static uint8_t stream_byte(uint32_t name, uint32_t at) {
  if (at < 4) return (uint8_t)(name >> 8 * at);
  uint32_t mixed = (name + 1) * 2654435761u ^ at * 2246822519u;
  return (uint8_t)(mixed >> 24 ^ mixed >> 11);
}

typedef struct {
  uint32_t name;
  uint32_t length;
} arrival;

static void arrive(arrival *of, const uint8_t *bytes, size_t length) {
  for (size_t index = 0; index < length; index++, of->length++) {
    if (of->length < 4) of->name |= (uint32_t)bytes[index] << 8 * of->length;
    else if (bytes[index] != stream_byte(of->name, of->length)) fail("a wrong byte was delivered");
  }
}

/* -- The line, each direction -- */

typedef struct {
  uint8_t bytes[LINE_LENGTH];
  size_t length;
} pipe;

static pipe to_host;
static pipe to_board;

/* One in so many bytes, or frames, is hit; 0: none. */
static uint32_t fault_rate;
static bool is_cut;

static void pipe_put(pipe *line, uint8_t byte) {
  if (line->length < LINE_LENGTH) line->bytes[line->length++] = byte;
}

/* Writes what one side sent in one go, with what the line makes of it. */
static void pipe_write(pipe *line, const uint8_t *bytes, size_t length) {
  if (is_cut) return;
  size_t start = line->length;
  for (size_t index = 0; index < length; index++) {
    uint8_t byte = bytes[index];
    if (fault_rate == 0 || chance(fault_rate) != 0) {
      pipe_put(line, byte);
      continue;
    }
    switch (chance(6)) {
      case 0: /* lost */
        break;
      case 1: /* doubled */
        pipe_put(line, byte);
        pipe_put(line, byte);
        break;
      case 2: /* damaged */
        pipe_put(line, byte ^ (uint8_t)(1u << chance(8)));
        break;
      case 3: /* invented */
        pipe_put(line, byte);
        pipe_put(line, chance(2) ? 0xc0 : (uint8_t)chance(256));
        break;
      case 4: /* the rest is lost */
        return;
      default: /* all of it so far comes again */
        pipe_put(line, byte);
        for (size_t again = start, end = line->length; again < end; again++) pipe_put(line, line->bytes[again]);
    }
  }
}

/* Swaps the last two pieces of a length that may be a frame's. */
static void pipe_swap(pipe *line, size_t first, size_t second) {
  uint8_t held[600];
  if (first == 0 || second == 0 || first > sizeof held || first + second > line->length) return;
  uint8_t *at = line->bytes + line->length - first - second;
  memcpy(held, at, first);
  memmove(at, at + first, second);
  memcpy(at + second, held, first);
}

static size_t pipe_read(pipe *line, uint8_t *to, size_t capacity) {
  size_t length = line->length < capacity ? line->length : capacity;
  memcpy(to, line->bytes, length);
  line->length -= length;
  memmove(line->bytes, line->bytes + length, line->length);
  return length;
}

/* -- The bridge -- */

typedef enum { HOST_NONE, HOST_CONNECTING, HOST_UP } host_state;

static struct {
  host_state state;
  uint8_t connection;
  uint32_t name;
  arrival got;
  bool is_heard;
  uint32_t connected_at_ms;
  uint32_t sent, taken, window, marked, frames_since_mark;
  uint8_t sequence;
  uint32_t received, handed_on, told, frames_since_told;
  uint8_t expected;
  uint32_t asked_ms, unanswered;
  uint32_t hello_ms;
  uint8_t gathered[LINE_LENGTH];
  size_t gathered_length;
  size_t last_length;
} host;

static uint32_t host_names;
static uint32_t reasons_seen[16];
static uint32_t host_got_length, board_got_length, opened_count;

static void host_say(uint8_t kind, uint8_t connection, uint8_t sequence, const uint8_t *payload, size_t length) {
  uint8_t frame[300] = {kind, connection, sequence};
  uint8_t line[600] = {0xc0};
  size_t line_length = 1;
  memcpy(frame + 3, payload, length);
  uint32_t crc = crc_32(0, frame, 3 + length);
  for (size_t index = 0; index < 4; index++) frame[3 + length + index] = (uint8_t)(crc >> 8 * index);
  for (size_t index = 0; index < 7 + length; index++) {
    bool is_escaped = frame[index] == 0xc0 || frame[index] == 0xdb;
    if (is_escaped) line[line_length++] = 0xdb;
    line[line_length++] = !is_escaped ? frame[index] : frame[index] == 0xc0 ? 0xdc : 0xdd;
  }
  line[line_length++] = 0xc0;
  pipe_write(&to_board, line, line_length);
  if (fault_rate > 0 && chance(fault_rate) == 0) pipe_swap(&to_board, host.last_length, line_length);
  host.last_length = line_length;
}

static void put_number(uint8_t *to, uint64_t number, size_t count) {
  for (size_t index = 0; index < count; index++) to[index] = (uint8_t)(number >> 8 * index);
}

static uint32_t number_at(const uint8_t *from, size_t count) {
  uint32_t number = 0;
  for (size_t index = 0; index < count; index++) number |= (uint32_t)from[index] << 8 * index;
  return number;
}

static void host_close(uint8_t connection, uint8_t reason) {
  host_say(7, connection, 0, &reason, 1);
  reasons_seen[reason]++;
  if (connection == host.connection) host.state = HOST_NONE;
}

static void host_credit(void) {
  uint8_t payload[6];
  put_number(payload, host.handed_on, 4);
  put_number(payload + 4, HOST_WINDOW, 2);
  host_say(5, host.connection, 0, payload, 6);
  host.told = host.handed_on;
  host.frames_since_told = 0;
}

static void host_take_open(uint8_t connection) {
  if (host.state != HOST_NONE && connection == host.connection && !host.is_heard) {
    uint8_t window[2];
    put_number(window, HOST_WINDOW, 2);
    if (host.state == HOST_UP) host_say(3, connection, 0, window, 2);
    return;
  }
  uint32_t hello_ms = host.hello_ms;
  size_t gathered_length = host.gathered_length;
  size_t last_length = host.last_length;
  memset(&host, 0, offsetof(__typeof__(host), gathered));
  host.hello_ms = hello_ms;
  host.gathered_length = gathered_length;
  host.last_length = last_length;
  host.connection = connection;
  host.state = HOST_CONNECTING;
  host.connected_at_ms = now_ms + chance(2000);
  host.name = ++host_names;
}

static void host_take_data(uint8_t sequence, const uint8_t *payload, size_t length) {
  if (sequence == (uint8_t)(host.expected - 1)) return;
  if (sequence != host.expected) {
    host_close(host.connection, 3);
    return;
  }
  if (host.received + length - host.told > HOST_WINDOW) fail("the board sent more than the window allows");
  arrive(&host.got, payload, length);
  host.received += (uint32_t)length;
  host_got_length += (uint32_t)length;
  host.expected++;
  host.frames_since_told++;
}

static void host_take(const uint8_t *frame, size_t length) {
  uint8_t kind = frame[0], connection = frame[1];
  const uint8_t *payload = frame + 3;
  size_t payload_length = length - 7;
  if (kind == 2) {
    if (payload_length == 3) {
      host_take_open(connection);
      host.window = number_at(payload + 1, 2);
    }
    return;
  }
  if (host.state != HOST_UP || connection != host.connection) {
    if (kind >= 4 && kind <= 6) host_close(connection, 5);
    if (kind == 7 && connection == host.connection) host.state = HOST_NONE;
    return;
  }
  host.is_heard = true;
  if (kind == 4) host_take_data(frame[2], payload, payload_length);
  if (kind == 5 && payload_length == 6 && number_at(payload, 4) - host.taken <= host.sent - host.taken) {
    host.taken = number_at(payload, 4);
    host.window = number_at(payload + 4, 2);
    host.unanswered = 0;
  }
  if (kind == 6 && payload_length == 4) {
    if (number_at(payload, 4) == host.received) host_credit();
    else host_close(connection, 3);
  }
  if (kind == 7) {
    reasons_seen[payload[0] & 15]++;
    host.state = HOST_NONE;
  }
}

static void host_receive(const uint8_t *bytes, size_t length) {
  for (size_t index = 0; index < length; index++) {
    if (bytes[index] != 0xc0) {
      if (host.gathered_length < sizeof host.gathered) host.gathered[host.gathered_length++] = bytes[index];
      continue;
    }
    uint8_t frame[300];
    size_t frame_length = 0;
    bool is_right = host.gathered_length > 0;
    for (size_t at = 0; at < host.gathered_length && is_right; at++) {
      uint8_t byte = host.gathered[at];
      if (byte == 0xdb) {
        at++;
        is_right = at < host.gathered_length && (host.gathered[at] == 0xdc || host.gathered[at] == 0xdd);
        byte = is_right && host.gathered[at] == 0xdc ? 0xc0 : 0xdb;
      }
      if (frame_length == sizeof frame) is_right = false;
      else frame[frame_length++] = byte;
    }
    host.gathered_length = 0;
    if (!is_right || frame_length < 7) continue;
    if (crc_32(0, frame, frame_length - 4) == number_at(frame + frame_length - 4, 4)) host_take(frame, frame_length);
  }
}

static void host_send(void) {
  uint8_t payload[WIRE_PAYLOAD_MAX];
  if (host.frames_since_mark >= 64) {
    if (host.sent - host.taken > host.sent - host.marked) return;
    host.marked = host.sent;
    host.frames_since_mark = 0;
  }
  size_t length = 1 + chance(chance(4) == 0 ? 240 : 12);
  size_t room = host.window > host.sent - host.taken ? host.window - (host.sent - host.taken) : 0;
  if (length > room) length = room;
  if (length == 0) return;
  for (size_t index = 0; index < length; index++) payload[index] = stream_byte(host.name, host.sent + (uint32_t)index);
  if (host.sent == host.taken && host.unanswered == 0) host.asked_ms = now_ms;
  host_say(4, host.connection, host.sequence++, payload, length);
  host.sent += (uint32_t)length;
  host.frames_since_mark++;
}

static void host_live(bool is_calm) {
  if (host.state == HOST_NONE || host.state == HOST_CONNECTING) {
    if (now_ms - host.hello_ms >= 1000) {
      uint8_t payload[9] = {1};
      put_number(payload + 1, 1795420080123u + (uint64_t)now_ms, 8);
      host_say(1, 0, 0, payload, 9);
      host.hello_ms = now_ms;
    }
    if (host.state == HOST_CONNECTING && (int32_t)(now_ms - host.connected_at_ms) >= 0) {
      uint8_t window[2];
      put_number(window, HOST_WINDOW, 2);
      if (!is_calm && chance(8) == 0) {
        host_close(host.connection, 1);
      } else {
        host.state = HOST_UP;
        host.asked_ms = now_ms;
        opened_count++;
        host_say(3, host.connection, 0, window, 2);
      }
    }
    return;
  }
  uint32_t untaken = host.received - host.handed_on;
  if (untaken > 0 && chance(is_calm ? 2 : 40) == 0) host.handed_on += 1 + chance(untaken);
  uint32_t untold = host.handed_on - host.told;
  if (untold >= HOST_WINDOW / 4 || (untold > 0 && host.frames_since_told >= 32)) host_credit();
  if (to_board.length < LINE_LENGTH / 4 && chance(20) == 0) host_send();
  uint32_t interval_ms = host.unanswered > 0 || host.sent != host.taken ? 1000 : 5000;
  if (now_ms - host.asked_ms >= interval_ms) {
    uint8_t payload[4];
    put_number(payload, host.sent, 4);
    if (host.unanswered++ >= 3) {
      host_close(host.connection, 4);
    } else {
      host_say(6, host.connection, 0, payload, 4);
      host.asked_ms = now_ms;
    }
  }
  if (!is_calm && chance(20000) == 0) host_close(host.connection, 2);
}

/* -- The board -- */

static struct {
  uint32_t name;
  uint32_t sent;
  arrival got;
  size_t last_length;
} board;

static uint32_t board_names;

static void on_packet(const uint8_t *packet, size_t length, uint32_t at_ms) {
  (void)packet, (void)length, (void)at_ms;
}

static const wire_handlers handlers = {tunnel_take, on_packet, NULL};

static void board_restart(void) {
  memset(&board, 0, sizeof board);
  wire_start(&handlers);
  tunnel_start((uint8_t)chance(256));
}

static void board_live(bool is_calm) {
  uint8_t bytes[700];
  if (tunnel_state() == LINK_DOWN && chance(300) == 0) {
    reasons_seen[tunnel_why()]++;
    memset(&board.got, 0, sizeof board.got);
    board.name = ++board_names;
    board.sent = 0;
    tunnel_open(now_ms);
  }
  if (chance(is_calm ? 4 : 30) == 0) {
    size_t length = tunnel_read(bytes, 1 + chance(sizeof bytes));
    arrive(&board.got, bytes, length);
    board_got_length += (uint32_t)length;
  }
  if (tunnel_state() == LINK_UP && chance(20) == 0) {
    size_t length = 1 + chance(chance(8) == 0 ? sizeof bytes : 20);
    for (uint32_t index = 0; index < length; index++) bytes[index] = stream_byte(board.name, board.sent + index);
    board.sent += (uint32_t)tunnel_write(bytes, length);
  }
  if (!is_calm && chance(20000) == 0) tunnel_close(LINK_CLOSE_DONE, now_ms);
  if (chance(500) == 0) wire_send_text("a line of the console");
  tunnel_tick(now_ms);
  wire_tick(now_ms);
}

/* As much as the line carries in a millisecond, both ways. */
static void carry(void) {
  uint8_t bytes[BYTES_PER_MS];
  const uint8_t *outgoing;
  size_t length = wire_outgoing(&outgoing);
  if (length > 0 && to_host.length < 1024) {
    if (length > 1 && chance(3) == 0) length = 1 + chance((uint32_t)length);
    pipe_write(&to_host, outgoing, length);
    if (fault_rate > 0 && chance(fault_rate) == 0) pipe_swap(&to_host, board.last_length, length);
    board.last_length = length;
    wire_sent(length);
  }
  length = pipe_read(&to_host, bytes, sizeof bytes);
  host_receive(bytes, length);
  length = pipe_read(&to_board, bytes, sizeof bytes);
  if (length > 0) wire_receive(bytes, length, now_ms);
}

static void step(bool is_calm) {
  host_live(is_calm);
  board_live(is_calm);
  carry();
  now_ms++;
}

static void run(void) {
  static const uint32_t rates[] = {0, 40, 400, 4000, 40000};
  chance_state = seed * 2654435761u | 1;
  now_ms = UINT32_MAX - chance(2 * BAD_MS);
  memset(&host, 0, sizeof host);
  to_host.length = to_board.length = 0;
  board_restart();
  uint32_t rate = rates[chance(5)];
  for (uint32_t passed_ms = 0; passed_ms < BAD_MS; passed_ms++) {
    if (chance(3000) == 0) is_cut = !is_cut && chance(2) == 0;
    if (chance(8000) == 0) board_restart();
    if (chance(8000) == 0) memset(&host, 0, sizeof host);
    fault_rate = rate;
    step(false);
  }
  fault_rate = 0;
  is_cut = false;
  uint32_t host_before = host_got_length, board_before = board_got_length;
  for (uint32_t passed_ms = 0; passed_ms < GOOD_MS; passed_ms++) {
    step(true);
    bool is_enough = host_got_length - host_before > ENOUGH_LENGTH && board_got_length - board_before > ENOUGH_LENGTH;
    if (is_enough && tunnel_state() == LINK_UP) return;
  }
  fail("a good line carries nothing");
}

int main(int count, char **arguments) {
  uint32_t first = count > 1 ? (uint32_t)strtoul(arguments[1], NULL, 10) : 1;
  uint32_t seed_count = count > 2 ? (uint32_t)strtoul(arguments[2], NULL, 10) : 50;
  for (seed = first; seed < first + seed_count; seed++) run();
  printf("%u seeds, %u connections, %u bytes to the host, %u to the board; reasons", seed_count, opened_count,
      host_got_length, board_got_length);
  for (size_t reason = 0; reason < 9; reason++) printf(" %u", reasons_seen[reason]);
  printf("\n");
  return 0;
}
