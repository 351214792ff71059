"""What a connection may cost before its login, whatever it sends: private memory of the gateway over
4,000 connections that send the same and read nothing, a fresh gateway for each case. At most 64 KiB.

python3 tests/bench/bounds.py GATEPOST [WORDS, only the cases with one of them]

Needs openssl. Who is refused costs nothing: the last column says how many were, and a case that is meant
to stay under a limit and is refused fails.
"""

import base64
import functools
import os
import re
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

# Fewer, and a step of the allocator counts: one of 4 MiB is 4 KiB for each of 1,000.
MANY = 4000
MOST = 64 * 1024


def free_ports(names):
    """One for each, and no two the same."""
    held = {name: socket.create_server(("127.0.0.1", 0)) for name in names}
    ports = {name: s.getsockname()[1] for name, s in held.items()}
    for s in held.values():
        s.close()
    return ports


def hello(length, most=16384):
    """A handshake message that announces so many octets, in records of so many."""
    message = (b"\x01" + struct.pack(">I", length)[1:] + b"\x03\x03" + b"\0" * length)[: length + 4]
    parts = [message[at : at + most] for at in range(0, len(message), most)]
    return b"".join(b"\x16\x03\x01" + struct.pack(">H", len(part)) + part for part in parts)


def x(count):
    return b"x" * count


# XOAUTH2 with 24,000 octets.
TOKEN = b"a AUTHENTICATE XOAUTH2 " + base64.b64encode(b"user=u@hangs\1auth=Bearer " + x(24000) + b"\1\1") + b"\r\n"

# What a handshake may have in all (src/tls/stream/received.rs), less a few octets.
SHAKE = 16 * 1024 - 8

# Before STARTTLS: the longest line, and others behind it.
IMAP_BEFORE = b"a AUTHENTICATE PLAIN " + x(32700) + b"\r\n" + b"b NOOP\r\n" * 20 + b"c STARTTLS\r\n"
POP3_BEFORE = b"AUTH PLAIN\r\n" + x(32700) + b"\r\n" + b"CAPA\r\n" * 20 + b"STLS\r\n"

