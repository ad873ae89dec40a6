"""The cluster as the proxy talks to it: raw targets, raw headers, raw bodies, streamed both ways.

A write is never sent again once a byte of it has left, and nothing is decoded.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from headrace.http1 import tls
from headrace.http1.body import RequestBody
from headrace.http1.head_limits import ADDED, SAFE, NodeHeadLimits
from headrace.upstream.errors import ConnectError, ExchangeError, SlowBodyError
from headrace.upstream.nodes import Nodes
from headrace.upstream.pool import ConnectionPool
from headrace.upstream.response import is_plain_json
from headrace_pipelines.errors import (
    HeadraceError,
    MediaTypeError,
    SlowClientError,
    UnreachableError,
    UpstreamError,
    UpstreamTimeoutError,
)

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from headrace.http1.headers import RawHeaders
    from headrace.settings import Settings
    from headrace.upstream.nodes import Node
    from headrace.upstream.pending import PendingResponse
    from headrace.upstream.pool import IdleConnection
    from headrace.upstream.response import StreamedResponse
    from headrace.upstream.sending import Body, Text
    from headrace_pipelines.http1 import RequestHead


class Upstream:
    """The cluster. `send` gives its response as it arrives, `read` whole.

    `acquire` and `try_forward` do not wait.
    """

    def __init__(self, settings: Settings, count: Callable[[str], None] = lambda kind: None) -> None:
        self._nodes = Nodes(settings.nodes)
        self._count = count
        self._adopt(settings)
        self._pool = ConnectionPool(
            tls.to_upstream(settings),
            self._connect_seconds,
            settings.seconds("upstream_timeout"),
            settings.seconds("client_timeout"),
        )

    def _adopt(self, settings: Settings) -> None:
        self._health_seconds = settings.seconds("upstream_health_interval")
        self._connect_seconds = settings.seconds("upstream_connect_timeout")
        self._limits = NodeHeadLimits.of(
            settings.size("max_request_line"), settings.size("max_request_headers"), settings.nodes
        )

    async def reload(self, settings: Settings, ssl_context: ssl.SSLContext | None) -> None:
        """Other nodes, times and certificates for the connections to come."""
        await self._nodes.stop()
        self._nodes.replace(settings.nodes)
        self._adopt(settings)
        self._pool.renew(
            ssl_context,
            self._connect_seconds,
            settings.seconds("upstream_timeout"),
            settings.seconds("client_timeout"),
        )
        self.start()

    def nodes_up(self) -> dict[str, bool]:
        """Whether each node of the setting answers, by `host:port`."""
        return self._nodes.up()

    def start(self) -> None:
        """Begins to watch the nodes."""
        self._nodes.watch(self._healthy, self._health_seconds)

    async def _healthy(self, node: Node) -> bool:
        """Whether a node answers at all: a 401 is an answer, too."""
        try:
            async with asyncio.timeout(self._connect_seconds):
                pending = await self._pool.send(node.url, "GET", "/", b"", None)
                response = await pending.response()
                try:
                    await response.read()
                finally:
                    response.release()
        except (TimeoutError, ExchangeError):
            return False
        return response.status not in (502, 503, 504)

    async def close(self) -> None:
        """Closes all connections."""
        await self._nodes.stop()
        await self._pool.close()

    async def send(
        self,
        method: str,
        target: str,
        head: bytes,
        body: Body,
        *,
        safe: bool = False,
        sent: PendingResponse | None = None,
    ) -> StreamedResponse:
        """Sends a request and waits for the head of the response: its body is to come, the caller must `release` it.

        `head`: header lines without those of the framing and the host. Another node is tried when no connection is
        made: not a byte has left then. `safe`: the request changes nothing, so that it may be sent once more also when
        its connection breaks before the response, unless its body cannot. `sent`: it has left already, by
        [`try_forward`].

        Raises UnreachableError when no connection is made, UpstreamTimeoutError and UpstreamError when the response
        does not come, LongLineError and LongHeaderError for a head that a node does not take.
        """
        tried: list[Node] = []
        if sent is None:
            self._limits.check(method, target, head)
        while True:
            node = self._nodes.pick(tried) if sent is None else self._nodes.at(sent.node)
            tried.append(node)
            try:
                pending, sent = sent, None
                if pending is None:
                    pending = await self._pool.send(node.url, method, target, head, body)
                response = await pending.response()
            except TimeoutError:
                raise self._late() from None
            except ConnectError as error:
                self._count("unreachable")
                self._nodes.failed(node)
                if len(tried) >= len(self._nodes):
                    raise UnreachableError(f"the cluster cannot be reached: {error}") from None
            except SlowBodyError:
                raise SlowClientError("the body did not arrive in time; see client_timeout") from None
            except ExchangeError as error:
                repeatable = safe and not isinstance(body, RequestBody | memoryview)
                if not repeatable or len(tried) > 1:
                    raise self._broken(error) from None
                self._count("broken")
            else:
                self._nodes.answered(node)
                return response

    def acquire(self, head: RequestHead, remote: str | None) -> IdleConnection | None:
        """Takes an idle connection to the next node, for [`try_forward`] or [`release_unused`].

        `None` where there is none, or the node does not take this head.
        """
        if head.size > SAFE - ADDED and not self._fits(head, None, remote):
            return None
        node = self._nodes.peek()
        return None if node.failures else self._pool.acquire(node.url)

    def release_unused(self, idle: IdleConnection) -> None:
        """Gives back a connection over which nothing was sent."""
        self._pool.release_unused(idle)

    def try_forward(
        self,
        idle: IdleConnection,
        head: RequestHead,
        target: str | None,
        remote: str | None,
        body: Body,
        *,
        plain: bool = False,
    ) -> PendingResponse | None:
        """Sends a client's request on over a connection that was acquired, without waiting.

        `None`, with nothing taken or sent, where the node does not take the head, or the body is one to come that
        cannot go past the process; the connection is idle again then.
        `target` stands for that of the head, where it is given; `remote` is the client's address. `plain`: the response
        is asked for without a content coding.
        """
        pending = None
        if head.size + len(target or "") <= SAFE - ADDED or self._fits(head, target, remote):
            pending = self._pool.forward(idle, head, target, remote, body, plain=plain)
        if pending is None:
            self._pool.release_unused(idle)
        else:
            self._nodes.turn()
        return pending

    def _fits(self, head: RequestHead, target: str | None, remote: str | None) -> bool:
        """Whether a node takes the head."""
        try:
            self._limits.check(head.method, target or head.target, head.forward_lines(remote))
        except HeadraceError:
            return False
        return True

    async def read_body(self, response: StreamedResponse) -> bytes:
        """The body of a response. Raises UpstreamTimeoutError, UpstreamError when it breaks off."""
        try:
            return await response.read()
        except TimeoutError:
            raise self._late() from None
        except ExchangeError as error:
            raise self._broken(error) from None

    async def read(
        self,
        method: str,
        target: str,
        head: bytes,
        body: Text | None,
        *,
        safe: bool = False,
        sent: PendingResponse | None = None,
    ) -> Answer:
        """One exchange with the answer read whole; `head` and `sent` as [`send`] takes them. Raises as [`send`]."""
        response = await self.send(method, target, head, body, safe=safe, sent=sent)
        try:
            text = await self.read_body(response)
        finally:
            response.release()
        return Answer(response.status, response.reason, response.raw_headers, text, response.lines)

    def _late(self) -> UpstreamTimeoutError:
        self._count("timeout")
        return UpstreamTimeoutError("the cluster did not answer in time; see upstream_timeout")

    def _broken(self, error: ExchangeError) -> UpstreamError:
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
        return is_plain_json(self._first(b"content-type"), self._first(b"content-encoding"))

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
