/*
 * The engine over wasm3 0.5.0. wasm3 makes code of its own from a function when that is called first: more, for a whole module, than a board has memory.
 * So what lies behind the instance in the heap is a cache of such code, which is emptied when it is full. No call fails for that: a module has no imports, so a
 * call that might not find room begins with a copy of the instance's memory, and if it does not find it, begins again with an empty cache.
 */

#define WASM3_IS_OVERRIDING
#include "wasm3-options.h"

#include "m3_env.h"

#include "engine.h"
#include "heap.h"

/* The module's operands, locals and constants of all its functions under way. */
#ifndef ENGINE_WASM_STACK_LENGTH
#define ENGINE_WASM_STACK_LENGTH 1536u
#endif

/* How deep compiling and running may go in the native stack, seen from engine_start and engine_call. */
#ifndef ENGINE_NATIVE_STACK_LENGTH
#define ENGINE_NATIVE_STACK_LENGTH 4096u
#endif

#define ARGUMENT_COUNT_MAX 8u
#define WASM_HEADER_LENGTH 8u
#define SECTION_EXPORT 7u

/* wasm3 adds lengths from the module to addresses before it compares them; no length in a module of a board is beyond this. */
#define PARSED_NUMBER_MAX 0x00ffffffu

#define OPCODE_BLOCK 0x02u
#define OPCODE_IF 0x04u
#define OPCODE_MEMORY_SIZE 0x3fu
#define OPCODE_MEMORY_GROW 0x40u

/* Below this there is no use in going on without emptying the cache. */
#define CACHE_LEFT_MIN 1024u

/* How far the walk through the functions that one function may reach has come with another one. */
enum { WALK_UNSEEN, WALK_REACHED, WALK_DONE };

struct engine_function {
  struct engine_function *next;
  IM3Function function;
  /* Bytes of code of all that it may call, itself included. */
  size_t code_length;
};

static struct {
  const uint8_t *module;
  uint32_t module_length;
  IM3Module instance;
  IM3Runtime runtime;
  engine_function *found;
  /* Where in the heap the cache begins, and a piece for code that lies before. */
  size_t cache_at;
  IM3CodePage spare_page;
  bool is_walking;
  uintptr_t stack_limit;
  const char *error;
} engine;

static const char too_small[] = "it needs more memory than the board has for a module";

static M3Result load(IM3Environment environment, uint32_t memory_length);
static engine_function *remember(IM3Function function);
static M3Result measure(IM3Function function, size_t *code_length);
static size_t code_length_of(const M3Function *function);
static void empty_cache(void);
static uint8_t *prepare(const engine_function *called);
static size_t copy_length(void);
static void copy_instance(uint8_t *copy, bool is_back);
static M3Result run(IM3Function called, const int32_t *arguments, uint32_t argument_count, int32_t *result);
static bool is_callable(const M3Function *function, uint32_t argument_count);
static bool find_export(const char *name, uint32_t *index);
static void limit_stack(void);
static bool is_stack_deep(void);

const char *engine_name(void) { return "wasm3 " M3_VERSION; }

bool engine_start(const uint8_t *module, uint32_t module_length, uint32_t memory_length, uint8_t *heap, uint32_t heap_length) {
  engine_stop();
  heap_open(heap, heap_length);
  limit_stack();
  engine.module = module;
  engine.module_length = module_length;

  IM3Environment environment = m3_NewEnvironment();
  M3Result result = environment == NULL ? m3Err_mallocFailed : load(environment, memory_length);
  if (heap_was_too_small()) result = too_small;
  engine.error = result == m3Err_none ? "" : result;
  if (result == m3Err_none) return true;

  engine.instance = NULL;
  return false;
}

void engine_stop(void) { memset(&engine, 0, sizeof engine); }

