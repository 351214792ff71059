"""Runs a program in a terminal of its own that nobody types at: in_terminal.py SECONDS PROGRAM ARG...

The terminal stays open, so the program never reads an end of file; after SECONDS it is ended, and
with its exit code what it drew is printed, stripped of nothing.
"""

import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios
import time

end = time.monotonic() + float(sys.argv[1])
pid, terminal = pty.fork()
if pid == 0:
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    try:
        os.execvp(sys.argv[2], sys.argv[2:])
    finally:
        os._exit(127)

drawn = b""
while time.monotonic() < end:
    if select.select([terminal], [], [], 0.2)[0]:
        try:
            bytes_drawn = os.read(terminal, 65536)
        except OSError:  # EIO: the last process has left the terminal
            break
        if not bytes_drawn:
            break
        drawn = (drawn + bytes_drawn)[-65536:]
else:
    os.killpg(pid, signal.SIGKILL)
_, status = os.waitpid(pid, 0)
sys.stdout.buffer.write(drawn)
sys.exit(os.waitstatus_to_exitcode(status) % 256)
