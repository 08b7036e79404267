"""A server on a Unix socket that says what a script tells it to, for replies the real VMM cannot be made to give.

usage: server.py PATH SCRIPT     SCRIPT is a JSON list: one entry a request, in the order they come on all connections;
the last one stays. An entry: {"text": bytes in hexadecimal, "after": seconds before it, "close": true: hang up then,
"hang": true: no reply, "early": true: the reply before the body}. Who expects it is told to go on with the body. What
happens is told line by line on the standard output.
"""
import json, os, socket, sys, threading, time

path, script = sys.argv[1], json.load(open(sys.argv[2]))
lock = threading.Lock()
asked = 0


def tell(*words):
    with lock:
        print(*words, flush=True)


def next_entry():
    global asked
    with lock:
        asked += 1
        return script[min(asked, len(script)) - 1]


def read_head(connection, buffer):
    while b"\r\n\r\n" not in buffer:
        data = connection.recv(65536)
        if not data:
            return None, buffer
        buffer += data
    head, buffer = buffer.split(b"\r\n\r\n", 1)
    lines = head.decode("latin-1").split("\r\n")
    return (lines[0], dict(line.lower().split(": ", 1) for line in lines[1:])), buffer


def read_body(connection, buffer, length):
    while len(buffer) < length:
        buffer += connection.recv(65536)
    return buffer[:length], buffer[length:]


def serve(connection, number):
    buffer = b""
    try:
        while True:
            head, buffer = read_head(connection, buffer)
            if head is None:
                break
            line, headers = head
            entry = next_entry()
            if "expect" in headers:
                tell("expect", number)
                if not entry.get("early"):
                    connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            length = 0 if entry.get("early") else int(headers.get("content-length", 0))
            body, buffer = read_body(connection, buffer, length)
            tell("request", number, line, headers.get("host"), body.decode("latin-1"))
            if entry.get("hang"):
                continue
            time.sleep(entry.get("after", 0))
            connection.sendall(bytes.fromhex(entry.get("text", "")))
            if entry.get("close"):
                break
    except OSError as error:
        tell("error", number, error.strerror)
    connection.close()
    if buffer:
        tell("left", number, len(buffer))
    tell("end", number)


listener = socket.socket(socket.AF_UNIX)
os.chdir(os.path.dirname(path))     # the path may be longer than an address
listener.bind(os.path.basename(path))
listener.listen(64)
tell("listening")
number = 0
while True:
    connection, _ = listener.accept()
    number += 1
    tell("accept", number)
    threading.Thread(target=serve, args=(connection, number), daemon=True).start()
