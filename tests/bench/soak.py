"""Mixed load with aborts, reloads and failing hosts for a given time; then whether anything was left behind.

N=30 python3 tests/bench/soak.py [GATEPOST]

Every minute the load rests for some seconds, until no session is left; what the process then holds (memory, descriptors, tasks) is
noted. Lines through these notes, the first fifth left out, must be level: a slope beyond its noise is a leak, and
the exit code 1, as where the gateway panicked or a client had no answer for 20 s. N is in minutes: N=480 runs for eight
hours. CLIENTS=40 sets how many clients there are at a time, REST=60 the seconds between rests.

Without GATEPOST it builds the program with an allocator that counts (`counted.rs`), and judges the octets that are allocated: to
the octet what is held. The private memory of the process is told then and not judged: it goes up and down by steps of MiBs, as
the allocator takes pages and gives them back. Of a GATEPOST that does not count it is what is judged, which wants hours.

Nothing is level for nothing: between two rests sessions of both protocols must have done all of their work, at the demo backend
and at the hosts, hosts must have aborted, sessions been cut off and settings been taken anew. Logins to the demo backend, at
which no fault is played, must all be let in and their sessions never be cut off; no settings may be refused. What is missed is
said, and the exit code 1.
"""

import asyncio
import collections
import json
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
# The hosts' moods in turn, and how many seconds each stays.
MOODS, MOOD = ["well", "closes", "aborts", "hangs", "refuses"], 7
if REST < (len(MOODS) + 1) * MOOD:
    sys.exit(f"REST is {(len(MOODS) + 1) * MOOD} at least: in less not every mood has its turn")
# How many sessions do their work between two rests, of each kind: far fewer than do on a slow machine.
LEAST = max(CLIENTS // 4, 1)
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
                counts["aborts by hosts"] += 1
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


def place(user):
    """Where a user is at home."""
    return "demo" if user == "demo" else "hosts"


async def imap(door):
    reader, writer = await connect(door)
    try:
        await reader.readline()
        user = random.choice(["demo demo", f"u{random.randrange(500)}@example.org pw", "nobody@example.com x", "w@example.org wrong"])
        where = place(user.split()[0])
        counts[f"{where} logins"] += 1
        writer.write(f"a LOGIN {user}\r\n".encode())
        said = await answer(reader, b"a ")
        if not said.startswith(b"a OK"):
            counts["imap refused"] += 1
            return
        counts[f"{where} let in"] += 1
        for n, command in enumerate(["SELECT INBOX", "FETCH 1 BODY.PEEK[]", "UID FETCH 2 BODY.PEEK[]", "NOOP"]):
            if random.random() < 0.05:
                counts["imap aborted"] += 1
                counts[f"{where} ended"] += 1
                return abort(writer)
            writer.write(f"c{n} {command}\r\n".encode())
            if not (await answer(reader, f"c{n} ".encode())).startswith(f"c{n} OK".encode()):
                counts["imap cut off"] += 1
                return
        if random.random() < 0.3:
            writer.write(b"d IDLE\r\n")
            await asyncio.sleep(random.random() * 3)
            writer.write(b"DONE\r\n")
        writer.write(b"e LOGOUT\r\n")
        if not (await answer(reader, b"e ")).startswith(b"e OK"):
            counts["imap cut off"] += 1
            return
        counts[f"imap sessions, {where}"] += 1
        counts[f"{where} ended"] += 1
    finally:
        writer.close()


async def pop3_work(reader, writer):
    """Whether all was answered."""
    done = (await reader.readline()).startswith(b"+OK")
    for _ in ("UIDL", "RETR"):
        # Where the host was lost and is not to be had again it is -ERR, and no list follows.
        if (await reader.readline()).startswith(b"+OK"):
            done = bool(await answer(reader, b".\r\n")) and done
        else:
            done = False
    writer.write(b"QUIT\r\n")
    return (await reader.read()).startswith(b"+OK") and done


async def pop3(door):
    reader, writer = await connect(door)
    try:
        await reader.readline()
        user, password = random.choice([("demo", "demo"), (f"u{random.randrange(500)}@example.org", "pw"), ("nobody@example.com", "x")])
        where = place(user)
        writer.write(f"USER {user}\r\n".encode())
        await reader.readline()
        counts[f"{where} logins"] += 1
        writer.write(f"PASS {password}\r\n".encode())
        if not (await reader.readline()).startswith(b"+OK"):
            counts["pop3 refused"] += 1
            return
        counts[f"{where} let in"] += 1
        writer.write(b"STAT\r\nUIDL\r\nRETR 1\r\n")
        if random.random() < 0.1:
            counts["pop3 aborted"] += 1
            counts[f"{where} ended"] += 1
            return abort(writer)
        if not await pop3_work(reader, writer):
            counts["pop3 cut off"] += 1
            return
        counts[f"pop3 sessions, {where}"] += 1
        counts[f"{where} ended"] += 1
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
        kind = random.choices(["imap", "pop3", "nuisance"], [40, 35, 25])[0]
        try:
            if kind == "imap":
                await asyncio.wait_for(imap(random.choice(["imap", "imaps"])), 20)
            elif kind == "pop3":
                await asyncio.wait_for(pop3(random.choice(["pop3", "pop3s"])), 20)
            else:
                await nuisance()
        except asyncio.TimeoutError:
            counts["too slow"] += 1
        except (OSError, asyncio.IncompleteReadError, ssl.SSLError):
            counts[f"{kind} cut off"] += 1
        await asyncio.sleep(random.random() * 0.5)


async def moods(hosts):
    """One host at a time fails, in every way in turn; now and then both."""
    for n in range(10**9):
        mood = MOODS[n % len(MOODS)]
        for at, host in enumerate(hosts):
            host.mood = mood if n % 17 == 0 or n % 2 == at else "well"
        await asyncio.sleep(MOOD)


async def reloads(gateway):
    for generation in range(10**9):
        await asyncio.sleep(11)
        configure(generation)
        gateway.send_signal(signal.SIGHUP)
        counts["reloads ordered"] += 1


def metrics():
    with urllib.request.urlopen(f"http://127.0.0.1:{ports['admin']}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    series = {name: float(value) for name, value in re.findall(r"^(\w+(?:\{[^}]*\})?) (\S+)$", text, re.M)}
    total = lambda name: sum(value for each, value in series.items() if each.split("{")[0] == name)
    return {
        **{name: total(name) for name in ("gatepost_sessions", "gatepost_tasks", "process_open_fds", "gatepost_connections_total")},
        # They are there from the start.
        "reloads taken": series['gatepost_reloads_total{result="ok"}'],
        "reloads refused": series['gatepost_reloads_total{result="failed"}'],
    }


def built():
    """The program that counts."""
    subprocess.run(["cargo", "build", "--release", "--example", "counted"], check=True)
    told = subprocess.run(["cargo", "metadata", "--format-version", "1", "--no-deps"], check=True, capture_output=True).stdout
    return os.path.join(json.loads(told)["target_directory"], "release", "examples", "counted")


def held():
    """Octets that are allocated; none: the program does not count."""
    try:
        with open(os.path.join(dir, "held")) as file:
            return int(file.read())
    except FileNotFoundError:
        return None


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
        "held": held(),
        "connections": now["gatepost_connections_total"],
        "counts": counts + collections.Counter({name: now[name] for name in ("reloads taken", "reloads refused")}),
    }


