"""A login among 5,000 connections that say nothing or dribble, and whether failures can be told apart by their time.

python3 crowd.py GATEPOST [connections] [tries]
"""
import os, select, signal, socket, struct, subprocess, sys, tempfile, threading, time, urllib.request

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


imap, imaps, pop3, pop3s, proxied, admin = (free_port() for _ in range(6))
config = f"""
listeners:
  - {{ bind: "imap://127.0.0.1:{imap}", cleartext_login: true }}
  - imaps://127.0.0.1:{imaps}
  - {{ bind: "pop3://127.0.0.1:{pop3}", cleartext_login: true }}
  - pop3s://127.0.0.1:{pop3s}
  - {{ bind: "imap://127.0.0.1:{proxied}", cleartext_login: true, proxy_protocol: [127.0.0.0/8] }}
backends:
  demo: demo://
  store: {{ hosts: ["imap://127.0.0.1:{refusing_host()}"], health: none }}
users:
  demo: demo
  "@example.org": store
limits: {{ connections: {crowd_size + 200}, per_ip: 100000, per_user: 100000, per_user_ip: 100000, failure_delay: 20ms, failed_logins: {{ per_ip: 1000/1h, per_user: 60000/1h }} }}
admin: {{ bind: "127.0.0.1:{admin}" }}
log: {{ level: warn }}
"""
dir = tempfile.mkdtemp()
path = os.path.join(dir, "proxy.yaml")
open(path, "w").write(config)
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

    def login():
        begun = time.monotonic()
        with socket.create_connection(("127.0.0.1", imap)) as s:
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            f = s.makefile("rb")
            f.readline()
            s.sendall(b"a LOGIN demo demo\r\n")
            assert line(f, b"a ").startswith(b"a OK")
            took = time.monotonic() - begun
            s.sendall(b"b LOGOUT\r\n")
            f.read()
        return took

    def show(name, took):
        took = sorted(took)
        print(f"{name}: median {took[len(took) // 2] * 1e3:.1f} ms, p99 {took[len(took) * 99 // 100] * 1e3:.1f} ms, most {took[-1] * 1e3:.1f} ms")

    logins = 1000
    show("login, nobody else there", [login() for _ in range(logins)])
    doors = [imap, imaps, pop3, pop3s]

    def connect(n):
        s = socket.create_connection(("127.0.0.1", doors[n % 4]))
        s.setblocking(False)
        return s

    crowd = [connect(n) for n in range(crowd_size)]
    done = threading.Event()

    def dribble():
        while not done.wait(0.5):
            for n in range(crowd_size // 2):
                try:
                    crowd[n].send(b"x")
                except OSError:
                    crowd[n] = connect(n)

    threading.Thread(target=dribble, daemon=True).start()
    show(f"login among {crowd_size}, half of them dribbling", [login() for _ in range(logins)])
    done.set()
    time.sleep(0.6)
    for s in crowd:
        s.close()

    kinds = ["known@example.org", "unknown@example.org", "nowhere@example.net"]
    took = [0.0] * 3
    texts = set()
    signature = b"\r\n\r\n\0\r\nQUIT\n"
    for n in range(tries):
        for kind, user in enumerate(kinds):
            src = socket.inet_pton(socket.AF_INET6, f"2001:db8:{n + 1:x}:{kind}::1")
            ends = src + src + struct.pack(">HH", 4711, 143)
            with socket.create_connection(("127.0.0.1", proxied)) as s:
                s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                f = s.makefile("rb")
                s.sendall(signature + b"\x21\x21" + struct.pack(">H", len(ends)) + ends)
                f.readline()
                begun = time.monotonic()
                s.sendall(f"a LOGIN {user} wrong{n}\r\n".encode())
                said = line(f, b"a ")
                took[kind] += time.monotonic() - begun
                texts.add(said.rsplit(b"(", 1)[0])
    print("texts:", texts)
    for kind, user in enumerate(kinds):
        print(f"{user}: mean {took[kind] / tries * 1e3:.2f} ms over {tries}")
finally:
    gateway.send_signal(signal.SIGKILL)
    gateway.wait()
