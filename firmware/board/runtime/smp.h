/* The management server: answers SMP requests of groups 0, 1 and 64 as docs/wire.md has them. */

#ifndef SMP_H
#define SMP_H

#include <stddef.h>
#include <stdint.h>

/* The longest answer, header included. An echo that does not fit into it is refused. */
#define SMP_ANSWER_MAX 640

/*
 * Answers one request (header and map, as the `packet` handler of wire.h gets it): writes the answer to `answer`, which
 * has SMP_ANSWER_MAX bytes, and says how many it has; 0 if the bytes are no request. What was asked for has been done
 * when it returns; erasing and checking a slot may take as long as the flash does.
 */
size_t smp_answer(uint8_t *answer, const uint8_t *request, size_t length);

#endif
