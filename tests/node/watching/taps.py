"""A tap that is read in the background, for tests."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@dataclass
class Seen:
    """The records of a tap, and its last line."""

    status: int = 0
    records: list[dict[str, Any]] = field(default_factory=list)
    end: dict[str, Any] = field(default_factory=dict)
    body: bytes = b""


@asynccontextmanager
async def tapped(url: str, *, headers: dict[str, str] | None = None, **selection: Any) -> AsyncIterator[Seen]:
    """A tap that is open when the block begins; after it, the tap has ended by itself."""
    seen, opened = Seen(), asyncio.Event()

    async def read() -> None:
        timeout = aiohttp.ClientTimeout(total=60)
        async with (
            aiohttp.ClientSession(timeout=timeout, read_bufsize=1 << 20) as session,
            session.post(f"{url}/_proxy/tap", json={"duration": "2s", **selection}, headers=headers) as answer,
        ):
            seen.status = answer.status
            opened.set()
            seen.body = await answer.read()

    task = asyncio.create_task(read())
    waiting = asyncio.create_task(opened.wait())
    await asyncio.wait((task, waiting), return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    try:
        yield seen
    finally:
        await task
        if seen.status == 200:
            lines = [json.loads(line) for line in seen.body.splitlines() if line]
            seen.records, seen.end = lines[:-1], lines[-1]
