"""The cluster as the proxy talks to it: raw targets, raw headers, raw bodies, streamed both ways.

A write is never sent again once a byte of it has left, and nothing is decoded. What becomes of headers is
`header_lines.py`, connections are `connections.py`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import aiohttp
from aiohttp import hdrs

from headrace.http1 import bodies, tls
from headrace.http1.body import RequestBody
from headrace.http1.head_limits import HeadLimits
from headrace.upstream.connections import PooledExchanges
from headrace.upstream.exchanges import SessionExchanges, SlowBodyError
from headrace.upstream.nodes import Nodes
from headrace_pipelines.errors import (
    HeadraceError,
    MediaTypeError,
    SlowClientError,
    UnreachableError,
    UpstreamError,
    UpstreamTimeoutError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace.http1.headers import RawHeaders
    from headrace.settings import Settings
    from headrace.upstream.connections import Begun
    from headrace.upstream.exchanges import Body, Exchange, Exchanges, Text
    from headrace.upstream.nodes import Node


class Upstream:
    """The cluster. `send` gives its answer as it arrives, `read` whole; `relay` streams one to the client."""

    def __init__(self, settings: Settings, count: Callable[[str], None] = lambda kind: None) -> None:
        self._nodes = Nodes(settings.nodes)
        self._count = count
        self._health_seconds = settings.seconds("upstream_health_interval")
        self._connect_seconds = settings.seconds("upstream_connect_timeout")
        self._limits = HeadLimits.of(
            settings.size("max_request_line"), settings.size("max_request_headers"), settings.nodes
        )
        self._exchanges = self._make(settings)

    def _make(self, settings: Settings) -> Exchanges:
        """The faster exchanges, or those by the public API where aiohttp is not the one that is known."""
        ssl_context, read = tls.to_upstream(settings) or True, settings.seconds("upstream_timeout")
        if not bodies.KNOWN:
            return SessionExchanges(ssl_context, self._connect_seconds, read)
        return PooledExchanges(ssl_context, self._connect_seconds, read, settings.seconds("client_timeout"))

    @property
    def sends_now(self) -> bool:
        """Whether [`send_now`] ever sends anything."""
        return isinstance(self._exchanges, PooledExchanges)

    def start(self) -> None:
        """Begins to watch the nodes."""
        self._nodes.watch(self._healthy, self._health_seconds)

    async def _healthy(self, node: Node) -> bool:
        """Whether a node answers at all: a 401 is an answer, too."""
        try:
            async with asyncio.timeout(self._connect_seconds):
                exchange = await self._exchanges.begin(node.url, hdrs.METH_GET, "/", b"", None, None)
                try:
                    await exchange.read()
                finally:
                    exchange.release()
        except (TimeoutError, aiohttp.ClientError):
            return False
        return exchange.status not in (502, 503, 504)

    async def close(self) -> None:
        """Closes all connections."""
        await self._nodes.stop()
        await self._exchanges.close()

    async def send(
        self,
        method: str,
        target: str,
        head: bytes,
        body: Body,
        *,
        safe: bool = False,
        sent: Begun | None = None,
    ) -> Exchange:
        """Begins an exchange with the cluster: the answer's body has not been read yet, the caller must `release` it.

        `head`: header lines as [`request_lines`] gives them. Another node is tried when no connection is made: not a byte has left then. `safe`: the request changes nothing, so that it
        may be sent once more also when its connection breaks before the answer, unless its body cannot. `sent`: it has
        left already, by [`send_now`].

        Raises UnreachableError when no connection is made, UpstreamTimeoutError and UpstreamError when the answer
        does not come, LongLineError and LongHeaderError for a head that a node does not take.
        """
        tried: list[Node] = []
        if sent is None:
            self._limits.check(method, target, head)
        while True:
            node = self._nodes.pick(tried) if sent is None else self._nodes.at(sent.node)
            tried.append(node)
            try:
                if sent is None:
                    exchange = await self._exchanges.begin(node.url, method, target, head, body, None)
                else:
                    begun, sent = sent, None
                    exchange = await begun.exchange()
            except TimeoutError:
                raise self._late() from None
            except aiohttp.ClientConnectorError as error:
                self._count("unreachable")
                self._nodes.failed(node)
                if len(tried) >= len(self._nodes):
                    raise UnreachableError(f"the cluster cannot be reached: {error.strerror or error}") from None
            except SlowBodyError:
                raise SlowClientError("the body did not arrive in time; see client_timeout") from None
            except aiohttp.ClientError as error:
                repeatable = safe and not isinstance(body, RequestBody | memoryview)
                if not repeatable or len(tried) > 1:
                    raise self._broken(error) from None
                self._count("broken")
            else:
                self._nodes.answered(node)
                return exchange

    def try_send(self, method: str, target: str, head: bytes, body: Body) -> Begun | None:
        """Sends a request over a connection that is open, without waiting; see [`PooledExchanges.begin_now`]."""
        try:
            self._limits.check(method, target, head)
        except HeadraceError:
            return None
        node = self._nodes.pick()
        begun = None
        if not node.failures and isinstance(self._exchanges, PooledExchanges):
            begun = self._exchanges.begin_now(node.url, method, target, head, body, 0, None)
        if begun is None:
            self._nodes.put_back()
        return begun

    async def read_body(self, exchange: Exchange) -> bytes:
        """The body of an answer. Raises UpstreamTimeoutError, UpstreamError when it breaks off."""
        try:
            return await exchange.read()
        except TimeoutError:
            raise self._late() from None
        except aiohttp.ClientError as error:
            raise self._broken(error) from None

    async def read(self, method: str, target: str, head: bytes, body: Text | None, *, safe: bool = False) -> Answer:
        """One exchange with the answer read whole; `head` as [`send`] takes it. Raises as [`send`]."""
        exchange = await self.send(method, target, head, body, safe=safe)
        try:
            text = await self.read_body(exchange)
        finally:
            exchange.release()
        return Answer(exchange.status, exchange.reason, exchange.raw_headers, text, exchange.lines)

    def _late(self) -> UpstreamTimeoutError:
        self._count("timeout")
        return UpstreamTimeoutError("the cluster did not answer in time; see upstream_timeout")

    def _broken(self, error: aiohttp.ClientError) -> UpstreamError:
        self._count("broken")
        return UpstreamError(f"the exchange with the cluster broke off: {type(error).__name__}")


class Answer:
    """A whole answer of the cluster."""

    def __init__(
        self, status: int, reason: str, raw_headers: RawHeaders, body: bytes, lines: bytes | None = None
    ) -> None:
        self.lines = lines
        """Its header lines as they are sent back, if they are known."""
        self.status = status
        self.reason = reason
        self.raw_headers = raw_headers
        self.body = body

    @property
    def ok(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300

    def require_ok(self) -> None:
        """Raises ClusterRefusedError unless the status is 2xx."""
        if not self.ok:
            raise ClusterRefusedError(self)

    def require_json(self) -> None:
        """Raises MediaTypeError for a good answer that pipelines which have to run cannot read."""
        if self.ok and not self.json:
            raise MediaTypeError(
                "the cluster's answer is not plain JSON, which a result pipeline has to read; ask for JSON"
            )

    @property
    def json(self) -> bool:
        """Whether the body is plain JSON."""
        if self._first(b"content-encoding") is not None:
            return False
        return (self._first(b"content-type") or b"").partition(b";")[0].strip().endswith(b"json")

    @property
    def typed(self) -> bool:
        """Whether it says what its body is."""
        return self._first(b"content-type") is not None

    def _first(self, wanted: bytes) -> bytes | None:
        """The value of a header, named in lower case."""
        return next((value for name, value in self.raw_headers if name.lower() == wanted), None)


class ClusterRefusedError(HeadraceError):
    """The cluster refused a call that a request needed: its own answer is the answer of the request."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(f"the cluster answered {answer.status}")
        self.status = answer.status
        self.answer = answer
