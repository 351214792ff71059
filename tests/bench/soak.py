"""Mixed load with aborts, reloads and failing hosts for a given time; then whether anything was left behind.

N=30 python3 tests/bench/soak.py GATEPOST

Every minute the load rests for some seconds, until no session is left; what the process then holds (memory, descriptors, tasks) is
noted. Lines through these notes, the first fifth left out, must be level: a slope beyond its noise is a leak, and
the exit code 1, as where the gateway panicked or a client had no answer for 20 s. N is in minutes: N=480 runs for eight
hours. CLIENTS=40 sets how many clients there are at a time, REST=60 the seconds between rests.
"""

import asyncio
import collections
import math
import os
import random
import re
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

MINUTES = float(os.environ.get("N", "30"))
CLIENTS = int(os.environ.get("CLIENTS", "40"))
REST = float(os.environ.get("REST", "60"))
counts = collections.Counter()
BODY = b"Subject: soak\r\n\r\n" + b"a line of a message\r\n" * 200


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def abort(writer):
    """Ends a connection by RST."""
    s = writer.get_extra_info("socket")
    if s is not None:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


class Host:
    """A mail host with three messages, which does what its mood says."""

    def __init__(self):
        self.mood = "well"

    async def serve(self, reader, writer):
        try:
            await self.talk(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError, ValueError):
            pass
        finally:
            writer.close()

    async def talk(self, reader, writer):
        mood = self.mood
        if mood == "closes":
            return
        if mood == "hangs":
            await asyncio.sleep(30)
            return
        writer.write(b"* OK [CAPABILITY IMAP4rev1 SASL-IR LITERAL+ UIDPLUS IDLE AUTH=PLAIN] here\r\n")
        while True:
            line = await reader.readline()
            if not line:
                return
            words = line.split()
            if len(words) < 2:
                continue
            tag, verb = words[0], words[1].upper()
            if self.mood == "aborts" and random.random() < 0.2:
                return abort(writer)
            if verb in (b"LOGIN", b"AUTHENTICATE"):
                if self.mood == "refuses" or b"wrong" in line or b"AHdyb25n" in line:
                    writer.write(tag + b" NO [AUTHENTICATIONFAILED] no\r\n")
                    continue
            elif verb == b"SELECT":
                writer.write(b"* 3 EXISTS\r\n* OK [UIDVALIDITY 1] x\r\n* OK [UIDNEXT 4] x\r\n")
            elif verb == b"STATUS":
                writer.write(b'* STATUS "INBOX" (MESSAGES 3 UIDNEXT 4 UIDVALIDITY 1)\r\n')
            elif verb == b"FETCH" or words[1:3] == [b"UID", b"FETCH"]:
                wanted = words[2] if verb == b"FETCH" else words[3]
                uids = [1, 2, 3] if wanted == b"1:*" else [int(wanted.split(b":")[0])]
                for uid in uids:
                    items = b"UID %d RFC822.SIZE %d" % (uid, len(BODY))
                    if b"BODY" in line:
                        items += b" BODY[] {%d}\r\n" % len(BODY) + BODY
                    writer.write(b"* %d FETCH (%s)\r\n" % (uid, items))
            elif verb == b"IDLE":
                writer.write(b"+ idling\r\n* 4 EXISTS\r\n")
                await reader.readline()
            elif verb == b"LOGOUT":
                writer.write(b"* BYE bye\r\n" + tag + b" OK bye\r\n")
                await writer.drain()
                return
            writer.write(tag + b" OK done\r\n")
            await writer.drain()


ports = {name: free_port() for name in ("imap", "imaps", "pop3", "pop3s", "admin", "one", "two")}
dir = tempfile.mkdtemp()
path = os.path.join(dir, "proxy.yaml")


def configure(generation):
    with open(path + ".new", "w") as file:
        file.write(f"""
listeners:
  - {{ bind: "imap://127.0.0.1:{ports['imap']}", cleartext_login: true }}
  - imaps://127.0.0.1:{ports['imaps']}
  - {{ bind: "pop3://127.0.0.1:{ports['pop3']}", cleartext_login: true }}
  - pop3s://127.0.0.1:{ports['pop3s']}
backends:
  demo: demo://
  store:
    hosts: ["imap://127.0.0.1:{ports['one']}", "imap://127.0.0.1:{ports['two']}"]
    greeting_timeout: 1s
    login_timeout: 2s
    retry_for: 1s
    health: {{ interval: 1s, timeout: 1s, rise: 1, fall: 2 }}
users:
  demo: demo
  "@example.org": store
  "g{generation}@example.net": store
limits: {{ trusted: [127.0.0.0/8], per_user: 10000, per_user_ip: 10000, failure_delay: 50ms }}
timeouts: {{ login: 5s, tls_handshake: 3s, idle: 1m, pop3_idle: 10m }}
admin: {{ bind: "127.0.0.1:{ports['admin']}" }}
log: {{ level: warn }}
""")
    os.rename(path + ".new", path)


