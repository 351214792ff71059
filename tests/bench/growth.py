"""How the gateway grows: with idle sessions, with cores, with the users map.

python3 tests/bench/growth.py GATEPOST [rounds]

Sessions log in over TLS, each as a user of its own, and say nothing more. Memory is what the process holds (PSS),
without the kernel's socket buffers; another gateway of the same binary on the machine takes a part of the program's pages
off it. What the first logins of a process need once is in "over the empty gateway", not in "per further session".
A login is a full TLS handshake, LOGIN and LOGOUT. CPU is that of the gateway's process alone, by its CPU clock. The
rounds go through everything in turn; medians are told, with the least and the most. Clients and the mail host are
processes of their own on the same cores: logins a second are what the machine does with all of them, CPU per login
is what the gateway costs.

SESSIONS=1000,5000,9000 USERS=10,1000,1000000 LOGINS=1500 in the environment set the sizes.
"""

import asyncio, contextlib, math, multiprocessing, os, random, re, resource, signal, socket, ssl, statistics
import subprocess, sys, tempfile, time, urllib.request
from concurrent.futures import ThreadPoolExecutor

SESSIONS = [int(size) for size in os.environ.get("SESSIONS", "1000,5000,9000").split(",")]
USERS = [int(size) for size in os.environ.get("USERS", "10,1000,1000000").split(",")]
LOGINS = int(os.environ.get("LOGINS", "1500"))
IDLE, CLIENTS, THREADS = 3, 2, 16


def name(n):
    return f"user.number{n}@customer{n % 977}.example.org"


async def talk(reader, writer):
    """A mail host that takes every password."""
    with contextlib.suppress(OSError):
        writer.write(b"* OK [CAPABILITY IMAP4rev1 IDLE] here\r\n")
        while line := await reader.readline():
            tag, verb = line.split()[:2]
            writer.write((b"* BYE bye\r\n" if verb.upper() == b"LOGOUT" else b"") + tag + b" OK done\r\n")
            if verb.upper() == b"LOGOUT":
                break
        writer.close()


async def host(server):
    await (await asyncio.start_server(talk, sock=server, backlog=4096)).serve_forever()


def client(jobs):
    """Does the logins it is told of, by threads; answers with what failed. Those to be kept it keeps till it is told of none."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    kept = []

    def login(port, user, keep):
        try:
            s = socket.create_connection(("127.0.0.1", port), timeout=30)
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            s = context.wrap_socket(s, server_hostname="gateway.example")
            lines = s.makefile("rb")
            lines.readline()
            for command in (f"LOGIN {user} secret",) if keep else (f"LOGIN {user} secret", "LOGOUT"):
                s.sendall(f"a {command}\r\n".encode())
                said = next((line for line in lines if line.startswith(b"a ")), b"cut off")
                if not said.startswith(b"a OK"):
                    return f"{command}: {said}"
            kept.append(s) if keep else s.close()
        except OSError as why:
            return repr(why)

    with ThreadPoolExecutor(THREADS) as threads:
        while job := jobs.recv():
            port, users, keep = job
            if not users:
                kept.clear()
            jobs.send([why for why in threads.map(lambda n: login(port, name(n), keep), users) if why])


class Gateway:
    def __init__(self, settings, cores=None):
        with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
            self.imaps, self.admin = one.getsockname()[1], two.getsockname()[1]
        with open(f"{dir}/proxy.yaml", "w") as file:
            file.write(f"""
