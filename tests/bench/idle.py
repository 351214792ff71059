#!/usr/bin/env python3
"""Memory of idle TLS sessions: logs in N times over imaps, waits, and reads what the gateway holds.

Needs nothing but Python and a built gateway: the host is a small IMAP server in a process of its
own, in clear. By hand:

    cargo build --release && tests/bench/idle.py [N] [path of gatepost]

Prints PSS and RSS (of /proc/PID/smaps_rollup) before the first session and with all of them idle,
and the difference for each session. What the kernel holds for the sockets is not in it."""
import asyncio
import multiprocessing
import os
import resource
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request

sessions = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
binary = sys.argv[2] if len(sys.argv) > 2 else "target/release/gatepost"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


async def host_session(reader, writer):
    writer.write(b"* OK [CAPABILITY IMAP4rev1 SASL-IR LITERAL+ AUTH=PLAIN IDLE] ready\r\n")
    while line := await reader.readline():
        tag, _, rest = line.strip().partition(b" ")
        writer.write(b"+ idling\r\n" if rest.upper() == b"IDLE" else tag + b" OK done\r\n")


def host(port):
    async def serve():
        server = await asyncio.start_server(host_session, "127.0.0.1", port, backlog=4096)
        await server.serve_forever()

    files(2 * sessions + 100)
    asyncio.run(serve())


def files(count):
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(count, 1024), hard), hard))


def memory(pid):
    with open(f"/proc/{pid}/smaps_rollup") as lines:
        kib = {line.split()[0]: int(line.split()[1]) for line in lines if line.endswith("kB\n")}
    return kib["Pss:"], kib["Rss:"]


async def client(port, context, gate):
    async with gate:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        await reader.readline()
        writer.write(b"a LOGIN someone secret\r\nb IDLE\r\n")
        while not (await reader.readline()).startswith(b"+"):
            pass
        return reader, writer


async def alive(reader, writer):
    writer.write(b"DONE\r\nc NOOP\r\n")
    while line := await asyncio.wait_for(reader.readline(), 30):
        if line.startswith(b"c OK"):
            return 1
    return 0


async def run(port, pid):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    gate = asyncio.Semaphore(50)
    # The first few sessions build what all of them share.
    warm = await asyncio.gather(*(client(port, context, gate) for _ in range(20)))
    await asyncio.sleep(2)
    before = memory(pid)
    idle = await asyncio.gather(*(client(port, context, gate) for _ in range(sessions)))
    await asyncio.sleep(5)
    after = memory(pid)
    for name, a, b in zip(("PSS", "RSS"), before, after):
        print(f"{name}: {a} KiB before, {b} KiB with {sessions} more: "
              f"{(b - a) / sessions:.1f} KiB a session")
    up = sum(await asyncio.gather(*(alive(*streams) for streams in idle)))
    print(f"{up} of {sessions} still answer")
    assert up == sessions and warm


def main():
    files(4 * sessions + 1000)
    port, store, admin = free_port(), free_port(), free_port()
    server = multiprocessing.Process(target=host, args=(store,), daemon=True)
    server.start()
    with tempfile.TemporaryDirectory() as folder:
        config = os.path.join(folder, "proxy.yaml")
        with open(config, "w") as out:
            out.write(f"""listeners: ["imaps://127.0.0.1:{port}"]
backends: {{ store: "imap://127.0.0.1:{store}" }}
users: {{ "*": store }}
limits: {{ per_ip: 100000, per_user: 100000, per_user_ip: 100000 }}
admin: {{ bind: "127.0.0.1:{admin}" }}
log: {{ level: warn }}
""")
        gateway = subprocess.Popen([binary, "run", "-c", config])
        try:
            for _ in range(300):
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{admin}/readyz")
                    break
                except OSError:
                    time.sleep(0.1)
            asyncio.run(run(port, gateway.pid))
        finally:
            gateway.kill()
            server.kill()


main()
