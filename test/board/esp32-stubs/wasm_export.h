/* Declarations of WAMR 2.2.0's public interface as engine/wamr.c uses it, for checking only. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

typedef struct wasm_module *wasm_module_t;
typedef struct wasm_module_inst *wasm_module_inst_t;
typedef struct wasm_memory_inst *wasm_memory_inst_t;
typedef struct wasm_exec_env *wasm_exec_env_t;
typedef void *wasm_function_inst_t;
typedef uint8_t wasm_valkind_t;
enum { WASM_I32 };
typedef enum { Alloc_With_Pool, Alloc_With_Allocator } mem_alloc_type_t;
typedef enum { Alloc_For_Runtime, Alloc_For_LinearMemory } mem_alloc_usage_t;
typedef enum { WASM_LOG_LEVEL_FATAL } log_level_t;
typedef struct {
  uint32_t total_size;
  uint32_t total_free_size;
  uint32_t highmark_size;
} mem_alloc_info_t;
typedef struct {
  mem_alloc_type_t mem_alloc_type;
  union {
    struct {
      void *malloc_func;
      void *realloc_func;
      void *free_func;
    } allocator;
  } mem_alloc_option;
} RuntimeInitArgs;
bool wasm_runtime_full_init(RuntimeInitArgs *init_args);
void wasm_runtime_set_log_level(log_level_t level);
void wasm_runtime_destroy(void);
wasm_module_t wasm_runtime_load(uint8_t *buf, uint32_t size, char *error_buf, uint32_t error_buf_size);
void wasm_runtime_unload(wasm_module_t module);
wasm_module_inst_t wasm_runtime_instantiate(const wasm_module_t module, uint32_t default_stack_size, uint32_t host_managed_heap_size,
                                            char *error_buf, uint32_t error_buf_size);
void wasm_runtime_deinstantiate(wasm_module_inst_t module_inst);
wasm_function_inst_t wasm_runtime_lookup_function(const wasm_module_inst_t module_inst, const char *name);
uint32_t wasm_func_get_param_count(const wasm_function_inst_t func_inst, const wasm_module_inst_t module_inst);
uint32_t wasm_func_get_result_count(const wasm_function_inst_t func_inst, const wasm_module_inst_t module_inst);
void wasm_func_get_param_types(const wasm_function_inst_t func_inst, const wasm_module_inst_t module_inst, wasm_valkind_t *param_types);
void wasm_func_get_result_types(const wasm_function_inst_t func_inst, const wasm_module_inst_t module_inst, wasm_valkind_t *result_types);
wasm_exec_env_t wasm_runtime_create_exec_env(wasm_module_inst_t module_inst, uint32_t stack_size);
void wasm_runtime_destroy_exec_env(wasm_exec_env_t exec_env);
bool wasm_runtime_call_wasm(wasm_exec_env_t exec_env, wasm_function_inst_t function, uint32_t argc, uint32_t argv[]);
const char *wasm_runtime_get_exception(wasm_module_inst_t module_inst);
wasm_memory_inst_t wasm_runtime_get_default_memory(const wasm_module_inst_t module_inst);
uint64_t wasm_memory_get_cur_page_count(const wasm_memory_inst_t memory_inst);
uint64_t wasm_memory_get_bytes_per_page(const wasm_memory_inst_t memory_inst);
void *wasm_memory_get_base_address(const wasm_memory_inst_t memory_inst);
