/* What a WebAssembly module says about itself, read without running any of it (WebAssembly 1.0, 5). */

#ifndef WASM_MODULE_H
#define WASM_MODULE_H

#include <stdint.h>

/* A board's module has this ABI (firmware/core/abi.ts). */
#define WASM_MODULE_ABI_VERSION 2

typedef struct {
  uint32_t abi_version;
  /* __heap_base: the bytes of linear memory it needs, a multiple of 4096. */
  uint32_t memory_length;
} wasm_module;

typedef enum {
  WASM_MODULE_OK,
  WASM_MODULE_NO_WASM,
  WASM_MODULE_DAMAGED,
  WASM_MODULE_TOO_NEW,
  WASM_MODULE_IMPORTS,
  WASM_MODULE_STARTS,
  WASM_MODULE_NO_MEMORY,
  WASM_MODULE_NO_HEAP_BASE,
  WASM_MODULE_ODD_HEAP_BASE,
  WASM_MODULE_DATA_OUTSIDE,
  WASM_MODULE_NO_ABI_VERSION,
  WASM_MODULE_OTHER_ABI,
  WASM_MODULE_NO_FUNCTION
} wasm_module_result;

/* A function that a module has to export, with so many i32 parameters and at most one i32 result. */
typedef struct {
  const char *name;
  uint8_t argument_count;
} wasm_module_function;

/*
 * Reads and checks a module that may come from anywhere. `to` counts only with WASM_MODULE_OK, its `abi_version` with
 * WASM_MODULE_OTHER_ABI too. With WASM_MODULE_NO_FUNCTION `*missing` is the name of the first of the `needed` functions
 * that it does not export; else it stays as it is. Function bodies (but that of abiVersion) are left to the engine.
 */
wasm_module_result wasm_module_read(wasm_module *to, const uint8_t *bytes, uint32_t length,
                                    const wasm_module_function *needed, uint32_t needed_count, const char **missing);

/* A sentence for people; with WASM_MODULE_NO_FUNCTION the name is to follow. */
const char *wasm_module_reason(wasm_module_result result);

#endif
