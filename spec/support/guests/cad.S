# Waits for a key on the i8042 (SendCtrlAltDel types Ctrl+Alt+Del), then resets: the VMM exits 0.
    .globl _start
_start:
    in   $0x64, %al             # status: bit 0 = a byte waits
    test $1, %al
    jz   _start
    in   $0x60, %al
    mov  $0xfe, %al
    out  %al, $0x64
1:  hlt
    jmp  1b
