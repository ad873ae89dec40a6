"""What bounds taps: rates, bytes that are held, and the time of streams."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

MAX_HELD = 16 << 20
"""Bytes that all taps of a worker hold of inputs and records that are not shown yet: a worker has some 200 MiB."""


class Bucket:
    """So many a second, with those of one second at once; may be used from several threads."""

    def __init__(self, rate: float) -> None:
        self._lock = threading.Lock()
        self._rate = self._left = float(rate)
        self._at = time.monotonic()

    def grant(self, wanted: int) -> int:
        """How many of the `wanted` are granted now."""
        with self._lock:
            now = time.monotonic()
            self._left = min(self._rate, self._left + (now - self._at) * self._rate)
            self._at = now
            granted = min(wanted, max(0, int(self._left)))
            self._left -= granted
            return granted

    def spend(self, amount: int) -> None:
        """Counts what was used, also beyond what is left."""
        with self._lock:
            self._left -= amount

    def restore(self, count: int) -> None:
        """Puts back what was granted and not used."""
        with self._lock:
            self._left = min(self._rate, self._left + count)


class HeldBytes:
    """The bytes that taps hold; may be used from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._nbytes = 0

    @property
    def nbytes(self) -> int:
        """The bytes now."""
        return self._nbytes

    @property
    def full(self) -> bool:
        """Whether nothing more is held."""
        return self._nbytes > MAX_HELD

    def add(self, nbytes: int) -> None:
        """Counts bytes that are held from now on, or, below 0, no longer."""
        with self._lock:
            self._nbytes += nbytes


class StreamLimits:
    """The ends of the streams under way: each has a time, and one call ends all."""

    def __init__(self) -> None:
        self._limits: set[asyncio.Timeout] = set()
        self.closed = False

    @asynccontextmanager
    async def within(self, seconds: float) -> AsyncIterator[None]:
        """Ends the block without an error after so many seconds, or by [`close`], whatever it waits for."""
        limit = asyncio.timeout(0 if self.closed else seconds)
        try:
            async with limit:
                self._limits.add(limit)
                yield
        except TimeoutError:
            if not limit.expired():
                raise
        finally:
            self._limits.discard(limit)

    def close(self) -> None:
        """Ends all streams now, and later ones as soon as they wait."""
        self.closed = True
        now = asyncio.get_running_loop().time()
        for limit in self._limits:
            if not limit.expired():
                limit.reschedule(now)
