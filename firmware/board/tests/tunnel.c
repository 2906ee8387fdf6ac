/*
 * What docs/wire.md says of the life of a connection, told to tunnel.c frame by frame. Prints the number of facts that
 * held, or the first that did not.
 * needs: runtime/tunnel.c runtime/wire.c runtime/crc.c runtime/base64.c
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../runtime/tunnel.h"
#include "../runtime/wire.h"

static uint32_t now_ms;
static uint32_t fact_count;

static void holds(bool is_true, const char *fact) {
  if (!is_true) {
    printf("not true: %s\n", fact);
    exit(1);
  }
  fact_count++;
}

/* -- What the board says: frames, one behind the other -- */

typedef struct {
  uint8_t kind;
  uint8_t connection;
  uint8_t sequence;
  uint8_t payload[256];
  size_t length;
} said_frame;

#define SAID_COUNT_MAX 256

static said_frame said[SAID_COUNT_MAX];
static size_t said_count;

static void on_said(const wire_frame *frame) {
  said_frame *to = &said[said_count++ % SAID_COUNT_MAX];
  to->kind = frame->kind;
  to->connection = frame->connection;
  to->sequence = frame->sequence;
  to->length = frame->payload_length;
  memcpy(to->payload, frame->payload, frame->payload_length);
}

/* Takes what is in the transmit ring apart; nothing but frames is in it. */
static void listen(void) {
  uint8_t frame[1024];
  size_t length = 0;
  const uint8_t *bytes;
  bool is_escaped = false;
  said_count = 0;
  for (size_t count = wire_outgoing(&bytes); count > 0; count = wire_outgoing(&bytes)) {
    for (size_t index = 0; index < count; index++) {
      if (bytes[index] == 0xc0) {
        if (length > 0) {
          wire_frame whole = {frame[0], frame[1], frame[2], frame + 3, length - 7};
          on_said(&whole);
        }
        length = 0;
      } else if (bytes[index] == 0xdb) {
        is_escaped = true;
      } else {
        frame[length++] = !is_escaped ? bytes[index] : bytes[index] == 0xdc ? 0xc0 : 0xdb;
        is_escaped = false;
      }
    }
    wire_sent(count);
  }
}

static bool said_only(uint8_t kind) {
  listen();
  return said_count == 1 && said[0].kind == kind;
}

static bool said_close(tunnel_reason reason) { return said_only(7) && said[0].length == 1
    && said[0].payload[0] == (uint8_t)reason; }

static bool said_nothing(void) {
  listen();
  return said_count == 0;
}

/* -- What the host says -- */

static uint8_t connection;

static void hear(uint8_t kind, uint8_t of, uint8_t sequence, const void *payload, size_t length) {
  wire_frame frame = {kind, of, sequence, payload, length};
  tunnel_take(&frame, now_ms);
}

static void hear_hello(void) { hear(1, 0, 0, "\x01\xfb\x25\xbb\x09\xa2\x01\x00\x00", 9); }

static void hear_opened(uint32_t window) {
  const uint8_t payload[2] = {(uint8_t)window, (uint8_t)(window >> 8)};
  hear(3, connection, 0, payload, 2);
}

static void hear_data(uint8_t sequence, const char *bytes, size_t length) { hear(4, connection, sequence, bytes,
    length); }

static void hear_credit(uint32_t taken, uint32_t window) {
  const uint8_t payload[6] = {(uint8_t)taken, (uint8_t)(taken >> 8), (uint8_t)(taken >> 16), (uint8_t)(taken >> 24),
      (uint8_t)window, (uint8_t)(window >> 8)};
  hear(5, connection, 0, payload, 6);
}

static void hear_ask(uint32_t sent) {
  const uint8_t payload[4] = {(uint8_t)sent, (uint8_t)(sent >> 8), (uint8_t)(sent >> 16), (uint8_t)(sent >> 24)};
  hear(6, connection, 0, payload, 4);
}

static void hear_close(tunnel_reason reason) {
  const uint8_t payload[1] = {(uint8_t)reason};
  hear(7, connection, 0, payload, 1);
}

static void pass(uint32_t time_ms) {
  now_ms += time_ms;
  tunnel_tick(now_ms);
}

