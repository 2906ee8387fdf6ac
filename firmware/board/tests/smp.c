/*
 * Answers SMP requests over flash in memory: commands on stdin, one a line, one line of answer each;
 * test/board/smp-runtime.test.ts speaks to it. `request HEX` is answered with the answer and what the runtime was asked
 * for, `restart` starts the board anew, `factory` erases its flash, `lose` makes the runtime say that it has no module.
 * needs: tests/fake-board.c runtime/smp.c runtime/cbor.c runtime/slots.c runtime/config.c runtime/admission.c
 * needs: runtime/image.c runtime/wasm-module.c runtime/flash-log.c runtime/sha256.c runtime/crc.c
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../runtime/smp.h"
#include "fake-board.h"

#define REQUEST_MAX 4096

static size_t read_hex(uint8_t *bytes, const char *hex) {
  size_t length = 0;
  unsigned value;
  while (length < REQUEST_MAX && sscanf(hex + 2 * length, "%2x", &value) == 1) bytes[length++] = (uint8_t)value;
  return length;
}

static void answer_request(const char *hex) {
  static uint8_t read[REQUEST_MAX];
  size_t length = read_hex(read, hex);
  /* Buffers of their own size, so that the sanitizer sees every byte beyond them. */
  uint8_t *request = malloc(length > 0 ? length : 1);
  uint8_t *answer = malloc(SMP_ANSWER_MAX);
  memcpy(request, read, length);
  fake_board_forget();
  size_t answer_length = smp_answer(answer, request, length);
  for (size_t index = 0; index < answer_length; index++) printf("%02x", answer[index]);
  fake_board_notes seen = fake_board_seen();
  printf(" %u %u %d %s\n", seen.reset_count, seen.config_count, seen.is_id_written, seen.said);
  free(request);
  free(answer);
}

int main(void) {
  static char line[2 * REQUEST_MAX + 64];
  fake_board_erase();
  fake_board_start();
  while (fgets(line, sizeof line, stdin) != NULL) {
    line[strcspn(line, "\n")] = 0;
    if (strncmp(line, "request ", 8) == 0) {
      answer_request(line + 8);
    } else {
      if (strcmp(line, "factory") == 0) fake_board_erase();
      if (strcmp(line, "lose") == 0) fake_board_lose_module();
      fake_board_start();
      printf("started\n");
    }
    fflush(stdout);
  }
  return 0;
}
