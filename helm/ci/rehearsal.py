"""A rolling update without a cluster: three gateways behind a small TCP balancer, logins and idle sessions
going on, each gateway replaced as a Deployment with `maxSurge: 1, maxUnavailable: 0` would.

    GATEPOST=target/release/gatepost python3 helm/ci/rehearsal.py [logins a second] [idle sessions]

What a kubelet does is done here: /readyz every 2 s decides where connections go, a pod that ends gets SIGTERM and
has its grace, a ConfigMap is swapped by its `..data` link. The chart's times are used: drain_delay 5 s, drain 30 s.
Held: the swap is taken up and ends no session, no login is refused, every idle session gets its goodbye and is back, each user is on one
host throughout (by the hosts' own logs); with GATEPOST_TIMED=1, on a machine with nothing else to do, also that they are
back within the drain and that as many logins come as there should. Needs nothing but Python."""

import asyncio
import base64
import os
import random
import resource
import signal
import sys
import tempfile
import time
import urllib.request
from collections import Counter, defaultdict
from pathlib import Path

from ports import free_ports

GATEPOST = str(Path(os.environ["GATEPOST"]).resolve())
RATE = int(sys.argv[1]) if len(sys.argv) > 1 else 100
IDLE = int(sys.argv[2]) if len(sys.argv) > 2 else 1000
REPLICAS, PROBE, DELAY, DRAIN = 3, 2, 5, 30
GRACE = DELAY + DRAIN + 5

began = time.monotonic()
wrong = Counter()
examples = {}


def fault(what, detail=""):
    wrong[what] += 1
    examples.setdefault(what, detail)


def say(text):
    print(f"{time.monotonic() - began:6.1f} s  {text}", flush=True)


class Host:
    """A mail store that lets everybody in and remembers whom."""

    seen = defaultdict(set)

    async def start(self):
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0, backlog=1000)
        self.port = self.server.sockets[0].getsockname()[1]

    async def serve(self, reader, writer):
        word = "IMAP4rev1 SASL-IR AUTH=PLAIN IDLE"
        writer.write(f"* OK [CAPABILITY {word}] store\r\n".encode())
        try:
            while line := await reader.readline():
                tag, _, rest = line.decode().rstrip().partition(" ")
                command, _, arguments = rest.partition(" ")
                command = command.upper()
                if command == "AUTHENTICATE":
                    answer = arguments.split(" ")[1]
                    user = base64.b64decode(answer).split(b"\0")[1].decode()
                    Host.seen[user].add(self.port)
                    writer.write(f"{tag} OK [CAPABILITY {word}] in\r\n".encode())
                elif command == "CAPABILITY":
                    writer.write(f"* CAPABILITY {word}\r\n{tag} OK\r\n".encode())
                elif command == "IDLE":
                    writer.write(b"+ idling\r\n")
                elif command == "LOGOUT":
                    writer.write(f"* BYE\r\n{tag} OK\r\n".encode())
                    break
                else:
                    writer.write(f"{tag} OK\r\n".encode())
            await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()


