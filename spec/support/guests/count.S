# Counts in memory, about ten a second: each turn marks one page more and looks at all that were marked before. Prints the last
# digit of the count, one a line; X when a page is not as it was marked, Y when count and registers are of different times.
    .set COUNT, 0x1800000
    .set PAGES, 0x1801000
    .globl _start
_start:
    xor  %r8, %r8               # the count, as the registers have it
    movq $0, COUNT
1:  mov  COUNT, %rcx
    mov  $'Y', %bl
    cmp  %r8, %rcx
    jne  4f
    mov  $'X', %bl
    mov  $PAGES, %rdi
    xor  %rdx, %rdx
2:  cmp  %rcx, %rdx
    je   3f
    cmp  %rdx, (%rdi)
    jne  4f
    add  $4096, %rdi
    inc  %rdx
    jmp  2b
3:  mov  %rcx, (%rdi)           # the next page is marked
    inc  %rcx
    inc  %r8
    mov  %rcx, COUNT
    mov  %rcx, %rax
    xor  %rdx, %rdx
    mov  $10, %rsi
    div  %rsi
    lea  '0'(%rdx), %rbx
4:  mov  $0x3f8, %dx
    mov  %bl, %al
    out  %al, (%dx)
    mov  $'\n', %al
    out  %al, (%dx)
    rdtsc
    mov  %eax, %esi
5:  pause
    rdtsc
    sub  %esi, %eax             # one that jumped, as over a restore, ends the wait sooner or later
    cmp  $200000000, %eax
    jb   5b
    jmp  1b