def missed(during):
    """What should have happened between two rests and did not, or should not and did."""
    cut_off = during["imap cut off"] + during["pop3 cut off"]
    floors = [(f"{protocol} sessions, {where}", LEAST) for protocol in ("imap", "pop3") for where in ("demo", "hosts")]
    # A signal and the file's own change may be one reload.
    floors.append(("reloads taken", max(during["reloads ordered"] // 2, 1)))
    # Sessions are cut off without that, too: those of a user whose next login another host took.
    floors.append(("aborts by hosts", 1))
    lacks = [f"{name}: {during[name]:.0f}, not {least} or more" for name, least in floors if during[name] < least]
    if cut_off < 1:
        lacks.append("no session was cut off")
    # Nobody is there any more: what was begun has come to its end.
    if during["demo let in"] < during["demo logins"]:
        lacks.append(f"demo logins: {during['demo logins']}, let in: {during['demo let in']}")
    if during["demo ended"] < during["demo let in"]:
        lacks.append(f"demo let in: {during['demo let in']}, at their end or left by themselves: {during['demo ended']}")
    if during["reloads refused"] > 0:
        lacks.append(f"reloads refused: {during['reloads refused']:.0f}")
    return lacks


def told(minute, now, during):
    """The line of a note."""
    imap, pop3 = (during[f"{protocol} sessions, demo"] + during[f"{protocol} sessions, hosts"] for protocol in ("imap", "pop3"))
    cut_off = during["imap cut off"] + during["pop3 cut off"]
    return (
        f"{minute:6.1f}  {now['connections']:11.0f}  {now['sessions']:8.0f}  {now['tasks']:5.0f}  {now['descriptors']:11.0f}  "
        f"{now['memory'] / 1024:10.0f}  {(now['held'] or 0) / 1024:8.1f}  {imap:4}  {pop3:4}  {cut_off:7}  {during['reloads taken']:7.0f}"
    )


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
    binary = sys.argv[1] if len(sys.argv) > 1 else built()
    environment = os.environ | {"GATEPOST_HELD": os.path.join(dir, "held")}
    gateway = subprocess.Popen([binary, "run", "-c", path], env=environment, stdout=subprocess.DEVNULL, stderr=log)
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
        begun, notes, before, lacks = time.monotonic(), [], collections.Counter(), []
        print("minute  connections  sessions  tasks  descriptors  memory KiB  held KiB  imap  pop3  cut off  reloads", flush=True)
        while time.monotonic() - begun < MINUTES * 60:
            await asyncio.sleep(REST)
            resting.clear()
            now = await note(gateway)
            resting.set()
            minute = (time.monotonic() - begun) / 60
            notes.append((minute, now))
            during, before = now["counts"] - before, now["counts"]
            print(told(minute, now, during), flush=True)
            lacks += [f"minute {minute:.1f}: {lack}" for lack in missed(during)]
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
    print("missed:", "; ".join(lacks) or "nothing")
    bad = panics != b"0" or counts["too slow"] > 0 or bool(lacks)
    if len(late) < 4:
        print("too few notes for a line")
        return 1
    # What a slope may be and still mean nothing: less than one descriptor or task, or 1 MiB of memory, in the whole time.
    span = late[-1][0] - late[0][0]
    counted = late[-1][1]["held"] is not None
    judged, told_only = ("held", ["memory"]) if counted else ("memory", [])
    for name, grain in (("descriptors", 1), ("tasks", 1), ("sessions", 1), (judged, 1024 * 1024)):
        slope, error = line([(minute, now[name]) for minute, now in late])
        leaks = slope > 3 * error and slope * span > grain
        bad = bad or leaks
        print(f"{name}: {slope:+.3f} a minute, noise {error:.3f}: {'LEAKS' if leaks else 'level'}")
    for name in told_only:
        slope, error = line([(minute, now[name]) for minute, now in late])
        print(f"{name}: {slope:+.3f} a minute, noise {error:.3f}: not judged")
    return int(bad)


sys.exit(asyncio.run(main()))