class Pod:
    """A gateway process with its mounted ConfigMap."""

    def __init__(self, root, n, hosts):
        self.name, self.hosts, self.ready, self.version = f"pod-{n}", hosts, False, 0
        self.dir = Path(root) / self.name
        self.dir.mkdir()
        self.mail, self.admin = free_ports(2)
        self.swap(greeting="one")

    def swap(self, greeting):
        """As the kubelet does: a new directory, then one rename of the link."""
        self.version += 1
        new = self.dir / f"..v{self.version}"
        new.mkdir()
        (new / "proxy.yaml").write_text(
            f"listeners: [{{ bind: 'imap://127.0.0.1:{self.mail}', cleartext_login: true, greeting: {greeting} }}]\n"
            f"backends: {{ store: {{ hosts: [{', '.join(f'imap://127.0.0.1:{h.port}' for h in self.hosts)}] }} }}\n"
            "users: { '*': store }\n"
            "limits: { trusted: [127.0.0.0/8], per_user: 1000, per_user_ip: 1000 }\n"
            f"admin: {{ bind: '127.0.0.1:{self.admin}' }}\n"
            f"timeouts: {{ drain_delay: {DELAY}s, drain: {DRAIN}s }}\n")
        (self.dir / "..data.new").symlink_to(new.name)
        (self.dir / "..data.new").rename(self.dir / "..data")
        if not (self.dir / "proxy.yaml").is_symlink():
            (self.dir / "proxy.yaml").symlink_to("..data/proxy.yaml")

    async def greets(self, text):
        """Waits until new connections are greeted so: the swapped file is in use."""
        for _ in range(600):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.mail)
            line = await reader.readline()
            writer.close()
            if text.encode() in line:
                return
            await asyncio.sleep(0.1)
        fault("a swapped ConfigMap was not taken up", f"{self.name}: {line!r}")

    async def start(self):
        self.log = open(self.dir / "log", "wb")
        self.process = await asyncio.create_subprocess_exec(
            GATEPOST, "run", "-c", str(self.dir / "proxy.yaml"), stdout=self.log, stderr=self.log)
        self.probing = asyncio.create_task(self.probe())
        while not self.ready:
            if self.process.returncode is not None:
                sys.exit((self.dir / "log").read_text())
            await asyncio.sleep(0.1)

    def is_ready(self):
        try:
            return urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/readyz", timeout=5).status == 200
        except OSError:
            return False

    async def probe(self):
        while self.process.returncode is None:
            self.ready = await asyncio.to_thread(self.is_ready)
            await asyncio.sleep(PROBE if self.ready else 0.5)
        self.ready = False

    async def stop(self):
        """SIGTERM, the grace, SIGKILL. The balancer hears of it by /readyz alone: the slowest way."""
        self.process.send_signal(signal.SIGTERM)
        at = time.monotonic()
        try:
            code = await asyncio.wait_for(self.process.wait(), GRACE)
            if code:
                fault("gateway ended badly", f"{self.name}: {code}")
        except asyncio.TimeoutError:
            fault("gateway killed after its grace", self.name)
            self.process.kill()
        self.ready = False
        return time.monotonic() - at


class Balancer:
    """A Service: each connection goes to a pod that is ready, and stays there."""

    def __init__(self):
        self.pods, self.turn = [], 0

    async def start(self):
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0, backlog=2000)
        self.port = self.server.sockets[0].getsockname()[1]

    async def serve(self, reader, writer):
        ready = [pod for pod in self.pods if pod.ready]
        if not ready:
            fault("no pod was ready")
            writer.close()
            return
        self.turn += 1
        pod = ready[self.turn % len(ready)]
        try:
            inner, outer = await asyncio.open_connection("127.0.0.1", pod.mail)
        except OSError as error:
            fault("a pod that was ready refused a connection", f"{pod.name}: {error}")
            writer.close()
            return
        await asyncio.gather(pump(reader, outer), pump(inner, writer))


async def pump(reader, writer):
    try:
        while octets := await reader.read(65536):
            writer.write(octets)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


async def log_in(port, user):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    greeting = await reader.readline()
    if not greeting.startswith(b"* OK"):
        raise ConnectionError(f"greeting {greeting!r}")
    writer.write(f"a LOGIN {user} secret\r\n".encode())
    while True:
        line = await reader.readline()
        if line.startswith(b"a OK"):
            return reader, writer
        if not line or line.startswith((b"a ", b"* BYE")):
            raise ConnectionError(f"login answered {line!r}")


async def visitor(port, times):
    user, at = f"user{random.randrange(5000)}@example.org", time.monotonic()
    try:
        reader, writer = await asyncio.wait_for(log_in(port, user), 20)
        times.append(time.monotonic() - at)
        writer.write(b"b LOGOUT\r\n")
        await reader.read()
        writer.close()
    except (OSError, asyncio.TimeoutError) as error:
        fault("login refused", f"{user}: {error!r}")


async def visitors(port, times, over):
    tasks, n, start = set(), 0, time.monotonic()
    while not over.is_set():
        n += 1
        task = asyncio.create_task(visitor(port, times))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        await asyncio.sleep(max(0, start + n / RATE - time.monotonic()))
    await asyncio.gather(*tasks)


