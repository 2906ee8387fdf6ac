/*
 * The serial line: one buffer that gathers a line or a frame, one that gathers a management packet, and one ring of
 * bytes to send.
 */

#include "wire.h"

#include <string.h>

#include "base64.h"
#include "crc.h"

#define FRAME_MAX 1024
#define LINE_MAX 512
#define FRAME_TIME_MS 500
#define PACKET_TIME_MS 3000

#define RING_LENGTH 1024

/* A management line: two bytes of mark, base64 of 93 bytes, LF. */
#define PIECE_MAX 93
#define MANAGEMENT_LINE_MAX 127

#define SLIP_END 0xc0
#define SLIP_ESCAPE 0xdb
#define SLIP_ESCAPED_END 0xdc
#define SLIP_ESCAPED_ESCAPE 0xdd

/* Kind, connection, sequence number; behind the payload the CRC. */
#define FRAME_HEADER 3
#define FRAME_CRC 4

/* What CRC-32 makes of any bytes that their own CRC follows. */
#define CRC_32_RESIDUE 0x2144df1cu

/* A management packet: length, header and map, CRC. */
#define PACKET_LENGTH 2
#define PACKET_CRC 2
#define SMP_HEADER 8

typedef enum { PACKET_NONE, PACKET_BEGUN, PACKET_WHOLE } packet_state;

static struct {
  const wire_handlers *handlers;
  wire_counts counts;

  /* Outside a frame: the line so far, at most LINE_MAX bytes. Inside: what came since c0, as it came. */
  uint8_t gathered[FRAME_MAX];
  size_t gathered_length;
  bool is_inside;
  uint32_t last_byte_ms;

  uint8_t packet[PACKET_LENGTH + WIRE_PACKET_MAX + PACKET_CRC];
  size_t packet_length;
  packet_state packet_state;
  uint32_t packet_begun_ms;

  uint8_t ring[RING_LENGTH];
  size_t ring_at;
  size_t ring_length;

  /* The packet on its way out: NULL, or how much of length, packet and CRC has gone into the ring. */
  const uint8_t *sending;
  size_t sending_length;
  size_t sending_done;

  /* Lost lines of text that no line has told of. */
  uint32_t lost_untold;
} wire;

void wire_start(const wire_handlers *handlers) {
  memset(&wire, 0, sizeof wire);
  wire.handlers = handlers;
}

wire_counts wire_count(void) { return wire.counts; }

/* -- Management packets in -- */

static void drop_packet(void) {
  wire.counts.false_packets++;
  wire.packet_state = PACKET_NONE;
}

static void give_packet(uint32_t now_ms) {
  if (wire.packet_state != PACKET_WHOLE || wire.sending != NULL) return;
  wire.packet_state = PACKET_NONE;
  wire.handlers->packet(wire.packet + PACKET_LENGTH, wire.packet_length - PACKET_LENGTH - PACKET_CRC, now_ms);
}

static size_t big_endian(const uint8_t *bytes) { return (size_t)bytes[0] << 8 | bytes[1]; }

/* True if all bytes of the packet are there and right. */
static bool is_packet_right(void) {
  const uint8_t *body = wire.packet + PACKET_LENGTH;
  size_t length = wire.packet_length - PACKET_LENGTH - PACKET_CRC;
  return length >= SMP_HEADER && big_endian(body + 2) == length - SMP_HEADER
      && crc_16(0, body, length) == big_endian(body + length);
}

