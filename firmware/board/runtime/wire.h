/* The serial line as docs/wire.md has it: bytes into lines, management packets and frames, and back. */

#ifndef WIRE_H
#define WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Payload of a frame, in bytes. */
#define WIRE_PAYLOAD_MAX 240

/* A management packet without its length and CRC: header and map, in bytes. `params` tells clients. */
#define WIRE_PACKET_MAX 1152

/* What `wire_deadline_ms` answers when no time limit runs. */
#define WIRE_NEVER UINT32_MAX

typedef struct {
  uint8_t kind;
  uint8_t connection;
  uint8_t sequence;
  const uint8_t *payload;
  size_t payload_length;
} wire_frame;

/*
 * Who is told what was received. What the pointers show is gone when the call returns, with the exception named at
 * `packet`.
 */
typedef struct {
  /* A frame with a right CRC; kind and length of its payload are for the callee to check. */
  void (*frame)(const wire_frame *frame, uint32_t now_ms);
  /*
   * A whole management packet (header and map). It stays until the callee returns and its answer is on the way:
   * `wire_send_packet`.
   */
  void (*packet)(const uint8_t *packet, size_t length, uint32_t now_ms);
  /* A line of text without its end; NULL where nobody reads. */
  void (*text)(const uint8_t *text, size_t length);
} wire_handlers;

/* What went wrong since the start. All of them wrap. */
typedef struct {
  /* What lay between two c0 and was no frame. */
  uint32_t false_frames;
  /* Management lines that made no packet. */
  uint32_t false_packets;
  /* Lines of text that found no room in the transmit ring. */
  uint32_t lost_lines;
} wire_counts;

/* Forgets everything. `handlers` must stay. */
void wire_start(const wire_handlers *handlers);

/* Bytes from the line, in pieces of any length. The handlers are called from here. */
void wire_receive(const uint8_t *bytes, size_t length, uint32_t now_ms);

/*
 * Ends what has waited too long, gives away a packet that waited for the answer before it to go out. Harmless at any
 * time.
 */
void wire_tick(uint32_t now_ms);

/* Milliseconds until `wire_tick` has work, or WIRE_NEVER. */
uint32_t wire_deadline_ms(uint32_t now_ms);

/* Queues a frame whole, or answers false: no room now. `payload_length` is at most WIRE_PAYLOAD_MAX. */
bool wire_send_frame(uint8_t kind, uint8_t connection, uint8_t sequence, const uint8_t *payload, size_t payload_length);

/* True if a frame with a payload of this length has room whatever its bytes are. */
bool wire_has_room(size_t payload_length);

/* Queues a line of text; LF is added. What has no room is dropped and counted; a line says so later. */
void wire_send_text(const char *text);

/*
 * Begins to send a management packet (header and map, at most WIRE_PACKET_MAX bytes); its lines go out as the ring has
 * room. The bytes must stay until `wire_is_sending_packet` is false. Answers false while another one is on the way.
 */
bool wire_send_packet(const uint8_t *packet, size_t length);
bool wire_is_sending_packet(void);

/* The bytes that may go to the line now: answers how many lie at `*bytes`. */
size_t wire_outgoing(const uint8_t **bytes);

/* So many of them were taken by the line. */
void wire_sent(size_t length);

/* What went wrong so far. */
wire_counts wire_count(void);

#endif