def tls():
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


TLS = tls()


async def connect(door):
    secure = TLS if door.endswith("s") else None
    return await asyncio.open_connection("127.0.0.1", ports[door], ssl=secure)


async def answer(reader, start):
    while True:
        line = await reader.readline()
        if not line or line.startswith(start):
            return line


async def imap(door):
    reader, writer = await connect(door)
    try:
        await reader.readline()
        user = random.choice(["demo demo", f"u{random.randrange(500)}@example.org pw", "nobody@example.com x", "w@example.org wrong"])
        writer.write(f"a LOGIN {user}\r\n".encode())
        said = await answer(reader, b"a ")
        if not said.startswith(b"a OK"):
            counts["imap refused"] += 1
            return
        for n, command in enumerate(["SELECT INBOX", "FETCH 1 BODY.PEEK[]", "UID FETCH 2 BODY.PEEK[]", "NOOP"]):
            if random.random() < 0.05:
                counts["imap aborted"] += 1
                return abort(writer)
            writer.write(f"c{n} {command}\r\n".encode())
            if not await answer(reader, f"c{n} ".encode()):
                counts["imap cut off"] += 1
                return
        if random.random() < 0.3:
            writer.write(b"d IDLE\r\n")
            await asyncio.sleep(random.random() * 3)
            writer.write(b"DONE\r\n")
        writer.write(b"e LOGOUT\r\n")
        await answer(reader, b"e ")
        counts["imap sessions"] += 1
    finally:
        writer.close()


async def pop3(door):
    reader, writer = await connect(door)
    try:
        await reader.readline()
        user, password = random.choice([("demo", "demo"), (f"u{random.randrange(500)}@example.org", "pw"), ("nobody@example.com", "x")])
        writer.write(f"USER {user}\r\n".encode())
        await reader.readline()
        writer.write(f"PASS {password}\r\n".encode())
        if not (await reader.readline()).startswith(b"+OK"):
            counts["pop3 refused"] += 1
            return
        writer.write(b"STAT\r\nUIDL\r\nRETR 1\r\n")
        if random.random() < 0.1:
            counts["pop3 aborted"] += 1
            return abort(writer)
        await reader.readline()
        for _ in ("UIDL", "RETR"):
            # Where the host was lost and is not to be had again it is -ERR, and no list follows.
            if (await reader.readline()).startswith(b"+OK"):
                await answer(reader, b".\r\n")
        writer.write(b"QUIT\r\n")
        await reader.read()
        counts["pop3 sessions"] += 1
    finally:
        writer.close()


async def nuisance():
    """Says nothing, half of something, or anything; leaves as it likes."""
    door = random.choice(["imap", "imaps", "pop3", "pop3s"])
    reader, writer = await asyncio.open_connection("127.0.0.1", ports[door])
    try:
        octets = random.choice([b"", b"a LOGIN {5}\r\n", b"\x16\x03\x01\x02\0\x01", os.urandom(200), b"x" * 20000, b"a STARTTLS\r\n\x16\x03", b"USER x\r\nPAS"])
        writer.write(octets)
        await asyncio.sleep(random.random() * 2)
        counts["nuisances"] += 1
        if random.random() < 0.5:
            abort(writer)
    finally:
        writer.close()


async def client(resting):
    while True:
        await resting.wait()
        kind = random.random()
        try:
            if kind < 0.4:
                await asyncio.wait_for(imap(random.choice(["imap", "imaps"])), 20)
            elif kind < 0.75:
                await asyncio.wait_for(pop3(random.choice(["pop3", "pop3s"])), 20)
            else:
                await nuisance()
        except asyncio.TimeoutError:
            counts["too slow"] += 1
        except (OSError, asyncio.IncompleteReadError, ssl.SSLError):
            counts["cut off"] += 1
        await asyncio.sleep(random.random() * 0.5)


async def moods(hosts):
    """One host at a time fails, in every way in turn; now and then both."""
    for n in range(10**9):
        mood = ["well", "closes", "aborts", "hangs", "refuses"][n % 5]
        for at, host in enumerate(hosts):
            host.mood = mood if n % 17 == 0 or n % 2 == at else "well"
        await asyncio.sleep(7)