/* A line that began with 06 09 or 04 14, without them. */
static void take_management(bool is_first, const uint8_t *text, size_t length, uint32_t now_ms) {
  if (wire.packet_state == PACKET_WHOLE || (!is_first && wire.packet_state == PACKET_NONE)) {
    wire.counts.false_packets++;
    return;
  }
  if (is_first) {
    if (wire.packet_state == PACKET_BEGUN) drop_packet();
    wire.packet_state = PACKET_BEGUN;
    wire.packet_begun_ms = now_ms;
    wire.packet_length = 0;
  }
  size_t capacity = sizeof wire.packet - wire.packet_length;
  size_t decoded = base64_decode(wire.packet + wire.packet_length, capacity, text, length);
  if (decoded == BASE64_WRONG) {
    drop_packet();
    return;
  }
  wire.packet_length += decoded;
  if (wire.packet_length < PACKET_LENGTH) return;
  size_t expected = PACKET_LENGTH + big_endian(wire.packet);
  if (wire.packet_length < expected) return;
  if (wire.packet_length > expected || expected < PACKET_LENGTH + PACKET_CRC || !is_packet_right()) {
    drop_packet();
    return;
  }
  wire.packet_state = PACKET_WHOLE;
  give_packet(now_ms);
}

/* -- Lines in -- */

static void give_text(size_t length) {
  wire.gathered_length = 0;
  if (wire.handlers->text != NULL) wire.handlers->text(wire.gathered, length);
}

/* LF has come. */
static void end_line(uint32_t now_ms) {
  const uint8_t *line = wire.gathered;
  size_t length = wire.gathered_length;
  if (length > 0 && line[length - 1] == '\r') length--;
  bool is_first = length >= 2 && line[0] == 0x06 && line[1] == 0x09;
  if (is_first || (length >= 2 && line[0] == 0x04 && line[1] == 0x14)) {
    wire.gathered_length = 0;
    take_management(is_first, line + 2, length - 2, now_ms);
  } else {
    give_text(length);
  }
}

static void take_outside(uint8_t byte, uint32_t now_ms) {
  if (byte == '\n') {
    end_line(now_ms);
    return;
  }
  if (wire.gathered_length == LINE_MAX) give_text(LINE_MAX);
  wire.gathered[wire.gathered_length++] = byte;
}

/*
 * What was gathered inside was no frame: it goes through the line, in place, because a line is never longer than what
 * was read of it.
 */
static void turn_into_text(uint32_t now_ms) {
  size_t length = wire.gathered_length;
  wire.counts.false_frames++;
  wire.gathered_length = 0;
  wire.is_inside = false;
  for (size_t index = 0; index < length; index++) take_outside(wire.gathered[index], now_ms);
}

/* -- Frames in -- */

/* Reads one byte at `*at`, which may be two on the line; answers -1 for a wrong escape. */
static int unescape(size_t *at) {
  uint8_t byte = wire.gathered[(*at)++];
  if (byte != SLIP_ESCAPE) return byte;
  uint8_t escaped = *at < wire.gathered_length ? wire.gathered[(*at)++] : 0;
  if (escaped == SLIP_ESCAPED_END) return SLIP_END;
  return escaped == SLIP_ESCAPED_ESCAPE ? SLIP_ESCAPE : -1;
}

/* Length of the frame that was gathered, 0 if it is none. Changes nothing: what is no frame is text as it came. */
static size_t frame_length(void) {
  size_t length = 0;
  uint32_t crc = 0;
  for (size_t at = 0; at < wire.gathered_length; length++) {
    int byte = unescape(&at);
    if (byte < 0) return 0;
    uint8_t single = (uint8_t)byte;
    crc = crc_32(crc, &single, 1);
  }
  return length >= FRAME_HEADER + FRAME_CRC && crc == CRC_32_RESIDUE ? length : 0;
}

static void give_frame(size_t length, uint32_t now_ms) {
  size_t at = 0;
  for (size_t index = 0; index < length; index++) wire.gathered[index] = (uint8_t)unescape(&at);
  wire.gathered_length = 0;
  wire.is_inside = false;
  wire_frame frame = {
      .kind = wire.gathered[0],
      .connection = wire.gathered[1],
      .sequence = wire.gathered[2],
      .payload = wire.gathered + FRAME_HEADER,
      .payload_length = length - FRAME_HEADER - FRAME_CRC,
  };
  wire.handlers->frame(&frame, now_ms);
}

