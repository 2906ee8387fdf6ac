/*
 * Fuzzes what a board reads from its line: a seeded generator that knows the grammar of lines, frames, packets, CBOR
 * and uploads, and breaks it in places; behind it wire.c, tunnel.c, smp.c and all that they call, over flash in memory.
 * Every answer must be a right one, every whole request must have one. Arguments: first seed, number of seeds, and if
 * wanted a wrapped module that uploads begin from. Says how much was read, or the seed that failed.
 * needs: tests/fake-board.c runtime/wire.c runtime/tunnel.c runtime/base64.c runtime/smp.c runtime/cbor.c
 * needs: runtime/slots.c runtime/config.c runtime/admission.c runtime/image.c runtime/wasm-module.c runtime/flash-log.c
 * needs: runtime/sha256.c runtime/crc.c
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../runtime/base64.h"
#include "../runtime/cbor.h"
#include "../runtime/crc.h"
#include "../runtime/sha256.h"
#include "../runtime/smp.h"
#include "../runtime/tunnel.h"
#include "../runtime/wire.h"
#include "fake-board.h"

#define ACTION_COUNT 300
#define IMAGE_MAX 60000
#define BURST_MAX 8192
#define BODY_MAX 1400
#define PIECE_MAX 93

static uint32_t seed;
static uint32_t now_ms;
static unsigned long long byte_count, request_count, answer_count, frame_count, text_count, whole_count;
static uint32_t refused_count, taken_count;

static _Noreturn void fail(const char *what) {
  printf("seed %u: %s\n", seed, what);
  exit(1);
}

/* -- Chance -- */

static uint32_t chance_state;

static uint32_t chance(uint32_t below) {
  chance_state ^= chance_state << 13;
  chance_state ^= chance_state >> 17;
  chance_state ^= chance_state << 5;
  return chance_state % below;
}

/* Small numbers, edges, and anything. */
static uint32_t odd_number(void) {
  static const uint32_t edges[] = {0, 1, 2, 23, 24, 31, 32, 33, 64, 255, 256, 512, 1024, 65535, 65536, 0x7fffffff,
      0x80000000u, 0xfffffffeu, 0xffffffffu};
  switch (chance(3)) {
    case 0:
      return chance(40);
    case 1:
      return edges[chance(sizeof edges / sizeof edges[0])];
    default:
      return chance_state;
  }
}

/* -- What is being said -- */

static uint8_t burst[BURST_MAX];
static size_t burst_length;

static void say(uint8_t byte) {
  if (burst_length < BURST_MAX) burst[burst_length++] = byte;
}

static void say_bytes(const uint8_t *bytes, size_t length) {
  for (size_t index = 0; index < length; index++) say(bytes[index]);
}

/* -- The board -- */

static uint8_t answer_bytes[SMP_ANSWER_MAX];

static void on_packet(const uint8_t *packet, size_t length, uint32_t at_ms) {
  (void)at_ms;
  if (length < 8 || length > WIRE_PACKET_MAX) fail("a packet of no packet's length");
  uint8_t *request = malloc(length);
  memcpy(request, packet, length);
  memset(answer_bytes, 0xee, sizeof answer_bytes);
  size_t answer_length = smp_answer(answer_bytes, request, length);
  request_count++;
  if (answer_length > 0) {
    cbor_pairs pairs;
    answer_count++;
    if (answer_length < 8 || answer_length > SMP_ANSWER_MAX) fail("an answer of no answer's length");
    if (((unsigned)answer_bytes[2] << 8 | answer_bytes[3]) != answer_length - 8) fail("an answer tells a wrong length");
    if (answer_bytes[0] != request[0] % 32 + 1 || answer_bytes[1] != 0) fail("an answer has a wrong operation");
    if (memcmp(answer_bytes + 4, request + 4, 4) != 0) fail("an answer belongs to another request");
    if (!cbor_open_map(&pairs, answer_bytes + 8, answer_length - 8)) fail("an answer is no map");
    if (!wire_send_packet(answer_bytes, answer_length)) fail("a request was given away while an answer was on its way");
  } else if ((request[0] & 5) == 0) {
    fail("a request has no answer");
  }
  free(request);
}

static void on_frame(const wire_frame *frame, uint32_t at_ms) {
  frame_count++;
  tunnel_take(frame, at_ms);
}

static void on_text(const uint8_t *text, size_t length) {
  text_count++;
  if (length > 512) fail("a line is too long");
  for (size_t index = 0; index < length; index++) {
    if (text[index] == '\n' || text[index] == 0xc0) fail("a line has what no line can have");
  }
}

static const wire_handlers handlers = {on_frame, on_packet, on_text};