async def reloads(gateway):
    for generation in range(10**9):
        await asyncio.sleep(11)
        configure(generation)
        gateway.send_signal(signal.SIGHUP)
        counts["reloads"] += 1


def metrics():
    with urllib.request.urlopen(f"http://127.0.0.1:{ports['admin']}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    total = lambda name: sum(float(v) for v in re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", text, re.M))
    return {name: total(name) for name in ("gatepost_sessions", "gatepost_tasks", "process_open_fds", "gatepost_connections_total")}


def memory(pid):
    with open(f"/proc/{pid}/smaps_rollup") as rollup:
        return int(re.search(r"Anonymous:\s+(\d+)", rollup.read()).group(1)) * 1024


async def note(gateway):
    """Waits until nobody is there, and gives the figures."""
    for _ in range(40):
        await asyncio.sleep(0.5)
        now = await asyncio.to_thread(metrics)
        if now["gatepost_sessions"] == 0:
            break
    # What is still on its way out: goodbyes, hosts' logouts, deadlines of silent ones.
    await asyncio.sleep(8)
    now = await asyncio.to_thread(metrics)
    return {
        "sessions": now["gatepost_sessions"],
        "tasks": now["gatepost_tasks"],
        "descriptors": now["process_open_fds"],
        "memory": memory(gateway.pid),
        "connections": now["gatepost_connections_total"],
    }


def line(points):
    """Slope of the best line, and its standard error."""
    n = len(points)
    mx, my = sum(x for x, _ in points) / n, sum(y for _, y in points) / n
    square = sum((x - mx) ** 2 for x, _ in points)
    slope = sum((x - mx) * (y - my) for x, y in points) / square
    rest = sum((y - my - slope * (x - mx)) ** 2 for x, y in points)
    return slope, math.sqrt(rest / max(n - 2, 1) / square)


async def main():
    configure(0)
    hosts = [Host(), Host()]
    servers = [await asyncio.start_server(host.serve, "127.0.0.1", ports[name]) for host, name in zip(hosts, ("one", "two"))]
    log = open(os.path.join(dir, "log"), "wb")
    gateway = subprocess.Popen([sys.argv[1], "run", "-c", path], stdout=subprocess.DEVNULL, stderr=log)
    try:
        while True:
            try:
                await asyncio.to_thread(metrics)
                break
            except (OSError, urllib.error.URLError):
                await asyncio.sleep(0.1)
        resting = asyncio.Event()
        resting.set()
        tasks = [asyncio.create_task(client(resting)) for _ in range(CLIENTS)]
        tasks += [asyncio.create_task(moods(hosts)), asyncio.create_task(reloads(gateway))]
        begun, notes = time.monotonic(), []
        print("minute  connections  sessions  tasks  descriptors  memory KiB", flush=True)
        while time.monotonic() - begun < MINUTES * 60:
            await asyncio.sleep(REST)
            resting.clear()
            now = await note(gateway)
            resting.set()
            minute = (time.monotonic() - begun) / 60
            notes.append((minute, now))
            print(f"{minute:6.1f}  {now['connections']:11.0f}  {now['sessions']:8.0f}  {now['tasks']:5.0f}  {now['descriptors']:11.0f}  {now['memory'] / 1024:10.0f}", flush=True)
            assert gateway.poll() is None, "the gateway ended"
        for task in tasks:
            task.cancel()
    finally:
        gateway.kill()
        gateway.wait()
    for server in servers:
        server.close()
    print(dict(sorted(counts.items())))
    panics = subprocess.run(["grep", "-ac", "panicked", os.path.join(dir, "log")], capture_output=True).stdout.strip()
    print("panics:", panics.decode())
    late = notes[len(notes) // 5 :]
    print("too slow:", counts["too slow"])
    bad = panics != b"0" or counts["too slow"] > 0
    if len(late) < 4:
        print("too few notes for a line")
        return 1
    # What a slope may be and still mean nothing: less than one descriptor or task, or 1 MiB of memory, in the whole time.
    span = late[-1][0] - late[0][0]
    for name, grain in (("descriptors", 1), ("tasks", 1), ("sessions", 1), ("memory", 1024 * 1024)):
        slope, error = line([(minute, now[name]) for minute, now in late])
        leaks = slope > 3 * error and slope * span > grain
        bad = bad or leaks
        print(f"{name}: {slope:+.3f} a minute, noise {error:.3f}: {'LEAKS' if leaks else 'level'}")
    return int(bad)


sys.exit(asyncio.run(main()))
