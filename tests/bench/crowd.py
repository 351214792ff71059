"""A login among 5,000 connections that say nothing or dribble, at each door, and whether failures can be told apart
by their words or their time.

python3 tests/bench/crowd.py GATEPOST [connections] [tries]

The crowd stays: deadlines before login are an hour, and what dribbles over TLS is a ClientHello that never ends.

The exit code is 1 where, at any door, the 99th percentile of a login in the crowd is 250 ms or more, where the crowd is
not there before and behind these logins, or where in either protocol failures have more than one text, or means more than 5 ms apart.
"""
import os, signal, socket, ssl, struct, subprocess, sys, tempfile, threading, time, urllib.request

P99, APART = 0.250, 0.005

binary = sys.argv[1]
crowd_size = int(sys.argv[2]) if len(sys.argv) > 2 else 5000
tries = int(sys.argv[3]) if len(sys.argv) > 3 else 2000


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def refusing_host():
    server = socket.create_server(("127.0.0.1", 0), backlog=512)

    def serve(conn):
        with conn, conn.makefile("rb") as lines:
            conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            conn.sendall(b"* OK [CAPABILITY IMAP4rev1] here\r\n")
            for line in lines:
                tag, verb = line.split()[:2]
                conn.sendall(tag + (b" NO no such user\r\n" if verb.upper() == b"LOGIN" else b" OK done\r\n"))

    def accept():
        while True:
            threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return server.getsockname()[1]


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
  demo: demo://
  store: {{ hosts: ["imap://127.0.0.1:{refusing_host()}"], health: none }}
users:
  demo: demo
  "@example.org": store
limits: {{ connections: {crowd_size + 200}, per_ip: 100000, per_user: 100000, per_user_ip: 100000, failure_delay: 20ms, failed_logins: {{ per_ip: 1000/1h, per_user: 60000/1h }} }}
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

    def login(door):
        begun = time.monotonic()
        with connected(doors[door]) as tcp:
            s = context.wrap_socket(tcp) if door.endswith("s") else tcp
            f = s.makefile("rb")
            f.readline()
            if door.startswith("imap"):
                s.sendall(b"a LOGIN demo demo\r\n")
                assert line(f, b"a ").startswith(b"a OK")
                goodbye = b"b LOGOUT\r\n"
            else:
                s.sendall(b"USER demo\r\n")
                f.readline()
                s.sendall(b"PASS demo\r\n")
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
        for _ in range(1000):
            for door in doors:
                times[door].append(login(door))
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

    kinds = ["known@example.org", "unknown@example.org", "nowhere@example.net"]
    signature = b"\r\n\r\n\0\r\nQUIT\n"

    def refused(protocol, n, kind):
        """How long a wrong password takes, and what is said to it, of an address that nobody else has."""
        port, net = {"imap": (imap_proxied, 0), "pop3": (pop3_proxied, 3)}[protocol]
        src = socket.inet_pton(socket.AF_INET6, f"2001:db8:{n + 1:x}:{net + kind}::1")
        ends = src + src + struct.pack(">HH", 4711, 143)
        with connected(port) as s:
            f = s.makefile("rb")
            s.sendall(signature + b"\x21\x21" + struct.pack(">H", len(ends)) + ends)
            f.readline()
            if protocol == "pop3":
                s.sendall(f"USER {kinds[kind]}\r\n".encode())
                f.readline()
            begun = time.monotonic()
            if protocol == "pop3":
                s.sendall(f"PASS wrong{n}\r\n".encode())
                said = f.readline()
            else:
                s.sendall(f"a LOGIN {kinds[kind]} wrong{n}\r\n".encode())
                said = line(f, b"a ")
            # Behind the words stands the session.
            return time.monotonic() - begun, said.rsplit(b"(", 1)[0]

    for protocol, refusal in (("imap", b"a NO [AUTHENTICATIONFAILED] "), ("pop3", b"-ERR [AUTH] ")):
        sums, texts = [0.0] * 3, set()
        for n in range(tries):
            for kind in range(3):
                took, text = refused(protocol, n, kind)
                sums[kind] += took
                texts.add(text)
        one = len(texts) == 1 and all(text.startswith(refusal) for text in texts)
        print(f"{protocol}, texts: {texts}: {judged(one)}")
        means = [each / tries for each in sums]
        for user, mean in zip(kinds, means):
            print(f"{protocol}, {user}: mean {mean * 1e3:.2f} ms over {tries}")
        apart = max(means) - min(means)
        print(f"{protocol}: means {apart * 1e3:.2f} ms apart: {judged(apart < APART)}", flush=True)
finally:
    gateway.send_signal(signal.SIGKILL)
    gateway.wait()
sys.exit(bad)
