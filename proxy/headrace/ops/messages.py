"""The messages of workers to each other, and how they are framed: a length of four bytes, then MessagePack."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from asyncio import StreamReader

MAX_FRAME = 16 << 20
"""Bytes of the longest frame: a record of a tap has one MiB, the kept lines of a UDF some seven."""


class Stats(msgspec.Struct, tag="stats"):
    """Asks for the counts; `compact`: with durations for Prometheus' buckets only."""

    compact: bool = False


class History(msgspec.Struct, tag="history"):
    """Asks for the history of counts; `wanted` says in JSON of what."""

    wanted: bytes


class Changed(msgspec.Struct, tag="changed"):
    """The registry has changed: read it."""


class Changing(msgspec.Struct, tag="changing"):
    """Names of the cluster change, until the connection ends."""


class Reload(msgspec.Struct, tag="reload"):
    """Asks for a reload."""


class Follow(msgspec.Struct, tag="follow"):
    """Asks for a stream of frames, until the asker ends its side; `wanted` says of what."""

    wanted: bytes


Message = Stats | History | Changed | Changing | Reload | Follow
_DECODER = msgspec.msgpack.Decoder(Message)


def framed(payload: bytes) -> bytes:
    """A payload behind its length."""
    return len(payload).to_bytes(4, "big") + payload


def encoded(message: Message) -> bytes:
    """A message, framed."""
    return framed(msgspec.msgpack.encode(message))


async def read_frame(reader: StreamReader) -> bytes | None:
    """The next payload; `None` at the end of the stream. Raises ConnectionError for what is no frame."""
    try:
        length = int.from_bytes(await reader.readexactly(4), "big")
        if length > MAX_FRAME:
            raise ConnectionError(f"a frame of {length} bytes")
        return await reader.readexactly(length)
    except asyncio.IncompleteReadError:
        return None


async def read_message(reader: StreamReader) -> Message | None:
    """The message that a connection begins with; `None` where there is none. Raises ConnectionError."""
    payload = await read_frame(reader)
    if payload is None:
        return None
    try:
        message: Message = _DECODER.decode(payload)
    except msgspec.DecodeError as error:
        raise ConnectionError(f"no message of a worker: {error}") from None
    return message
