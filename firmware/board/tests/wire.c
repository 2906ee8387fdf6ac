/*
 * Replays test/vectors/wire.json for wire.c: commands on stdin, one a line, answers on stdout;
 * test/board/wire-runtime.test.ts speaks to it. `bytes HEX` and `wait MS` are the steps of a vector; `play` replays
 * them whole, byte by byte and cut at every place (`play N`: at every Nth), says what the whole gave, and where another
 * cut gave something else.
 * needs: runtime/wire.c runtime/crc.c runtime/base64.c
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../runtime/base64.h"
#include "../runtime/crc.h"
#include "../runtime/wire.h"

#define VECTOR_MAX 8192
#define LOG_MAX 65536
#define WAIT_COUNT_MAX 16

static struct {
  uint8_t bytes[VECTOR_MAX];
  size_t length;
  /* A pause of `wait_ms` before the byte at `wait_at`. */
  size_t wait_at[WAIT_COUNT_MAX];
  uint32_t wait_ms[WAIT_COUNT_MAX];
  size_t wait_count;
} vector;

static char log_text[LOG_MAX];
static size_t log_length;

static void log_text_of(const char *text) {
  size_t length = strlen(text);
  if (length >= LOG_MAX - log_length) abort();
  memcpy(log_text + log_length, text, length + 1);
  log_length += length;
}

static void log_hex(const uint8_t *bytes, size_t length) {
  for (size_t index = 0; index < length; index++) {
    char digits[3];
    snprintf(digits, sizeof digits, "%02x", bytes[index]);
    log_text_of(digits);
  }
  log_text_of("\n");
}

static void on_frame(const wire_frame *frame, uint32_t now_ms) {
  char text[40];
  (void)now_ms;
  snprintf(text, sizeof text, "frame %u %u %u ", frame->kind, frame->connection, frame->sequence);
  log_text_of(text);
  log_hex(frame->payload, frame->payload_length);
}

static void on_packet(const uint8_t *packet, size_t length, uint32_t now_ms) {
  (void)now_ms;
  log_text_of("packet ");
  log_hex(packet, length);
}

static void on_text(const uint8_t *text, size_t length) {
  log_text_of("text ");
  log_hex(text, length);
}

static const wire_handlers handlers = {on_frame, on_packet, on_text};

/*
 * Feeds in pieces of at most `piece_max` bytes, one of which ends at `cut`; time passes between them as the vector says,
 * and the timers run when their deadline says so.
 */
static void play(size_t cut, size_t piece_max) {
  /* Near its end, so that it wraps in the middle of a vector. */
  uint32_t now_ms = UINT32_MAX - 250;
  size_t at = 0;
  size_t wait = 0;
  log_length = 0;
  log_text[0] = 0;
  wire_start(&handlers);
  while (at < vector.length || wait < vector.wait_count) {
    if (wait < vector.wait_count && vector.wait_at[wait] == at) {
      uint32_t left_ms = vector.wait_ms[wait++];
      for (uint32_t step_ms = wire_deadline_ms(now_ms); step_ms <= left_ms; step_ms = wire_deadline_ms(now_ms)) {
        now_ms += step_ms;
        left_ms -= step_ms;
        wire_tick(now_ms);
        if (wire_deadline_ms(now_ms) == 0) {
          printf("a deadline of 0 stays 0\n");
          exit(1);
        }
      }
      now_ms += left_ms;
      continue;
    }
    size_t end = at + piece_max < vector.length ? at + piece_max : vector.length;
    if (cut > at && cut < end) end = cut;
    if (wait < vector.wait_count && vector.wait_at[wait] < end) end = vector.wait_at[wait];
    /* A copy of its own size, so that the sanitizer sees every byte that is read beyond it. */
    uint8_t *copy = malloc(end - at);
    memcpy(copy, vector.bytes + at, end - at);
    wire_receive(copy, end - at, now_ms);
    free(copy);
    at = end;
  }
}

