"""Message framing of both sides (RFC 9112, section 7): chunks as they are written, and limits of what is read."""

from __future__ import annotations

MAX_JOINED_BYTES = 1 << 16
"""Maximum length in bytes of a body that is joined to its head: the copy costs less than a second write."""
MAX_TRAILER_BYTES = 16 << 10
"""Bytes of the trailer section of a chunked body, as many as a node takes of headers."""
LAST_CHUNK = b"0\r\n\r\n"
"""The end of a chunked body without trailers."""


def chunk(piece: bytes) -> bytes:
    """A piece of a body as a chunk; it must not be empty, which would be the last one."""
    return b"%x\r\n%b\r\n" % (len(piece), piece)
