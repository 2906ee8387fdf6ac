/* How wasm3 is built for a board. The compiler includes it before each of wasm3's files (-include), and engine/wasm3.c includes it first. */

#ifndef WASM3_OPTIONS_H
#define WASM3_OPTIONS_H

/* No floating point: a module that uses it is refused. No texts that need a formatter. */
#define d_m3HasFloat 0
#define d_m3NoFloatDynamic 0
#define d_m3VerboseErrorMessages 0

/* Operands, locals and constants of one function; each takes place in the compiler's record, which lies in the heap. */
#define d_m3MaxFunctionStackHeight 256
#define d_m3MaxConstantTableSize 64

/* Compiled code grows in pieces of this many bytes: what is left of the last one is lost. */
#define d_m3CodePageAlignSize 512

/* One name for a function is enough: engine_find reads the module's own export section. */
#define d_m3MaxDuplicateFunctionImpl 1

/* engine/wasm3.c has its own: the heap, a look at the native stack before each instruction is compiled, names that take no memory, lengths with a limit, who calls whom. */
#ifndef WASM3_IS_OVERRIDING
#pragma weak m3_Malloc_Impl
#pragma weak m3_Realloc_Impl
#pragma weak m3_Free_Impl
#pragma weak Read_opcode
#pragma weak Read_utf8
#pragma weak ReadLEB_u32
#pragma weak Module_GetFunction
#pragma weak m3_FreeModule
#endif

#endif
