/*
 * What a board checks before anything runs: commands on stdin, one a line, each answered with a line;
 * test/board/admission.test.ts speaks to it. Each check gets a copy of exactly the bytes that it may look at, so that
 * the sanitizer sees it look further.
 * needs: tests/ram-flash.c runtime/admission.c runtime/config.c runtime/flash-log.c
 * needs: runtime/image.c runtime/wasm-module.c runtime/sha256.c runtime/signature.c runtime/crc.c
 */

#include "../runtime/admission.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../runtime/config.h"
#include "../runtime/sha256.h"
#include "../runtime/signature.h"
#include "ram-flash.h"

#define FILE_LENGTH_MAX 65536
#define LINE_LENGTH_MAX 8192
#define NEEDED_COUNT_MAX 64

static uint8_t file[FILE_LENGTH_MAX];
static uint32_t file_length;
static uint32_t room;
static image_version floor_version;
static wasm_module_function needed[NEEDED_COUNT_MAX];
static char names[NEEDED_COUNT_MAX][32];
static uint32_t needed_count;

static bool admit(const uint8_t *bytes, uint32_t length, admission_facts *facts) {
  uint8_t *copy = malloc(length == 0 ? 1 : length);
  memcpy(copy, bytes, length);
  const bool is_admitted = admission_check(facts, copy, length, &floor_version);
  free(copy);
  return is_admitted;
}

static wasm_module_result read_module(const uint8_t *bytes, uint32_t length) {
  uint8_t *copy = malloc(length == 0 ? 1 : length);
  memcpy(copy, bytes, length);
  wasm_module module;
  const char *missing = NULL;
  const wasm_module_result result = wasm_module_read(&module, copy, length, needed, needed_count, &missing);
  free(copy);
  return result;
}

static uint32_t unhex(const char *text, uint8_t *to) {
  uint32_t length = 0;
  unsigned byte;
  for (; text[0] != '\0' && text[1] != '\0' && sscanf(text, "%2x", &byte) == 1; text += 2) to[length++] = (uint8_t)byte;
  return length;
}

static void read_file(const char *path) {
  FILE *stream = fopen(path, "rb");
  if (stream == NULL) abort();
  file_length = (uint32_t)fread(file, 1, sizeof file, stream);
  fclose(stream);
}

static void say_admission(void) {
  admission_facts facts;
  if (!admit(file, file_length, &facts)) {
    printf("%s\n", admission_reason());
    return;
  }
  const image_version *version = &facts.image.version;
  printf("ok: %u.%u.%u+%u, %u bytes of module in %u, ABI %u, %u bytes of memory\n", version->major, version->minor,
         version->revision, version->build, facts.image.module_length, facts.image.length, facts.module.abi_version,
         facts.module.memory_length);
}

static void say_header(uint32_t length, uint32_t length_of_all) {
  printf("%s\n", admission_check_header(file, length, length_of_all, &floor_version) ? "ok" : admission_reason());
}

/* One bit after the other, each `step`th of them. */
static void flip(uint32_t step) {
  uint32_t admitted = 0, count = 0;
  for (uint32_t place = 0; place < 8 * file_length; place += step) {
    const uint32_t at = place / 8, bit = place % 8;
    admission_facts facts;
    file[at] ^= (uint8_t)(1u << bit);
    admitted += admit(file, file_length, &facts);
    file[at] ^= (uint8_t)(1u << bit);
    count++;
  }
  printf("%u of %u admitted\n", admitted, count);
}

static void truncate(void) {
  uint32_t admitted = 0;
  for (uint32_t length = 0; length < file_length; length++) {
    admission_facts facts;
    admitted += admit(file, length, &facts);
  }
  printf("%u of %u admitted\n", admitted, file_length);
}

/* The module itself, cut and changed: what matters is that the reader stays in its bytes and ends. */
static void torment_module(uint32_t seed) {
  uint32_t count = 0;
  for (uint32_t length = 0; length < file_length; length++, count++) read_module(file, length);
  for (uint32_t at = 0; at < file_length; at++) {
    const uint8_t before = file[at];
    const uint8_t changed[] = {0x00, 0xff, 0x7f, 0x80, (uint8_t)(before + 1), (uint8_t)(before ^ 0x40)};
    for (uint32_t index = 0; index < sizeof changed; index++, count++) {
      file[at] = changed[index];
      read_module(file, file_length);
    }
    file[at] = before;
  }
  static uint8_t kept[FILE_LENGTH_MAX];
  memcpy(kept, file, file_length);
  for (uint32_t round = 0; round < 20000; round++, count++) {
    for (uint32_t changes = 0; changes <= round % 7; changes++) {
      seed = seed * 1664525u + 1013904223u;
      file[(seed >> 8) % (round % 2 == 0      ? file_length
                          : file_length < 600 ? file_length
                                              : 600)] = (uint8_t)(seed >> 24);
    }
    read_module(file, file_length);
    memcpy(file, kept, file_length);
  }
  printf("%u modules read\n", count);
}

