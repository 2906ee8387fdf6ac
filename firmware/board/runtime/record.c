/* The record of a module's client: how the block is dealt out, what the setters are told, and the way into and out of the journal. */

#include "record.h"

#include <string.h>

#include "../port/port.h"
#include "bytes.h"
#include "console.h"
#include "instance.h"
#include "journal.h"

/* Status of docs/abi.md. */
#define STATUS_TOO_LARGE (-6)
#define STATUS_FOREIGN_IMAGE (-8)

#define RECEIVE_CAPACITY 256u
#define JOURNAL_CAPACITY_MIN 256u
/* Of the journal's buffer messages may not use so many (JOURNAL_RESERVE_LENGTH), and a PUBLISH has as many before its topic (3.3.1, 3.3.2). */
#define JOURNAL_RESERVE_LENGTH 24u
#define PUBLISH_HEADER_LENGTH 9u
#define TRANSMIT_CAPACITY_MIN 64u
#define INCOMING_COUNT 8u
/* What an image takes besides the outbox (docs/abi.md, saveImage), the thermometer's note of 8 bytes included. */
#define IMAGE_EXTRA_LENGTH (4u * INCOMING_COUNT + 8u + 32u)

/* A thermometer's Will on `motes/<id>/status`, lengths and twice the client id included. */
#define WILL_LENGTH_MIN 160u
/* A place in a template becomes the client id, or a number of at most so many characters (docs/profiles.md). */
#define PLACEHOLDER_LENGTH_MAX 20u
#define CLIENT_ID_PLACEHOLDER 1u
#define FIRST_CHARACTER 0x20u

#define PROFILE_HEADER_LENGTH 8u
#define PROFILE_WILL 1u
#define QOS_MASK 3u

/*
 * Numbers of telemetry at QoS 0 are stored with the batch that is due next, at the latest when so many notes (10 bytes each) have filled the
 * journal's buffer; those that were used since could come again after a loss of power, so as many are left out. At QoS 1 and 2 the number is stored
 * with its message.
 */
#define NOTE_RECORD_LENGTH 10u

#define PACKET_ID_MAX 65535u

static struct {
  uint32_t at;
  uint32_t event_at;
  uint32_t scratch_at;
  uint32_t scratch_length;
  uint32_t journal_capacity;
  const char *why;
} record = {.why = ""};

static bool lay_out(const module_settings *settings);
static bool put_settings(const module_settings *settings);
static bool restore(const module_settings *settings);
static bool begin_session(void);
static bool refuse(const char *why);
static bool refuse_session(const char *why);

bool record_make(const module_settings *settings) {
  record.why = "";
  return lay_out(settings) && put_settings(settings) && restore(settings) && !instance_has_fallen();
}

uint32_t record_at(void) {
  return record.at;
}

const char *record_why(void) {
  return record.why;
}

uint32_t record_event(record_event_field field) {
  const uint8_t *at = instance_memory(record.event_at, EVENT_VALUE + 4);
  return at == NULL ? 0 : bytes_u32(at + field);
}

static uint32_t align_up(uint32_t length) {
  return (length + 7) & ~7u;
}

/* What a profile's messages can take at most. */
typedef struct {
  uint32_t will_length;
  /* Of the largest PUBLISH that is stored in the journal. */
  uint32_t message_length;
} profile_needs;

/* Bytes that a template becomes at most. */
static uint32_t expanded_length(const uint8_t *template, uint32_t length, uint32_t id_length) {
  uint32_t expanded = length;
  for (uint32_t index = 0; index < length; index++) {
    if (template[index] < FIRST_CHARACTER) expanded += template[index] == CLIENT_ID_PLACEHOLDER ? id_length : PLACEHOLDER_LENGTH_MAX;
  }
  return expanded;
}

/* The module checks the profile; here it is only measured, as far as its items are whole. */
static profile_needs measure_profile(const module_settings *settings) {
  const module_field *profile = &settings->profile;
  profile_needs needs = {0, 0};
  uint32_t at = 0;
  while (profile->length - at >= PROFILE_HEADER_LENGTH) {
    const uint8_t *item = profile->bytes + at;
    const uint32_t texts_length = (uint32_t)bytes_u16(item + 4) + bytes_u16(item + 6);
    at += PROFILE_HEADER_LENGTH;
    if (texts_length > profile->length - at) break;
    const uint32_t length = expanded_length(item + PROFILE_HEADER_LENGTH, texts_length, settings->id.length);
    if (item[0] == PROFILE_WILL) needs.will_length = 4 + length;
    else if ((item[1] & QOS_MASK) > 0 && length > needs.message_length) needs.message_length = length;
    at += texts_length;
  }
  return needs;
}

