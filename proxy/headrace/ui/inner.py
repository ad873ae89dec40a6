"""Requests to the proxy from within its process, over a connection without a socket.

The other end is a client connection of the listener (`server.connection`), so that a request goes the way of every
request: the strict parser, the routes, the rights, the audit log.
"""

from __future__ import annotations

import asyncio
import http.client
import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote, urlencode

import msgspec

from headrace_pipelines.errors import HeadraceError

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable, Mapping

PATIENCE_SECONDS = 60.0
"""Seconds for an answer of the proxy: more than a trial run or a reload takes."""
OPAQUE_ID = "headrace-ui"
"""The `X-Opaque-Id` of requests of the page: the audit log has it."""
MOST_BYTES = 64 << 20
"""Maximum length in bytes of an answer: more than 1,000 definitions have."""


class ApiError(HeadraceError):
    """An answer of the API that is an error: its status, its type, the path of the member that is wrong."""

    def __init__(self, status: int, reason: str, field: str = "", kind: str = "") -> None:
        super().__init__(reason.removeprefix(f"[{field}] ") if field else reason)
        self.status = status
        self.field = field
        self.kind = kind


@dataclass
class Reply:
    """A whole answer of the proxy."""

    status: int
    body: bytes

    @property
    def json(self) -> Any:
        """The body, decoded. Raises ApiError where it is no JSON."""
        try:
            return msgspec.json.decode(self.body)
        except msgspec.DecodeError:
            raise ApiError(502, "the answer of the proxy is not JSON") from None

    @property
    def error(self) -> ApiError:
        """The error that the body describes, in the words of the API."""
        try:
            told = msgspec.json.decode(self.body)["error"]
        except (msgspec.DecodeError, KeyError, TypeError):
            return ApiError(self.status, f"the proxy answered {self.status}")
        if not isinstance(told, dict):
            return ApiError(self.status, str(told))
        texts = {name: str(told.get(name) or "") for name in ("reason", "field", "type")}
        return ApiError(self.status, texts["reason"], texts["field"], texts["type"])


@dataclass
class Api:
    """The API of the proxy for one caller. `headers` are the caller's credentials; `peer` is the caller's address."""

    accept: Callable[[], asyncio.BufferedProtocol]
    headers: Mapping[str, str] = field(default_factory=dict)
    peer: tuple[Any, ...] | None = None

    async def get(self, *path: str, **parameters: str | int | None) -> Any:
        """The decoded answer to a `GET`. Raises ApiError."""
        return (await self.call("GET", path, None, parameters)).json

    async def post(self, *path: str, body: Any = None, **parameters: str | int | None) -> Any:
        """The decoded answer to a `POST` with a value as JSON. Raises ApiError."""
        text = None if body is None else msgspec.json.encode(body)
        return (await self.call("POST", path, text, parameters)).json

    async def put(self, *path: str, text: bytes) -> Any:
        """The decoded answer to a `PUT` of a text of JSON. Raises ApiError."""
        return (await self.call("PUT", path, text, {})).json

    async def call(
        self, method: str, path: Iterable[str], body: bytes | None, parameters: Mapping[str, str | int | None]
    ) -> Reply:
        """Sends a request and waits for its answer. Raises ApiError for a status of 400 or more."""
        target = "/" + "/".join(quote(part, safe="*,_-.") for part in path)
        given = {name: value for name, value in parameters.items() if value not in (None, "")}
        if given:
            target += f"?{urlencode(given)}"
        reply = await self._exchange(method, _request(method, target, self.headers, body))
        if reply.status >= 400:
            raise reply.error
        return reply

    async def _exchange(self, method: str, text: bytes) -> Reply:
        transport = _InProcessTransport(self.accept(), text, self.peer)
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                raw = await transport.exchange()
        except TimeoutError:
            raise ApiError(504, "the proxy did not answer in time") from None
        finally:
            transport.abort()
        return await asyncio.to_thread(_parsed, method, raw)


def _request(method: str, target: str, headers: Mapping[str, str], body: bytes | None) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", "Host: localhost", "Connection: close", f"X-Opaque-Id: {OPAQUE_ID}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if body is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + (body or b"")


class _Bytes:
    """What `http.client` asks of a socket."""

    def __init__(self, text: bytes) -> None:
        self._text = text

    def makefile(self, mode: str) -> io.BytesIO:
        return io.BytesIO(self._text)


def _parsed(method: str, raw: bytes) -> Reply:
    """The answer in the bytes of a closed connection. Raises ApiError where there is none."""
    response = http.client.HTTPResponse(cast("socket.socket", _Bytes(raw)), method=method)
    try:
        response.begin()
        return Reply(response.status, response.read())
    except http.client.HTTPException:
        raise ApiError(502, "the proxy ended the connection without an answer") from None


class _InProcessTransport(asyncio.Transport):
    """A transport whose bytes stay in the process: it feeds a request to its protocol and keeps what that writes."""

    def __init__(self, protocol: asyncio.BufferedProtocol, text: bytes, peer: tuple[Any, ...] | None) -> None:
        super().__init__({"peername": peer})
        self._protocol = protocol
        self._left = memoryview(text)
        self._loop = asyncio.get_running_loop()
        self._written: list[bytes] = []
        self._size = 0
        self._paused = False
        self._closing = False
        self._over: asyncio.Future[None] = self._loop.create_future()

    async def exchange(self) -> bytes:
        """All that the protocol writes up to the end of the connection. Raises ApiError if it is too long."""
        self._protocol.connection_made(self)
        self._feed()
        await self._over
        if self._size > MOST_BYTES:
            raise ApiError(502, f"the answer has more than {MOST_BYTES} bytes; ask for less")
        return b"".join(self._written)

    def _feed(self) -> None:
        while self._left and not self._paused and not self._closing:
            room = memoryview(self._protocol.get_buffer(-1))
            count = min(len(room), len(self._left))
            room[:count] = self._left[:count]
            self._left = self._left[count:]
            self._protocol.buffer_updated(count)

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        """Keeps a part of the answer."""
        self._size += len(data)
        if self._size > MOST_BYTES:
            self._written.clear()
            self.abort()
        elif not self._closing:
            self._written.append(bytes(data))

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview[Any]]) -> None:
        """Keeps parts of the answer."""
        for data in list_of_data:
            self.write(data)

    def close(self) -> None:
        """The answer is complete."""
        if not self._closing:
            self._closing = True
            self._loop.call_soon(self._end)

    def abort(self) -> None:
        """As [`close`]: nothing is under way."""
        self.close()

    def _end(self) -> None:
        self._protocol.connection_lost(None)
        if not self._over.done():
            self._over.set_result(None)

    def is_closing(self) -> bool:
        """Whether the connection has ended."""
        return self._closing

    def is_reading(self) -> bool:
        """Whether the protocol takes more of the request."""
        return not self._paused

    def pause_reading(self) -> None:
        """The protocol takes no more for now."""
        self._paused = True

    def resume_reading(self) -> None:
        """The protocol takes more again."""
        self._paused = False
        self._loop.call_soon(self._feed)

    def get_write_buffer_size(self) -> int:
        """Nothing waits: what is written is kept at once."""
        return 0

    def can_write_eof(self) -> bool:
        """Whether the two directions end apart: they do not."""
        return False