engine_function *engine_find(const char *name, uint32_t argument_count) {
  uint32_t index = 0;
  if (engine.instance == NULL || !find_export(name, &index) || index >= engine.instance->numFunctions) return NULL;
  M3Function *function = &engine.instance->functions[index];
  if (!is_callable(function, argument_count)) return NULL;
  for (engine_function *known = engine.found; known != NULL; known = known->next) {
    if (known->function == function) return known;
  }
  limit_stack();
  return remember(function);
}

bool engine_call(engine_function *function, const int32_t *arguments, uint32_t argument_count, int32_t *result) {
  limit_stack();
  uint8_t *copy = prepare(function);
  M3Result trap = run(function->function, arguments, argument_count, result);
  if (trap != m3Err_none && heap_was_too_small() && copy != NULL) {
    copy_instance(copy, true);
    heap_lend(0);
    empty_cache();
    trap = run(function->function, arguments, argument_count, result);
  }
  if (trap != m3Err_none && heap_was_too_small()) trap = too_small;
  heap_lend(0);
  engine.error = trap == m3Err_none ? "" : trap;
  return trap == m3Err_none;
}

uint8_t *engine_memory(void) { return m3_GetMemory(engine.runtime, NULL, 0); }

uint32_t engine_heap_used(void) { return heap_used_max(); }

const char *engine_error(void) { return engine.error == NULL ? "no module has been started" : engine.error; }

static M3Result load(IM3Environment environment, uint32_t memory_length) {
  IM3Module parsed = NULL;
  M3Result result = m3_ParseModule(environment, &parsed, engine.module, engine.module_length);
  if (result != m3Err_none) return result;
  if (parsed->numFuncImports > 0) return m3Err_functionImportMissing;
  if (parsed->startFunction >= 0) return "it has a start function";
  /* wasm3 marks a place for each result without looking whether it has so many. */
  for (uint32_t index = 0; index < parsed->numFuncTypes; index++) {
    if (parsed->funcTypes[index]->numRets > 1) return "it has a function with more than one result";
  }

  engine.runtime = m3_NewRuntime(environment, ENGINE_WASM_STACK_LENGTH, NULL);
  if (engine.runtime == NULL) return m3Err_mallocFailed;
  engine.runtime->memoryLimit = memory_length;
  result = m3_LoadModule(engine.runtime, parsed);
  if (result != m3Err_none) return result;

  if (m3_GetMemorySize(engine.runtime) != memory_length) return "its memory is smaller than its __heap_base";

  engine.instance = parsed;
  engine.spare_page = environment->pagesReleased;
  engine.cache_at = heap_mark();
  return m3Err_none;
}

/* What is remembered lies before the cache. */
static engine_function *remember(IM3Function function) {
  size_t code_length = 0;
  M3Result result = measure(function, &code_length);
  empty_cache();
  engine_function *made = result == m3Err_none ? heap_take(sizeof *made) : NULL;
  if (made == NULL) {
    engine.error = result == m3Err_none || heap_was_too_small() ? too_small : result;
    return NULL;
  }
  *made = (engine_function){.next = engine.found, .function = function, .code_length = code_length};
  engine.found = made;
  engine.cache_at = heap_mark();
  return made;
}

/* Compiles each function that may be reached, one after the other: each must be compilable, and have room in the empty cache. */
static M3Result measure(IM3Function function, size_t *code_length) {
  M3Module *module = engine.instance;
  for (uint32_t index = 0; index < module->numFunctions; index++) module->functions[index].numNames = WALK_UNSEEN;
  for (uint32_t index = 0; index < module->table0Size; index++) {
    if (module->table0[index] != NULL) module->table0[index]->numNames = WALK_REACHED;
  }
  function->numNames = WALK_REACHED;

  M3Result result = m3Err_none;
  uint32_t index = 0;
  engine.is_walking = true;
  while (index < module->numFunctions && result == m3Err_none) {
    M3Function *reached = &module->functions[index++];
    if (reached->numNames != WALK_REACHED) continue;
    empty_cache();
    result = CompileFunction(reached);
    *code_length += code_length_of(reached);
    reached->numNames = WALK_DONE;
    /* It may have reached functions that lie before it. */
    index = 0;
  }
  engine.is_walking = false;
  /* The heads and the unused ends of pages; the last of them may be empty. */
  *code_length += *code_length / 4 + d_m3CodePageAlignSize;
  return result;
}