static void nothing_with(const uint8_t *packet, size_t length, uint32_t at_ms) { (void)packet, (void)length,
    (void)at_ms; }
static const wire_handlers handlers = {tunnel_take, nothing_with, NULL};

static void begin(void) {
  now_ms = UINT32_MAX - 2000;
  wire_start(&handlers);
  tunnel_start(41);
  connection = 41;
}

static void begin_up(uint32_t window) {
  begin();
  tunnel_open(now_ms);
  hear_hello();
  hear_opened(window);
  listen();
}

/* -- Facts -- */

static void opening(void) {
  begin();
  tunnel_open(now_ms);
  pass(10000);
  holds(said_nothing() && tunnel_state() == LINK_OPENING && tunnel_deadline_ms(now_ms) == TUNNEL_NEVER,
      "nothing is said to who has not said HELLO");
  holds(tunnel_unix_ms(now_ms) == 0 && !tunnel_has_bridge(now_ms), "without HELLO there is no time and no bridge");
  hear_hello();
  holds(said_only(2) && said[0].connection == 41 && memcmp(said[0].payload, "\x01\x00\x02", 3) == 0
      && said[0].length == 3, "OPEN follows HELLO");
  holds(tunnel_deadline_ms(now_ms) == 1000, "it is repeated in a second");
  pass(999);
  holds(said_nothing(), "not before");
  pass(1);
  holds(said_only(2) && said[0].connection == 41, "with the same number");
  holds(tunnel_unix_ms(now_ms) == 0x01a209bb25fb + 1000, "HELLO tells the time, which goes on");
  pass(2000);
  holds(said_nothing() && !tunnel_has_bridge(now_ms), "3 s after the last HELLO there is no bridge");
  hear_ask(0);
  hear_data(0, "x", 1);
  holds(said_nothing(), "before OPENED nothing but OPENED and CLOSE counts");
  hear_opened(100);
  holds(tunnel_state() == LINK_UP && tunnel_has_bridge(now_ms), "OPENED makes it stand");
  tunnel_open(now_ms);
  holds(tunnel_state() == LINK_UP && said_nothing(), "opening what stands changes nothing");
}

static void giving_up(void) {
  begin();
  tunnel_open(now_ms);
  for (int second = 0; second < 30; second++) {
    hear_hello();
    holds(said_only(2), "an OPEN each second");
    pass(1000);
  }
  holds(said_close(TUNNEL_NO_ANSWER) && tunnel_state() == LINK_DOWN && tunnel_why() == TUNNEL_NO_ANSWER,
      "30 s without an answer are enough");
  tunnel_open(now_ms);
  holds(said_only(2) && said[0].connection == 42, "the next connection has the next number");
  connection = 42;
  hear_close(TUNNEL_BROKER_UNREACHABLE);
  holds(tunnel_state() == LINK_DOWN && strcmp(tunnel_ended(), "the broker cannot be reached") == 0 && said_nothing(),
      "CLOSE is not answered");
  tunnel_open(now_ms);
  listen();
  tunnel_close(LINK_CLOSE_RESTART, now_ms);
  holds(said_close(TUNNEL_MODULE_RESTARTS), "an attempt that was said is ended with CLOSE");
  tunnel_start(255);
  tunnel_open(now_ms);
  tunnel_close(LINK_CLOSE_DONE, now_ms);
  tunnel_open(now_ms);
  hear_hello();
  holds(said_only(2) && said[0].connection == 1, "one that was not said is not, and the number after 255 is 1");
}

