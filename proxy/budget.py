"""Room for request bodies: as many bytes as a setting allows are held at once, others wait, unread, for their turn."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque


class Budget:
    """Bytes that requests take before they read their bodies, in the order they came, and give back in the end."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.free = total
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def take(self, size: int) -> int:
        """Waits for room; gives what was taken, which is never more than there is in all."""
        size = min(size, self.total)
        if not self._waiting and self.free >= size:
            self.free -= size
            return size
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((size, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give(size)
            else:
                with contextlib.suppress(ValueError):
                    self._waiting.remove((size, turn))
                self._admit()
            raise
        return size

    def owe(self, size: int) -> None:
        """Takes without waiting what is held already; others wait until it is given back."""
        self.free -= size

    def give(self, size: int) -> None:
        """Gives room back."""
        self.free += size
        self._admit()

    def _admit(self) -> None:
        while self._waiting and self.free >= self._waiting[0][0]:
            size, turn = self._waiting.popleft()
            if not turn.done():
                self.free -= size
                turn.set_result(None)
