"""Notes to the service manager about the state of the process (`Type=notify` of systemd); nothing without one."""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress

SOCKET = "NOTIFY_SOCKET"
"""The variable with the path of the manager's socket; a path that begins with @ is abstract."""


def notify(*lines: str) -> None:
    """Sends lines such as `READY=1`. A manager that cannot be reached is no reason to fail."""
    path = os.environ.get(SOCKET)
    if not path:
        return
    address = "\0" + path[1:] if path.startswith("@") else path
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as connection:
        connection.sendto("\n".join(lines).encode(), address)


def ready(status: str) -> None:
    """The process serves; `status` is shown beside it."""
    notify("READY=1", f"STATUS={status}")


def reloading() -> None:
    """A reload begins; [`ready`] ends it."""
    notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")


def stopping() -> None:
    """The process ends."""
    notify("STOPPING=1")
