# Spins without ever leaving to the VMM.
    .globl _start
_start:
    jmp  _start
