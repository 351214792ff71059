"""What a connection may cost before its login, whatever it sends: private memory of the gateway over
1,000 connections that send the same and read nothing, a fresh gateway for each case. At most 64 KiB.

python3 tests/bench/bounds.py GATEPOST
"""

import base64
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

MANY = 1000
MOST = 64 * 1024


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def hello(length):
    """A handshake message that announces so many octets, in records as long as they may be."""
    message = (b"\x01" + struct.pack(">I", length)[1:] + b"\x03\x03" + b"\0" * length)[: length + 4]
    parts = [message[at : at + 16384] for at in range(0, len(message), 16384)]
    return b"".join(b"\x16\x03\x01" + struct.pack(">H", len(part)) + part for part in parts)


def x(count):
    return b"x" * count


# XOAUTH2 with 24,000 octets.
TOKEN = b"a AUTHENTICATE XOAUTH2 " + base64.b64encode(b"user=u@hangs\1auth=Bearer " + x(24000) + b"\1\1") + b"\r\n"

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
    ("most of a hello of 60 KB", "imaps", hello(60000)[:55000]),
    ("TLS: nothing", "tls", b""),
    ("TLS: half a record", "tls", b"", x(16000)),
    ("TLS: AUTHENTICATE, half a record", "tls", b"a AUTHENTICATE PLAIN " + x(32700), x(16000)),
    ("TLS: an answer, half a record", "tls", b"a AUTHENTICATE PLAIN\r\n" + x(32700), x(16000)),
    ("TLS: CAPABILITY, not read", "tls", b"a CAPABILITY\r\n" * 20000),
    ("TLS: a password, a host that hangs", "tls", b"a LOGIN u@hangs {8000+}\r\n" + x(8000) + b"\r\n"),
    ("TLS: a token, a host that hangs", "tls", TOKEN),
    ("TLS: the same and half a record", "tls", TOKEN + b"b" * 8000, x(16000)),
    ("a PROXY header of 64 KiB", "proxied", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff" + x(60000)),
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


def stuff_tls(port, octets, cut):
    """The same behind a handshake; what is cut is a record that lacks its end."""
    s = socket.create_connection(("127.0.0.1", port))
    got, made = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = TRUSTING.wrap_bio(got, made)
    while True:
        try:
            tls.do_handshake()
            break
        except ssl.SSLWantReadError:
            s.sendall(made.read())
            got.write(s.recv(65536))
    s.sendall(made.read())
    s.setblocking(False)
    tls.write(octets) if octets else None
    sealed = made.read()
    if cut:
        tls.write(cut)
        sealed += made.read()[:-100]
    return pushed(s, sealed)


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


def cost(binary, door, octets, cut=b""):
    ports = {name: free_port() for name in ("imap", "imaps", "pop3", "proxied", "admin")}
    ports["tls"] = ports["imaps"]
    config = """
listeners:
  - { bind: "imap://127.0.0.1:IMAP", cleartext_login: true }
  - imaps://127.0.0.1:SECURE
  - { bind: "pop3://127.0.0.1:POP3", cleartext_login: true }
  - { bind: "imap://127.0.0.1:PROXIED", cleartext_login: true, proxy_protocol: [127.0.0.0/8] }
backends: { demo: "demo://", hangs: { hosts: ["imap://127.0.0.1:HOST"], health: none, logins_in_flight: 1000 } }
users: { demo: demo, "@hangs": hangs }
limits: { trusted: [127.0.0.0/8] }
timeouts: { tls_handshake: 30s, proxy_header: 30s }
admin: { bind: "127.0.0.1:ADMIN" }
log: { level: warn }
"""
    for word, name in (("IMAP", "imap"), ("SECURE", "imaps"), ("POP3", "pop3"), ("PROXIED", "proxied"), ("ADMIN", "admin")):
        config = config.replace(":" + word, f":{ports[name]}")
    config = config.replace(":HOST", f":{host_that_hangs()}")
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
                time.sleep(0.05)
        fill = (lambda: stuff_tls(ports[door], octets, cut)) if door == "tls" else (lambda: stuff(ports[door], octets))
        warm = [fill() for _ in range(3)]
        time.sleep(0.5)
        for s in warm:
            s.close()
        before = after = memory()
        held = [fill() for _ in range(MANY)]
        while True:
            time.sleep(0.3)
            now = memory()
            if now <= after:
                break
            after = now
        return (after - before) / len(held)
    finally:
        gateway.kill()
        gateway.wait()


worst = 0
for name, door, *octets in CASES:
    each = cost(sys.argv[1], door, *octets)
    worst = max(worst, each)
    print(f"{door:8}{name:36}{each / 1024:6.1f} KiB", flush=True)
sys.exit(worst > MOST)