listeners: [imaps://127.0.0.1:{self.imaps}]
tls: {{ cert: {dir}/tls.crt, key: {dir}/tls.key }}
backends:
  store: {{ hosts: ["imap://127.0.0.1:{mail}"], health: none }}
limits: {{ connections: 1000000, per_ip: 1000000, per_user: 1000000, per_user_ip: 1000000, trusted: [127.0.0.0/8] }}
timeouts: {{ login: 10m, idle: 1h }}
admin: {{ bind: "127.0.0.1:{self.admin}" }}
log: {{ level: warn }}
{settings}
""")
        pinned = ["taskset", "-c", ",".join(map(str, cores))] if cores else []
        begun = time.monotonic()
        self.process = subprocess.Popen([*pinned, sys.argv[1], "run", "-c", f"{dir}/proxy.yaml"], stdout=subprocess.DEVNULL)
        started.append(self.process)
        while not self.ask("readyz"):
            assert self.process.poll() is None, "the gateway ended"
            time.sleep(0.003)
        self.took = time.monotonic() - begun

    def close(self):
        self.process.kill()
        self.process.wait()

    def ask(self, what):
        with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/{what}", timeout=30) as answer:
            return answer.read().decode() or "yes"

    def sessions(self):
        return sum(float(n) for n in re.findall(r"^gatepost_sessions(?:\{.*\})? (\S+)$", self.ask("metrics"), re.M))

    def cpu(self):
        """All it has used, in ms, ended threads included: clock_getcpuclockid(3) of Linux."""
        return time.clock_gettime((~self.process.pid << 3) | 2) * 1e3

    def kib(self):
        with open(f"/proc/{self.process.pid}/smaps_rollup") as rollup:
            return int(re.search(r"^Pss:\s+(\d+)", rollup.read(), re.M).group(1))

    def idles(self):
        """CPU ms a second while nobody does anything, and the memory then."""
        time.sleep(1)
        cpu, begun = self.cpu(), time.monotonic()
        time.sleep(IDLE)
        return (self.cpu() - cpu) / (time.monotonic() - begun), self.kib()

    def logins(self, users, keep=False):
        """CPU ms per login, and logins a second."""
        cpu, begun = self.cpu(), time.monotonic()
        for at, jobs in enumerate(clients):
            jobs.send((self.imaps, users[at::CLIENTS], keep))
        failed = [why for jobs in clients for why in jobs.recv()]
        took = time.monotonic() - begun
        assert not failed, f"{len(failed)} logins failed: {failed[0]!r}"
        time.sleep(0.3)
        return (self.cpu() - cpu) / len(users), len(users) / took


def note(what, size, **figures):
    for column, figure in figures.items():
        noted.setdefault((what, size, column), []).append(figure)


def sessions():
    with contextlib.closing(Gateway('users: { "*": store }')) as gateway:
        time.sleep(1)
        cpu, empty = gateway.idles()
        note("sessions", 0, cpu=cpu, pss=empty / 1024)
        before, there = empty, 0
        for size in SESSIONS:
            gateway.logins(range(there, size), keep=True)
            cpu, kib = gateway.idles()
            assert gateway.sessions() == size, f"{gateway.sessions()} sessions in place of {size}"
            note("sessions", size, cpu=cpu, pss=kib / 1024, each=(kib - empty) / size, further=(kib - before) / (size - there))
            before, there = kib, size
    for jobs in clients:
        jobs.send((0, [], False))
        jobs.recv()


def cores():
    for threads in 1, 2:
        with contextlib.closing(Gateway(f'threads: {threads}\nusers: {{ "*": store }}', CORES[:threads])) as gateway:
            gateway.logins(random.choices(range(10**6), k=100))
            cpu, rate = gateway.logins(random.choices(range(10**6), k=LOGINS))
            note("cores", threads, cpu=cpu, rate=rate, busy=cpu * rate / 10)


def users():
    for size in USERS:
        with contextlib.closing(Gateway(f"users_from: [{{ file: {dir}/users-{size}.yaml }}]")) as gateway:
            time.sleep(0.5)
            kib = gateway.kib()
            gateway.logins(random.choices(range(size), k=100))
            cpu, _ = gateway.logins(random.choices(range(size), k=LOGINS))
            note("users", size, ready=gateway.took * 1e3, pss=kib / 1024, cpu=cpu)


def show(title, what, columns):
    print(f"\n### {title}\n\n| {what} | {' | '.join(columns.values())} |\n|{'---:|' * (len(columns) + 1)}")
    for size in sorted({size for kind, size, _ in noted if kind == what}):
        cells = [f"{size:,}"]
        for column in columns:
            of = noted.get((what, size, column))
            spread = f" ({number(min(of))} to {number(max(of))})" if of and rounds > 1 else ""
            cells.append(number(statistics.median(of)) + spread if of else "")
        print(f"| {' | '.join(cells)} |")


def number(n):
    return f"{n:,.{0 if abs(n) >= 1000 else 1 if abs(n) >= 100 else 2}f}"


def plot(title, what, column, less=0, log=True):
    points = [(key[1], statistics.median(of) - less) for key, of in noted.items() if key == (what, key[1], column) and key[1]]
    most = max(n for _, n in points)
    # The bars of a logarithmic scale begin at a power of ten below the least.
    least = 10 ** math.floor(math.log10(max(min(n for _, n in points), 1e-3) / 1.5))
    print(f"\n{title}{f', log scale from {least:g}' if log else ''}")
    for size, n in points:
        part = math.log(max(n, least) / least) / math.log(most / least) if log else n / most
        eighths = round(max(part, 0) * 48 * 8)
        print(f"  {size:>9,} {'█' * (eighths // 8)}{' ▏▎▍▌▋▊▉'[eighths % 8].strip()} {number(n)}")


signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
resource.setrlimit(resource.RLIMIT_NOFILE, [resource.getrlimit(resource.RLIMIT_NOFILE)[1]] * 2)
assert 2 * max(SESSIONS) + 500 < resource.getrlimit(resource.RLIMIT_NOFILE)[0], "too few descriptors for so many sessions"
CORES = sorted(os.sched_getaffinity(0))
noted, started, clients = {}, [], []
with tempfile.TemporaryDirectory() as dir:
    try:
        server = socket.create_server(("127.0.0.1", 0), backlog=4096)
        mail = server.getsockname()[1]
        started.append(multiprocessing.Process(target=lambda: asyncio.run(host(server)), daemon=True))
        started[-1].start()
        for _ in range(CLIENTS):
            ours, theirs = multiprocessing.Pipe()
            clients.append(ours)
            started.append(multiprocessing.Process(target=client, args=(theirs,), daemon=True))
            started[-1].start()
            theirs.close()
        certificate = f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {dir}/tls.key -out {dir}/tls.crt"
        subject = " -days 2 -subj /CN=gateway.example -addext subjectAltName=DNS:gateway.example"
        subprocess.run((certificate + subject).split(), check=True, capture_output=True)
        for size in USERS:
            with open(f"{dir}/users-{size}.yaml", "w") as file:
                file.writelines(f"{name(n)}: store\n" for n in range(size))
        begun, load, rounds = time.monotonic(), os.getloadavg()[0], int(sys.argv[2]) if len(sys.argv) > 2 else 3
        for measure in [sessions, cores, users] * rounds:
            measure()
    finally:
        for process in started:
            process.kill()
            process.wait() if isinstance(process, subprocess.Popen) else process.join()

print(f"{rounds} rounds in {time.monotonic() - begun:.0f} s; median (least to most). {len(CORES)} cores, load at the beginning {load:.1f}.")
each, further = "KiB per session over the empty gateway", "KiB per further session"
show("Idle sessions", "sessions", {"each": each, "further": further, "pss": "PSS, MiB", "cpu": "CPU ms a second"})
show("Cores", "cores", {"cpu": "CPU ms per login", "rate": "logins a second", "busy": "gateway, % of one core"})
print(f"\n1 is `threads: 1` pinned to core {CORES[0]}, 2 is `threads: 2` on cores {CORES[:2]}. {CLIENTS} client processes of {THREADS}")
print(f"threads and the mail host share the machine's {len(CORES)} cores with it, and take most of them: compare CPU per login.")
show("Users map", "users", {"ready": "start to ready, ms", "pss": "PSS when ready, MiB", "cpu": "CPU ms per login"})
print("\n```")
plot("MiB over the empty gateway, by sessions", "sessions", "pss", less=statistics.median(noted["sessions", 0, "pss"]))
plot("CPU ms per login, by cores", "cores", "cpu", log=False)
plot("ms from start to ready, by users of the map", "users", "ready")
plot("MiB when ready, by users of the map", "users", "pss")
print("```")
