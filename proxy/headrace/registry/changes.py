"""Changes of the registry run to their end, whatever becomes of the client that asked for them.

A change is several writes, the snapshot that follows from them, word to the other workers, and a line in the audit log.
aiohttp cancels the task of a request whose client hangs up, at any await; so each change has a task of its own.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")


class Changes:
    """The tasks of the changes that are being made."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[object]] = set()

    async def run(self, change: Coroutine[object, object, T]) -> T:
        """Runs a coroutine to its end, even if the caller is cancelled meanwhile."""
        task = asyncio.create_task(change)
        self._running.add(task)
        task.add_done_callback(self._over)
        return await asyncio.shield(task)

    def _over(self, task: asyncio.Task[object]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            # Marks the exception as retrieved: the caller gets it, or the log has it.
            task.exception()

    async def finish(self, seconds: float) -> None:
        """Waits until all have ended, at most `seconds`."""
        if self._running:
            await asyncio.wait(self._running, timeout=seconds)
