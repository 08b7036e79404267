# Prints the digits 0 to 9, one a line, about ten a second, round and round: pause, resume and restore show in them.
    .globl _start
_start:
1:  mov  $'0', %bl
2:  mov  $0x3f8, %dx
    mov  %bl, %al
    out  %al, (%dx)
    mov  $'\n', %al
    out  %al, (%dx)
    rdtsc
    lea  200000000(%rax), %esi  # the low half of the counter, 2e8 turns on; it may wrap
3:  pause
    rdtsc
    sub  %esi, %eax
    js   3b
    inc  %bl
    cmp  $'9', %bl
    jbe  2b
    jmp  1b
