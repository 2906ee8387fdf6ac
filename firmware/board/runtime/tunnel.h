/*
 * The board's end of the connection to the broker that runs through the serial line: docs/wire.md, "The life of a
 * connection".
 */

#ifndef TUNNEL_H
#define TUNNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "link.h"
#include "wire.h"

/* How many received bytes may wait here for `read`: the window that the host is told. */
#define TUNNEL_WINDOW 512

#define TUNNEL_NEVER UINT32_MAX

/* Why a connection ended, as CLOSE says it. */
typedef enum {
  TUNNEL_IN_ORDER = 0,
  TUNNEL_BROKER_UNREACHABLE = 1,
  TUNNEL_BROKER_CLOSED = 2,
  TUNNEL_FRAME_LOST = 3,
  TUNNEL_NO_ANSWER = 4,
  TUNNEL_NOT_KNOWN = 5,
  TUNNEL_BRIDGE_ENDS = 6,
  TUNNEL_MODULE_RESTARTS = 7,
  TUNNEL_WINDOW_EXCEEDED = 8
} tunnel_reason;

/* Forgets everything. `first_connection` should be another number after each start of the board (port_random). */
void tunnel_start(uint8_t first_connection);

/* A frame from the line: the `frame` handler of wire.h. */
void tunnel_take(const wire_frame *frame, uint32_t now_ms);

/* True if a bridge has said HELLO in the last 3 s, or a connection stands. */
bool tunnel_has_bridge(uint32_t now_ms);

/* Why the last connection ended; the host's word or ours. */
tunnel_reason tunnel_why(void);

/* -- As link.h has them -- */

/* Gives the next connection its number. OPEN is said as soon as there is a bridge. */
void tunnel_open(uint32_t now_ms);

link_state tunnel_state(void);

/* The reason in English. */
const char *tunnel_ended(void);

/* Takes what the host's window and the transmit ring have room for. */
size_t tunnel_write(const uint8_t *bytes, size_t length);

/* The host gets credit for what was read. */
size_t tunnel_read(uint8_t *to, size_t capacity);

void tunnel_close(link_close_reason reason, uint32_t now_ms);

/*
 * Says what is due: OPEN, ASK, CREDIT, CLOSE. To be called at the deadline, and when the transmit ring has room again.
 */
void tunnel_tick(uint32_t now_ms);

/*
 * Never 0: 10 where something could not be said for lack of room, so that a line that nobody drains makes no board
 * spin.
 */
uint32_t tunnel_deadline_ms(uint32_t now_ms);

/* By the last HELLO. */
uint64_t tunnel_unix_ms(uint32_t now_ms);

extern const link_driver tunnel_link;

#endif
