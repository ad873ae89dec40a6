"""Single keys from a terminal, by `termios` alone; the terminal is as before in the end."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType


class Keys(Protocol):
    """Waits for keys."""

    def __call__(self, seconds: float) -> str:
        """The keys that were pressed, or an empty text when the time is over."""
        ...


@contextlib.contextmanager
def keys() -> Iterator[Keys | None]:
    """Keys as they are pressed, without an echo; `None` where standard input is no terminal.

    A process that is told to end leaves the context as an interrupted one does.
    """
    if not sys.stdin.isatty():
        yield None
        return
    import termios
    import tty

    number = sys.stdin.fileno()
    before = termios.tcgetattr(number)
    handler = signal.signal(signal.SIGTERM, _interrupt)
    try:
        tty.setcbreak(number)
        yield lambda seconds: _read(number, seconds)
    finally:
        termios.tcsetattr(number, termios.TCSADRAIN, before)
        signal.signal(signal.SIGTERM, handler)


def _read(number: int, seconds: float) -> str:
    ready, _, _ = select.select([number], [], [], seconds)
    if not ready:
        return ""
    # The terminal is gone where there is nothing to read: as if q were pressed.
    return os.read(number, 32).decode(errors="replace") or "q"


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
