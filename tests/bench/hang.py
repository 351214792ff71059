"""A host that accepts and hangs before its greeting, or behind it: how soon its users are answered, and what everyone
else notices.

python3 tests/bench/hang.py GATEPOST [users of the hanging host at a time] [logins a round] [rounds]

Rounds in turn: everyone else's logins while the users of one host come one after the other, each again every 5 s, and are
let in; then while that host hangs, from some seconds before: they wait for it, and nobody has found it to be down. The same
users come as often in both, so that what their own programs take of the machine is in both.
Each pair of neighbouring rounds gives a ratio of medians, of means and of 99th percentiles; the median of the ratios and the middle half
of them are told. Hosts and those users are processes of their own, so that what is measured is the gateway.

At the end some users of each kind come together to a host that hangs behind its greeting: by IMAP, by POP3 to the same
IMAP host, and by POP3 to a POP3 host.

The exit code is 1 where everyone else's logins take more than 10 % longer (the median of the ratios says so), where
a user of the hanging host is told anything but that it is away or waits for 10 s, where hardly one had to wait,
or where one of a host that hangs behind its greeting is told anything else, or not within 1.5 s of login_timeout.
"""

import concurrent.futures
import gc
import math
import multiprocessing
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
logins = int(sys.argv[3]) if len(sys.argv) > 3 else 3000
rounds = int(sys.argv[4]) if len(sys.argv) > 4 else 15

# Per cent, seconds, and the seconds that settings give by themselves.
UP, ANSWERED, LOGIN_TIMEOUT = 10, 10, 30

# Seconds sooner or later than login_timeout, and how many users of each kind.
AROUND, HALTED = 1.5, 10


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def serve(conn):
    with conn, conn.makefile("rb") as lines:
        conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        conn.sendall(b"* OK [CAPABILITY IMAP4rev1] here\r\n")
        for line in lines:
            conn.sendall(line.split()[0] + b" OK done\r\n")


def greets(server):
    while True:
        threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()


def hangs_at_times(server):
    """It answers nobody who comes while it hangs, then or later."""
    kept = []
    while True:
        conn = server.accept()[0]
        if hanging.is_set():
            kept.append(conn)
        else:
            kept.clear()
            threading.Thread(target=serve, args=(conn,), daemon=True).start()


def greets_and_hangs(server, greeting):
    kept = []
    while True:
        kept.append(server.accept()[0])
        kept[-1].sendall(greeting)


def host(how, *more):
    server = socket.create_server(("127.0.0.1", 0), backlog=512)
    multiprocessing.Process(target=how, args=(server, *more), daemon=True).start()
    return server.getsockname()[1]


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


def pop3_login(user):
    begun = time.monotonic()
    with socket.create_connection(("127.0.0.1", pop3)) as s:
        f = s.makefile("rb")
        f.readline()
        s.sendall(f"USER {user}\r\n".encode())
        f.readline()
        s.sendall(b"PASS x\r\n")
        said = f.readline()
    return time.monotonic() - begun, said


def waiters():
    """The users of the host that hangs at times, spread over 5 s."""

    def comes(n):
        time.sleep(5 * n / waiting)
        while True:
            hung = hanging.is_set()
            took, said = login(f"user{n}@hangs.example")
            # What was begun in one state and ended in the other says nothing.
            if hung and hanging.is_set():
                answers.put((took, said.split(b"]")[0]))
            time.sleep(max(5 - took, 0))

    for n in range(waiting):
        threading.Thread(target=comes, args=(n,), daemon=True).start()
    threading.Event().wait()


hanging, answers = multiprocessing.Event(), multiprocessing.Queue()
imap, pop3, admin = free_port(), free_port(), free_port()
halts = host(greets_and_hangs, b"* OK [CAPABILITY IMAP4rev1] here\r\n")
halts_pop3 = host(greets_and_hangs, b"+OK here\r\n")
path = os.path.join(tempfile.mkdtemp(), "proxy.yaml")
with open(path, "w") as file:
    file.write(f"""
listeners:
  - {{ bind: "imap://127.0.0.1:{imap}", cleartext_login: true }}
  - {{ bind: "pop3://127.0.0.1:{pop3}", cleartext_login: true }}
backends:
  well: "imap://127.0.0.1:{host(greets)}"
  hangs: "imap://127.0.0.1:{host(hangs_at_times)}"
  halts: {{ hosts: ["imap://127.0.0.1:{halts}"], health: none }}
  halts_pop3: {{ hosts: ["pop3://127.0.0.1:{halts_pop3}"], health: none }}
users:
  "@well.example": well
  "@hangs.example": hangs
  "@halts.example": halts
  "@halts-pop3.example": halts_pop3
limits: {{ trusted: [127.0.0.0/8], per_user: 100000, per_user_ip: 100000 }}
admin: {{ bind: "127.0.0.1:{admin}" }}
log: {{ level: warn }}
""")
bad = False


