"""A login among 5,000 connections that say nothing or dribble, at each door, and whether failures can be told apart
by their words or their time.

python3 tests/bench/crowd.py GATEPOST [connections] [tries]

The crowd stays: deadlines before login are an hour, and what dribbles over TLS is a ClientHello that never ends. The logins
go on to a host over loopback, which is a process of its own. That host knows all users but one: it refuses a wrong
password in other words than an unknown user, and later, both sooner than failure_delay.

The exit code is 1 where, at any door, the 99th percentile of a login in the crowd is 250 ms or more, where the crowd is
not there before and behind these logins, where the host does not let its user in or does not tell failures apart by
itself, or where in either protocol failures differ in any line from the greeting to the end, or have means more than 5 ms apart.
"""
import asyncio, multiprocessing, os, re, signal, socket, ssl, struct, subprocess, sys, tempfile, threading, time, urllib.request

# Seconds. The delay of a failure is more than the host ever takes, and APART is less than how much later it refuses a
# password: where the delay does not hide that, it is seen.
P99, APART, FAILURE_DELAY, LATER = 0.250, 0.005, 0.020, 0.015
KNOWN, UNKNOWN, PASSWORD = "known@example.org", "unknown@example.org", "right"

binary = sys.argv[1]
crowd_size = int(sys.argv[2]) if len(sys.argv) > 2 else 5000
tries = int(sys.argv[3]) if len(sys.argv) > 3 else 2000


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


async def judge(user, password):
    """What the host thinks of a login."""
    if user == UNKNOWN:
        return b" NO no such user"
    if password == PASSWORD:
        return b" OK welcome"
    await asyncio.sleep(LATER)
    return b" NO [AUTHENTICATIONFAILED] this is not the password"


async def reply(verb, words):
    """What the host says before its result, and that."""
    if verb == b"LOGIN":
        user, password = (word.decode().strip('"') for word in words)
        result = await judge(user, password)
        # This tells failures apart, too.
        return b"* OK " + result[4:] + b"\r\n", result
    said = {
        b"SELECT": b"* 0 EXISTS\r\n* OK [UIDVALIDITY 1] x\r\n* OK [UIDNEXT 1] x\r\n",
        b"STATUS": b"* STATUS INBOX (MESSAGES 0 UIDNEXT 1 UIDVALIDITY 1)\r\n",
        b"LOGOUT": b"* BYE bye\r\n",
    }
    return said.get(verb, b""), b" OK done"


async def serve(reader, writer):
    """An IMAP host with an empty mailbox for everybody."""
    writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    writer.write(b"* OK [CAPABILITY IMAP4rev1] here\r\n")
    try:
        verb = b""
        while verb != b"LOGOUT" and (line := await reader.readline()):
            tag, verb, *words = line.split()
            before, result = await reply(verb, words)
            writer.write(before + tag + result + b"\r\n")
    except ConnectionError:
        pass
    writer.close()


def listen(server):
    async def forever():
        await (await asyncio.start_server(serve, sock=server)).serve_forever()

    asyncio.run(forever())


def host():
    """In a process of its own, so that it takes none of the time of what is measured here."""
    server = socket.create_server(("127.0.0.1", 0), backlog=512)
    multiprocessing.Process(target=listen, args=(server,), daemon=True).start()
    return server.getsockname()[1]


