"""HTTP/1.1 messages as bytes: the engine's parsers of heads and bodies, for whoever does the I/O."""

from headrace_pipelines._wasm import (
    BodyBuffer,
    ChunkedDecoder,
    HeadError,
    RequestHead,
    RequestParser,
    ResponseHead,
    ResponseParser,
)

__all__ = [
    "BodyBuffer",
    "ChunkedDecoder",
    "HeadError",
    "RequestHead",
    "RequestParser",
    "ResponseHead",
    "ResponseParser",
]
