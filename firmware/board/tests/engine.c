/*
 * An engine to play with: starts a module and does what stdin says, or tries damaged copies of it. Knows nothing but engine.h.
 *
 *   engine FILE MEMORY_LENGTH HEAP_LENGTH          reads commands, a line each, and answers each with a line
 *   engine FILE MEMORY_LENGTH HEAP_LENGTH SEED N   damages N copies, starts each and calls what it has; says how many were refused
 *
 * Commands: start | stop | call NAME ARGUMENT... | peek AT LENGTH | poke AT HEX | used; `_` is the number
 * that was answered last. Answers: "ok", "= NUMBER", HEX, or "! REASON".
 *
 * needs: engine/wasm3.c
 */

#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#include "engine.h"

#define LINE_LENGTH 8192
#define ARGUMENT_COUNT_MAX 8

/* A damaged module may run for ever. */
#define RUN_MS 20

static uint8_t *module;
static uint32_t module_length;
static uint32_t memory_length;
static uint8_t *heap;
static uint32_t heap_length;

static int32_t last_result;

static sigjmp_buf out_of_time;

static void read_module(const char *path) {
  FILE *file = fopen(path, "rb");
  if (file == NULL) exit(2);
  module = malloc(1u << 20);
  module_length = (uint32_t)fread(module, 1, 1u << 20, file);
  module = realloc(module, module_length);
  fclose(file);
}

static bool start(const uint8_t *bytes, uint32_t length) { return engine_start(bytes, length, memory_length, heap, heap_length); }

static int32_t number(const char *word) { return strcmp(word, "_") == 0 ? last_result : (int32_t)strtoll(word, NULL, 0); }

static void call(char *words) {
  int32_t arguments[ARGUMENT_COUNT_MAX];
  uint32_t count = 0;
  char *name = strtok(words, " ");
  for (char *word = strtok(NULL, " "); word != NULL && count < ARGUMENT_COUNT_MAX; word = strtok(NULL, " ")) {
    arguments[count++] = number(word);
  }
  engine_function *function = engine_find(name, count);
  int32_t result = 0;
  if (function == NULL) {
    printf("! no such function\n");
  } else if (engine_call(function, arguments, count, &result)) {
    printf("= %d\n", (int)result);
    last_result = result;
  } else {
    printf("! %s\n", engine_error());
  }
}

static void peek(const char *words) {
  unsigned at = 0;
  unsigned length = 0;
  sscanf(words, "%u %u", &at, &length);
  for (unsigned index = 0; index < length; index++) printf("%02x", engine_memory()[at + index]);
  printf("\n");
}

static void poke(char *words) {
  uint32_t at = (uint32_t)number(strtok(words, " "));
  unsigned byte = 0;
  for (const char *hex = strtok(NULL, " "); sscanf(hex, "%2x", &byte) == 1; hex += 2) engine_memory()[at++] = (uint8_t)byte;
  printf("ok\n");
}

static void obey(char *line) {
  line[strcspn(line, "\n")] = '\0';
  if (strcmp(line, "start") == 0) {
    bool is_started = start(module, module_length);
    printf("%s%s\n", is_started ? "ok" : "! ", is_started ? "" : engine_error());
  } else if (strcmp(line, "stop") == 0) {
    engine_stop();
    printf("ok\n");
  } else if (strcmp(line, "used") == 0) {
    printf("= %u\n", (unsigned)engine_heap_used());
  } else if (strncmp(line, "call ", 5) == 0) {
    call(line + 5);
  } else if (strncmp(line, "peek ", 5) == 0) {
    peek(line + 5);
  } else if (strncmp(line, "poke ", 5) == 0) {
    poke(line + 5);
  } else {
    printf("! no such command\n");
  }
  fflush(stdout);
}

static uint32_t random_state;

static uint32_t random_below(uint32_t bound) {
  random_state ^= random_state << 13;
  random_state ^= random_state >> 17;
  random_state ^= random_state << 5;
  return random_state % bound;
}

static void interrupt(int signal_number) {
  (void)signal_number;
  siglongjmp(out_of_time, 1);
}

/* Runs what is there as far as it goes: a client is made, says something, and is given bytes. */
static void run_damaged(void) {
  static const struct {
    const char *name;
    uint32_t argument_count;
    int32_t arguments[ARGUMENT_COUNT_MAX];
  } calls[] = {
      {"abiVersion", 0, {0}},
      {"clientInit", 6, {296, 256, 512, 256, 4, 0}},
      {"configure", 4, {296, 1000, 0, 0}},
      {"setClientId", 3, {296, 64, 4}},
      {"connect", 5, {296, 1, 30, 1000, 0}},
      {"transmitLength", 1, {296}},
      {"transmitted", 3, {296, 10, 5}},
      {"receiveAt", 1, {296}},
      {"received", 2, {296, 4}},
      {"poll", 2, {296, 10}},
      {"tick", 2, {296, 5000}},
      {"reading", 3, {296, 21000, 5000}},
  };
  for (size_t index = 0; index < sizeof calls / sizeof calls[0]; index++) {
    engine_function *function = engine_find(calls[index].name, calls[index].argument_count);
    int32_t result;
    if (function != NULL && !engine_call(function, calls[index].arguments, calls[index].argument_count, &result)) return;
  }
}

/* One bit is flipped, a byte is another one, or the end is missing. Ends exactly with an allocation: reading on is seen. */
static uint32_t damaged(uint8_t **copy) {
  uint32_t kind = random_below(8);
  uint32_t length = kind == 0 ? random_below(module_length) + 1 : module_length;
  *copy = malloc(length);
  memcpy(*copy, module, length);
  if (kind != 0) {
    uint32_t at = random_below(length);
    uint32_t byte = kind < 4 ? random_below(256) : (*copy)[at] ^ (1u << random_below(8));
    (*copy)[at] = (uint8_t)byte;
  }
  return length;
}

/* True if it was started. */
static bool try_one(const uint8_t *bytes, uint32_t length) {
  static volatile bool is_started;
  is_started = false;
  if (sigsetjmp(out_of_time, 1) == 0) {
    setitimer(ITIMER_REAL, &(struct itimerval){.it_value.tv_usec = RUN_MS * 1000}, NULL);
    is_started = start(bytes, length);
    if (is_started) {
      run_damaged();
    } else if (engine_error()[0] == '\0') {
      exit(3);
    }
  }
  setitimer(ITIMER_REAL, &(struct itimerval){0}, NULL);
  engine_stop();
  return is_started;
}

static void try_damaged(uint32_t seed, uint32_t count) {
  random_state = seed | 1u;
  uint32_t refused = 0;
  signal(SIGALRM, interrupt);
  for (uint32_t index = 0; index < count; index++) {
    uint8_t *copy;
    uint32_t length = damaged(&copy);
    if (!try_one(copy, length)) refused++;
    free(copy);
  }
  printf("= %u\n", (unsigned)refused);
}

int main(int count, char **arguments) {
  if (count < 4) return 2;
  read_module(arguments[1]);
  memory_length = (uint32_t)strtoul(arguments[2], NULL, 0);
  heap_length = (uint32_t)strtoul(arguments[3], NULL, 0);
  heap = aligned_alloc(16, heap_length);
  if (count == 6) {
    try_damaged((uint32_t)strtoul(arguments[4], NULL, 0), (uint32_t)strtoul(arguments[5], NULL, 0));
  } else {
    static char line[LINE_LENGTH];
    while (fgets(line, sizeof line, stdin) != NULL) obey(line);
  }
  free(heap);
  free(module);
  return 0;
}