/* `stride`: every how many bytes it is cut. */
static void play_all(size_t stride) {
  static char whole[LOG_MAX];
  play(0, VECTOR_MAX);
  memcpy(whole, log_text, log_length + 1);
  fputs(whole, stdout);
  play(0, 1);
  if (strcmp(whole, log_text) != 0) printf("byte by byte it is\n%s", log_text);
  for (size_t cut = 1; cut < vector.length; cut += stride) {
    play(cut, VECTOR_MAX);
    if (strcmp(whole, log_text) != 0) printf("cut at %zu it is\n%s", cut, log_text);
  }
  memset(&vector, 0, sizeof vector);
}

static size_t read_hex(uint8_t *bytes, const char *hex) {
  size_t length = 0;
  unsigned value;
  while (length < VECTOR_MAX && sscanf(hex + 2 * length, "%2x", &value) == 1) bytes[length++] = (uint8_t)value;
  return length;
}

/* Drains the transmit ring `piece` bytes at a time. */
static void print_outgoing(size_t piece) {
  const uint8_t *bytes;
  for (size_t length = wire_outgoing(&bytes); length > 0; length = wire_outgoing(&bytes)) {
    size_t sent = length < piece ? length : piece;
    for (size_t index = 0; index < sent; index++) printf("%02x", bytes[index]);
    wire_sent(sent);
  }
  printf("\n");
}

/* What a ring makes of more than it holds. */
static void flood(void) {
  static const uint8_t plain[200] = {0};
  uint8_t worst[200];
  const uint8_t *bytes;
  unsigned frames = 0;
  memset(worst, 0xc0, sizeof worst);
  wire_start(&handlers);
  while (wire_has_room(sizeof worst)) frames += wire_send_frame(4, 1, 0, worst, sizeof worst);
  size_t before = wire_outgoing(&bytes);
  bool is_whole = !wire_send_frame(4, 1, 0, plain, sizeof plain) && wire_outgoing(&bytes) == before;
  for (int line = 0; line < 99; line++) wire_send_text("1234");
  /* It would fit, but no line overtakes those that were lost. */
  wire_send_text("");
  uint32_t lost = wire_count().lost_lines;
  size_t with_lines = wire_outgoing(&bytes);
  size_t line_count = (with_lines - before) / 5;
  bool is_counted = line_count + lost == 100;
  printf("%u frames, %zu lines, ", frames, line_count);
  wire_sent(with_lines);
  for (size_t length = wire_outgoing(&bytes); length > 0; length = wire_outgoing(&bytes)) {
    printf("%.*s", (int)(strcspn((const char *)bytes, "\n") < length ? length - 1 : length), (const char *)bytes);
    wire_sent(length);
  }
  printf(", %s\n", is_whole && is_counted ? "then all is sent" : "but something is half");
}

/* What would be in the ring: `length` bytes of text, LF included. */
static void fill_ring(size_t length) {
  static char text[2000];
  memset(text, 'x', sizeof text);
  text[length - 1] = 0;
  wire_send_text(text);
}

/* A frame needs the room that it has on the line, and not a byte less. */
static void fit(void) {
  const uint8_t *bytes;
  wire_start(&handlers);
  wire_send_frame(4, 1, 0, (const uint8_t *)"\xc0 five", 6);
  size_t needed = wire_outgoing(&bytes);
  for (size_t room = 0; room <= 2 * needed; room++) {
    wire_start(&handlers);
    fill_ring(1024 - room);
    bool is_sent = wire_send_frame(4, 1, 0, (const uint8_t *)"\xc0 five", 6);
    size_t expected = 1024 - room + (is_sent ? needed : 0);
    if (is_sent != (room >= needed) || wire_outgoing(&bytes) != expected) printf("not with room for %zu: ", room);
  }
  printf("a frame of %zu bytes fits where it fits\n", needed);
}

static void feed_packet(const char *body) {
  uint8_t raw[64] = {0, 0, 2, 0, 0, (uint8_t)strlen(body), 0, 0, 1, 0};
  char text[128] = "\x06\x09";
  size_t length = 10 + strlen(body);
  memcpy(raw + 10, body, strlen(body));
  uint16_t crc = crc_16(0, raw + 2, length - 2);
  raw[1] = (uint8_t)length;
  raw[length] = (uint8_t)(crc >> 8);
  raw[length + 1] = (uint8_t)crc;
  size_t text_length = 2 + base64_encode(text + 2, raw, length + 2);
  text[text_length++] = '\n';
  wire_receive((const uint8_t *)text, text_length, 0);
}