CASES = [
    ("nothing", "imap", b""),
    ("an ID of 32 KiB without an end", "imap", b"a ID (" + x(32700)),
    ("AUTHENTICATE with 32 KiB", "imap", b"a AUTHENTICATE PLAIN " + x(32700)),
    ("an answer of 32 KiB", "imap", b"a AUTHENTICATE PLAIN\r\n" + x(32700)),
    ("a literal", "imap", b"a LOGIN {8000+}\r\n" + x(7900)),
    ("CAPABILITY, answers not read", "imap", b"a CAPABILITY\r\n" * 100000),
    ("ID, answers not read", "imap", b"a ID NIL\r\n" * 100000),
    ("CAPA, answers not read", "pop3", b"CAPA\r\n" * 200000),
    ("a POP3 answer of 32 KiB", "pop3", b"AUTH PLAIN\r\n" + x(32700)),
    ("no handshake", "imaps", b""),
    ("half a hello of 16 KB", "imaps", hello(16000)[:15000]),
    ("a hello, all it may have", "imaps", hello(40000)[:SHAKE]),
    ("a hello, all it may have", "pop3s", hello(40000)[:SHAKE]),
    ("a hello in records of one octet", "imaps", hello(40000, 1)[:SHAKE]),
    ("a hello in records of 100 octets", "pop3s", hello(40000, 100)[:SHAKE]),
    ("too much of a hello of 20 KB", "imaps", hello(20000)[:20000]),
    ("too much of a hello of 32 KB", "imaps", hello(32000)[:31900]),
    ("too much of a hello of 40 KB", "imaps", hello(40000)[:32700]),
    ("too much of a hello of 60 KB", "imaps", hello(60000)[:55000]),
    ("a hello behind long lines", "starttls", hello(40000)[:SHAKE]),
    ("a hello in records of one octet", "starttls", hello(40000, 1)[:SHAKE]),
    ("a hello behind long lines", "stls", hello(40000)[:SHAKE]),
    ("too much of a hello of 40 KB", "starttls", hello(40000)[:32700]),
    ("a good hello of 15 KB, no Finished", "hello", 15000),
    ("1.2: half of its certificates", "asking12", 0, "strangers", SHAKE),
    ("1.2: long hello, half of them", "asking12", 8000, "strangers", SHAKE),
    ("1.2: long hello, no Finished", "asking12", 15000, "none", -20),
    ("1.2: a good chain, no Finished", "asking12", 0, "good", -20),
    ("1.2: long hello, good chain", "asking12", 6000, "short", -20),
    ("1.3: half of its certificates", "asking13", 0, "strangers", SHAKE),
    ("1.3: long hello, half of them", "asking13", 8000, "strangers", SHAKE),
    ("1.3: a good chain, no Finished", "asking13", 0, "good", -20),
    ("TLS: nothing", "tls", b""),
    ("TLS: half a record", "tls", b"", x(16000)),
    ("TLS: AUTHENTICATE, half a record", "tls", b"a AUTHENTICATE PLAIN " + x(32700), x(16000)),
    ("TLS: an answer, half a record", "tls", b"a AUTHENTICATE PLAIN\r\n" + x(32700), x(16000)),
    ("TLS: CAPABILITY, not read", "tls", b"a CAPABILITY\r\n" * 20000),
    ("TLS: a password, a host that hangs", "tls", b"a LOGIN u@hangs {8000+}\r\n" + x(8000) + b"\r\n"),
    ("TLS: a token, a host that hangs", "tls", TOKEN),
    ("TLS: the same and half a record", "tls", TOKEN + b"b" * 8000, x(16000)),
    # With a certificate of 12 KB it may say shorter lines.
    ("TLS: a long certificate", "certified", b""),
    ("TLS: the same, an answer", "certified", b"a AUTHENTICATE PLAIN\r\n" + x(16300)),
    ("TLS: the same, and half a record", "certified", b"a AUTHENTICATE PLAIN\r\n" + x(16300), x(16000)),
    ("too much of an answer", "certified", b"a AUTHENTICATE PLAIN\r\n" + x(32700)),
    ("too much of a PROXY header, 64 KiB", "proxied", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff" + x(60000)),
]


def stuff(port, octets):
    """Sends as much as is taken, and reads nothing."""
    s = socket.create_connection(("127.0.0.1", port))
    s.setblocking(False)
    return pushed(s, octets)


def pushed(s, octets):
    at = idle = 0
    while at < len(octets) and idle < 10:
        try:
            at += s.send(octets[at : at + 65536])
            idle = 0
        except BlockingIOError:
            time.sleep(0.002)
            idle += 1
        except OSError:
            break
    return s


TRUSTING = ssl.create_default_context()
TRUSTING.check_hostname, TRUSTING.verify_mode = False, ssl.CERT_NONE


def shaken(port, context):
    """A connection, and both ends of its TLS after the handshake."""
    s = socket.create_connection(("127.0.0.1", port))
    got, made = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(got, made)
    while True:
        try:
            tls.do_handshake()
            break
        except ssl.SSLWantReadError:
            s.sendall(made.read())
            got.write(s.recv(65536))
    return s, tls, made


def stuff_tls(port, octets, cut=b"", context=TRUSTING):
    """The same behind a handshake; what is cut is a record that lacks its end."""
    s, tls, made = shaken(port, context)
    s.sendall(made.read())
    s.setblocking(False)
    tls.write(octets) if octets else None
    sealed = made.read()
    if cut:
        tls.write(cut)
        sealed += made.read()[:-100]
    return pushed(s, sealed)


def stuff_upgraded(port, before, octets):
    """The same behind STARTTLS."""
    s = socket.create_connection(("127.0.0.1", port))
    s.sendall(before)
    heard = b""
    while b"begin TLS" not in heard:
        heard += s.recv(65536) or sys.exit(f"no TLS, but {heard[-100:]}")
    s.setblocking(False)
    return pushed(s, octets)


@functools.cache
def long_hello(version, padding, chain):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = context.maximum_version = version
    context.set_alpn_protocols(["imap"] + ["%04d" % at + "x" * 200 for at in range(padding // 205)])
    if chain != "none":
        context.load_cert_chain(f"{PKI}/{chain}.pem", f"{PKI}/client.key")
    return context


@functools.cache
def certified():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.load_cert_chain(f"{PKI}/long.pem", f"{PKI}/long.key")
    return context


def stuff_asked(port, version, padding, chain, most):
    """A hello of more octets than it needs, and of what follows as much as makes `most` octets in all, or
    all but the last."""
    context = long_hello(version, padding, chain)
    s = socket.create_connection(("127.0.0.1", port))
    got, made = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(got, made)
    said = 0
    while True:
        try:
            tls.do_handshake()
        except ssl.SSLWantReadError:
            pass
        words = made.read()
        # The hello goes out whole; so does what is said again, if the first was not to be agreed on.
        if words and (words[0], words[5]) == (22, 1):
            s.sendall(words)
            said += len(words)
        elif words:
            s.setblocking(False)
            return pushed(s, words[: most - said if most > 0 else most])
        got.write(s.recv(65536) or sys.exit(f"{version.name}, {padding}, {chain}: refused"))


def stuff_hello(port, padding):
    """A good hello, and nothing behind it."""
    context = long_hello(ssl.TLSVersion.TLSv1_3, padding, "none")
    made = ssl.MemoryBIO()
    try:
        context.wrap_bio(ssl.MemoryBIO(), made).do_handshake()
    except ssl.SSLWantReadError:
        pass
    return stuff(port, made.read())


PKI = tempfile.mkdtemp()


def certificates():
    """An authority, a client of its with chains of about 13,000, 7,000 and 40,000 octets that end with it, and one
    whose own certificate has 12,000."""

    def openssl(*words):
        subprocess.run(["openssl", *words], cwd=PKI, check=True, capture_output=True)

    new = ("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "9")
    client = ("-subj", "/CN=u@hangs", "-CA", "ca.pem", "-CAkey", "ca.key", "-addext", "basicConstraints=critical,CA:FALSE",
              "-addext", "extendedKeyUsage=clientAuth")
    names = ",".join(f"email:{'a' * 40}{n:03}@example.org" for n in range(200))
    openssl(*new, "-subj", "/CN=ca", "-keyout", "ca.key", "-out", "ca.pem")
    openssl(*new, *client, "-keyout", "client.key", "-out", "client.pem")
    openssl(*new, *client, "-addext", f"subjectAltName={names}", "-keyout", "long.key", "-out", "long.pem")
    client, ca = (open(f"{PKI}/{name}.pem").read() for name in ("client", "ca"))
    hashed = subprocess.run(["openssl", "passwd", "-6", "x"], check=True, capture_output=True, text=True).stdout
    for name, text in (("master", "secret\n"), ("passwords", "u:{SHA512-CRYPT}" + hashed)):
        with open(f"{PKI}/{name}", "w", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            file.write(text)
    for name, more in (("good", 15), ("short", 8), ("strangers", 50)):
        with open(f"{PKI}/{name}.pem", "w") as file:
            file.write(client + ca * more)


def host_that_hangs():
    """Greets, takes what comes, and says nothing more."""
    server = socket.create_server(("127.0.0.1", 0), backlog=512)
    kept = []

    def serve():
        while True:
            kept.append(server.accept()[0])
            kept[-1].sendall(b"* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=XOAUTH2] here\r\n")

    threading.Thread(target=serve, daemon=True).start()
    return server.getsockname()[1]


# How the gateway is met at a door, by the names of its listeners.
DOORS = {
    **{name: (name, stuff) for name in ("imap", "imaps", "pop3", "pop3s", "proxied")},
    "tls": ("imaps", stuff_tls),
    "hello": ("imaps", stuff_hello),
    "certified": ("asking", lambda port, octets, cut=b"": stuff_tls(port, octets, cut, certified())),
    "starttls": ("imap", lambda port, octets: stuff_upgraded(port, IMAP_BEFORE, octets)),
    "stls": ("pop3", lambda port, octets: stuff_upgraded(port, POP3_BEFORE, octets)),
    "asking12": ("asking", lambda port, *how: stuff_asked(port, ssl.TLSVersion.TLSv1_2, *how)),
    "asking13": ("asking", lambda port, *how: stuff_asked(port, ssl.TLSVersion.TLSv1_3, *how)),
}


def closed(s):
    """Whether the gateway has ended it (the first octet of TCP_INFO is its state)."""
    return s.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] != 1


def cost(binary, door, *what):
    """Octets for each connection, and how many of them the gateway has closed."""
    ports = free_ports(("imap", "imaps", "asking", "pop3", "pop3s", "proxied", "admin"))
    config = """
listeners:
  - { bind: "imap://127.0.0.1:IMAP", cleartext_login: true }
  - imaps://127.0.0.1:IMAPS
  - pop3s://127.0.0.1:POP3S
  - { bind: "pop3://127.0.0.1:POP3", cleartext_login: true }
  - { bind: "imap://127.0.0.1:PROXIED", cleartext_login: true, proxy_protocol: [127.0.0.0/8] }
backends:
  demo: "demo://"
  hangs: { hosts: ["imap://127.0.0.1:HOST"], health: none, logins_in_flight: 10000 }
users: { demo: demo, "@hangs": hangs }
limits: { trusted: [127.0.0.0/8] }
timeouts: { tls_handshake: 5m, login: 10m, proxy_header: 30s }
admin: { bind: "127.0.0.1:ADMIN" }
log: { level: warn }
"""
    if DOORS[door][0] == "asking":
        # Who shows a certificate is logged in by a master user.
        config = config.replace("listeners:", 'listeners:\n  - { bind: "imaps://127.0.0.1:ASKING", client_ca: PKI/ca.pem }')
        config = config.replace("health: none", "health: none, login_as: { master: gateway, password_file: PKI/master }")
        config += "authenticate: { passwords: PKI/passwords }\n"
    ports["host"] = host_that_hangs()
    for name, port in ports.items():
        config = re.sub(rf":{name.upper()}\b", f":{port}", config)
    config = config.replace("PKI", PKI)
    path = os.path.join(tempfile.mkdtemp(), "proxy.yaml")
    with open(path, "w") as file:
        file.write(config)
    gateway = subprocess.Popen([binary, "run", "-c", path], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def memory():
        with open(f"/proc/{gateway.pid}/smaps_rollup") as rollup:
            return int(re.search(r"Anonymous:\s+(\d+)", rollup.read()).group(1)) * 1024

    try:
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{ports['admin']}/readyz")
                break
            except OSError:
                gateway.poll() is None or sys.exit(f"the gateway ended by itself: {gateway.returncode}")
                time.sleep(0.05)
        listener, how = DOORS[door]
        warm = [how(ports[listener], *what) for _ in range(3)]
        time.sleep(0.5)
        for s in warm:
            s.close()
        before = after = memory()
        held = [how(ports[listener], *what) for _ in range(MANY)]
        while True:
            time.sleep(0.3)
            now = memory()
            if now <= after:
                break
            after = now
        return (after - before) / len(held), sum(map(closed, held))
    finally:
        gateway.kill()
        gateway.wait()


certificates()
failed = False
for name, door, *what in CASES:
    if not any(word in f"{door} {name}" for word in sys.argv[2:] or [""]):
        continue
    each, refused = cost(sys.argv[1], door, *what)
    # Those who send too much are refused, and nobody else.
    failed |= each > MOST or (refused == 0) == name.startswith("too much")
    print(f"{door:10}{name:38}{each / 1024:6.1f} KiB{refused:6}", flush=True)
sys.exit(failed)
