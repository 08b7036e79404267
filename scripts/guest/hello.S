# The smallest guest worth watching: prints one line on the serial port, then resets
# through the i8042, which ends the VMM with status 0.
    .globl _start
_start:
    lea  msg(%rip), %rsi
    mov  $0x3f8, %dx            # COM1 data
1:  lodsb
    test %al, %al
    jz   2f
    out  %al, (%dx)
    jmp  1b
2:  mov  $0xfe, %al             # pulse the reset line
    out  %al, $0x64
3:  hlt
    jmp  3b
msg:
    .asciz "hello from the guest\n"
