"""Requests that no pipeline can concern, from the client's bytes to the node's in one callback and back in another.

A task, a request object and several futures for each request cost more than everything else that a small one needs
(docs/decisions/025-a-fast-path-for-what-passes.md). Here a request is sent at once if it is here whole, its route
passes, and a connection to a node is open. Whatever is not as plain as that goes, or goes on, the way of all requests:
a [`ForwardedRequest`] is handed over with its response pending, so that nothing is sent twice and every error has one
shape.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from headrace.http1.body import NO_BODY
from headrace.server.connection import SMALL_BODY
from headrace.server.response import write_buffered
from headrace_pipelines.errors import HeadraceError

if TYPE_CHECKING:
    from headrace.http1.body import RequestBody
    from headrace.ops.metrics import Metrics
    from headrace.server.connection import ClientConnection
    from headrace.server.inbound import InboundRequest
    from headrace.upstream.client import Upstream
    from headrace.upstream.pending import PendingResponse
    from headrace_pipelines.http1 import RequestHead

MAX_BODY = 256 << 10
"""Bytes of the longest body that is sent from here whole."""
_RECEIVED = range(128 << 10, 768 << 10)
"""Bytes of bodies that have not arrived whole and are cheaper received into one piece of memory, by their handler, and
sent at once, than moved past the process (docs/decisions/026-long-bodies-stay-in-the-kernel.md)."""


class BypassRoute(NamedTuple):
    """What becomes of a request that passes: the surface that counts it, and the target where it is not as it came.

    `reads`: it only reads, whatever the method. `words`: one of these is in a body that its handler has to read.
    `names`: the same for bodies that have arrived whole: longer ones pass the process by. `creates`: it may make an
    index.
    """

    surface: str
    target: str | None
    reads: bool
    words: tuple[bytes, ...] = ()
    names: tuple[bytes, ...] = ()
    creates: bool = False


class Bypass(Protocol):
    """Decides what passes."""

    def decide(self, method: str, target: str) -> BypassRoute | None:
        """The route of a request; `None` for one that its handler has to see."""
        ...

    def created(self) -> None:
        """A request that may make an index has been answered."""
        ...


class FastForwarder:
    """Forwards requests for a proxy."""

    def __init__(self, bypass: Bypass, upstream: Upstream, metrics: Metrics, max_body: int) -> None:
        self._bypass = bypass
        self._upstream = upstream
        self._metrics = metrics
        self._max_body = min(MAX_BODY, max_body)

    def awaits(self, head: RequestHead) -> bool:
        """Whether a request would be forwarded once its body is here."""
        return self._bypass.decide(head.method, head.target) is not None

    def forward(self, request: InboundRequest, client: ClientConnection) -> ForwardedRequest | None:
        """Sends a request on; `None`, with nothing taken, for one that is not for this path."""
        head, body = request.head, request.body
        method, target = head.method, head.target
        route = self._bypass.decide(method, target)
        if route is None:
            return None
        sent: bytes | RequestBody | None = None
        if not body.complete:
            # A long one goes past the process, as it comes.
            if body.length is None or body.length <= SMALL_BODY or body.length in _RECEIVED or route.words:
                return None
            sent = body
        elif body is not NO_BODY:
            if (route.words or route.names) and not _is_readable(head, body, route):
                return None
            sent = body.arrived(self._max_body)
            if sent is None:
                return None
        pending = self._upstream.try_send(method, route.target or target, head.forward_lines(client.remote), sent)
        if pending is None:
            if isinstance(sent, bytes):
                body.restore(sent)
            return None
        return ForwardedRequest(self._bypass, self._metrics, pending, route, client)


def _is_readable(head: RequestHead, body: RequestBody, route: BypassRoute) -> bool:
    """Whether a body is plain enough to say that none of the words is in it: other types spell them otherwise."""
    if (route.words and head.has_encoding) or ((len(route.words) > 1 or route.names) and not head.says_json):
        return False
    return not any(body.contains(word) for word in (*route.words, *route.names))


class ForwardedRequest:
    """A request whose response is pending. `failure`: the response that came cannot be sent back."""

    __slots__ = ("_bypass", "_client", "_in_flight", "_metrics", "failure", "pending", "route", "started")

    def __init__(
        self,
        bypass: Bypass,
        metrics: Metrics,
        pending: PendingResponse,
        route: BypassRoute,
        client: ClientConnection,
    ) -> None:
        self._bypass = bypass
        self._metrics = metrics
        self._client = client
        self.pending = pending
        self.route = route
        self.failure: HeadraceError | None = None
        self.started = metrics.start_request()
        self._in_flight = True
        pending.listen(self._progress)

    def _progress(self) -> None:
        """Answers the client if the response is here; hands over if it will not come whole."""
        response = self.pending.buffered()
        if response is None:
            if not self.pending.may_buffer:
                self._hand_over()
            return
        transport = self._client.transport
        if transport is None:
            # The client has just gone; its connection will say so.
            return
        try:
            write_buffered(transport, response)
        except HeadraceError as error:
            self.failure = error
            self._hand_over()
            return
        self._end()
        self._metrics.count(self.route.surface, response.status, self.started)
        self._client.answered()

    def _hand_over(self) -> None:
        self.pending.listen(None)
        self._end()
        self._client.fall_back()

    def abandon(self) -> None:
        """The client is gone: so is the exchange."""
        self._end()
        self.pending.close()

    def _end(self) -> None:
        if self._in_flight:
            self._in_flight = False
            if self.route.creates:
                self._bypass.created()
            self._metrics.end()
