/* A WebAssembly interpreter for one module at a time: wasm3.c or wamr.c. */

#ifndef ENGINE_H
#define ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* "wasm3 0.5.0". */
const char *engine_name(void);

/*
 * Makes an instance. The module stays where it is (flash) and must not change until `engine_stop`; everything else comes from `heap`, which begins
 * at a multiple of 16. The memory of the instance has `memory_length` bytes: the module's __heap_base, not 64 KiB. False: `engine_error` says why.
 */
bool engine_start(const uint8_t *module, uint32_t module_length, uint32_t memory_length, uint8_t *heap, uint32_t heap_length);

/* Forgets the instance; harmless without one. */
void engine_stop(void);

/*
 * An exported function with this name, a number of 32-bit arguments and no result or one of 32 bits. NULL if there is none, or if the engine cannot run
 * what it may call. For who starts a module: not between calls, it may take a while.
 */
typedef struct engine_function engine_function;
engine_function *engine_find(const char *name, uint32_t argument_count);

/* False: the module trapped, and `engine_error` says how. Then nothing but `engine_stop` may be called. `result` may be NULL. */
bool engine_call(engine_function *function, const int32_t *arguments, uint32_t argument_count, int32_t *result);

/* The linear memory, at an address that stays until `engine_stop`. */
uint8_t *engine_memory(void);

/* Bytes of `heap` in use at most since the start. */
uint32_t engine_heap_used(void);

/* Why the last call failed, in English. */
const char *engine_error(void);

#endif
