/*
 * A flash in RAM that keeps the rules of NOR and can lose its power at any operation; all that is there of a board in
 * the tests of slots and configuration.
 */

#ifndef RAM_FLASH_H
#define RAM_FLASH_H

#include <setjmp.h>
#include <stdint.h>

/* Makes all areas new and erased: at most 16, 4096 and 8. */
void ram_flash_make(uint32_t word_length, uint32_t sector_length, uint32_t sector_count);

/* Remembers what is in the flash, or brings that back. */
void ram_flash_keep(void);
void ram_flash_bring_back(void);

/* What the operation in which the power fails has done by then. */
typedef enum { RAM_FLASH_CUT_BEFORE, RAM_FLASH_CUT_WITHIN } ram_flash_cut_kind;

/*
 * The power fails at the so-manieth operation from now (a word, a sector): longjmp to ram_flash_power. 0: never. A word
 * that is torn may not be programmed again; of a sector the first half is erased.
 */
extern jmp_buf ram_flash_power;
void ram_flash_cut_at(uint32_t operation, ram_flash_cut_kind kind);

/* Operations since ram_flash_cut_at. */
uint32_t ram_flash_operation_count(void);

/* The so-manieth operation from now, and each one after it, answers that the flash has failed; 0: never. */
void ram_flash_fail_at(uint32_t operation);

/* What port_random answers next. */
void ram_flash_set_random(uint32_t random);

#endif
