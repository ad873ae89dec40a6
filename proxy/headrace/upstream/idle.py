"""Connections to a node between two exchanges; they are aiohttp's, made in `connections.py`."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

    from aiohttp.connector import Connection

IDLE_SECONDS = 15.0
"""How long a connection is kept that nobody uses: as long as aiohttp keeps one."""


class Idle:
    """Connections to a node that wait for the next exchange; the one that was used last goes first.

    The connector counts them as in use: taking one from it and giving it back costs more than all that is done here.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: deque[tuple[Connection, float]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    @staticmethod
    def _usable(connection: Connection) -> bool:
        protocol = connection.protocol
        if protocol is None or protocol.should_close:
            return False
        return protocol.transport is not None and not protocol.transport.is_closing()

    def take(self) -> Connection | None:
        """One that can be used, if there is any."""
        while self._waiting:
            connection, since = self._waiting.pop()
            if self._loop.time() - since < IDLE_SECONDS and self._usable(connection):
                return connection
            connection.close()
        return None

    def give(self, connection: Connection) -> None:
        """Takes back one whose exchange is over, or closes it where that was not whole."""
        if not self._usable(connection):
            connection.close()
            return
        self._waiting.append((connection, self._loop.time()))
        if self._timer is None:
            self._timer = self._loop.call_later(IDLE_SECONDS, self._close_old)

    def _close_old(self) -> None:
        self._timer = None
        oldest = self._loop.time() - IDLE_SECONDS
        while self._waiting and self._waiting[0][1] <= oldest:
            self._waiting.popleft()[0].close()
        if self._waiting:
            self._timer = self._loop.call_at(self._waiting[0][1] + IDLE_SECONDS, self._close_old)

    def end(self) -> None:
        """Closes all of them."""
        if self._timer is not None:
            self._timer.cancel()
        while self._waiting:
            self._waiting.pop()[0].close()
