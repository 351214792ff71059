"""A host that accepts and hangs before its greeting: how soon its users are answered, and what everyone else notices.

python3 tests/bench/hang.py GATEPOST [users of the hanging host at a time] [logins]

Everyone else's logins are timed before, while and after the others wait; the medians may differ by 10 %.
"""

import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

binary = sys.argv[1]
waiting = int(sys.argv[2]) if len(sys.argv) > 2 else 50
logins = int(sys.argv[3]) if len(sys.argv) > 3 else 1500


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def host(greets):
    server = socket.create_server(("127.0.0.1", 0), backlog=512)
    kept = []

    def serve(conn):
        with conn, conn.makefile("rb") as lines:
            conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            conn.sendall(b"* OK [CAPABILITY IMAP4rev1] here\r\n")
            for line in lines:
                conn.sendall(line.split()[0] + b" OK done\r\n")

    def accept():
        while True:
            conn = server.accept()[0]
            if greets:
                threading.Thread(target=serve, args=(conn,), daemon=True).start()
            else:
                kept.append(conn)

    threading.Thread(target=accept, daemon=True).start()
    return server.getsockname()[1]


imap, admin = free_port(), free_port()
path = os.path.join(tempfile.mkdtemp(), "proxy.yaml")
with open(path, "w") as file:
    file.write(f"""
listeners:
  - {{ bind: "imap://127.0.0.1:{imap}", cleartext_login: true }}
backends:
  well: "imap://127.0.0.1:{host(True)}"
  hangs: "imap://127.0.0.1:{host(False)}"
users:
  "@well.example": well
  "@hangs.example": hangs
limits: {{ trusted: [127.0.0.0/8], per_user: 100000, per_user_ip: 100000 }}
admin: {{ bind: "127.0.0.1:{admin}" }}
log: {{ level: warn }}
""")
gateway = subprocess.Popen([binary, "run", "-c", path], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def login(user):
    begun = time.monotonic()
    with socket.create_connection(("127.0.0.1", imap)) as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        f = s.makefile("rb")
        f.readline()
        s.sendall(f"a LOGIN {user} x\r\n".encode())
        said = f.readline()
        while said and not said.startswith(b"a "):
            said = f.readline()
    return time.monotonic() - begun, said


try:
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{admin}/readyz")
            break
        except OSError:
            time.sleep(0.05)

    def everyone_else():
        return sorted(login(f"user{n % 50}@well.example")[0] for n in range(logins))

    everyone_else()
    before = everyone_else()
    done = threading.Event()
    answered = []

    def waits(n):
        while not done.is_set():
            took, said = login(f"user{n}@hangs.example")
            answered.append((took, said.split(b"]")[0]))
            time.sleep(0.5)

    threads = [threading.Thread(target=waits, args=(n,)) for n in range(waiting)]
    for thread in threads:
        thread.start()
    time.sleep(1)
    while_waiting = everyone_else()
    time.sleep(6)
    done.set()
    for thread in threads:
        thread.join()
    after = everyone_else()
    for name, took in (("before", before), ("while they wait", while_waiting), ("after", after)):
        print(f"everyone else, {name}: median {statistics.median(took) * 1e3:.2f} ms, p99 {took[len(took) * 99 // 100] * 1e3:.2f} ms")
    print(f"users of the host that hangs: {len(answered)} answers {sorted({said for _, said in answered})}, the latest after {max(took for took, _ in answered):.1f} s")
finally:
    gateway.kill()
    gateway.wait()
