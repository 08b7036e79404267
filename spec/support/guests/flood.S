# Writes lines of 64 bytes to the serial port as fast as it can; the byte 'q' resets, so the VMM exits 0.
    .globl _start
_start:
    mov  $63, %ecx
    mov  $0x3f8, %dx
1:  mov  $'x', %al
    out  %al, (%dx)
    dec  %ecx
    jnz  1b
    mov  $'\n', %al
    out  %al, (%dx)
    mov  $0x3fd, %dx            # line status: bit 0 = a byte waits
    in   (%dx), %al
    test $1, %al
    jz   _start
    mov  $0x3f8, %dx
    in   (%dx), %al
    cmp  $'q', %al
    jne  _start
    mov  $0xfe, %al
    out  %al, $0x64
2:  hlt
    jmp  2b