store = host()
imap, imaps, pop3, pop3s, imap_proxied, pop3_proxied, admin = (free_port() for _ in range(7))
config = f"""
listeners:
  - {{ bind: "imap://127.0.0.1:{imap}", cleartext_login: true }}
  - imaps://127.0.0.1:{imaps}
  - {{ bind: "pop3://127.0.0.1:{pop3}", cleartext_login: true }}
  - pop3s://127.0.0.1:{pop3s}
  - {{ bind: "imap://127.0.0.1:{imap_proxied}", cleartext_login: true, proxy_protocol: [127.0.0.0/8] }}
  - {{ bind: "pop3://127.0.0.1:{pop3_proxied}", cleartext_login: true, proxy_protocol: [127.0.0.0/8] }}
backends:
  store: {{ hosts: ["imap://127.0.0.1:{store}"], health: none }}
users:
  "@example.org": store
limits: {{ connections: {crowd_size + 200}, per_ip: 100000, per_user: 100000, per_user_ip: 100000, failure_delay: {FAILURE_DELAY * 1000:.0f}ms, failed_logins: {{ per_ip: 1000/1h, per_user: 60000/1h }} }}
timeouts: {{ login: 1h, tls_handshake: 1h }}
admin: {{ bind: "127.0.0.1:{admin}" }}
log: {{ level: warn }}
"""
dir = tempfile.mkdtemp()
path = os.path.join(dir, "proxy.yaml")
open(path, "w").write(config)
bad = False


def judged(holds):
    """A word at the end of a line, and the exit code."""
    global bad
    bad = bad or not holds
    return "fine" if holds else "BAD"


