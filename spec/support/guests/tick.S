# Prints the digits 0 to 9, one a line, round and round: pause, resume and restore show in them.
    .globl _start
_start:
    mov  $0x3f8, %dx
1:  mov  $'0', %bl
2:  mov  %bl, %al
    out  %al, (%dx)
    mov  $'\n', %al
    out  %al, (%dx)
    mov  $100000, %rcx          # 0.1 s where guests are emulated, far less where not
3:  dec  %rcx
    jnz  3b
    inc  %bl
    cmp  $'9', %bl
    jbe  2b
    jmp  1b
