/* Walks through a WebAssembly binary (WebAssembly 1.0, 5.5) with a cursor that never leaves its section. */

#include "wasm-module.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* A part of the module. Once something was missing it is empty, has failed, and every number it gives is 0. */
typedef struct {
  const uint8_t *at;
  const uint8_t *end;
  bool has_failed;
} cursor;

typedef enum {
  SECTION_TYPE = 1,
  SECTION_IMPORT,
  SECTION_FUNCTION,
  SECTION_TABLE,
  SECTION_MEMORY,
  SECTION_GLOBAL,
  SECTION_EXPORT,
  SECTION_START,
  SECTION_ELEMENT,
  SECTION_CODE,
  SECTION_DATA,
  SECTION_COUNT
} section_id;

typedef enum { KIND_FUNCTION, KIND_TABLE, KIND_MEMORY, KIND_GLOBAL, KIND_COUNT } export_kind;

/* Empty where the module has none. */
typedef struct {
  cursor sections[SECTION_COUNT];
} layout;

typedef enum { TYPE_F64 = 0x7c, TYPE_F32, TYPE_I64, TYPE_I32 } value_type;

/* i32.const is 0x41, i64.const 0x42, and so on. */
#define OPCODE_CONST_OF(type) (0xc0u - (type))
#define OPCODE_END 0x0bu
#define PAGE_LENGTH 65536u
/* WAMR takes the memory in steps of this, and writes past an end that is no multiple of it. */
#define MEMORY_STEP 4096u

static wasm_module_result find_sections(layout *module, cursor bytes);
static wasm_module_result read_memory(const layout *module, uint64_t *length);
static wasm_module_result read_heap_base(const layout *module, uint64_t memory_length, uint32_t *heap_base);
static wasm_module_result check_data(const layout *module, uint32_t memory_length);
static wasm_module_result read_abi_version(const layout *module, uint32_t *abi_version);
static bool has_function(const layout *module, const wasm_module_function *wanted);

wasm_module_result wasm_module_read(wasm_module *to, const uint8_t *bytes, uint32_t length,
                                    const wasm_module_function *needed, uint32_t needed_count, const char **missing) {
  static const uint8_t PREAMBLE[8] = {0, 'a', 's', 'm', 1, 0, 0, 0};
  if (length < sizeof PREAMBLE || memcmp(bytes, PREAMBLE, sizeof PREAMBLE) != 0) return WASM_MODULE_NO_WASM;

  layout module;
  wasm_module_result result = find_sections(&module, (cursor){bytes + sizeof PREAMBLE, bytes + length, false});
  if (result != WASM_MODULE_OK) return result;

  uint64_t memory_length;
  result = read_memory(&module, &memory_length);
  if (result == WASM_MODULE_OK) result = read_heap_base(&module, memory_length, &to->memory_length);
  if (result == WASM_MODULE_OK) result = check_data(&module, to->memory_length);
  if (result == WASM_MODULE_OK) result = read_abi_version(&module, &to->abi_version);
  if (result != WASM_MODULE_OK) return result;
  if (to->abi_version != WASM_MODULE_ABI_VERSION) return WASM_MODULE_OTHER_ABI;

  for (uint32_t index = 0; index < needed_count; index++) {
    if (has_function(&module, &needed[index])) continue;
    *missing = needed[index].name;
    return WASM_MODULE_NO_FUNCTION;
  }
  return WASM_MODULE_OK;
}

/* -- Bytes and numbers -- */

static bool fail(cursor *from) {
  from->at = from->end;
  from->has_failed = true;
  return false;
}

static uint8_t read_byte(cursor *from) {
  if (from->at < from->end) return *from->at++;
  fail(from);
  return 0;
}

/*
 * LEB128 (5.2.2), signed or not: at most 5 bytes; what goes beyond 32 bits is dropped if it repeats the sign, and an
 * error otherwise.
 */
static uint32_t read_number(cursor *from, bool is_signed) {
  uint32_t number = 0;
  for (unsigned shift = 0; shift < 35; shift += 7) {
    uint8_t byte = read_byte(from);
    number |= (uint32_t)(byte & 0x7f) << shift;
    if (byte >= 0x80) continue;
    uint8_t above = byte & (is_signed ? 0x78 : 0x70);
    if (shift == 28 && above != 0 && !(is_signed && above == 0x78)) break;
    if (is_signed && shift < 28 && (byte & 0x40) != 0) number |= UINT32_MAX << (shift + 7);
    return number;
  }
  fail(from);
  return 0;
}

