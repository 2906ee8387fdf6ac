/* Declarations of WAMR 2.2.0's own allocator as engine/wamr.c uses it, for checking only. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

typedef void *mem_allocator_t;
mem_allocator_t mem_allocator_create(void *mem, uint32_t size);
int mem_allocator_destroy(mem_allocator_t allocator);
void *mem_allocator_malloc(mem_allocator_t allocator, uint32_t size);
void *mem_allocator_realloc(mem_allocator_t allocator, void *ptr, uint32_t size);
void mem_allocator_free(mem_allocator_t allocator, void *ptr);
bool mem_allocator_get_alloc_info(mem_allocator_t allocator, void *mem_alloc_info);
