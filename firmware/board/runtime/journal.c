/* The session journal in flash: finds the newest whole session, goes on behind it, and refuses what is damaged. */

#include "journal.h"

#include <stddef.h>
#include <string.h>

#include "../port/port.h"
#include "bytes.h"
#include "runtime.h"

/* A batch: length of the records (4), checksum (4), records. An image begins with the record 10 0c. */
#define LENGTH_AT 0u
#define CHECKSUM_AT 4u
#define RECORDS_AT 8u
#define VERSION_AT 10u
#define GENERATION_AT 14u
#define IMAGE_RECORD_END 22u
#define HEADER_LENGTH RECORDS_AT
#define IMAGE_RECORD 0x10u
#define FORMAT_VERSION 1u

#define FIRST_CHECKSUM 0x811c9dc5u
#define FNV_PRIME 0x01000193u
#define ERASED 0xffu
#define WORD_LENGTH_MAX 16u
#define NO_BLOCK UINT32_MAX
/* No batch may be programmed behind the last one. */
#define NO_END UINT32_MAX

/* What lies behind the last whole batch of a block. */
typedef enum { REST_ERASED, REST_TORN, REST_DAMAGED } block_rest;

typedef struct {
  /* Whole batches: 0 if the image is not whole. */
  uint32_t batch_count;
  /* As the image says; if it is not whole, what can be read in that place. */
  uint32_t generation;
  /* Of the last whole batch. */
  uint32_t checksum;
  /* An empty batch is the last: the image behind this block was stored. */
  bool is_closed;
  /* Where the next batch would begin. */
  uint32_t end;
  block_rest rest;
} block;

static struct {
  uint32_t block_length;
  uint32_t block_count;
  uint32_t word_length;
  /* The block that is written, or NO_BLOCK before the first image. */
  uint32_t index;
  /* Where an image goes if there is none yet. */
  uint32_t first_index;
  uint32_t generation;
  uint32_t checksum;
  uint32_t end;
  /* Where `journal_next_batch` reads on, and how many it has left. */
  uint32_t read_at;
  uint32_t unread_count;
  const char *error;
} journal = {.index = NO_BLOCK, .error = ""};

static block read_block(uint32_t index);
static bool is_rival_refused(uint32_t index, uint32_t newest_index, uint32_t newest_generation);
static journal_result continue_behind(uint32_t index);
static journal_result refuse(const char *error);

journal_result journal_open(void) {
  const port_area_info info = port_flash_info(PORT_AREA_JOURNAL);
  journal.block_length = info.sector_length;
  journal.block_count = info.length / info.sector_length;
  journal.word_length = info.word_length;
  journal.index = NO_BLOCK;
  journal.first_index = 0;
  journal.generation = 0;
  journal.unread_count = 0;
  journal.error = "";

  uint32_t newest_index = NO_BLOCK;
  uint32_t newest_generation = 0;
  uint32_t erased_index = NO_BLOCK;
  for (uint32_t index = 0; index < journal.block_count; index++) {
    const block found = read_block(index);
    const uint8_t *bytes = port_flash_at(PORT_AREA_JOURNAL) + index * journal.block_length;
    if (found.batch_count > 0) {
      if (bytes[VERSION_AT] != FORMAT_VERSION) return refuse("the journal in flash has another version of the format");
      if (newest_index == NO_BLOCK || found.generation > newest_generation) {
        newest_index = index;
        newest_generation = found.generation;
      }
    } else if (found.rest == REST_ERASED && erased_index == NO_BLOCK) {
      erased_index = index;
    }
  }
  for (uint32_t index = 0; index < journal.block_count; index++) {
    if (index != newest_index && is_rival_refused(index, newest_index, newest_generation)) return JOURNAL_REFUSED;
  }
  if (newest_index != NO_BLOCK) return continue_behind(newest_index);
  if (erased_index != NO_BLOCK) journal.first_index = erased_index;
  return JOURNAL_EMPTY;
}

