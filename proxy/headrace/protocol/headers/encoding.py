"""Compressed bodies: requests inflated under a cap, answers as the client takes them; lines of NDJSON."""

from __future__ import annotations

import zlib
from decimal import Decimal
from typing import Any

import msgspec

from headrace_pipelines import canonical_json
from headrace_pipelines.errors import InvalidError, MediaTypeError, TooLargeError, UnparsableError

_LEVEL = 3
_GUESS = 8
"""Assumed ratio of inflated to compressed bytes for a coding that does not state its size."""
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


def claimed_size(body: bytes, encoding: str) -> int:
    """Bytes that a body has without its Content-Encoding, as far as it says: gzip does (RFC 1952, ISIZE)."""
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return len(body)
    return int.from_bytes(body[-4:], "little") if name in ("gzip", "x-gzip") else _GUESS * len(body)


def accepts_gzip(accept_encoding: str) -> bool:
    """Whether a client takes gzip, by its `Accept-Encoding` (RFC 9110, section 12.5.3)."""
    for part in accept_encoding.lower().split(","):
        name, _, parameters = part.strip().partition(";")
        if name.strip() in ("gzip", "x-gzip", "*"):
            return parameters.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False


def deflate(body: bytes) -> bytes:
    """`body` as gzip, at OpenSearch's own default level (`http.compression_level`)."""
    stream = zlib.compressobj(_LEVEL, zlib.DEFLATED, _WINDOW["gzip"])
    return stream.compress(body) + stream.flush()


_decoder = msgspec.json.Decoder(float_hook=Decimal)
_encoder = msgspec.json.Encoder(decimal_format="number")


def decode_exact(text: bytes) -> Any:
    """The value of a JSON text; numbers keep their exact value. Raises msgspec.DecodeError."""
    return _decoder.decode(text)


def encode_exact(value: Any) -> bytes:
    """The opposite of [`decode_exact`]."""
    text: bytes = _encoder.encode(value)
    return text


def as_single_line(body: bytes) -> bytes:
    """JSON as a line of NDJSON: what breaks lines can only stand between its tokens."""
    return body.replace(b"\n", b" ").replace(b"\r", b" ")


def canonical(body: bytes) -> bytes:
    """A body as one strict reader reads it, written anew. Raises UnparsableError for what other readers may misread."""
    try:
        return canonical_json(body)
    except ValueError as error:
        raise UnparsableError(f"the request body is not JSON that every reader takes for the same: {error}") from None


def decode_object(body: bytes) -> dict[str, Any]:
    """The object of a canonical body; numbers keep their exact value. Raises UnparsableError."""
    value = decode_exact(body)
    if not isinstance(value, dict):
        raise UnparsableError("the request body must be a JSON object")
    return value