static uint32_t larger(uint32_t left, uint32_t right) {
  return left > right ? left : right;
}

/* What is asked of the module for one record. */
typedef struct {
  uint32_t identity;
  uint32_t journal;
  uint32_t transmit;
} capacities;

static int32_t record_size(const capacities *wanted) {
  return ASK(CALL_CLIENT_SIZE, RECEIVE_CAPACITY, wanted->transmit, wanted->identity, INCOMING_COUNT, wanted->journal);
}

/* Arguments need room for an image of the record, and for whatever batch its journal holds: so what this record stores always comes back into it. */
static uint32_t scratch_length(const capacities *wanted) {
  return larger(wanted->transmit + IMAGE_EXTRA_LENGTH, wanted->journal);
}

/* Gives the outbox all that is left: what is beyond the journal's length needs as much again for an image. */
static void enlarge_outbox(capacities *wanted, uint32_t spare_length) {
  const uint32_t cheap_length = scratch_length(wanted) - wanted->transmit - IMAGE_EXTRA_LENGTH;
  if (spare_length <= cheap_length) wanted->transmit += spare_length & ~7u;
  else wanted->transmit += (cheap_length + (spare_length - cheap_length) / 2) & ~7u;
}

/* Of the module's block, in this order: the record, the profile, and room for arguments. */
static bool lay_out(const module_settings *settings) {
  const uint32_t block_at = (uint32_t)ASK(CALL_BLOCK_AT, 0);
  const uint32_t block_length = (uint32_t)ASK(CALL_BLOCK_LENGTH, 0);
  if (instance_memory(block_at, block_length) == NULL) return false;

  const uint32_t profile_length = instance_has(CALL_SET_PROFILE) ? align_up(settings->profile.length) : 0;
  const profile_needs needs = profile_length > 0 ? measure_profile(settings) : (profile_needs){0, 0};
  capacities wanted = {
      .identity = 6 + settings->id.length + settings->user.length + settings->pass.length + larger(WILL_LENGTH_MIN, needs.will_length),
      .journal = larger(JOURNAL_CAPACITY_MIN, align_up(needs.message_length + PUBLISH_HEADER_LENGTH + JOURNAL_RESERVE_LENGTH)),
      .transmit = TRANSMIT_CAPACITY_MIN,
  };
  const int32_t least_size = record_size(&wanted);
  const uint32_t least_behind = profile_length + scratch_length(&wanted);
  if (least_size <= 0 || least_behind > block_length || (uint32_t)least_size > block_length - least_behind) {
    return refuse("its block is too small for this configuration");
  }
  enlarge_outbox(&wanted, block_length - least_behind - (uint32_t)least_size);
  const int32_t size = record_size(&wanted);
  const uint32_t behind = profile_length + scratch_length(&wanted);
  const bool fits = size > 0 && behind <= block_length && (uint32_t)size <= block_length - behind;
  const bool is_made = fits && ASK(CALL_CLIENT_INIT, block_at, RECEIVE_CAPACITY, wanted.transmit, wanted.identity, INCOMING_COUNT, wanted.journal) == 0;
  if (!is_made) {
    instance_fall("it does not make the record that it has a size for");
    return false;
  }
  record.at = block_at;
  record.scratch_at = block_at + (uint32_t)size + profile_length;
  record.scratch_length = block_length - (uint32_t)size - profile_length;
  record.journal_capacity = wanted.journal;
  record.event_at = (uint32_t)ASK(CALL_EVENT_AT, block_at);
  return instance_memory(record.event_at, EVENT_VALUE + 4) != NULL;
}

/* Copies bytes to where the module reads its arguments; false if they have no room, or the module has fallen. */
static bool lend(const uint8_t *bytes, uint32_t length) {
  if (length > record.scratch_length) return false;
  uint8_t *to = instance_memory(record.scratch_at, length);
  if (to == NULL) return false;
  if (length > 0) memcpy(to, bytes, length);
  return true;
}

static bool put_field(instance_call call, const module_field *field) {
  return lend(field->bytes, field->length) && ASK(call, record.at, record.scratch_at, field->length) == 0;
}

static bool put_profile(const module_field *profile) {
  const uint32_t at = record.scratch_at - align_up(profile->length);
  uint8_t *to = instance_memory(at, profile->length);
  if (to == NULL) return false;
  memcpy(to, profile->bytes, profile->length);
  return ASK(CALL_SET_PROFILE, record.at, at, profile->length) == 0;
}

