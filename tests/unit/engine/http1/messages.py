"""Messages of HTTP/1.1, sound and broken ones, and the readers that have to agree on them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple

import h11
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import HttpRequestParser, HttpResponseParser
from aiohttp.streams import EMPTY_PAYLOAD

from headrace_pipelines.http1 import ChunkedDecoder, HeadError, RequestParser, ResponseParser

if TYPE_CHECKING:
    import random

LINE, HEADERS, COUNT, TRAILERS = 4096, 16384, 1000, 8192

REQUESTS = [
    b"GET /i/_doc/1 HTTP/1.1\r\nHost: h\r\n\r\n",
    b"POST /i/_search HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nAccept: */*\r\n\r\n{} \n",
    b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n\r\n\r\n\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nX-Trailer: 1\r\n\r\n",
    b'POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\n\r\n00a;x="y"\r\n0123456789\r\n0;z\r\n\r\n',
    b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 20\r\n\r\nGET / HTTP/1.1\r\n\r\nzz",
    b"\r\nGET / HTTP/1.1\r\nHost: h\r\nX: caf\xe9\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: h\r\nConnection: keep-alive\r\n\r\n",
    b"DELETE _snapshot/x HTTP/1.1\r\nHost: h\r\n\r\n",
    b"HEAD http://h:9200/i?pretty HTTP/1.1\r\nHost: h\r\nX-A:1\r\nX-B: \t 2 \t\r\nX-C:\r\n\r\n",
    b"PUT /i/_doc/%C3%A9?a=b#c HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\n{}",
    b"POST /_bulk HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc",
    b"PATCH / HTTP/1.1\r\nHost: h\r\nConnection: x-a, Upgrade\r\nUpgrade: h2c\r\nX-A: 1\r\n\r\n",
]
RESPONSES = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    b"HTTP/1.1 201 Created\r\nLocation: /i/_doc/1\r\ncontent-length: 0\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n",
    b"HTTP/1.1 404 \r\nX: caf\xe9\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc",
    b"HTTP/1.1 200\r\nContent-Length: 3\r\n\r\nabc",
    b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx",
    b"HTTP/1.1 200 OK\r\nX-Opaque-Id: 1\r\n\r\nto the end",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;a\r\n{}\r\n0\r\nT: 1\r\nU: 2\r\n\r\n",
]
NASTY = [
    b"Content-Length: 3\r\n",
    b"Content-Length: 3, 3\r\n",
    b"Content-Length: +3\r\n",
    b"Content-Length: 0x3\r\n",
    b"Content-Length: 1_0\r\n",
    b"Content-Length : 3\r\n",
    b"Content-Length:\r\n",
    b"Content-Length: 99999999999999999999\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: gzip, chunked\r\n",
    b"Transfer-Encoding: chunked, gzip\r\n",
    b"Transfer-Encoding: identity\r\n",
    b"Transfer-Encoding: xchunked\r\n",
    b"Transfer-Encoding: \x0bchunked\r\n",
    b"Transfer-Encoding:\r\n chunked\r\n",
    b"Transfer_Encoding: chunked\r\n",
    b"Connection: close\r\n",
    b"Connection: content-length\r\n",
    b"Connection: keep-alive, transfer-encoding\r\n",
    b"Expect: 100-continue\r\n",
    b"Expect: 200-ok\r\n",
    b"Upgrade: websocket\r\n",
    b"Host: other\r\n",
    b" folded\r\n",
    b"\tfolded\r\n",
    b": no name\r\n",
    b"no colon\r\n",
    b"X: a\nContent-Length: 3\r\n",
    b"X: a\rContent-Length: 3\r\n",
    b"X: a\x00b\r\n",
    b"\r\n",
    b"\n",
    b"1\r\n",
    b"0\r\n\r\n",
]
BYTES = b'\r\n\t\x00\x0b :;,/*0123456789aAfFgxX\x7f\x80\xff"HTTP'


class Read(NamedTuple):
    """A message as a reader has it: what its first line says, its headers, its body."""

    line: tuple[object, ...]
    headers: list[tuple[bytes, bytes]]
    body: bytes


class Reading(NamedTuple):
    """The whole messages at the beginning of a stream, and whether they are followed by one that is refused."""

    messages: list[Read]
    refused: bool
    heads: list[Any]
    """Of the messages, as the parser gives them."""
    ends: list[int]
    """Where each message ends in the stream."""


def mutated(chance: random.Random, message: bytes) -> bytes:
    """A message with up to three changes."""
    for _ in range(chance.choice((0, 1, 1, 2, 3))):
        at = chance.randrange(len(message) + 1)
        match chance.randrange(6):
            case 0:
                message = message[:at] + message[at + 1 :]
            case 1:
                message = message[:at] + bytes([chance.choice(BYTES)]) + message[at:]
            case 2:
                message = message[:at] + bytes([chance.choice(BYTES)]) + message[at + 1 :]
            case 3:
                to = min(len(message), at + chance.randrange(20))
                message = message[:to] + message[at:to] + message[to:]
            case _:
                ends = [n + 2 for n in range(len(message)) if message.startswith(b"\r\n", n)] or [0]
                at = chance.choice(ends)
                message = message[:at] + chance.choice(NASTY) + message[at:]
    return message


def _lower(raw: Any) -> list[tuple[bytes, bytes]]:
    """Headers in lower case, as h11 has them: names, and codings of the transfer."""
    pairs = [(bytes(name).lower(), bytes(value)) for name, value in raw]
    return [(name, value.lower() if name == b"transfer-encoding" else value) for name, value in pairs]


def read_requests(stream: bytes, step: int | None = None) -> Reading:
    """What the engine's parsers make of a stream that arrives in steps of so many bytes."""
    parser = RequestParser(LINE, HEADERS, COUNT)
    return _read(stream, step or len(stream), parser.parse, lambda head: (head.method, head.target, head.minor_version))


