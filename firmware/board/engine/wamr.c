/* The engine over WAMR 2.2.0, classic interpreter, built with WASM_MEM_ALLOC_WITH_USAGE: see docs/wamr.md. */

#include "engine.h"

#include <string.h>

#include "mem_alloc.h"
#include "wasm_export.h"

/* For operands and locals of all calls under way; beyond it the module traps. Our modules need 1,280 bytes of it on a 32-bit board: docs/wamr.md. */
#define STACK_LENGTH (512u * (uint32_t)sizeof(void *))

#define ARGUMENT_COUNT_MAX 8u

#define ERROR_CAPACITY 96u

/* WAMR's allocator puts what it needs for itself into the heap without looking whether that fits. */
#define HEAP_LENGTH_MIN 1024u

static struct {
  mem_allocator_t heap;
  uint32_t heap_length;
  uint32_t heap_used;
  bool is_initialised;
  uint8_t *bytes;
  wasm_module_t module;
  wasm_module_inst_t instance;
  wasm_exec_env_t environment;
  char error[ERROR_CAPACITY];
} wamr;

static bool start(const uint8_t *module, uint32_t module_length, uint32_t memory_length);
static bool initialise(void);
static bool load(const uint8_t *module, uint32_t module_length);
static bool instantiate(uint32_t memory_length);
static bool fail(const char *why);
static bool is_all_i32(const wasm_valkind_t *kinds, uint32_t count);
static void *take(mem_alloc_usage_t usage, unsigned int length);
static void *resize(mem_alloc_usage_t usage, bool is_full_size_mapped, void *at, unsigned int length);
static void give_back(mem_alloc_usage_t usage, void *at);

const char *engine_name(void) { return "WAMR 2.2.0"; }

bool engine_start(const uint8_t *module, uint32_t module_length, uint32_t memory_length, uint8_t *heap, uint32_t heap_length) {
  engine_stop();
  wamr.error[0] = 0;
  wamr.heap_used = 0;
  wamr.heap_length = heap_length;
  if (heap_length >= HEAP_LENGTH_MIN) wamr.heap = mem_allocator_create(heap, heap_length);
  if (wamr.heap == NULL) return fail("the heap is too small");
  if (start(module, module_length, memory_length)) return true;
  engine_stop();
  return false;
}

void engine_stop(void) {
  if (wamr.environment != NULL) wasm_runtime_destroy_exec_env(wamr.environment);
  if (wamr.instance != NULL) wasm_runtime_deinstantiate(wamr.instance);
  if (wamr.module != NULL) wasm_runtime_unload(wamr.module);
  if (wamr.bytes != NULL) mem_allocator_free(wamr.heap, wamr.bytes);
  if (wamr.is_initialised) wasm_runtime_destroy();
  wamr.environment = NULL;
  wamr.instance = NULL;
  wamr.module = NULL;
  wamr.bytes = NULL;
  wamr.is_initialised = false;
  if (wamr.heap == NULL) return;
  wamr.heap_used = engine_heap_used();
  mem_allocator_destroy(wamr.heap);
  wamr.heap = NULL;
}

engine_function *engine_find(const char *name, uint32_t argument_count) {
  wasm_function_inst_t function = wasm_runtime_lookup_function(wamr.instance, name);
  if (function == NULL || argument_count > ARGUMENT_COUNT_MAX) return NULL;
  if (wasm_func_get_param_count(function, wamr.instance) != argument_count) return NULL;
  uint32_t result_count = wasm_func_get_result_count(function, wamr.instance);
  if (result_count > 1) return NULL;

  wasm_valkind_t kinds[ARGUMENT_COUNT_MAX];
  wasm_func_get_param_types(function, wamr.instance, kinds);
  if (!is_all_i32(kinds, argument_count)) return NULL;
  wasm_func_get_result_types(function, wamr.instance, kinds);
  return is_all_i32(kinds, result_count) ? (engine_function *)function : NULL;
}

bool engine_call(engine_function *function, const int32_t *arguments, uint32_t argument_count, int32_t *result) {
  uint32_t cells[ARGUMENT_COUNT_MAX] = {0};
  if (argument_count > ARGUMENT_COUNT_MAX) return fail("too many arguments");
  if (argument_count > 0) memcpy(cells, arguments, argument_count * sizeof(cells[0]));
  if (!wasm_runtime_call_wasm(wamr.environment, (wasm_function_inst_t)function, argument_count, cells)) {
    return fail(wasm_runtime_get_exception(wamr.instance));
  }
  if (result != NULL) memcpy(result, cells, sizeof(*result));
  return true;
}

