"""Ports for what is started here."""

import contextlib
import socket


def free_ports(count):
    """Ports that nobody has; all held at once, so that none comes twice."""
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in held:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in held]
