"""Exchanges with the cluster's nodes: what they are, and aiohttp's public `ClientSession` as the way to make them.

`connections.py` makes them faster, by internals of the one aiohttp whose internals are known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import aiohttp
from aiohttp import hdrs
from multidict import CIMultiDict
from yarl import URL

from headrace.http1.bodies import declared_length
from headrace.http1.head_limits import sound

if TYPE_CHECKING:
    import asyncio
    import ssl

    from headrace.http1.bodies import Headers

SMALL = 1 << 20
"""Bodies up to this many bytes leave in one piece, and answers are read whole; larger ones are streamed."""
CHUNK = 1 << 18
"""The largest piece of a streamed body."""
LIMITS: dict[str, Any] = {"max_line_size": 16384, "max_field_size": 32768, "max_headers": 1024}
_WITH_LENGTH = (hdrs.METH_POST, hdrs.METH_PUT, hdrs.METH_PATCH)
"""Methods whose requests say that they have no body."""
WITHOUT_BODY = (204, 304)
"""Answers that never have one."""
Text = bytes | memoryview
"""A body at hand. A view is of bytes, is not sent twice, and may have ended when the answer comes."""
Body = Text | aiohttp.StreamReader | None


class Exchange(Protocol):
    """An answer whose head has arrived. Whoever has it must `release` it."""

    status: int
    reason: str
    raw_headers: Headers
    lines: bytes | None
    """Its header lines as they are sent back, if they are known."""

    @property
    def length(self) -> int | None:
        """The length that the answer declares, in bytes."""
        ...

    async def read(self) -> bytes:
        """What is left of the body. Raises ClientError, TimeoutError if it breaks off."""
        ...

    async def piece(self) -> bytes:
        """The next piece of the body; empty at its end. Raises as [`read`]."""
        ...

    def pours(self, sink: asyncio.Transport) -> bool:
        """Whether the body can go to a connection by [`pour`]."""
        ...

    async def pour(self, sink: asyncio.Transport) -> bool:
        """Sends the body to a connection, past the process; whether it did: else what is left comes in pieces.

        Raises OSError (TimeoutError is one) when one of the two breaks off.
        """
        ...

    def release(self) -> None:
        """Gives the connection back, or closes it when the exchange was not whole."""
        ...


class Exchanges(Protocol):
    """Makes exchanges."""

    async def begin(self, node: str, method: str, target: str, head: bytes, body: Body, length: int | None) -> Exchange:
        """Sends a request to a node (its URL without a path) and waits for the head of the answer.

        `head`: header lines, each with its line end, none about framing or the host. `length`: of a streamed body,
        where it is known. Raises ClientConnectorError when no connection is made, TimeoutError, other ClientErrors.
        """
        ...

    async def close(self) -> None:
        """Closes all connections."""
        ...


class SlowBodyError(aiohttp.ClientError):
    """What the client still has to send of a body does not come."""


class SessionExchanges:
    """Exchanges by aiohttp's public `ClientSession`."""

    def __init__(self, ssl_context: ssl.SSLContext | bool, connect: float, read: float) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=30, ssl=ssl_context),
            timeout=aiohttp.ClientTimeout(total=None, connect=connect, sock_read=read),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
            read_bufsize=CHUNK,
            **LIMITS,
        )
        # aiohttp would send PUT and DELETE a second time when a kept connection turns out to be closed.
        self._session._retry_connection = False

    async def close(self) -> None:
        """Closes all connections."""
        await self._session.close()

    async def begin(self, node: str, method: str, target: str, head: bytes, body: Body, length: int | None) -> Exchange:
        """See [`Exchanges.begin`]."""
        headers: CIMultiDict[str] = CIMultiDict()
        for line in (head + framing(method, body, length)).split(b"\r\n"):
            name, _, value = line.partition(b": ")
            if name and name.lower() != b"transfer-encoding":
                headers.add(name.decode(), value.decode("utf-8", "surrogateescape"))
        data = pieces(body) if isinstance(body, Text) and len(body) > SMALL else body or None
        url = URL(node + target, encoded=True)
        answer = await self._session.request(method, url, headers=headers, data=data, allow_redirects=False)
        return _SessionExchange(answer, keep=sound(answer.status, target.encode("utf-8", "surrogateescape") + head))


class _SessionExchange:
    lines: bytes | None = None

    def __init__(self, answer: aiohttp.ClientResponse, *, keep: bool) -> None:
        self._answer = answer
        self._keep = keep
        self.status = answer.status
        self.reason = answer.reason or ""
        self.raw_headers: Headers = answer.raw_headers

    @property
    def length(self) -> int | None:
        return declared_length(self.raw_headers)

    async def read(self) -> bytes:
        return await self._answer.read()

    async def piece(self) -> bytes:
        return await self._answer.content.readany()

    def pours(self, sink: asyncio.Transport) -> bool:
        return False

    async def pour(self, sink: asyncio.Transport) -> bool:
        return False

    def release(self) -> None:
        if self._keep:
            self._answer.release()
        else:
            self._answer.close()


async def pieces(body: Text) -> Any:
    """A large body in pieces, so that a slow cluster holds it back without holding the loop."""
    view = memoryview(body)
    for start in range(0, len(body), CHUNK):
        yield view[start : start + CHUNK]


def framing(method: str, body: Body, length: int | None) -> bytes:
    """The header line that says how long the body is."""
    if body is None:
        return b"Content-Length: 0\r\n" if method in _WITH_LENGTH else b""
    if isinstance(body, aiohttp.StreamReader):
        return b"Transfer-Encoding: chunked\r\n" if length is None else b"Content-Length: %d\r\n" % length
    return b"Content-Length: %d\r\n" % len(body)