static uint32_t fnv1a(const uint8_t *bytes, uint32_t length, uint32_t sum) {
  for (uint32_t index = 0; index < length; index++) sum = (sum ^ bytes[index]) * FNV_PRIME;
  return sum;
}

static uint32_t align_up(uint32_t offset) {
  return (offset + journal.word_length - 1) & ~(journal.word_length - 1);
}

static const uint8_t *block_at(uint32_t index) {
  return port_flash_at(PORT_AREA_JOURNAL) + index * journal.block_length;
}

/* Bytes of the batch if its length is right: 0 if no more than `available` bytes can hold it. */
static uint32_t batch_length(const uint8_t *batch, uint32_t available) {
  if (available < HEADER_LENGTH) return 0;
  const uint32_t records_length = bytes_u32(batch + LENGTH_AT);
  return records_length <= available - HEADER_LENGTH ? HEADER_LENGTH + records_length : 0;
}

/* Bytes of the batch that begins here, if it is whole and follows the one with this checksum; 0 otherwise. */
static uint32_t whole_batch(const uint8_t *batch, uint32_t available, uint32_t checksum_before) {
  const uint32_t length = batch_length(batch, available);
  if (length == 0) return 0;
  const uint32_t sum = fnv1a(batch, CHECKSUM_AT, checksum_before);
  const bool is_whole = fnv1a(batch + RECORDS_AT, length - RECORDS_AT, sum) == bytes_u32(batch + CHECKSUM_AT);
  return is_whole ? length : 0;
}

static bool is_image(const uint8_t *batch, uint32_t length) {
  return length >= IMAGE_RECORD_END && batch[RECORDS_AT] == IMAGE_RECORD;
}

static uint32_t end_of_written(const uint8_t *bytes) {
  uint32_t end = journal.block_length;
  while (end > 0 && bytes[end - 1] == ERASED) end--;
  return end;
}

/* True if a whole batch that follows the one at `at` lies anywhere behind it. */
static bool has_successor(const uint8_t *bytes, uint32_t at, uint32_t written_end) {
  const uint32_t checksum = bytes_u32(bytes + at + CHECKSUM_AT);
  for (uint32_t next = align_up(at + 1); next < written_end; next += journal.word_length) {
    if (whole_batch(bytes + next, written_end - next, checksum) > 0) return true;
  }
  return false;
}

/* True if a length that fits can become the one that is there when its first bytes are erased, the last of them in part. */
static bool is_front_erased(const uint8_t *bytes) {
  uint8_t front[CHECKSUM_AT];
  memcpy(front, bytes, sizeof front);
  uint32_t erased_count = 0;
  while (erased_count < CHECKSUM_AT - 1 && bytes[erased_count] == ERASED) erased_count++;
  memset(front, 0, erased_count + 1);
  return bytes_u32(front) <= journal.block_length - HEADER_LENGTH;
}

/* `at` is where the whole batches end. */
static block_rest rest_at(const uint8_t *bytes, uint32_t at) {
  const uint32_t written_end = end_of_written(bytes);
  if (written_end <= at) return REST_ERASED;

  /* The power failed within the length, which says nothing then. */
  if (written_end <= align_up(at + CHECKSUM_AT)) return REST_TORN;

  const uint32_t length = batch_length(bytes + at, journal.block_length - at);
  if (length == 0) return at == 0 && is_front_erased(bytes) ? REST_TORN : REST_DAMAGED;
  if (written_end > at + length) return REST_DAMAGED;

  /* If only the length was changed, it may seem to reach over all that follows. */
  return has_successor(bytes, at, written_end) ? REST_DAMAGED : REST_TORN;
}

