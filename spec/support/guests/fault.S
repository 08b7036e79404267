# Triple fault, by an undefined instruction under an empty IDT: the guest crashes.
    .globl _start
_start:
    lidt idt(%rip)
    ud2
idt:
    .word 0
    .quad 0
