# A page fault handler for guests restored with the Uffd backend: uffd.py SOCKET MEMORY
# Takes one VMM, copies each page that its guest touches out of the memory file, says how many at the VMM's end.
# The VMM sends its regions as JSON, and the userfaultfd with them. See userfaultfd(2), ioctl_userfaultfd(2).
import ctypes, fcntl, json, mmap, os, select, socket, struct, sys

UFFDIO_COPY, UFFDIO_ZEROPAGE = 0xC028AA03, 0xC020AA04
EVENT_PAGEFAULT, EVENT_REMOVE, PAGE = 0x12, 0x15, 4096

path, memory = sys.argv[1], open(sys.argv[2], "rb")
pages = mmap.mmap(memory.fileno(), 0, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE)
base = ctypes.addressof(ctypes.c_char.from_buffer(pages))
listener = socket.socket(socket.AF_UNIX)
listener.bind(path)
listener.listen()
print("listening", flush=True)
vmm, _ = listener.accept()
message, fds, _, _ = socket.recv_fds(vmm, 1 << 16, 4)
regions, uffd, removed, copied = json.loads(message), fds[0], [], 0

def serve(address):
    global copied
    address &= -PAGE
    for region in regions:
        start = region["base_host_virt_addr"]
        if start <= address < start + region["size"]:
            at = address - start + region["offset"]
            try:
                if any(first <= address < last for first, last in removed):
                    fcntl.ioctl(uffd, UFFDIO_ZEROPAGE, bytearray(struct.pack("QQQq", address, PAGE, 0, 0)))
                else:
                    fcntl.ioctl(uffd, UFFDIO_COPY, bytearray(struct.pack("QQQQq", address, base + at, PAGE, 0, 0)))
                    copied += 1
            except FileExistsError:
                pass
            return
    sys.exit("no region holds %x" % address)

while True:
    ready, _, _ = select.select([uffd, vmm], [], [])
    if vmm in ready and not vmm.recv(1):
        break
    if uffd in ready:
        try:
            events = os.read(uffd, 32 * 16)
        except BlockingIOError:
            continue
        for at in range(0, len(events), 32):
            kind = events[at]
            if kind == EVENT_PAGEFAULT:
                serve(struct.unpack_from("Q", events, at + 16)[0])
            elif kind == EVENT_REMOVE:
                removed.append(struct.unpack_from("QQ", events, at + 8))
print("copied", copied, flush=True)
