/* Lines of plain text for people: one line is composed at a time, and goes out whole. */

#include "console.h"

#include <stdbool.h>
#include <string.h>

#include "wire.h"

#define CUT "..."
#define DECIMAL_DIGITS_MAX 10u

static struct {
  char text[CONSOLE_LINE_MAX + 1];
  size_t length;
  bool is_cut;
} line;

/* The byte that ends a frame occurs in no UTF-8; what lies below the space moves the cursor, or begins a line of management. */
static bool is_harmless(uint8_t byte) {
  return byte >= 0x20 && byte != 0x7f && byte != 0xc0;
}

static void add(char character) {
  if (line.length < CONSOLE_LINE_MAX) line.text[line.length++] = character;
  else line.is_cut = true;
}

void console_text(const char *text) {
  console_bytes((const uint8_t *)text, strlen(text));
}

void console_bytes(const uint8_t *text, size_t length) {
  for (size_t index = 0; index < length; index++) add(is_harmless(text[index]) ? (char)text[index] : '?');
}

void console_number(uint32_t number) {
  char digits[DECIMAL_DIGITS_MAX];
  size_t count = 0;
  do {
    digits[count++] = (char)('0' + number % 10);
    number /= 10;
  } while (number > 0);
  while (count > 0) add(digits[--count]);
}

void console_hex(const uint8_t *bytes, size_t length) {
  static const char digits[] = "0123456789abcdef";
  for (size_t index = 0; index < length; index++) {
    add(digits[bytes[index] >> 4]);
    add(digits[bytes[index] & 15]);
  }
}

const char *console_end(void) {
  if (line.is_cut) memcpy(line.text + CONSOLE_LINE_MAX - strlen(CUT), CUT, strlen(CUT));
  line.text[line.length] = '\0';
  line.length = 0;
  line.is_cut = false;
  wire_send_text(line.text);
  return line.text;
}

void console_say(const char *text) {
  console_text(text);
  console_end();
}