async def sleeper(port, n, away, over):
    """Idles; told goodbye, it comes back as mail clients do."""
    user, left = f"user{n}@example.org", None
    while not over.is_set():
        try:
            reader, writer = await asyncio.wait_for(log_in(port, user), 40)
        except (OSError, asyncio.TimeoutError) as error:
            fault("idle session could not come back", f"{user}: {error!r}")
            await asyncio.sleep(1)
            continue
        if left is not None:
            away.append((time.monotonic() - left, n))
        writer.write(b"c IDLE\r\n")
        said = b""
        try:
            while line := await reader.readline():
                said = line
        finally:
            writer.close()
        if over.is_set():
            return
        left = time.monotonic()
        if not said.startswith(b"* BYE"):
            fault("idle session ended without goodbye", f"{user}: {said!r}")
        await asyncio.sleep(random.random() * 2)


async def main():
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    hosts = [Host() for _ in range(3)]
    for host in hosts:
        await host.start()
    with tempfile.TemporaryDirectory() as root:
        balancer = Balancer()
        await balancer.start()
        pods = [Pod(root, n, hosts) for n in range(REPLICAS)]
        for pod in pods:
            await pod.start()
        balancer.pods = list(pods)
        say(f"{REPLICAS} pods are ready")
        over, times, away = asyncio.Event(), [], []
        sleepers = []
        for n in range(IDLE):
            sleepers.append(asyncio.create_task(sleeper(balancer.port, n, away, over)))
            await asyncio.sleep(0.005)
        since = time.monotonic()
        work = asyncio.create_task(visitors(balancer.port, times, over))
        await asyncio.sleep(5)
        say(f"{IDLE} sessions idle, {RATE} logins a second")
        for pod in pods:
            pod.swap(greeting="two")
        for pod in pods:
            await pod.greets("two")
        if away:
            fault("a session ended when the ConfigMap was swapped", str(len(away)))
        say("the swapped ConfigMap is in use, every session goes on")
        for n, old in enumerate(pods):
            new = Pod(root, REPLICAS + n, hosts)
            new.swap(greeting="two")
            await new.start()
            balancer.pods.append(new)
            took = await old.stop()
            balancer.pods.remove(old)
            say(f"{old.name} is replaced by {new.name}; it took {took:.1f} s to end")
        await asyncio.sleep(5)
        over.set()
        rate = len(times) / (time.monotonic() - since)
        await work
        logs = "".join((pod / "log").read_text() for pod in Path(root).iterdir())
        refused = [line for line in logs.splitlines() if "event=login" in line and "result=ok" not in line]
        for line in refused[:1]:
            fault("gateway logged a login that is not ok", line)
        running = list(balancer.pods)
        for task in sleepers:
            task.cancel()
        await asyncio.gather(*sleepers, return_exceptions=True)
        await asyncio.gather(*(pod.stop() for pod in running))
    moved = {user: ports for user, ports in Host.seen.items() if len(ports) > 1}
    for user, ports in moved.items():
        fault("user on two hosts", f"{user}: {sorted(ports)}")
    times.sort()
    back = {n for _, n in away}
    away = sorted(gone for gone, _ in away)
    part = lambda list, q: list[min(len(list) - 1, int(q * len(list)))] * 1000 if list else 0
    say(f"{len(times)} logins, {rate:.0f} a second: median {part(times, 0.5):.0f} ms, 99 % {part(times, 0.99):.0f} ms, longest {part(times, 1):.0f} ms")
    say(f"{len(away)} idle sessions were told goodbye and came back: median {part(away, 0.5):.0f} ms, longest {part(away, 1):.0f} ms "
        "(up to 2 s of it their own pause)")
    say(f"{len(Host.seen)} users on {len(hosts)} hosts, {len(moved)} on more than one")
    # How fast a machine is says nothing of the gateway, unless it has nothing else to do.
    timed = "GATEPOST_TIMED" in os.environ
    if timed and rate < RATE / 2:
        fault("far fewer logins than there should be", f"{rate:.0f} a second")
    if timed and away and away[-1] > DRAIN:
        fault("idle session away longer than the drain", f"{away[-1]:.1f} s")
    if len(back) < IDLE:
        fault("idle sessions that were not seen again", str(IDLE - len(back)))
    for what, count in wrong.items():
        say(f"WRONG {what}: {count} times, first {examples[what]}")
    sys.exit(1 if wrong else 0)


asyncio.run(main())
