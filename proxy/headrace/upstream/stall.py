"""A time-out for many waits with one timer of the loop."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable


class StallTimer:
    """Calls `late` when `seconds` have passed since the last start or extension; `None`: never.

    A timer of the loop is set once and looks again, since setting one for each byte that is waited for costs more.
    """

    __slots__ = ("_due", "_handle", "_late", "_loop", "_seconds")

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float | None, late: Callable[[], None]) -> None:
        self._loop = loop
        self._seconds = seconds
        self._late = late
        self._due: float | None = None
        self._handle: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Something is waited for from now on."""
        if self._seconds is None:
            return
        self._due = self._loop.time() + self._seconds
        if self._handle is None:
            self._handle = self._loop.call_at(self._due, self._check)

    def extend(self) -> None:
        """Something came; more is waited for, if something was."""
        if self._due is not None:
            self.start()

    def stop(self) -> None:
        """Nothing is waited for."""
        self._due = None

    def cancel(self) -> None:
        """Ends it for good."""
        self._due = None
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _check(self) -> None:
        self._handle = None
        if self._due is None:
            return
        if self._loop.time() < self._due:
            self._handle = self._loop.call_at(self._due, self._check)
        else:
            self._late()