static void take_end(uint32_t now_ms) {
  if (wire.is_inside && wire.gathered_length > 0) {
    size_t length = frame_length();
    if (length > 0) {
      give_frame(length, now_ms);
      return;
    }
    turn_into_text(now_ms);
  }
  if (wire.gathered_length > 0) give_text(wire.gathered_length);
  wire.is_inside = true;
}

static void take(uint8_t byte, uint32_t now_ms) {
  if (byte == SLIP_END) {
    take_end(now_ms);
    return;
  }
  if (wire.is_inside && wire.gathered_length == FRAME_MAX) turn_into_text(now_ms);
  if (wire.is_inside) wire.gathered[wire.gathered_length++] = byte;
  else take_outside(byte, now_ms);
}

void wire_receive(const uint8_t *bytes, size_t length, uint32_t now_ms) {
  wire_tick(now_ms);
  for (size_t index = 0; index < length; index++) take(bytes[index], now_ms);
  if (length > 0) wire.last_byte_ms = now_ms;
}

/* -- Time -- */

void wire_tick(uint32_t now_ms) {
  if (wire.is_inside && now_ms - wire.last_byte_ms > FRAME_TIME_MS) turn_into_text(now_ms);
  if (wire.packet_state == PACKET_BEGUN && now_ms - wire.packet_begun_ms >= PACKET_TIME_MS) drop_packet();
  give_packet(now_ms);
}

static uint32_t remaining(uint32_t since_ms, uint32_t time_ms, uint32_t now_ms) {
  uint32_t passed_ms = now_ms - since_ms;
  return passed_ms < time_ms ? time_ms - passed_ms : 0;
}

uint32_t wire_deadline_ms(uint32_t now_ms) {
  uint32_t deadline_ms = WIRE_NEVER;
  if (wire.packet_state == PACKET_WHOLE && wire.sending == NULL) return 0;
  if (wire.is_inside) deadline_ms = remaining(wire.last_byte_ms, FRAME_TIME_MS + 1, now_ms);
  if (wire.packet_state == PACKET_BEGUN) {
    uint32_t packet_ms = remaining(wire.packet_begun_ms, PACKET_TIME_MS, now_ms);
    if (packet_ms < deadline_ms) deadline_ms = packet_ms;
  }
  return deadline_ms;
}

/* -- Out -- */

static size_t room(void) { return RING_LENGTH - wire.ring_length; }

/* The caller knows that there is room. */
static void put(uint8_t byte) {
  wire.ring[(wire.ring_at + wire.ring_length) % RING_LENGTH] = byte;
  wire.ring_length++;
}

static void put_text(const char *text) {
  for (; *text != 0; text++) put((uint8_t)*text);
}

static size_t escaped_length(const uint8_t *bytes, size_t length) {
  size_t escaped = length;
  for (size_t index = 0; index < length; index++) escaped += bytes[index] == SLIP_END || bytes[index] == SLIP_ESCAPE;
  return escaped;
}

static void put_escaped(const uint8_t *bytes, size_t length) {
  for (size_t index = 0; index < length; index++) {
    uint8_t byte = bytes[index];
    bool is_special = byte == SLIP_END || byte == SLIP_ESCAPE;
    if (is_special) put(SLIP_ESCAPE);
    put(!is_special ? byte : byte == SLIP_END ? SLIP_ESCAPED_END : SLIP_ESCAPED_ESCAPE);
  }
}

bool wire_has_room(size_t payload_length) { return 2 + 2 * (FRAME_HEADER + payload_length + FRAME_CRC) <= room(); }

