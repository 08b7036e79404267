# Echoes serial input by polling; the byte 'q' resets, so the VMM exits 0.
    .globl _start
_start:
    mov  $0x3fd, %dx            # line status: bit 0 = a byte waits
    in   (%dx), %al
    test $1, %al
    jz   1f
    mov  $0x3f8, %dx
    in   (%dx), %al
    cmp  $'q', %al
    je   2f
    out  %al, (%dx)
1:  pause
    jmp  _start
2:  mov  $0xfe, %al
    out  %al, $0x64
3:  hlt
    jmp  3b
