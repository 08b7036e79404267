"""Boots a guest in a VMM that inherits nothing, by hand, and runs a shell command about it.

usage: bare.py FIRECRACKER KERNEL COMMAND     in a directory that holds an empty file "log"; COMMAND sees $pid
"""
import json, os, signal, socket, subprocess, sys, time

firecracker, kernel, command = sys.argv[1:]


connection = socket.socket(socket.AF_UNIX)


def put(path, body):
    text = json.dumps(body)
    connection.sendall(f"PUT {path} HTTP/1.1\r\nContent-Length: {len(text)}\r\n\r\n{text}".encode())
    assert connection.recv(4096).startswith(b"HTTP/1.1 204"), path


null = os.open("/dev/null", os.O_RDWR)
pid = os.posix_spawn(firecracker, [firecracker, "--api-sock", "api.sock", "--log-path", "log", "--level", "Warning"], {},
                     file_actions=[(os.POSIX_SPAWN_DUP2, null, n) for n in range(3)] +
                                  [(os.POSIX_SPAWN_CLOSE, n) for n in range(3, 1000)])
try:
    while connection.connect_ex("api.sock"):
        time.sleep(0.005)
    put("/boot-source", {"kernel_image_path": kernel})
    put("/machine-config", {"vcpu_count": 1, "mem_size_mib": 128})
    put("/actions", {"action_type": "InstanceStart"})
    time.sleep(0.1)
    subprocess.run(["/bin/sh", "-c", f"pid={pid}; {command}"], check=True)
finally:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