static uint32_t read_u32(cursor *from) {
  return read_number(from, false);
}

/* So many bytes of `from`, which skips them; empty and failed if they are not there. */
static cursor read_part(cursor *from, uint32_t length) {
  if (length > (uint32_t)(from->end - from->at)) {
    fail(from);
    return (cursor){from->end, from->end, true};
  }
  const uint8_t *at = from->at;
  from->at += length;
  return (cursor){at, from->at, false};
}

/* A constant expression of one instruction (5.4.7); what it gives if it is an i32, 0 for the other types. */
static uint32_t read_constant(cursor *from, value_type type) {
  uint32_t number = 0;
  if (read_byte(from) != OPCODE_CONST_OF(type)) fail(from);
  if (type == TYPE_I32) {
    number = read_number(from, true);
  } else if (type == TYPE_I64) {
    while (read_byte(from) >= 0x80) continue;
  } else {
    read_part(from, type == TYPE_F32 ? 4 : 8);
  }
  if (read_byte(from) != OPCODE_END) fail(from);
  return number;
}

/* -- Sections -- */

static wasm_module_result find_sections(layout *module, cursor bytes) {
  for (int id = 0; id < SECTION_COUNT; id++) module->sections[id] = (cursor){bytes.end, bytes.end, false};

  section_id last = 0;
  while (bytes.at < bytes.end) {
    section_id id = read_byte(&bytes);
    cursor section = read_part(&bytes, read_u32(&bytes));
    if (bytes.has_failed) return WASM_MODULE_DAMAGED;
    if (id == 0) continue;
    if (id >= SECTION_COUNT) return WASM_MODULE_TOO_NEW;
    if (id <= last) return WASM_MODULE_DAMAGED;
    if (id == SECTION_START) return WASM_MODULE_STARTS;
    if (id == SECTION_IMPORT && read_u32(&section) != 0) return WASM_MODULE_IMPORTS;
    module->sections[id] = section;
    last = id;
  }
  return WASM_MODULE_OK;
}

/* What is exported under a name: its index, if it is of this kind. */
static bool find_export(const layout *module, const char *name, export_kind kind, uint32_t *index) {
  cursor section = module->sections[SECTION_EXPORT];
  if (section.at == section.end) return false;
  uint32_t count = read_u32(&section);
  for (uint32_t number = 0; number < count && !section.has_failed; number++) {
    cursor found = read_part(&section, read_u32(&section));
    export_kind found_kind = read_byte(&section);
    *index = read_u32(&section);
    size_t length = (size_t)(found.end - found.at);
    if (length == strlen(name) && memcmp(found.at, name, length) == 0) return found_kind == kind && !section.has_failed;
  }
  return false;
}

static wasm_module_result read_memory(const layout *module, uint64_t *length) {
  cursor section = module->sections[SECTION_MEMORY];
  uint32_t index;
  if (section.at == section.end || read_u32(&section) != 1 || !find_export(module, "memory", KIND_MEMORY, &index))
    return WASM_MODULE_NO_MEMORY;
  if (read_byte(&section) > 1) return WASM_MODULE_TOO_NEW;
  *length = (uint64_t)read_u32(&section) * PAGE_LENGTH;
  return section.has_failed ? WASM_MODULE_DAMAGED : WASM_MODULE_OK;
}

static wasm_module_result read_heap_base(const layout *module, uint64_t memory_length, uint32_t *heap_base) {
  uint32_t wanted;
  if (!find_export(module, "__heap_base", KIND_GLOBAL, &wanted)) return WASM_MODULE_NO_HEAP_BASE;
  cursor section = module->sections[SECTION_GLOBAL];
  uint32_t count = read_u32(&section);
  if (wanted >= count) return WASM_MODULE_NO_HEAP_BASE;
  for (uint32_t index = 0; index <= wanted && !section.has_failed; index++) {
    value_type type = read_byte(&section);
    bool is_mutable = read_byte(&section) != 0;
    if (index == wanted && (type != TYPE_I32 || is_mutable)) return WASM_MODULE_NO_HEAP_BASE;
    if (type < TYPE_F64 || type > TYPE_I32) return WASM_MODULE_TOO_NEW;
    *heap_base = read_constant(&section, type);
  }
  if (section.has_failed) return WASM_MODULE_NO_HEAP_BASE;
  return *heap_base == 0 || *heap_base % MEMORY_STEP != 0 || *heap_base > memory_length ? WASM_MODULE_ODD_HEAP_BASE
                                                                                        : WASM_MODULE_OK;
}

