/* Lines of plain text for people, composed piece by piece: nothing here formats with printf. */

#ifndef CONSOLE_H
#define CONSOLE_H

#include <stddef.h>
#include <stdint.h>

/* A longer line is cut, and ends with "...". */
#define CONSOLE_LINE_MAX 200

/* Each adds to the line. What would disturb a terminal or look like a frame becomes "?". */
void console_text(const char *text);
void console_bytes(const uint8_t *text, size_t length);
void console_number(uint32_t number);
void console_hex(const uint8_t *bytes, size_t length);

/* Says the line and begins the next one. Answers what was said, valid until the next piece is added. */
const char *console_end(void);

/* A line of one piece. */
void console_say(const char *text);

#endif