static block read_block(uint32_t index) {
  const uint8_t *bytes = block_at(index);
  block found = {.generation = bytes_u32(bytes + GENERATION_AT), .checksum = FIRST_CHECKSUM};
  uint32_t length = whole_batch(bytes, journal.block_length, FIRST_CHECKSUM);
  if (!is_image(bytes, length)) length = 0;
  while (length > 0) {
    found.batch_count++;
    found.checksum = bytes_u32(bytes + found.end + CHECKSUM_AT);
    found.is_closed = length == HEADER_LENGTH;
    found.end = align_up(found.end + length);
    if (found.end >= journal.block_length) break;
    length = whole_batch(bytes + found.end, journal.block_length - found.end, found.checksum);
  }
  found.rest = rest_at(bytes, found.end);
  return found;
}

/* True if a block's image had this generation before something in it changed. */
static bool is_image_of(uint32_t index, uint32_t generation) {
  const uint8_t *bytes = block_at(index);
  if (bytes_u32(bytes + GENERATION_AT) == generation) return true;
  const uint32_t length = batch_length(bytes, journal.block_length);
  if (length == 0) return false;
  uint32_t sum = fnv1a(bytes, CHECKSUM_AT, FIRST_CHECKSUM);
  for (uint32_t at = RECORDS_AT; at < length; at++) {
    const bool is_generation = at >= GENERATION_AT && at < GENERATION_AT + 4;
    const uint8_t byte = (uint8_t)(is_generation ? generation >> (8 * (at - GENERATION_AT)) : bytes[at]);
    sum = fnv1a(&byte, 1, sum);
  }
  return sum == bytes_u32(bytes + CHECKSUM_AT);
}

/* A block beside the newest may hold an older life, or what an erasure or an image that broke off has left. */
static bool is_rival_refused(uint32_t index, uint32_t newest_index, uint32_t newest_generation) {
  const block found = read_block(index);
  const bool is_whole = found.batch_count > 0;
  if (is_whole && newest_index != NO_BLOCK && found.generation == newest_generation) {
    refuse("the journal in flash is damaged: two blocks have the same generation");
    return true;
  }
  if (is_whole || found.rest != REST_DAMAGED) return false;
  if (newest_index != NO_BLOCK && !is_image_of(index, newest_generation + 1)) return false;
  refuse("the journal in flash is damaged: an image is not whole, and more follows behind it");
  return true;
}

static journal_result continue_behind(uint32_t index) {
  const block newest = read_block(index);
  if (newest.is_closed) return refuse("the journal in flash is damaged: the image that was stored last is not whole any more");
  if (newest.rest == REST_DAMAGED) return refuse("the journal in flash is damaged: a batch is not whole, and more follows behind it");
  journal.index = index;
  journal.generation = newest.generation;
  journal.checksum = newest.checksum;
  /* A word that reads erased may have met a loss of power too early to show it: it is not programmed again. A single byte is. */
  journal.end = newest.rest == REST_ERASED && journal.word_length == 1 ? newest.end : NO_END;
  journal.read_at = 0;
  journal.unread_count = newest.batch_count;
  return JOURNAL_OK;
}

bool journal_next_batch(const uint8_t **batch, uint32_t *length) {
  if (journal.unread_count == 0) return false;
  journal.unread_count--;
  *batch = block_at(journal.index) + journal.read_at;
  *length = HEADER_LENGTH + bytes_u32(*batch + LENGTH_AT);
  journal.read_at = align_up(journal.read_at + *length);
  return true;
}

uint32_t journal_next_generation(void) {
  return journal.generation + 1;
}

/* Whole words, and then the last bytes in a word whose rest stays erased. */
static bool program(uint32_t index, uint32_t at, const uint8_t *bytes, uint32_t length) {
  const uint32_t offset = index * journal.block_length + at;
  const uint32_t whole_length = length & ~(journal.word_length - 1);
  if (whole_length > 0 && !port_flash_program(PORT_AREA_JOURNAL, offset, bytes, whole_length)) return false;
  if (whole_length == length) return true;
  uint8_t word[WORD_LENGTH_MAX];
  memset(word, ERASED, sizeof word);
  memcpy(word, bytes + whole_length, length - whole_length);
  return port_flash_program(PORT_AREA_JOURNAL, offset + whole_length, word, journal.word_length);
}

