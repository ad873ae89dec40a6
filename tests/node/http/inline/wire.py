"""A client on the wire itself, and the room that its requests take."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headrace.ops.body_budget import BodyBudget
    from tests.conftest import Http


async def all_free(budgets: set[BodyBudget]) -> None:
    async with asyncio.timeout(5):
        while not budgets or any(each.free != each.total for each in budgets):
            await asyncio.sleep(0.01)


class Wire:
    """A client that sends a bulk as it likes."""

    def __init__(self, through: Http, target: str, body: bytes) -> None:
        self.port = int(through.base.rpartition(":")[2])
        head = f"POST {target} HTTP/1.1\r\nHost: p\r\nContent-Type: application/x-ndjson\r\nContent-Length: {len(body)}"
        self.head = head.encode() + b"\r\n\r\n"
        self.body = body

    async def __aenter__(self) -> Wire:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()

    async def send(self, *pieces: bytes, pause: float = 0.0) -> None:
        for piece in pieces:
            self.writer.write(piece)
            with suppress(ConnectionError):
                await self.writer.drain()
            await asyncio.sleep(pause)

    async def answer(self) -> bytes:
        async with asyncio.timeout(20):
            head = await self.reader.readuntil(b"\r\n\r\n")
            length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            return head + await self.reader.readexactly(int(length[15:]))
