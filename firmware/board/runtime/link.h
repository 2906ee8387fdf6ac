/* What a module's byte stream goes through: the tunnel over the serial line (tunnel.c), or a socket of the port's. */

#ifndef LINK_H
#define LINK_H

#include <stddef.h>
#include <stdint.h>

typedef enum {
  /* There is no connection. What arrived before its end can still be read. */
  LINK_DOWN,
  /* It is being made, or waits for somebody who makes it: a bridge on the line, an access point. */
  LINK_OPENING,
  LINK_UP
} link_state;

/* Why this side ends a connection, numbered as the reasons of CLOSE in docs/wire.md. */
typedef enum {
  /* In order: what was written before goes. */
  LINK_CLOSE_DONE = 0,
  /* The server does not answer, or has said what no server may say. */
  LINK_CLOSE_SILENT = 4,
  LINK_CLOSE_RESTART = 7
} link_close_reason;

/* One link, one connection at a time. Nothing here waits, and every call may come at any time: too many are harmless. */
typedef struct {
  /* As `link` in `info`: "serial" or "net". */
  const char *name;

  /* Begins to make a connection, if the state is LINK_DOWN; unread bytes of the one before are forgotten. */
  void (*open)(uint32_t now_ms);

  link_state (*state)(void);

  /* Why the last connection ended, or could not be made, in English; never NULL, valid until the next call of `open`. */
  const char *(*ended)(void);

  /* Takes as many bytes as there is room for, and answers how many; 0 unless LINK_UP. */
  size_t (*write)(const uint8_t *bytes, size_t length);

  /* Gives what has arrived, at most `capacity` bytes. What is not read here holds the peer back. */
  size_t (*read)(uint8_t *to, size_t capacity);

  /* Ends the connection or the attempt. LINK_DOWN follows, at once or when what was written has gone. */
  void (*close)(link_close_reason reason, uint32_t now_ms);

  /* Does what is due; the runtime calls it in every round. */
  void (*tick)(uint32_t now_ms);

  /* Milliseconds until `tick` has work, UINT32_MAX if only the peer can give it some. */
  uint32_t (*next_deadline_ms)(uint32_t now_ms);

  /* Milliseconds since 1970, 0 while nobody has told them. */
  uint64_t (*unix_ms)(uint32_t now_ms);
} link_driver;

#endif