static void say_digest(const char *hex) {
  static uint8_t bytes[LINE_LENGTH_MAX];
  const uint32_t length = unhex(hex, bytes);
  uint8_t whole[SHA256_LENGTH], pieces[SHA256_LENGTH];
  sha256_of(bytes, length, whole);
  sha256_context context;
  sha256_begin(&context);
  for (uint32_t at = 0, part = 1; at < length; at += part, part = part % 100 + 7) {
    sha256_add(&context, bytes + at, length - at < part ? length - at : part);
  }
  sha256_end(&context, pieces);
  if (memcmp(whole, pieces, sizeof whole) != 0) abort();
  for (uint32_t index = 0; index < sizeof whole; index++) printf("%02x", whole[index]);
  printf("\n");
}

static void need(const char *name, uint32_t argument_count) {
  snprintf(names[needed_count], sizeof names[0], "%s", name);
  needed[needed_count] = (wasm_module_function){names[needed_count], (uint8_t)argument_count};
  needed_count++;
}

/* The board as it was made: no key, no floor, no function that it needs. */
static void start_anew(void) {
  ram_flash_make(4, 4096, 2);
  config_open();
  room = 4096;
  needed_count = 0;
  floor_version = (image_version){0, 0, 0, 0};
}

static bool set_up(const char *what, const char *first, const char *rest) {
  if (strcmp(what, "anew") == 0) {
    start_anew();
  } else if (strcmp(what, "key") == 0) {
    static uint8_t key[LINE_LENGTH_MAX];
    unhex(first, key);
    config_provision(key);
  } else if (strcmp(what, "room") == 0) {
    room = (uint32_t)strtoul(first, NULL, 10);
  } else if (strcmp(what, "floor") == 0) {
    unsigned major, minor, revision, build;
    if (sscanf(rest, "%u %u %u %u", &major, &minor, &revision, &build) != 4) abort();
    floor_version = (image_version){(uint8_t)major, (uint8_t)minor, (uint16_t)revision, build};
  } else if (strcmp(what, "need") == 0) {
    need(first, (uint32_t)atoi(strchr(rest, ' ')));
  } else {
    return false;
  }
  admission_open(room, needed, needed_count);
  printf("ok\n");
  return true;
}

static void obey(const char *line) {
  char what[16] = "";
  static char first[LINE_LENGTH_MAX], second[256], third[256];
  first[0] = second[0] = third[0] = '\0';
  sscanf(line, "%15s %8191s %255s %255s", what, first, second, third);
  const char *rest = strchr(line, ' ');
  if (set_up(what, first, rest == NULL ? "" : rest + 1)) return;
  if (strcmp(what, "sha256") == 0) {
    say_digest(first);
    return;
  }
  if (strcmp(what, "ed25519") == 0) {
    static uint8_t signature[LINE_LENGTH_MAX], digest[256], key[256];
    unhex(first, signature);
    unhex(second, digest);
    unhex(third, key);
    printf("%s\n", signature_is_valid(signature, digest, key) ? "valid" : "invalid");
    return;
  }
  read_file(first);
  if (strcmp(what, "admit") == 0) say_admission();
  if (strcmp(what, "header") == 0) say_header((uint32_t)atoi(second), (uint32_t)strtoul(third, NULL, 10));
  if (strcmp(what, "flip") == 0) flip((uint32_t)atoi(second));
  if (strcmp(what, "truncate") == 0) truncate();
  if (strcmp(what, "torment") == 0) torment_module((uint32_t)atoi(second));
}

int main(void) {
  static char line[LINE_LENGTH_MAX];
  start_anew();
  admission_open(room, needed, needed_count);
  while (fgets(line, sizeof line, stdin) != NULL) {
    line[strcspn(line, "\n")] = '\0';
    obey(line);
    fflush(stdout);
  }
  return 0;
}