static void drain(size_t length_max) {
  const uint8_t *bytes;
  for (size_t length = wire_outgoing(&bytes); length > 0 && length_max > 0; length = wire_outgoing(&bytes)) {
    size_t sent = length < length_max ? length : length_max;
    length_max -= sent;
    wire_sent(sent);
  }
}

static void board_start(void) {
  fake_board_start();
  wire_start(&handlers);
  tunnel_start((uint8_t)chance(256));
}

/* Feeds the burst in pieces, with pauses and an application that reads and writes its connection. */
static void hear(bool is_patient) {
  size_t at = 0;
  while (at < burst_length) {
    size_t piece = 1 + chance(chance(2) ? 8 : 300);
    if (piece > burst_length - at) piece = burst_length - at;
    uint8_t *copy = malloc(piece);
    memcpy(copy, burst + at, piece);
    wire_receive(copy, piece, now_ms);
    free(copy);
    at += piece;
    now_ms += is_patient ? chance(20) : chance(chance(50) == 0 ? 4000 : 30);
    wire_tick(now_ms);
    tunnel_tick(now_ms);
    if (wire_deadline_ms(now_ms) == 0) fail("a deadline of 0 stays 0");
    if (is_patient || chance(3) != 0) drain(is_patient ? SIZE_MAX : chance(400));
    uint8_t stream[300];
    if (chance(4) == 0) tunnel_read(stream, chance(sizeof stream));
    if (chance(8) == 0) tunnel_write(burst, chance(300));
    if (chance(30) == 0) wire_send_text("a line of the console");
    if (tunnel_state() == LINK_DOWN && chance(4) == 0) tunnel_open(now_ms);
  }
  byte_count += burst_length;
  burst_length = 0;
}

/* -- Frames -- */

static void say_frame(void) {
  uint8_t frame[320];
  size_t length = chance(4) == 0 ? chance(300) : chance(12);
  frame[0] = (uint8_t)chance(9);
  frame[1] = (uint8_t)(chance(3) == 0 ? chance(256) : 0);
  frame[2] = (uint8_t)chance(3);
  for (size_t index = 0; index < length; index++) frame[3 + index] = (uint8_t)(chance(4) == 0 ? 0xc0 : chance(256));
  if (frame[0] == 1) length = 9, frame[3] = 1;
  uint32_t crc = crc_32(0, frame, 3 + length);
  for (size_t index = 0; index < 4; index++) frame[3 + length + index] = (uint8_t)(crc >> 8 * index);
  if (chance(6) != 0) say(0xc0);
  for (size_t index = 0; index < 7 + length; index++) {
    uint8_t byte = frame[index];
    if (chance(600) == 0) byte ^= 1;
    if (byte == 0xc0 || byte == 0xdb) say(0xdb);
    say(byte == 0xc0 ? 0xdc : byte == 0xdb ? 0xdd : byte);
  }
  if (chance(6) != 0) say(0xc0);
}

/* -- Requests -- */

static uint8_t body[BODY_MAX];
static cbor_writer writer;

static uint8_t image[IMAGE_MAX];
static size_t image_length;
static uint8_t upload[IMAGE_MAX];
static size_t upload_length;
static uint32_t upload_at;

static void put_byte(uint8_t byte) {
  if (writer.length < writer.capacity) writer.bytes[writer.length++] = byte;
}

static void put_odd_value(uint32_t depth) {
  static const char *const texts[] = {"", "a", "spq", "mote-1", "a/b",
      "0123456789012345678901234567890123456789012345678901234567890123456789"};
  uint8_t bytes[80];
  for (size_t index = 0; index < sizeof bytes; index++) bytes[index] = (uint8_t)chance(256);
  switch (chance(depth < 12 ? 9 : 7)) {
    case 0:
      cbor_put_uint(&writer, odd_number());
      break;
    case 1:
      cbor_put_text(&writer, texts[chance(sizeof texts / sizeof texts[0])]);
      break;
    case 2:
      if (chance(2) && upload_length >= 32) cbor_put_bytes(&writer, upload + upload_length - 32, 32);
      else cbor_put_bytes(&writer, bytes, chance(3) ? 32 : chance(sizeof bytes));
      break;
    case 3:
      cbor_put_bool(&writer, chance(2));
      break;
    case 4:
      put_byte((uint8_t)(chance(2) ? 0xf6 : 0xe0 + chance(32)));
      break;
    case 5:
      put_byte((uint8_t)chance(256));
      break;
    case 6:
      cbor_put_bytes(&writer, upload, chance(1030));
      break;
    default: {
      uint32_t count = chance(4);
      bool is_map = chance(2);
      if (is_map) cbor_put_map(&writer, count);
      else cbor_put_array(&writer, count);
      for (uint32_t item = 0; item < count * (is_map ? 2u : 1u); item++) put_odd_value(depth + 1);
    }
  }
}