context = ssl.create_default_context()
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
doors = {"imap": imap, "imaps": imaps, "pop3": pop3, "pop3s": pop3s}
gateway = subprocess.Popen([binary, "run", "-c", path], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
try:
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{admin}/readyz")
            break
        except OSError:
            time.sleep(0.05)

    def line(f, start):
        while True:
            text = f.readline()
            if text.startswith(start) or not text:
                return text

    def connected(port):
        s = socket.create_connection(("127.0.0.1", port), timeout=60)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return s

    def login(door, user):
        begun = time.monotonic()
        with connected(doors[door]) as tcp:
            s = context.wrap_socket(tcp) if door.endswith("s") else tcp
            f = s.makefile("rb")
            f.readline()
            if door.startswith("imap"):
                s.sendall(f"a LOGIN {user} {PASSWORD}\r\n".encode())
                assert line(f, b"a ").startswith(b"a OK")
                goodbye = b"b LOGOUT\r\n"
            else:
                s.sendall(f"USER {user}\r\n".encode())
                f.readline()
                s.sendall(f"PASS {PASSWORD}\r\n".encode())
                assert f.readline().startswith(b"+OK")
                goodbye = b"QUIT\r\n"
            took = time.monotonic() - begun
            s.sendall(goodbye)
            f.read()
            s.close()
        return took

    def logins(name, most):
        """Of each door in turn."""
        times = {door: [] for door in doors}
        for n in range(1000):
            for door in doors:
                times[door].append(login(door, f"user{n % 50}@example.org"))
        for door, took in times.items():
            took = sorted(took)
            p99 = took[len(took) * 99 // 100]
            verdict = f": {judged(p99 < most)}" if most else ""
            print(
                f"login {name}, {door}: median {took[len(took) // 2] * 1e3:.1f} ms, p99 {p99 * 1e3:.1f} ms, "
                f"most {took[-1] * 1e3:.1f} ms{verdict}",
                flush=True,
            )

    logins("with nobody else there", None)

    def connect(n):
        s = socket.create_connection(("127.0.0.1", list(doors.values())[n % 4]))
        s.setblocking(False)
        return s

    # A record with a ClientHello (RFC 8446 §4.1.2), of which no more than the first random octets come.
    hello = b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + bytes(450)
    lines = b"x" * len(hello)

    def there():
        """How many connections the gateway has."""
        held = len(os.listdir(f"/proc/{gateway.pid}/fd"))
        print(f"descriptors of the gateway: {held}: {judged(held > crowd_size)}")

    crowd = [connect(n) for n in range(crowd_size)]
    done = threading.Event()

    def dribble():
        for at in range(len(hello)):
            for n in range(crowd_size // 2):
                says = hello if list(doors)[n % 4].endswith("s") else lines
                crowd[n].send(says[at : at + 1])
            if done.wait(0.5):
                return

    dribbling = threading.Thread(target=dribble, daemon=True)
    dribbling.start()
    time.sleep(1)
    there()
    logins(f"among {crowd_size}, half of them dribbling", P99)
    there()
    # Neither was a client lost, nor was everything said before the end.
    print(f"still dribbling: {judged(dribbling.is_alive())}")
    done.set()
    time.sleep(0.6)
    for s in crowd:
        s.close()

    kinds = [KNOWN, UNKNOWN, "nowhere@example.net"]
    signature = b"\r\n\r\n\0\r\nQUIT\n"

    def masked(said):
        """What was said, but for the id of the session, which stands in brackets behind the words."""
        return re.sub(rb"\(\w+\)\r\n", b"(SESSION)\r\n", said)

    def proxied(protocol, net):
        """A connection from an address that nobody else has."""
        s = connected({"imap": imap_proxied, "pop3": pop3_proxied}[protocol])
        src = socket.inet_pton(socket.AF_INET6, f"2001:db8:{net}::1")
        ends = src + src + struct.pack(">HH", 4711, 143)
        s.sendall(signature + b"\x21\x21" + struct.pack(">H", len(ends)) + ends)
        return s

    def told(protocol, net, user, password):
        """How long the answer to a login takes, that answer, and all that is heard from the greeting to the end."""
        with proxied(protocol, net) as s:
            f = s.makefile("rb")
            heard = f.readline()
            if protocol == "pop3":
                s.sendall(f"USER {user}\r\n".encode())
                heard += f.readline()
            begun = time.monotonic()
            if protocol == "pop3":
                s.sendall(f"PASS {password}\r\n".encode())
                answer = f.readline()
                heard += answer
            else:
                s.sendall(f"a LOGIN {user} {password}\r\n".encode())
                answer = b""
                while not answer.startswith(b"a "):
                    answer = f.readline()
                    assert answer, heard
                    heard += answer
            took = time.monotonic() - begun
            s.sendall({"imap": b"b LOGOUT\r\n", "pop3": b"QUIT\r\n"}[protocol])
            return took, answer, masked(heard + f.read())

    def directly(user):
        """The same of the host, without a gateway."""
        with connected(store) as s:
            f = s.makefile("rb")
            f.readline()
            begun = time.monotonic()
            s.sendall(f"a LOGIN {user} wrong\r\n".encode())
            said = f.readline() + f.readline()
            return time.monotonic() - begun, said

    # The soonest of some: one alone may have waited for the machine.
    (later, known), (sooner, unknown) = (min(directly(user) for _ in range(10)) for user in (KNOWN, UNKNOWN))
    apart = known != unknown and APART < later - sooner and later < FAILURE_DELAY
    print(f"the host by itself: {known} after {later * 1e3:.1f} ms, {unknown} after {sooner * 1e3:.1f} ms: {judged(apart)}")

    for at, (protocol, yes, no) in enumerate((("imap", b"a OK", b"a NO [AUTHENTICATIONFAILED] "), ("pop3", b"+OK", b"-ERR [AUTH] "))):
        # From elsewhere: nobody has logged in yet at the addresses of those that fail.
        _, answer, _ = told(protocol, f"0:{at}", KNOWN, PASSWORD)
        print(f"{protocol}, {KNOWN} with the right password: {answer}: {judged(answer.startswith(yes))}")
        sums, texts, refused = [0.0] * 3, set(), True
        for n in range(tries):
            for kind, user in enumerate(kinds):
                took, answer, heard = told(protocol, f"{n + 1:x}:{3 * at + kind}", user, f"wrong{n}")
                sums[kind] += took
                texts.add(heard)
                refused = refused and answer.startswith(no)
        print(f"{protocol}, all that is heard: {texts}: {judged(len(texts) == 1 and refused)}")
        means = [each / tries for each in sums]
        for user, mean in zip(kinds, means):
            print(f"{protocol}, {user}: mean {mean * 1e3:.2f} ms over {tries}")
        apart = max(means) - min(means)
        print(f"{protocol}: means {apart * 1e3:.2f} ms apart: {judged(apart < APART)}", flush=True)
finally:
    gateway.send_signal(signal.SIGKILL)
    gateway.wait()
sys.exit(bad)
