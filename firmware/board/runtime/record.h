/* The record of a module's client in the module's own block, and its session in the journal. */

#ifndef RECORD_H
#define RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include "module.h"

typedef enum {
  RECORD_NOTHING,
  RECORD_STORED,
  /* The module has fallen (`instance_why`), or cannot run before somebody changes something (`record_why`). */
  RECORD_FAILED
} record_result;

/*
 * Lays out the block (record, profile, room for arguments), makes the record with these settings, takes the session back from the journal or begins one.
 * False: as RECORD_FAILED.
 */
bool record_make(const module_settings *settings);

/* Its address, for the first argument of nearly every export. */
uint32_t record_at(void);

/* Six numbers of the last event (docs/abi.md, EventField). */
typedef enum {
  EVENT_TOPIC_AT = 0,
  EVENT_TOPIC_LENGTH = 4,
  EVENT_PAYLOAD_AT = 8,
  EVENT_PAYLOAD_LENGTH = 12,
  EVENT_PACKET_ID = 16,
  EVENT_VALUE = 20
} record_event_field;

uint32_t record_event(record_event_field field);

/* Stores what is urgent; call it before each look at what may be transmitted. */
record_result record_keep(void);

/* Stores the whole session as an image. False: as RECORD_FAILED. */
bool record_save(void);

/* Why it is refused, in English; "" unless the last failure was a refusal. */
const char *record_why(void);

#endif
