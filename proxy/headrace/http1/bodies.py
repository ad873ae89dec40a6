"""Bodies as they arrive, in aiohttp's streams."""

from __future__ import annotations

import sys

import aiohttp
from aiohttp.streams import EMPTY_PAYLOAD

PINNED = "3.14."
"""The aiohttp whose internals are known."""
KNOWN = aiohttp.__version__.startswith(PINNED)

Headers = tuple[tuple[bytes, bytes], ...]


def arrived(stream: aiohttp.StreamReader, most: int = sys.maxsize) -> bytes:
    """What is left of a body that has arrived whole, with at most `most` bytes; empty for any other.

    aiohttp's own reading wakes the connection's parser for each piece, which a body that is there does not need.
    """
    if not KNOWN or stream is EMPTY_PAYLOAD or not stream._eof or stream._exception is not None:
        return b""
    if stream._size > most:
        return b""
    whole = _joined(stream)
    stream._buffer.clear()
    stream._size = stream._buffer_offset = 0
    return whole


def begin(stream: aiohttp.StreamReader, data: bytes, start: int) -> None:
    """Has a body begin at `start` in what has arrived, which is not copied."""
    # An empty piece would be taken for the body's end.
    if start < len(data):
        stream._buffer.append(data)
        stream._buffer_offset = start
        stream._size = stream.total_bytes = len(data) - start


def pieces_here(stream: aiohttp.StreamReader) -> tuple[list[bytes], int]:
    """Takes what has arrived of a body, as it came, and where in the first piece it begins.

    Reading goes on with who asks for more.
    """
    pieces, offset = list(stream._buffer), stream._buffer_offset
    stream._buffer.clear()
    stream._size = stream._buffer_offset = 0
    return pieces, offset


def _joined(stream: aiohttp.StreamReader) -> bytes:
    pieces, offset = stream._buffer, stream._buffer_offset
    whole = pieces[0] if len(pieces) == 1 else b"".join(pieces)
    return whole[offset:] if offset else whole


def mentions(stream: aiohttp.StreamReader, word: bytes) -> bool:
    """Whether a word is in what has arrived of a body and is yet to be read, which stays there."""
    return stream is not EMPTY_PAYLOAD and word in _joined(stream)


def declared_length(raw_headers: Headers) -> int | None:
    """The `Content-Length` of a head, if it has one."""
    for name, value in raw_headers:
        if len(name) == 14 and name.lower() == b"content-length" and value.isdigit():
            return int(value)
    return None


def with_length(raw_headers: Headers, length: int) -> Headers:
    """A head whose `Content-Length`, if it has one, is another."""
    digits = b"%d" % length
    return tuple((name, digits if name.lower() == b"content-length" else value) for name, value in raw_headers)
