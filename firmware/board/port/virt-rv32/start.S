/* The first instructions of the board, and the way into and out of an interrupt. */

  .option arch, +zicsr

  .section .text.start, "ax"
  .globl _start
_start:
  .option push
  .option norelax
  la gp, __global_pointer$
  .option pop
  csrw mie, zero
  la sp, stack_top
  la t0, interrupt_entry
  csrw mtvec, t0
  la t0, interrupt_stack_top
  csrw mscratch, t0

  /* The 128 KiB of program memory may be read and executed, by nobody written: a stack that is too deep ends in a fault. */
  li t0, (0x80000000 >> 2) | ((128 * 1024 / 8) - 1)
  csrw pmpaddr0, t0
  li t0, 0x9d
  csrw pmpcfg0, t0

  la t0, data_load
  la t1, data_start
  la t2, data_end
1:
  bgeu t1, t2, 2f
  lw t3, 0(t0)
  sw t3, 0(t1)
  addi t0, t0, 4
  addi t1, t1, 4
  j 1b
2:
  la t1, bss_start
  la t2, bss_end
3:
  bgeu t1, t2, 4f
  sw zero, 0(t1)
  addi t1, t1, 4
  j 3b
4:
  /* The stack is painted, so that port_stack can see how far it went. */
  la t1, stack_bottom
  li t3, 0xa5a5a5a5
5:
  bgeu t1, sp, 6f
  sw t3, 0(t1)
  addi t1, t1, 4
  j 5b
6:
  call port_main
7:
  wfi
  j 7b

/* Interrupts have a stack of their own: theirs is not in the high-water mark, and a fault of the other one can still be handled. */
  .balign 4
interrupt_entry:
  csrrw sp, mscratch, sp
  addi sp, sp, -64
  sw ra, 0(sp)
  sw t0, 4(sp)
  sw t1, 8(sp)
  sw t2, 12(sp)
  sw t3, 16(sp)
  sw t4, 20(sp)
  sw t5, 24(sp)
  sw t6, 28(sp)
  sw a0, 32(sp)
  sw a1, 36(sp)
  sw a2, 40(sp)
  sw a3, 44(sp)
  sw a4, 48(sp)
  sw a5, 52(sp)
  sw a6, 56(sp)
  sw a7, 60(sp)
  csrr a0, mcause
  call interrupt_handle
  lw ra, 0(sp)
  lw t0, 4(sp)
  lw t1, 8(sp)
  lw t2, 12(sp)
  lw t3, 16(sp)
  lw t4, 20(sp)
  lw t5, 24(sp)
  lw t6, 28(sp)
  lw a0, 32(sp)
  lw a1, 36(sp)
  lw a2, 40(sp)
  lw a3, 44(sp)
  lw a4, 48(sp)
  lw a5, 52(sp)
  lw a6, 56(sp)
  lw a7, 60(sp)
  addi sp, sp, 64
  csrrw sp, mscratch, sp
  mret

  .section .bss
  .balign 16
  .skip 512
interrupt_stack_top:
