"""Room for request bodies: as many bytes as a setting allows are held at once, others wait, unread, for their turn.

The allocator keeps the memory of bodies for the next ones. Once many were held at a time and none has come for a while,
what they left goes back to the system.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

MANY = 16 << 20
"""Minimum peak of reserved bytes after which memory is returned: the allocator keeps about three times the peak."""
QUIET_SECONDS = 5.0
"""Seconds without a reservation before memory is returned to the system."""


class BodyBudget:
    """Bytes that requests take before they read their bodies, in the order they came, and give back in the end."""

    def __init__(self, total: int, release: Callable[[], None]) -> None:
        """`release` gives memory back to the system; it runs on a thread."""
        self.total = total
        self.free = total
        self._release = release
        self._most = 0
        self._quiet: asyncio.TimerHandle | None = None
        self._waiting: deque[tuple[int, asyncio.Future[int]]] = deque()

    async def acquire(self, size: int) -> int:
        """Waits for room; gives what was taken, which is never more than there is in all."""
        size = min(size, self.total)
        if self.acquire_at_once(size):
            return size
        turn: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.append((size, turn))
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.release(turn.result())
            else:
                with contextlib.suppress(ValueError):
                    self._waiting.remove((size, turn))
                self._admit()
            raise

    def acquire_at_once(self, size: int) -> bool:
        """Takes room for `size` bytes, if there is that much and nobody waits; gives whether it has."""
        if self._waiting or self.free < size:
            return False
        self.free -= size
        return True

    @property
    def waiting(self) -> int:
        """The bytes that requests wait for."""
        return sum(size for size, _ in tuple(self._waiting))

    def resize(self, total: int) -> None:
        """Room for `total` bytes from now on; what is held stays held."""
        self.free += total - self.total
        self.total = total
        self._admit()

    def overdraw(self, size: int) -> None:
        """Takes without waiting what is held already; others wait until it is given back."""
        self.free -= size

    def release(self, size: int) -> None:
        """Gives room back."""
        self._most = max(self._most, self.total - self.free)
        self.free += size
        self._admit()
        if self.free == self.total and self._most >= MANY:
            self._wait_for_quiet()

    def _wait_for_quiet(self) -> None:
        if self._quiet is not None:
            self._quiet.cancel()
        self._quiet = asyncio.get_running_loop().call_later(QUIET_SECONDS, self._return_memory)

    def _return_memory(self) -> None:
        self._quiet = None
        if self.free == self.total:
            self._most = 0
            asyncio.get_running_loop().run_in_executor(None, self._release)

    def _admit(self) -> None:
        while self._waiting and self.free >= min(self._waiting[0][0], self.total):
            size, turn = self._waiting.popleft()
            if not turn.done():
                size = min(size, self.total)
                self.free -= size
                turn.set_result(size)