/* Data behind __heap_base would be written where there is no memory. */
static wasm_module_result check_data(const layout *module, uint32_t memory_length) {
  cursor section = module->sections[SECTION_DATA];
  if (section.at == section.end) return WASM_MODULE_OK;
  uint32_t count = read_u32(&section);
  for (uint32_t index = 0; index < count && !section.has_failed; index++) {
    if (read_u32(&section) != 0) return WASM_MODULE_TOO_NEW;
    uint32_t at = read_constant(&section, TYPE_I32);
    uint32_t length = read_u32(&section);
    read_part(&section, length);
    if (!section.has_failed && (at > memory_length || length > memory_length - at)) return WASM_MODULE_DATA_OUTSIDE;
  }
  return section.has_failed ? WASM_MODULE_DAMAGED : WASM_MODULE_OK;
}

/* -- Functions -- */

/* The body has no locals and is `i32.const N; end`: so it is known without running it. */
static wasm_module_result read_abi_version(const layout *module, uint32_t *abi_version) {
  uint32_t wanted;
  if (!has_function(module, &(wasm_module_function){"abiVersion", 0})) return WASM_MODULE_NO_ABI_VERSION;
  find_export(module, "abiVersion", KIND_FUNCTION, &wanted);

  cursor section = module->sections[SECTION_CODE];
  cursor body = {section.end, section.end, true};
  if (wanted >= read_u32(&section)) return WASM_MODULE_NO_ABI_VERSION;
  for (uint32_t index = 0; index <= wanted && !section.has_failed; index++)
    body = read_part(&section, read_u32(&section));
  if (read_u32(&body) != 0) return WASM_MODULE_NO_ABI_VERSION;
  *abi_version = read_constant(&body, TYPE_I32);
  return body.has_failed || body.at != body.end ? WASM_MODULE_NO_ABI_VERSION : WASM_MODULE_OK;
}

/* Skips a vector of value types; true if each of them is i32. */
static bool read_i32_types(cursor *from, uint32_t *count) {
  *count = read_u32(from);
  cursor types = read_part(from, *count);
  bool are_i32 = !types.has_failed;
  while (types.at < types.end) are_i32 = *types.at++ == TYPE_I32 && are_i32;
  return are_i32;
}

static bool has_function(const layout *module, const wasm_module_function *wanted) {
  uint32_t function;
  if (!find_export(module, wanted->name, KIND_FUNCTION, &function)) return false;

  cursor functions = module->sections[SECTION_FUNCTION];
  if (function >= read_u32(&functions)) return false;
  uint32_t type = 0;
  for (uint32_t index = 0; index <= function && !functions.has_failed; index++) type = read_u32(&functions);

  cursor types = module->sections[SECTION_TYPE];
  if (functions.has_failed || type >= read_u32(&types)) return false;
  bool fits = false;
  for (uint32_t index = 0; index <= type && !types.has_failed; index++) {
    if (read_byte(&types) != 0x60) return false;
    uint32_t argument_count, result_count;
    bool takes_i32 = read_i32_types(&types, &argument_count);
    bool gives_i32 = read_i32_types(&types, &result_count);
    fits = takes_i32 && gives_i32 && argument_count == wanted->argument_count && result_count <= 1;
  }
  return fits && !types.has_failed;
}

const char *wasm_module_reason(wasm_module_result result) {
  switch (result) {
    case WASM_MODULE_OK:
      return "it is a module for boards";
    case WASM_MODULE_NO_WASM:
      return "it is no WebAssembly module of version 1";
    case WASM_MODULE_DAMAGED:
      return "the WebAssembly module is damaged";
    case WASM_MODULE_TOO_NEW:
      return "it uses more than the first version of WebAssembly";
    case WASM_MODULE_IMPORTS:
      return "it imports something";
    case WASM_MODULE_STARTS:
      return "it runs a function at the start";
    case WASM_MODULE_NO_MEMORY:
      return "it does not export its one memory as memory";
    case WASM_MODULE_NO_HEAP_BASE:
      return "it does not export a constant __heap_base";
    case WASM_MODULE_ODD_HEAP_BASE:
      return "its __heap_base is no multiple of 4096 inside its memory";
    case WASM_MODULE_DATA_OUTSIDE:
      return "it has data behind its __heap_base";
    case WASM_MODULE_NO_ABI_VERSION:
      return "it does not export an abiVersion() that is one constant";
    case WASM_MODULE_OTHER_ABI:
      return "it has another ABI version than this board";
    case WASM_MODULE_NO_FUNCTION:
      return "it does not export, or with other parameters, ";
  }
  return "";
}