/* A request that comes while an answer is on its way waits for it; one more is lost. */
static void hold(void) {
  static uint8_t long_answer[1000];
  wire_start(&handlers);
  log_length = 0;
  wire_send_packet(long_answer, sizeof long_answer);
  feed_packet("one");
  feed_packet("two");
  wire_tick(0);
  bool is_waiting = wire_is_sending_packet() && wire_deadline_ms(0) != 0;
  printf("%zu bytes told, %s, ", log_length, is_waiting ? "one waits" : "none waits");
  const uint8_t *bytes;
  wire_sent(wire_outgoing(&bytes));
  printf("%u is lost, due in %u ms: ", wire_count().false_packets, wire_deadline_ms(0));
  wire_tick(0);
  fputs(log_text, stdout);
}

/* A module that always has something to say, on a line that takes 16 bytes at a time: the answer goes out all the same. */
static void compete(void) {
  static uint8_t long_answer[600];
  const uint8_t *bytes;
  unsigned round = 0;
  wire_start(&handlers);
  for (int line = 0; line < 99; line++) wire_send_text("command done: ");
  wire_send_packet(long_answer, sizeof long_answer);
  while (wire_is_sending_packet() && round < 1000) {
    size_t length = wire_outgoing(&bytes);
    wire_sent(length < 16 ? length : 16);
    for (int line = 0; line < 16; line++) wire_send_text("command done: ");
    round++;
  }
  printf("the answer is %s\n", wire_is_sending_packet() ? "held up" : "on its way");
}

static void answer(const char *command, const char *rest) {
  static uint8_t bytes[VECTOR_MAX];
  unsigned kind = 0, connection = 0, sequence = 0;
  int used = 0;
  if (strcmp(command, "bytes") == 0) {
    vector.length += read_hex(vector.bytes + vector.length, rest);
  } else if (strcmp(command, "wait") == 0) {
    vector.wait_at[vector.wait_count] = vector.length;
    vector.wait_ms[vector.wait_count++] = (uint32_t)strtoul(rest, NULL, 10);
  } else if (strcmp(command, "play") == 0) {
    play_all(*rest == 0 ? 1 : strtoul(rest, NULL, 10));
  } else if (strcmp(command, "flood") == 0) {
    flood();
  } else if (strcmp(command, "fit") == 0) {
    fit();
  } else if (strcmp(command, "hold") == 0) {
    hold();
  } else if (strcmp(command, "compete") == 0) {
    compete();
  } else if (strcmp(command, "crc") == 0) {
    size_t length = read_hex(bytes, rest);
    printf("%08x %04x\n", crc_32(crc_32(0, bytes, length / 2), bytes + length / 2, length - length / 2),
        crc_16(0, bytes, length));
  } else if (strcmp(command, "frame") == 0 && sscanf(rest, "%u %u %u %n", &kind, &connection, &sequence, &used) == 3) {
    size_t length = read_hex(bytes, rest + used);
    wire_start(&handlers);
    if (!wire_send_frame((uint8_t)kind, (uint8_t)connection, (uint8_t)sequence, bytes, length)) printf("no room ");
    print_outgoing(SIZE_MAX);
  } else if (strcmp(command, "packet") == 0) {
    size_t length = read_hex(bytes, rest);
    for (size_t piece = 1; piece <= 1024; piece *= 32) {
      wire_start(&handlers);
      if (!wire_send_packet(bytes, length)) printf("another is on its way ");
      print_outgoing(piece);
    }
  } else {
    printf("what is %s?\n", command);
    exit(1);
  }
}

int main(void) {
  static char line[2 * VECTOR_MAX + 64];
  while (fgets(line, sizeof line, stdin) != NULL) {
    line[strcspn(line, "\n")] = 0;
    char *rest = strchr(line, ' ');
    if (rest != NULL) *rest++ = 0;
    answer(line, rest == NULL ? "" : rest);
    if (strcmp(line, "play") == 0) printf(".\n");
    fflush(stdout);
  }
  return 0;
}