static bool has_room_to_close(uint32_t end) {
  return end <= journal.block_length && journal.block_length - end >= HEADER_LENGTH;
}

journal_result journal_append(const uint8_t *batch, uint32_t length) {
  journal.error = "";
  if (journal.index == NO_BLOCK || journal.end == NO_END) return JOURNAL_NEEDS_IMAGE;
  if (length <= HEADER_LENGTH || whole_batch(batch, length, journal.checksum) != length) return JOURNAL_INVALID;
  const uint32_t at = journal.end;
  if (length > journal.block_length || !has_room_to_close(align_up(at + length))) return JOURNAL_NEEDS_IMAGE;

  journal.end = NO_END;
  if (!program(journal.index, at, batch, length)) return refuse("the flash has failed");
  journal.end = align_up(at + length);
  journal.checksum = bytes_u32(batch + CHECKSUM_AT);
  return JOURNAL_OK;
}

/* Says in the block before that another follows. */
static bool close_block(uint32_t index, uint32_t end, uint32_t checksum) {
  uint8_t batch[HEADER_LENGTH] = {0};
  const uint32_t sum = fnv1a(batch, CHECKSUM_AT, checksum);
  bytes_put_u32(batch + CHECKSUM_AT, sum);
  return program(index, end, batch, HEADER_LENGTH);
}

journal_result journal_replace(const uint8_t *image, uint32_t length) {
  journal.error = "";
  if (length > journal.block_length) return refuse("the session does not fit a block of the flash");
  const bool is_next = whole_batch(image, length, FIRST_CHECKSUM) == length && is_image(image, length) &&
                       bytes_u32(image + GENERATION_AT) == journal_next_generation();
  if (!is_next) return JOURNAL_INVALID;

  /* From here on a new image may lie behind the old batches, even if this call fails: none may follow them. */
  const uint32_t before = journal.index;
  const uint32_t before_end = journal.end;
  const uint32_t before_checksum = journal.checksum;
  journal.end = NO_END;
  const uint32_t index = before == NO_BLOCK ? journal.first_index : (before + 1) % journal.block_count;
  if (!port_flash_erase(PORT_AREA_JOURNAL, index * journal.block_length)) return refuse("the flash has failed");
  port_watchdog_feed(RUNTIME_WATCHDOG_MS); /* an erasure may take seconds */
  if (!program(index, 0, image, length)) return refuse("the flash has failed");

  journal.index = index;
  journal.end = align_up(length);
  journal.checksum = bytes_u32(image + CHECKSUM_AT);
  journal.generation++;
  journal.unread_count = 0;
  if (before == NO_BLOCK || before_end == NO_END || !has_room_to_close(before_end)) return JOURNAL_OK;
  return close_block(before, before_end, before_checksum) ? JOURNAL_OK : refuse("the flash has failed");
}

journal_result journal_erase(void) {
  journal.error = "";
  const port_area_info info = port_flash_info(PORT_AREA_JOURNAL);
  const uint32_t block_count = info.length / info.sector_length;
  const uint32_t last = journal.index == NO_BLOCK ? block_count - 1 : journal.index;
  journal.index = NO_BLOCK;
  journal.generation = 0;
  journal.unread_count = 0;
  for (uint32_t count = 1; count <= block_count; count++) {
    const uint32_t index = (last + count) % block_count;
    if (!port_flash_erase(PORT_AREA_JOURNAL, index * info.sector_length)) return refuse("the flash has failed");
    port_watchdog_feed(RUNTIME_WATCHDOG_MS);
  }
  return JOURNAL_OK;
}

const char *journal_error(void) {
  return journal.error;
}

static journal_result refuse(const char *error) {
  journal.error = error;
  return JOURNAL_REFUSED;
}