/* Of the only function in the cache. */
static size_t code_length_of(const M3Function *function) {
  size_t word_count = 0;
  for (IM3CodePage page = engine.runtime->pagesOpen; page != NULL; page = page->info.next) word_count += page->info.lineIndex;
  for (IM3CodePage page = engine.runtime->pagesFull; page != NULL; page = page->info.next) word_count += page->info.lineIndex;
  return word_count * sizeof(code_t) + function->numConstantBytes;
}

static void empty_cache(void) {
  heap_return_to(engine.cache_at);
  engine.runtime->pagesOpen = NULL;
  engine.runtime->pagesFull = NULL;
  engine.runtime->environment->pagesReleased = engine.spare_page;
  if (engine.spare_page != NULL) {
    engine.spare_page->info.lineIndex = 0;
    engine.spare_page->info.next = NULL;
  }
  for (uint32_t index = 0; index < engine.instance->numFunctions; index++) {
    engine.instance->functions[index].compiled = NULL;
    engine.instance->functions[index].constants = NULL;
  }
}

/* Room for all the code that the call may need, or a copy of the instance to begin again with. */
static uint8_t *prepare(const engine_function *called) {
  if (heap_left() >= called->code_length) return NULL;
  if (heap_left() < copy_length() + CACHE_LEFT_MIN) empty_cache();
  if (heap_left() >= called->code_length || heap_left() < copy_length()) return NULL;
  uint8_t *copy = heap_lend(copy_length());
  copy_instance(copy, false);
  return copy;
}

static size_t copy_length(void) { return m3_GetMemorySize(engine.runtime) + engine.instance->numGlobals * sizeof(M3Global); }

static void copy_instance(uint8_t *copy, bool is_back) {
  size_t memory_length = m3_GetMemorySize(engine.runtime);
  size_t globals_length = engine.instance->numGlobals * sizeof(M3Global);
  uint8_t *memory = engine_memory();
  M3Global *globals = engine.instance->globals;
  if (is_back) {
    memcpy(memory, copy, memory_length);
    if (globals_length > 0) memcpy(globals, copy + memory_length, globals_length);
  } else {
    memcpy(copy, memory, memory_length);
    if (globals_length > 0) memcpy(copy + memory_length, globals, globals_length);
  }
}

static M3Result run(IM3Function called, const int32_t *arguments, uint32_t argument_count, int32_t *result) {
  const void *argument_at[ARGUMENT_COUNT_MAX];
  for (uint32_t index = 0; index < argument_count; index++) argument_at[index] = &arguments[index];
  M3Result trap = called->compiled == NULL ? CompileFunction(called) : m3Err_none;
  if (trap == m3Err_none) trap = m3_Call(called, argument_count, argument_at);
  if (trap == m3Err_none && result != NULL && m3_GetRetCount(called) == 1) {
    const void *result_at[] = {result};
    trap = m3_GetResults(called, 1, result_at);
  }
  return trap;
}

static bool is_callable(const M3Function *function, uint32_t argument_count) {
  const M3FuncType *type = function->funcType;
  if (type->numArgs != argument_count || argument_count > ARGUMENT_COUNT_MAX || type->numRets > 1) return false;
  for (uint32_t index = 0; index < (uint32_t)type->numArgs + type->numRets; index++) {
    if (type->types[index] != c_m3Type_i32) return false;
  }
  return true;
}

