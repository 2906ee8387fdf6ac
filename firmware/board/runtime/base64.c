/* Base64 with padding (RFC 4648, section 4); computed, not looked up: a table would be as long as the code. */

#include "base64.h"

static char digit(uint32_t value) {
  if (value < 26) return (char)('A' + value);
  if (value < 52) return (char)('a' + value - 26);
  if (value < 62) return (char)('0' + value - 52);
  return value == 62 ? '+' : '/';
}

/* 64 for what is no digit. */
static uint32_t value_of(uint8_t character) {
  if (character >= 'A' && character <= 'Z') return character - 'A';
  if (character >= 'a' && character <= 'z') return character - 'a' + 26u;
  if (character >= '0' && character <= '9') return character - '0' + 52u;
  if (character == '+') return 62;
  return character == '/' ? 63 : 64;
}

size_t base64_encode(char *text, const uint8_t *bytes, size_t length) {
  size_t at = 0;
  for (size_t index = 0; index < length; index += 3) {
    size_t left = length - index;
    uint32_t three = (uint32_t)bytes[index] << 16;
    if (left > 1) three |= (uint32_t)bytes[index + 1] << 8;
    if (left > 2) three |= bytes[index + 2];
    text[at++] = digit(three >> 18);
    text[at++] = digit(three >> 12 & 63);
    text[at++] = left > 1 ? digit(three >> 6 & 63) : '=';
    text[at++] = left > 2 ? digit(three & 63) : '=';
  }
  return at;
}

size_t base64_decode(uint8_t *bytes, size_t capacity, const uint8_t *text, size_t length) {
  if (length % 4 != 0) return BASE64_WRONG;
  size_t at = 0;
  for (size_t index = 0; index < length; index += 4) {
    size_t count = 3;
    if (index + 4 == length && text[index + 3] == '=') count = text[index + 2] == '=' ? 1 : 2;
    if (count > capacity - at) return BASE64_WRONG;
    uint32_t three = 0;
    for (size_t place = 0; place < 4; place++) {
      uint32_t value = place > count ? 0 : value_of(text[index + place]);
      if (value > 63) return BASE64_WRONG;
      three = three << 6 | value;
    }
    for (size_t place = 0; place < count; place++) bytes[at++] = (uint8_t)(three >> (16 - 8 * place));
  }
  return at;
}
