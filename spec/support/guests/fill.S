# Writes to every page from 32 MiB to 120 MiB, then spins.
    .globl _start
_start:
    mov  $0x2000000, %rdi
1:  mov  %rdi, (%rdi)
    add  $4096, %rdi
    cmp  $0x7800000, %rdi
    jb   1b
2:  jmp  2b
