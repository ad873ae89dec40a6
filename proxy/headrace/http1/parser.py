"""The engine's HTTP/1.1: parsers of heads, the decoder of chunked bodies, memory that a body is received into."""

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
