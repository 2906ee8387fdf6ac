/* Base64 with padding (RFC 4648, section 4). */

#ifndef BASE64_H
#define BASE64_H

#include <stddef.h>
#include <stdint.h>

/* What `base64_decode` answers for text that is no base64, or has more in it than fits. */
#define BASE64_WRONG ((size_t)-1)

/* Writes (length + 2) / 3 * 4 characters to `text`, without a NUL; answers how many. */
size_t base64_encode(char *text, const uint8_t *bytes, size_t length);

/*
 * Writes what `text` says to `bytes`; answers how many bytes, or BASE64_WRONG, and then `bytes` may have been written
 * to.
 */
size_t base64_decode(uint8_t *bytes, size_t capacity, const uint8_t *text, size_t length);

#endif