static void sending(void) {
  uint8_t bytes[600];
  for (size_t index = 0; index < sizeof bytes; index++) bytes[index] = (uint8_t)index;
  begin_up(500);
  holds(tunnel_write(bytes, 600) == 500, "no more is taken than the window allows");
  listen();
  holds(said_count == 3 && said[0].length == 240 && said[1].length == 240 && said[2].length == 20,
      "DATA has 240 bytes at most");
  holds(said[0].sequence == 0 && said[1].sequence == 1 && said[2].sequence == 2
      && memcmp(said[1].payload, bytes + 240, 240) == 0, "in order");
  holds(tunnel_write(bytes, 1) == 0, "the window is full");
  hear_credit(10, 500);
  holds(tunnel_write(bytes, 600) == 10, "what was taken makes room");
  hear_credit(9, 4096);
  holds(tunnel_write(bytes, 600) == 0, "a CREDIT that is older counts for nothing");
  hear_credit(511, 4096);
  hear_credit(510, 500);
  holds(tunnel_write(bytes, 1) == 1, "nor does one beyond what was sent");
  hear_credit(511, 0);
  hear(5, connection, 0, "\xff\x01\x00\x00\xff", 5);
  holds(tunnel_write(bytes, 600) == 0, "nor one that is too short");
  hear_credit(511, 1);
  holds(tunnel_write(bytes, 600) == 1, "a window may be 0, and grow again");
  begin_up(4096);
  size_t count = 0;
  while (tunnel_write(bytes, 1) == 1) {
    count++;
    listen();
  }
  holds(count == 128, "128 frames may be under way");
  hear_credit(63, 4096);
  holds(tunnel_write(bytes, 1) == 0, "as long as the older half of them is not taken");
  hear_credit(64, 4096);
  count = 0;
  while (tunnel_write(bytes, 1) == 1) {
    count++;
    listen();
  }
  holds(count == 64, "then as many again");
}

static void full_ring(void) {
  uint8_t bytes[512];
  memset(bytes, 0xc0, sizeof bytes);
  begin_up(4096);
  size_t taken = tunnel_write(bytes, sizeof bytes);
  holds(taken == 480, "what has no room in the transmit ring is not taken");
  holds(tunnel_write(bytes, sizeof bytes) == 0, "nor is what would follow");
  for (int again = 0; again < 10; again++) hear_ask(0);
  holds(tunnel_deadline_ms(now_ms) == 10, "a CREDIT that has no room waits");
  listen();
  pass(10);
  holds(said_only(5), "and is said when there is some");
  hear_credit((uint32_t)taken, 4096);
  tunnel_write(bytes, sizeof bytes);
  for (int again = 0; again < 10; again++) hear_ask(0);
  hear_data(1, "x", 1);
  holds(tunnel_state() == LINK_DOWN && tunnel_deadline_ms(now_ms) == 10, "a CLOSE that has no room waits");
  listen();
  pass(10);
  holds(said_close(TUNNEL_FRAME_LOST) && tunnel_deadline_ms(now_ms) == TUNNEL_NEVER, "and is said when there is some");
}

static void receiving(void) {
  uint8_t bytes[600];
  char piece[240] = {0};
  begin_up(500);
  hear_data(0, "abc", 3);
  hear_data(0, "abc", 3);
  hear_data(1, "de", 2);
  holds(tunnel_read(bytes, 4) == 4 && tunnel_read(bytes + 4, 99) == 1 && memcmp(bytes, "abcde", 5) == 0,
      "a doubled frame is taken once");
  hear_ask(5);
  holds(said_only(5) && memcmp(said[0].payload, "\x05\x00\x00\x00\x00\x02", 6) == 0,
      "ASK is answered with CREDIT at once");
  hear_data(2, piece, 127);
  tunnel_read(bytes, 600);
  holds(said_nothing(), "less than a quarter of the window needs no CREDIT");
  hear_data(3, piece, 1);
  tunnel_read(bytes, 600);
  holds(said_only(5) && said[0].payload[0] == 133, "a quarter does");
  hear_data(4, piece, 240);
  hear_data(5, piece, 240);
  holds(said_nothing(), "what was not read gets no credit");
  hear_data(6, piece, 33);
  holds(said_close(TUNNEL_WINDOW_EXCEEDED) && tunnel_state() == LINK_DOWN, "more than the window ends it");
  holds(tunnel_read(bytes, 600) == 480, "what came before can still be read");
  begin_up(500);
  for (uint8_t sequence = 0; sequence < 32; sequence++) hear_data(sequence, "x", 1);
  tunnel_read(bytes, 600);
  holds(said_only(5) && said[0].payload[0] == 32, "32 frames get a CREDIT, too");
  hear_data(33, "x", 1);
  holds(said_close(TUNNEL_FRAME_LOST), "a gap ends it");
  begin_up(500);
  hear_data(255, "x", 1);
  hear(4, connection, 0, "", 0);
  hear(4, connection, 0, piece, 241);
  hear(9, connection, 0, "x", 1);
  hear(7, connection, 0, "", 0);
  hear(6, connection, 0, "x", 1);
  holds(said_nothing() && tunnel_state() == LINK_UP && tunnel_read(bytes, 600) == 0,
      "frames of a wrong length or an unknown kind count for nothing");
  hear_ask(1);
  holds(said_close(TUNNEL_FRAME_LOST), "ASK tells that the end was lost");
}