uint8_t *engine_memory(void) {
  return wasm_memory_get_base_address(wasm_runtime_get_default_memory(wamr.instance));
}

/* What the allocator keeps for itself, in front of what it deals out, is in use too. */
uint32_t engine_heap_used(void) {
  mem_alloc_info_t info;
  if (wamr.heap == NULL || !mem_allocator_get_alloc_info(wamr.heap, &info)) return wamr.heap_used;
  return wamr.heap_length - info.total_size + info.highmark_size;
}

const char *engine_error(void) { return wamr.error; }

static bool start(const uint8_t *module, uint32_t module_length, uint32_t memory_length) {
  return initialise() && load(module, module_length) && instantiate(memory_length);
}

static bool initialise(void) {
  RuntimeInitArgs arguments;
  memset(&arguments, 0, sizeof(arguments));
  arguments.mem_alloc_type = Alloc_With_Allocator;
  arguments.mem_alloc_option.allocator.malloc_func = (void *)take;
  arguments.mem_alloc_option.allocator.realloc_func = (void *)resize;
  arguments.mem_alloc_option.allocator.free_func = (void *)give_back;
  wamr.is_initialised = wasm_runtime_full_init(&arguments);
  if (!wamr.is_initialised) return fail("the heap is too small, or WAMR was built without WASM_MEM_ALLOC_WITH_USAGE");
  wasm_runtime_set_log_level(WASM_LOG_LEVEL_FATAL);
  return true;
}

/*
 * The classic interpreter's loader rewrites instructions where they lie (local.get becomes one of its own), so it gets a copy. Names and data
 * are used where they lie in it: `wasm_binary_freeable` stays false.
 */
static bool load(const uint8_t *module, uint32_t module_length) {
  wamr.bytes = mem_allocator_malloc(wamr.heap, module_length);
  if (wamr.bytes == NULL) return fail("the heap has no room for a copy of the module");
  memcpy(wamr.bytes, module, module_length);
  wamr.module = wasm_runtime_load(wamr.bytes, module_length, wamr.error, ERROR_CAPACITY);
  return wamr.module != NULL;
}

static bool instantiate(uint32_t memory_length) {
  wamr.instance = wasm_runtime_instantiate(wamr.module, STACK_LENGTH, 0, wamr.error, ERROR_CAPACITY);
  if (wamr.instance == NULL) return false;
  wasm_memory_inst_t memory = wasm_runtime_get_default_memory(wamr.instance);
  if (memory == NULL) return fail("the module has no memory");
  if (wasm_memory_get_cur_page_count(memory) * wasm_memory_get_bytes_per_page(memory) != memory_length) {
    return fail("the memory is not as long as __heap_base says");
  }
  wamr.environment = wasm_runtime_create_exec_env(wamr.instance, STACK_LENGTH);
  return wamr.environment != NULL || fail("the heap has no room for the stack");
}

/* Keeps the reason without WAMR's "Exception: ". */
static bool fail(const char *why) {
  static const char prefix[] = "Exception: ";
  if (why == NULL) why = "unknown";
  if (strncmp(why, prefix, sizeof(prefix) - 1) == 0) why += sizeof(prefix) - 1;
  size_t length = strlen(why);
  if (length >= ERROR_CAPACITY) length = ERROR_CAPACITY - 1;
  memcpy(wamr.error, why, length);
  wamr.error[length] = 0;
  return false;
}

static bool is_all_i32(const wasm_valkind_t *kinds, uint32_t count) {
  for (uint32_t index = 0; index < count; index++) {
    if (kinds[index] != WASM_I32) return false;
  }
  return true;
}

/* A linear memory begins as zeros; WAMR leaves that to who gives it. Built otherwise, it would pass a length where the usage is expected. */
static void *take(mem_alloc_usage_t usage, unsigned int length) {
  if (usage != Alloc_For_Runtime && usage != Alloc_For_LinearMemory) return NULL;
  void *at = mem_allocator_malloc(wamr.heap, length);
  if (at != NULL && usage == Alloc_For_LinearMemory) memset(at, 0, length);
  return at;
}

static void *resize(mem_alloc_usage_t usage, bool is_full_size_mapped, void *at, unsigned int length) {
  (void)usage;
  (void)is_full_size_mapped;
  return mem_allocator_realloc(wamr.heap, at, length);
}

static void give_back(mem_alloc_usage_t usage, void *at) {
  (void)usage;
  mem_allocator_free(wamr.heap, at);
}