static void put_odd_map(void) {
  static const char *const keys[] = {"d", "format", "hash", "confirm", "image", "len", "off", "sha", "data", "upgrade",
      "slot", "id", "user", "pass", "qos", "profile", "key", "interval", "x", "force"};
  uint32_t count = chance(6);
  cbor_put_map(&writer, chance(20) == 0 ? odd_number() : count);
  for (uint32_t pair = 0; pair < count; pair++) {
    if (chance(12) == 0) put_odd_value(0);
    else cbor_put_text(&writer, keys[chance(sizeof keys / sizeof keys[0])]);
    put_odd_value(0);
  }
}

/* A new file to upload: the module, whole or broken in a place, or nothing like it. */
static void choose_upload(void) {
  upload_length = image_length > 0 && chance(6) != 0 ? image_length : chance(4000);
  for (size_t index = 0; index < upload_length; index++) {
    upload[index] = image_length > 0 ? image[index] : (uint8_t)chance(256);
  }
  for (uint32_t broken = chance(3); broken > 0 && upload_length > 0; broken--) {
    size_t at = chance((uint32_t)(chance(2) ? upload_length : upload_length < 600 ? upload_length : 600));
    upload[at] = (uint8_t)chance(256);
  }
  if (chance(4) == 0 && upload_length > 0) upload_length = chance((uint32_t)upload_length);
  /* A hash that is right lets what is broken get to the later checks. */
  if (upload_length == image_length && image_length > 200 && chance(3) != 0) {
    uint32_t module_length = upload[12] | (uint32_t)upload[13] << 8 | (uint32_t)upload[14] << 16;
    uint32_t length = 32 + module_length;
    if (length + 40 <= upload_length) sha256_of(upload, length, upload + length + 8);
  }
  upload_at = 0;
}

/* The next request of the upload, as a client makes it. */
static void put_upload(void) {
  uint8_t sha[32];
  if (upload_at >= upload_length) choose_upload();
  size_t piece = 1 + chance(1000);
  if (piece > upload_length - upload_at) piece = upload_length - upload_at;
  cbor_put_map(&writer, upload_at == 0 ? 4 : 2);
  cbor_put_text(&writer, "off");
  cbor_put_uint(&writer, upload_at);
  if (upload_at == 0) {
    sha256_of(upload, upload_length, sha);
    cbor_put_text(&writer, "len");
    cbor_put_uint(&writer, (uint32_t)upload_length);
    cbor_put_text(&writer, "sha");
    cbor_put_bytes(&writer, sha, 32);
  }
  cbor_put_text(&writer, "data");
  cbor_put_bytes(&writer, upload + upload_at, piece);
}

static size_t end_request(void) {
  body[2] = (uint8_t)((writer.length - 8) >> 8);
  body[3] = (uint8_t)(writer.length - 8);
  return writer.length;
}

/* Writes header and map of a request to `body`; its length, at most `length_max`. */
static size_t make_request(size_t length_max) {
  static const uint8_t commands[][3] = {{0, 0, 2}, {0, 5, 2}, {0, 6, 0}, {0, 7, 0}, {1, 0, 0}, {1, 0, 2}, {1, 1, 2},
      {1, 5, 2}, {1, 6, 0}, {64, 0, 0}, {64, 1, 0}, {64, 1, 2}};
  static const uint8_t provision[] = {64, 2, 2};
  /* Rarely: once there is a key, no module is taken any more. */
  const uint8_t *command = chance(1000) == 0 ? provision : commands[chance(sizeof commands / sizeof commands[0])];
  writer = (cbor_writer){.bytes = body, .capacity = length_max, .length = 8};
  memset(body, 0, 8);
  body[0] = command[2];
  body[5] = command[0];
  body[7] = command[1];
  bool is_upload = chance(4) != 0;
  if (is_upload) {
    body[0] = 2, body[5] = 1, body[7] = 1;
    put_upload();
  } else {
    put_odd_map();
  }
  body[0] |= (uint8_t)(chance(2) << 3);
  body[6] = (uint8_t)chance(256);
  if (is_upload && chance(50) != 0) return end_request();
  if (chance(30) == 0) body[chance(8)] = (uint8_t)chance(256);
  if (chance(10) == 0 && writer.length > 9) body[8 + chance((uint32_t)writer.length - 8)] ^= (uint8_t)(1u << chance(8));
  if (chance(20) == 0) writer.length -= chance((uint32_t)writer.length - 7);
  return end_request();
}

