"""Compressed request bodies, inflated under a cap."""

from __future__ import annotations

import zlib

from pipelines.errors import InvalidError, MediaTypeError, TooLargeError

_WINDOW = {"gzip": 31, "x-gzip": 31, "deflate": 15}


def inflate(body: bytes, encoding: str, limit: int) -> bytes:
    """`body` without its Content-Encoding, at most `limit` bytes.

    Raises TooLargeError over the limit, InvalidError for a corrupt body, MediaTypeError for an encoding we cannot read.
    """
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return body
    if name not in _WINDOW:
        raise MediaTypeError(
            f"Content-Encoding [{encoding}] is not supported where a pipeline reads the body; use gzip"
        )
    out = bytearray()
    rest = body
    try:
        while rest:
            stream = zlib.decompressobj(_WINDOW[name])
            out += stream.decompress(rest, limit + 1 - len(out))
            if len(out) > limit:
                raise TooLargeError(f"the body inflates to more than {limit} bytes; send smaller requests")
            if not stream.eof:
                raise InvalidError("the compressed body is cut off")
            rest = stream.unused_data
    except zlib.error as error:
        raise InvalidError(f"the body is not valid {name}: {error}") from None
    return bytes(out)