bool wire_send_frame(uint8_t kind, uint8_t connection, uint8_t sequence, const uint8_t *payload,
    size_t payload_length) {
  const uint8_t header[FRAME_HEADER] = {kind, connection, sequence};
  uint32_t crc = crc_32(crc_32(0, header, FRAME_HEADER), payload, payload_length);
  const uint8_t trailer[FRAME_CRC] = {(uint8_t)crc, (uint8_t)(crc >> 8), (uint8_t)(crc >> 16), (uint8_t)(crc >> 24)};
  size_t escaped = escaped_length(header, FRAME_HEADER) + escaped_length(payload, payload_length)
      + escaped_length(trailer, FRAME_CRC);
  if (2 + escaped > room()) return false;
  put(SLIP_END);
  put_escaped(header, FRAME_HEADER);
  put_escaped(payload, payload_length);
  put_escaped(trailer, FRAME_CRC);
  put(SLIP_END);
  return true;
}

/* A module may never stop talking: what its manager asks for goes first. */
static size_t room_for_text(void) {
  size_t kept = wire.sending == NULL ? 0 : MANAGEMENT_LINE_MAX;
  return room() > kept ? room() - kept : 0;
}

/* "[12 lines lost]" */
static void tell_lost(void) {
  static const char words[] = " lines lost]\n";
  char digits[11];
  size_t at = sizeof digits - 1;
  if (wire.lost_untold == 0) return;
  digits[at] = 0;
  for (uint32_t number = wire.lost_untold; number > 0; number /= 10) digits[--at] = (char)('0' + number % 10);
  if (1 + sizeof digits + sizeof words > room_for_text()) return;
  wire.lost_untold = 0;
  put('[');
  put_text(digits + at);
  put_text(words);
}

void wire_send_text(const char *text) {
  tell_lost();
  if (wire.lost_untold > 0 || strlen(text) + 1 > room_for_text()) {
    wire.counts.lost_lines++;
    wire.lost_untold++;
    return;
  }
  put_text(text);
  put('\n');
}

static uint8_t sending_byte(size_t index) {
  size_t behind_length = wire.sending_length + PACKET_CRC;
  if (index < PACKET_LENGTH) return (uint8_t)(behind_length >> (8 - 8 * index));
  index -= PACKET_LENGTH;
  if (index < wire.sending_length) return wire.sending[index];
  uint32_t crc = crc_16(0, wire.sending, wire.sending_length);
  return (uint8_t)(crc >> (8 - 8 * (index - wire.sending_length)));
}

/* Puts as many lines of the packet into the ring as there is room for. */
static void send_lines(void) {
  while (wire.sending != NULL && room() >= MANAGEMENT_LINE_MAX) {
    uint8_t piece[PIECE_MAX];
    char text[MANAGEMENT_LINE_MAX];
    size_t length = 0;
    size_t total = PACKET_LENGTH + wire.sending_length + PACKET_CRC;
    bool is_first = wire.sending_done == 0;
    while (length < PIECE_MAX && wire.sending_done < total) piece[length++] = sending_byte(wire.sending_done++);
    size_t text_length = base64_encode(text, piece, length);
    put(is_first ? 0x06 : 0x04);
    put(is_first ? 0x09 : 0x14);
    for (size_t index = 0; index < text_length; index++) put((uint8_t)text[index]);
    put('\n');
    if (wire.sending_done == total) wire.sending = NULL;
  }
}

bool wire_send_packet(const uint8_t *packet, size_t length) {
  if (wire.sending != NULL) return false;
  wire.sending = packet;
  wire.sending_length = length;
  wire.sending_done = 0;
  send_lines();
  return true;
}

bool wire_is_sending_packet(void) { return wire.sending != NULL; }

size_t wire_outgoing(const uint8_t **bytes) {
  size_t to_end = RING_LENGTH - wire.ring_at;
  *bytes = wire.ring + wire.ring_at;
  return wire.ring_length < to_end ? wire.ring_length : to_end;
}

void wire_sent(size_t length) {
  wire.ring_at = (wire.ring_at + length) % RING_LENGTH;
  wire.ring_length -= length;
  send_lines();
  tell_lost();
}
