# Halts with interrupts off: the vCPU sleeps in KVM for ever.
    .globl _start
_start:
    cli
1:  hlt
    jmp  1b