static bool put_settings(const module_settings *settings) {
  const bool has_profile = instance_has(CALL_SET_PROFILE) && settings->profile.length > 0;
  if (has_profile && !put_profile(&settings->profile)) return refuse("it does not take the profile of the configuration");
  if (!put_field(CALL_SET_CLIENT_ID, &settings->id)) return refuse("it does not take the client id of the configuration");
  if (settings->user.length > 0 && !put_field(CALL_SET_USER_NAME, &settings->user)) return refuse("it does not take the user name");
  if (settings->pass.length > 0 && !put_field(CALL_SET_PASSWORD, &settings->pass)) return refuse("it does not take the password");
  if (ASK(CALL_CONFIGURE, record.at, settings->interval_ms, 0, settings->qos) != 0) return refuse("it does not take the interval or the QoS");
  return true;
}

/* Gives the module one batch after the other. The status of the first that it does not take. */
static int32_t replay(void) {
  const uint8_t *batch;
  uint32_t length;
  while (journal_next_batch(&batch, &length)) {
    if (!lend(batch, length)) return STATUS_TOO_LARGE;
    const int32_t status = ASK(CALL_RESTORE, record.at, record.scratch_at, length);
    if (status != 0) return status;
  }
  return 0;
}

/* A session that was made with another module or another configuration, by who set them: it is not missed in silence. */
static bool give_up(const module_settings *settings, const char *why) {
  console_text("the stored session is given up, and with it what was under way: ");
  console_say(why);
  if (journal_erase() != JOURNAL_OK) return refuse(journal_error());
  journal_open();
  return lay_out(settings) && put_settings(settings) && begin_session();
}

static bool restore(const module_settings *settings) {
  const journal_result result = journal_open();
  if (result == JOURNAL_REFUSED) return refuse_session(journal_error());
  if (result == JOURNAL_EMPTY) return begin_session();
  const int32_t status = replay();
  if (instance_has_fallen()) return false;
  if (status == STATUS_FOREIGN_IMAGE) return give_up(settings, "it belongs to another client id");
  if (status == STATUS_TOO_LARGE) return give_up(settings, "with this module or configuration there is no room for it");
  if (status != 0) return refuse_session("the session in flash is damaged: the module does not take it back");
  if (settings->qos > 0) return true;
  const uint32_t unstored_count = record.journal_capacity / NOTE_RECORD_LENGTH + 1;
  ASK(CALL_SET_SEQUENCE, record.at, (uint32_t)ASK(CALL_SEQUENCE, record.at) + unstored_count);
  return record_save();
}

/* A device that lost its session starts with another Packet Identifier, so that the server takes no new message for an old one. */
static bool begin_session(void) {
  ASK(CALL_SET_NEXT_PACKET_ID, record.at, 1 + port_random() % PACKET_ID_MAX);
  return record_save();
}

/* True if the journal has taken it. */
static bool is_kept(journal_result result) {
  if (result == JOURNAL_OK) return true;
  if (result == JOURNAL_REFUSED) return refuse(journal_error());
  instance_fall("it gave no whole batch for the journal");
  return false;
}

bool record_save(void) {
  const int32_t length =
      ASK(CALL_SAVE_IMAGE, record.at, journal_next_generation(), record.scratch_at, record.scratch_length, 0, 0);
  if (length <= 0 || (uint32_t)length > record.scratch_length) {
    instance_fall("it does not save its session");
    return false;
  }
  const uint8_t *image = instance_memory(record.scratch_at, (uint32_t)length);
  if (image == NULL || !is_kept(journal_replace(image, (uint32_t)length))) return false;
  ASK(CALL_STORED, record.at, record.scratch_at);
  return !instance_has_fallen();
}

record_result record_keep(void) {
  const uint32_t length = (uint32_t)ASK(CALL_STORE_LENGTH, record.at);
  if (length == 0) return instance_has_fallen() ? RECORD_FAILED : RECORD_NOTHING;
  const uint32_t at = (uint32_t)ASK(CALL_STORE_AT, record.at);
  const uint8_t *batch = instance_memory(at, length);
  if (batch == NULL) return RECORD_FAILED;
  const journal_result result = journal_append(batch, length);
  if (result == JOURNAL_NEEDS_IMAGE) return record_save() ? RECORD_STORED : RECORD_FAILED;
  if (!is_kept(result)) return RECORD_FAILED;
  ASK(CALL_STORED, record.at, at);
  return RECORD_STORED;
}

static bool refuse(const char *why) {
  record.why = why;
  return false;
}

/* Half a session would deliver twice, so somebody has to decide. */
static bool refuse_session(const char *why) {
  console_say("to give the stored session up and begin a new one, set the client id again (the same will do)");
  return refuse(why);
}