static void asking(void) {
  begin_up(500);
  pass(4999);
  holds(said_nothing() && tunnel_deadline_ms(now_ms) == 1, "an idle connection is silent");
  pass(1);
  holds(said_only(6) && said[0].length == 4 && memcmp(said[0].payload, "\0\0\0\0", 4) == 0, "for 5 s");
  hear_credit(0, 500);
  pass(4999);
  holds(said_nothing(), "after the answer, again");
  holds(tunnel_write((const uint8_t *)"abc", 3) == 3, "bytes are sent");
  listen();
  pass(999);
  holds(said_nothing(), "a second later");
  pass(1);
  holds(said_only(6) && said[0].payload[0] == 3, "ASK is said as long as they are not taken");
  hear_credit(0, 500);
  pass(1000);
  holds(said_only(6), "each second");
  pass(1000);
  holds(said_only(6), "what is not answered");
  pass(1000);
  holds(said_only(6) && tunnel_state() == LINK_UP, "is asked three times");
  pass(999);
  holds(said_nothing() && tunnel_state() == LINK_UP, "and then");
  pass(1);
  holds(said_close(TUNNEL_NO_ANSWER) && tunnel_why() == TUNNEL_NO_ANSWER, "it is over");
  begin_up(500);
  pass(1500);
  hear_hello();
  holds(said_only(6), "who says HELLO knows no connection: it is asked at once");
}

static void strangers(void) {
  begin();
  hear(4, 9, 0, "x", 1);
  holds(said_close(TUNNEL_NOT_KNOWN) && said[0].connection == 9,
      "DATA of an unknown connection is answered with CLOSE 5");
  hear(6, 9, 0, "\0\0\0\0", 4);
  holds(said_close(TUNNEL_NOT_KNOWN), "ASK, too");
  hear(5, 9, 0, "\0\0\0\0\0\0", 6);
  holds(said_close(TUNNEL_NOT_KNOWN), "and CREDIT");
  hear(7, 9, 0, "\0", 1);
  hear(3, 9, 0, "\0\1", 2);
  hear(1, 0, 0, "\2\0\0\0\0\0\0\0\0", 9);
  hear(1, 0, 0, "\1\0\0\0\0\0\0\0", 8);
  holds(said_nothing() && tunnel_unix_ms(now_ms) == 0,
      "CLOSE and OPENED are not, nor HELLO of another version or length");
  begin_up(500);
  hear(4, 40, 0, "x", 1);
  holds(said_close(TUNNEL_NOT_KNOWN) && said[0].connection == 40 && tunnel_state() == LINK_UP,
      "another connection's DATA does not touch the present one");
  hear(7, 40, 0, "\0", 1);
  holds(tunnel_state() == LINK_UP, "nor does its CLOSE");
  tunnel_close(LINK_CLOSE_DONE, now_ms);
  holds(said_close(TUNNEL_IN_ORDER) && tunnel_write((const uint8_t *)"x", 1) == 0, "after the end nothing is taken");
  tunnel_close(LINK_CLOSE_DONE, now_ms);
  holds(said_nothing(), "ending it twice is harmless");
  static const uint8_t long_close[202] = {0};
  begin_up(500);
  hear(7, connection, 0, long_close, 202);
  hear(7, connection, 0, long_close, 0);
  holds(tunnel_state() == LINK_UP, "a CLOSE of the wrong length is ignored");
  hear(7, connection, 0, long_close, 201);
  holds(tunnel_state() == LINK_DOWN, "its text may have 200 bytes");
  const uint8_t odd = 200;
  begin_up(500);
  hear(7, connection, 0, &odd, 1);
  holds(tunnel_state() == LINK_DOWN && strlen(tunnel_ended()) > 0, "a reason that nobody knows ends it as well");
}

int main(void) {
  opening();
  giving_up();
  sending();
  full_ring();
  receiving();
  asking();
  strangers();
  printf("%u facts hold\n", fact_count);
  return 0;
}