def read_responses(stream: bytes, step: int | None = None) -> Reading:
    """The same for responses to GET."""
    parser = ResponseParser(HEADERS, COUNT)
    return _read(stream, step or len(stream), parser.parse, lambda head: (head.status, head.minor_version))


def _read(stream: bytes, step: int, parse: Any, line: Any) -> Reading:
    read = Reading([], False, [], [])
    at, here = 0, min(step, len(stream))
    try:
        while at < len(stream):
            while (head := parse(stream, at, here)) is None:
                if here == len(stream):
                    return read
                here = min(here + step, len(stream))
            found = _body(stream, at + head.size, here, step, head)
            if found is None:
                break
            body, at, here = found
            read.heads.append(head)
            read.messages.append(Read(line(head), _lower(head.raw_headers), body))
            read.ends.append(at)
            if not head.keep_alive and not getattr(head, "interim", False):
                break
    except HeadError:
        return read._replace(refused=True)
    return read


def _body(stream: bytes, at: int, here: int, step: int, head: Any) -> tuple[bytes, int, int] | None:
    """The body that begins at `at`, where it ends, and how far the stream has arrived; `None`: it is not whole."""
    if head.chunked:
        decoder, pieces = ChunkedDecoder(TRAILERS), []
        while True:
            piece, at, done = decoder.feed(stream, at, here)
            pieces.append(piece)
            if done:
                return b"".join(pieces), at, here
            if here == len(stream):
                return None
            here = min(here + step, len(stream))
    if getattr(head, "until_close", False):
        return stream[at:], len(stream), len(stream)
    end = at + (head.length or 0)
    return (stream[at:end], end, max(here, end)) if end <= len(stream) else None


class _Protocol:
    """What aiohttp's parser wants of a connection."""

    def pause_reading(self) -> None: ...

    def resume_reading(self, resume_parser: bool = True) -> None: ...


def aiohttp_reads(stream: bytes, loop: asyncio.AbstractEventLoop, *, requests: bool) -> tuple[list[Read], bool]:
    """What aiohttp's parser makes of a stream, and whether it refuses it; messages before a refusal are lost with it."""
    if requests:
        parser: Any = HttpRequestParser(
            _Protocol(), loop, 1 << 18, max_line_size=LINE * 2, max_field_size=HEADERS, auto_decompress=False
        )
    else:
        parser = HttpResponseParser(_Protocol(), loop, 1 << 18, read_until_eof=True, auto_decompress=False)
    try:
        found = parser.feed_data(stream)[0]
        parser.feed_eof()
    except HttpProcessingError:
        return [], True
    read = []
    for message, payload in found:
        version = message.version.minor
        line = (message.method, message.path, version) if requests else (message.code, version)
        body = b"" if payload is EMPTY_PAYLOAD else b"".join(payload._buffer)
        read.append(Read(line, _lower(message.raw_headers), body))
    return read, False


def h11_requests(stream: bytes) -> tuple[list[Read], bool]:
    """What h11 makes of a stream of requests, and whether it refuses it."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 16)
    read: list[Read] = []
    line: tuple[object, ...] = ()
    headers: list[tuple[bytes, bytes]] = []
    body = b""
    try:
        connection.receive_data(stream)
        while True:
            match connection.next_event():
                case h11.Request() as event:
                    line = (event.method.decode(), event.target.decode(), int(event.http_version[-1:]))
                    headers, body = _lower(event.headers), b""
                case h11.Data() as event:
                    body += event.data
                case h11.EndOfMessage():
                    read.append(Read(line, headers, body))
                    connection.send(h11.Response(status_code=200, headers=[("Content-Length", "0")]))
                    connection.send(h11.EndOfMessage())
                    if connection.our_state is not h11.DONE:
                        return read, False
                    connection.start_next_cycle()
                case _:
                    return read, False
    except h11.RemoteProtocolError:
        return read, True


def h11_response(stream: bytes) -> tuple[list[Read], bool]:
    """What h11 makes of the interim responses and the first final one of a stream."""
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 16)
    connection.send(h11.Request(method="GET", target="/", headers=[("Host", "h")]))
    connection.send(h11.EndOfMessage())
    read: list[Read] = []
    try:
        connection.receive_data(stream)
        connection.receive_data(b"")
        while True:
            match connection.next_event():
                case h11.Response() | h11.InformationalResponse() as event:
                    read.append(Read((event.status_code, int(event.http_version[-1:])), _lower(event.headers), b""))
                case h11.Data() as event:
                    read[-1] = read[-1]._replace(body=read[-1].body + event.data)
                case _:
                    return read, False
    except h11.RemoteProtocolError:
        return read, True
