"""dial.py SOCKET PORT SECONDS TEXT [BYTES]: connects to a port of a guest's through the VMM's vsock socket, sends TEXT
and a newline, and writes what comes, until the end or until it is BYTES bytes. Tries again until the guest takes the
connection; exit status 1 when the time is over."""
import os
import socket
import sys
import time

path, port, seconds, text = sys.argv[1:5]
left = int(sys.argv[5]) if len(sys.argv) > 5 else float("inf")
deadline = time.monotonic() + float(seconds)


def connect():
    """A connection that the guest has taken, or None."""
    directory = os.open(os.path.dirname(path), os.O_PATH)      # a socket's path has at most 107 bytes
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(max(0.1, min(2, deadline - time.monotonic())))
    try:
        s.connect("/proc/self/fd/%d/%s" % (directory, os.path.basename(path)))
        s.sendall(b"CONNECT %s\n" % port.encode())
        line = b""
        while not line.endswith(b"\n"):
            byte = s.recv(1)
            if not byte:
                return None
            line += byte
        return s if line.startswith(b"OK ") else None
    except OSError:
        return None
    finally:
        os.close(directory)


while True:
    s = connect()
    if s:
        break
    if time.monotonic() > deadline:
        sys.exit("dial.py: nobody answers at %s port %s" % (path, port))
    time.sleep(0.05)
s.settimeout(max(0.1, deadline - time.monotonic()))
s.sendall(text.encode() + b"\n")       # and no shutdown: vsock knows no half-close, the answer would be lost
try:
    while left > 0:
        data = s.recv(65536)
        if not data:
            break
        left -= len(data)
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
except OSError as e:
    sys.exit("dial.py: %s port %s: %s" % (path, port, e))