/* wasm3 would keep a copy of each name in the heap, and one name for each function. */
static bool find_export(const char *name, uint32_t *index) {
  const uint8_t *at = engine.module + WASM_HEADER_LENGTH;
  const uint8_t *end = engine.module + engine.module_length;
  uint8_t section = 0;
  uint32_t length = 0;
  while (section != SECTION_EXPORT) {
    if (Read_u8(&section, &at, end) || ReadLEB_u32(&length, &at, end) || length > (size_t)(end - at)) return false;
    if (section != SECTION_EXPORT) at += length;
  }

  size_t name_length = strlen(name);
  uint32_t count = 0;
  end = at + length;
  if (ReadLEB_u32(&count, &at, end)) return false;
  for (uint32_t entry = 0; entry < count; entry++) {
    uint8_t kind = 0;
    if (ReadLEB_u32(&length, &at, end) || length > (size_t)(end - at)) return false;
    const uint8_t *text = at;
    at += length;
    if (Read_u8(&kind, &at, end) || ReadLEB_u32(index, &at, end)) return false;
    if (kind == d_externalKind_function && length == name_length && memcmp(text, name, length) == 0) return true;
  }
  return false;
}

static void limit_stack(void) { engine.stack_limit = (uintptr_t)__builtin_frame_address(0) - ENGINE_NATIVE_STACK_LENGTH; }

static bool is_stack_deep(void) { return (uintptr_t)__builtin_frame_address(0) < engine.stack_limit; }

/* -- What wasm3 calls instead of its own: wasm3-options.h makes those weak -- */

void *m3_Malloc_Impl(size_t length) { return heap_take(length); }

void *m3_Realloc_Impl(void *piece, size_t length, size_t old_length) { return heap_resize(piece, length, old_length); }

void m3_Free_Impl(void *piece) { heap_give_back(piece); }

/* Comes with each call that is compiled: so the walk learns who calls whom. */
IM3Function Module_GetFunction(IM3Module module, u32 index) {
  if (index >= module->numFunctions) return NULL;
  M3Function *function = &module->functions[index];
  if (engine.is_walking && function->numNames == WALK_UNSEEN) function->numNames = WALK_REACHED;
  return function;
}

/* Comes with each call in the module: recursion ends in a trap, before the native stack does. */
M3Result m3_Yield(void) { return is_stack_deep() ? m3Err_trapStackOverflow : m3Err_none; }

/* Comes with each instruction that is compiled, and the compiler is recursive: one level for each block in a block. */
M3Result Read_opcode(m3opcode_t *opcode, bytes_t *at, cbytes_t end) {
  if (is_stack_deep()) return "its code is nested too deeply";
  uint8_t byte = 0;
  M3Result result = Read_u8(&byte, at, end);
  *opcode = byte;
  /* A block with parameters, or with more than one result, has the number of a type there. */
  if (result == m3Err_none && byte >= OPCODE_BLOCK && byte <= OPCODE_IF && (*at == end || (**at & 0xc0u) != 0x40u)) {
    return "it has a block with parameters";
  }
  if (result == m3Err_none && (byte == OPCODE_MEMORY_SIZE || byte == OPCODE_MEMORY_GROW)) {
    return "it asks how large its memory is, or for more of it";
  }
  return result;
}

/* No number may be so large that an address plus it, or a count of words, wraps. */
M3Result ReadLEB_u32(u32 *value, bytes_t *at, cbytes_t end) {
  uint64_t wide = 0;
  M3Result result = ReadLebUnsigned(&wide, 32, at, end);
  *value = (uint32_t)wide;
  if (result == m3Err_none && *value > PARSED_NUMBER_MAX) return m3Err_wasmMalformed;
  return result;
}

/* A name that nobody asks wasm3 for takes no memory. */
M3Result Read_utf8(cstr_t *text, bytes_t *at, cbytes_t end) {
  uint32_t length = 0;
  *text = "";
  M3Result result = ReadLEB_u32(&length, at, end);
  if (result != m3Err_none) return result;
  if (length > (size_t)(end - *at)) return m3Err_wasmUnderrun;
  *at += length;
  return m3Err_none;
}

/* What a module that is not taken has of the heap goes with the heap: and its tables may be half made. */
void m3_FreeModule(IM3Module module) { (void)module; }