def judged(holds):
    """A word at the end of a line, and the exit code."""
    global bad
    bad = bad or not holds
    return "fine" if holds else "BAD"


gateway = subprocess.Popen([binary, "run", "-c", path], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
try:
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{admin}/readyz")
            break
        except OSError:
            time.sleep(0.05)
    gc.disable()
    multiprocessing.Process(target=waiters, daemon=True).start()

    def everyone_else():
        took = sorted(login(f"user{n % 50}@well.example")[0] * 1e3 for n in range(logins))
        return statistics.median(took), statistics.mean(took), took[len(took) * 99 // 100]

    def is_up():
        return login("user@hangs.example")[1].startswith(b"a OK")

    everyone_else()
    calm, beside = [], []
    for _ in range(rounds):
        hanging.clear()
        for _ in range(60):
            time.sleep(1)
            if is_up():
                break
        # All of them come as they do every day again.
        time.sleep(6)
        calm.append(everyone_else())
        hanging.set()
        # Most of them wait by now; after 5 s the first are answered, and the host is known to be down.
        time.sleep(3)
        beside.append(everyone_else())
        time.sleep(4)
    for at, name in enumerate(("median", "mean", "p99")):
        a, b = (statistics.median(each[at] for each in of) for of in (calm, beside))
        ratios = sorted((then[at] / before[at] - 1) * 100 for before, then in zip(calm, beside))
        half = ratios[len(ratios) // 4], ratios[-1 - len(ratios) // 4]
        print(
            f"everyone else's {name}: {a:.3f} ms, while a host hangs {b:.3f} ms: "
            f"{statistics.median(ratios):+.1f} % (middle half {half[0]:+.1f} to {half[1]:+.1f} %): {judged(statistics.median(ratios) <= UP)}"
        )
    told = [answers.get() for _ in range(answers.qsize())]
    words, latest = sorted({said for _, said in told}), max((took for took, _ in told), default=math.inf)
    away = words == [b"a NO [UNAVAILABLE"]
    print(f"users of the host that hangs: {len(told)} answers {words}, the latest after {latest:.1f} s: {judged(away and latest < ANSWERED)}")
    waited = sum(took > 1 for took, _ in told)
    print(f"of these had to wait for it: {waited}: {judged(waited > rounds * waiting // 2)}")
    kinds = (
        ("IMAP", login, "halts.example", b"a NO [UNAVAILABLE"),
        ("POP3 at an IMAP host", pop3_login, "halts.example", b"-ERR [SYS/TEMP"),
        ("POP3 at a POP3 host", pop3_login, "halts-pop3.example", b"-ERR [SYS/TEMP"),
    )
    # Who is never answered is not waited for: the others have been answered long before.
    socket.setdefaulttimeout(2 * LOGIN_TIMEOUT)
    with concurrent.futures.ThreadPoolExecutor(HALTED * len(kinds)) as pool:
        come = [[pool.submit(how, f"user{n}@{domain}") for n in range(HALTED)] for _, how, domain, _ in kinds]
    for (name, _, _, away), users in zip(kinds, come):
        told = [user.result() for user in users]
        words, times = sorted({said.split(b"]")[0] for _, said in told}), [took for took, _ in told]
        fine = words == [away] and all(abs(took - LOGIN_TIMEOUT) < AROUND for took in times)
        print(
            f"{HALTED} users of a host that hangs behind its greeting, {name}: {words} after {min(times):.1f} to "
            f"{max(times):.1f} s (login_timeout: {LOGIN_TIMEOUT} s): {judged(fine)}"
        )
finally:
    gateway.kill()
    gateway.wait()
sys.exit(bad)