/* Says a packet in lines; `is_whole` without faults. */
static void say_packet(size_t length, bool is_whole) {
  uint8_t raw[BODY_MAX + 4] = {(uint8_t)((length + 2) >> 8), (uint8_t)(length + 2)};
  char text[200];
  memcpy(raw + 2, body, length);
  uint16_t crc = crc_16(0, body, length);
  raw[2 + length] = (uint8_t)(crc >> 8);
  raw[3 + length] = (uint8_t)crc;
  for (size_t at = 0; at < length + 4;) {
    size_t piece = is_whole && chance(3) != 0 ? PIECE_MAX : 1 + chance(PIECE_MAX);
    if (piece > length + 4 - at) piece = length + 4 - at;
    if (is_whole || chance(60) != 0) {
      size_t text_length = base64_encode(text, raw + at, piece);
      if (!is_whole && chance(100) == 0) text[chance((uint32_t)text_length)] = (char)chance(256);
      say(at == 0 ? 0x06 : 0x04);
      say(at == 0 ? 0x09 : 0x14);
      say_bytes((const uint8_t *)text, text_length);
      if (is_whole || chance(100) != 0) say('\n');
    }
    if (chance(30) == 0) say_bytes((const uint8_t *)"text between\r\n", 14);
    if (!is_whole && chance(30) == 0) say_frame();
    at += piece;
  }
}

/* One request on a quiet line: it must have its answer, and an upload goes on from there. */
static void ask(void) {
  burst_length = 0;
  say('\n');
  now_ms += 4000;
  drain(SIZE_MAX);
  hear(true);
  drain(SIZE_MAX);
  size_t length = make_request(WIRE_PACKET_MAX);
  bool is_upload = body[5] == 1 && body[7] == 1;
  unsigned long long before = request_count;
  say_packet(length, true);
  hear(true);
  drain(SIZE_MAX);
  if (request_count != before + 1) fail("a whole packet was not taken, or twice");
  whole_count++;
  fake_board_forget();
  if (!is_upload) return;
  /* {"off": number} */
  if (answer_bytes[8] != 0xa1 || memcmp(answer_bytes + 9, "\x63off", 4) != 0) {
    refused_count++;
    choose_upload();
    return;
  }
  uint32_t number = answer_bytes[13] & 31;
  if (number == 24) number = answer_bytes[14];
  else if (number == 25) number = (uint32_t)answer_bytes[14] << 8 | answer_bytes[15];
  else if (number == 26) number = (uint32_t)answer_bytes[15] << 16 | (uint32_t)answer_bytes[16] << 8 | answer_bytes[17];
  upload_at = number;
  if (number == upload_length) taken_count++;
}

static void noise(void) {
  static const uint8_t special[] = {0xc0, 0xdb, '\n', 0x06, 0x09, 0x04, 0x14};
  for (uint32_t count = chance(40); count > 0; count--) {
    say(chance(5) == 0 ? special[chance(sizeof special)] : (uint8_t)chance(256));
  }
}

static void run(void) {
  chance_state = seed * 2654435761u | 1;
  now_ms = chance_state;
  if (chance(4) == 0) fake_board_erase();
  board_start();
  choose_upload();
  for (uint32_t action = 0; action < ACTION_COUNT; action++) {
    switch (chance(8)) {
      case 0:
        noise();
        break;
      case 1:
      case 2:
        say_frame();
        break;
      case 3:
        say_packet(make_request(BODY_MAX), false);
        break;
      case 4:
        if (chance(20) == 0) board_start();
        break;
      case 5:
        for (uint32_t count = chance(1300); count > 0; count--) say((uint8_t)('a' + chance(26)));
        if (chance(2)) say('\n');
        break;
      default:
        ask();
    }
    hear(false);
  }
}

static void read_image(const char *path) {
  FILE *file = fopen(path, "rb");
  if (file == NULL) {
    printf("cannot read %s\n", path);
    exit(2);
  }
  image_length = fread(image, 1, sizeof image, file);
  fclose(file);
}

int main(int count, char **arguments) {
  uint32_t first = count > 1 ? (uint32_t)strtoul(arguments[1], NULL, 10) : 1;
  uint32_t seed_count = count > 2 ? (uint32_t)strtoul(arguments[2], NULL, 10) : 20;
  if (count > 3) read_image(arguments[3]);
  fake_board_erase();
  for (seed = first; seed < first + seed_count; seed++) run();
  printf("%u seeds, %llu bytes, %llu requests, %llu answers, ", seed_count, byte_count, request_count, answer_count);
  printf("%llu of them to whole requests, %llu frames, %llu lines, ", whole_count, frame_count, text_count);
  printf("%u uploads taken, %u refused\n", taken_count, refused_count);
  return 0;
}
