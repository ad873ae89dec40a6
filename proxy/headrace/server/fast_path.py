"""Requests that no pipeline can concern, from the client's bytes to the node's in one callback and back in another.

A task, a request object and several futures for each request cost more than everything else that a small one needs
(docs/decisions/041-front-door.md). Here a request is sent at once if it is here whole, its route
passes, and a connection to a node is open. Whatever is not as plain as that goes, or goes on, the way of all requests:
a [`ForwardedRequest`] is handed over with its response pending, so that nothing is sent twice and every error has one
shape.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from headrace.ops.logs.lines import CURRENT, RequestIds
from headrace.ops.logs.requests import FinishedRequest
from headrace.server.connection import SMALL_BODY
from headrace.server.response import write_buffered

if TYPE_CHECKING:
    from headrace.http1.body import RequestBody
    from headrace.server.components import Components
    from headrace.server.connection import ClientConnection
    from headrace.server.inbound import InboundRequest
    from headrace.upstream.pending import PendingResponse
    from headrace_pipelines.http1 import RequestHead

MAX_BODY = 256 << 10
"""Bytes of the longest body that is sent from here whole."""


CLIENT_GONE = 499
"""The status under which requests are counted whose client has hung up before there was an answer."""


class BypassRoute(NamedTuple):
    """How a request is forwarded without a handler: its surface for the metrics, and its new target, if that changes.

    `reads`: it changes nothing, whatever the method. `body_markers`: byte strings; a body that contains one goes to the
    handler. `names`: the same for bodies that have arrived whole; longer bodies are spliced unread. `creates`: it may
    create an index.
    """

    surface: str
    target: str | None
    reads: bool
    body_markers: tuple[bytes, ...] = ()
    names: tuple[bytes, ...] = ()
    creates: bool = False


class BypassDecider(Protocol):
    """Decides what passes."""

    def decide(self, method: str, target: str) -> BypassRoute | None:
        """The route of a request; `None` for one that its handler has to see."""
        ...

    def created(self) -> None:
        """A request that may make an index has been answered."""
        ...


class FastForwarder:
    """Forwards requests for a proxy."""

    def __init__(self, bypass: BypassDecider, components: Components) -> None:
        self.bypass = bypass
        self.metrics = components.metrics
        self.log = components.request_log
        self._quotas = components.quotas
        self._upstream = components.upstream
        self._tracer = components.tracer
        self._max_body = min(MAX_BODY, components.max_body)

    def awaits(self, head: RequestHead) -> bool:
        """Whether a request would be forwarded once its body is here."""
        return self.bypass.decide(head.method, head.target) is not None

    def forward(self, request: InboundRequest, client: ClientConnection) -> ForwardedRequest | None:
        """Sends a request on; `None`, with nothing taken, for one that is not for this path."""
        head, text = request.head, request.text
        if self._tracer is not None:
            if request.is_sampled is None:
                request.is_sampled = self._tracer.samples(head)
            if request.is_sampled:
                return None
        route = self.bypass.decide(head.method, head.target)
        if route is None:
            return None
        sent: bytes | RequestBody | None = text
        if text is None:
            sent = self._arriving(request.body, route)
            if sent is None:
                return None
        if sent and isinstance(sent, bytes) and not self._passes(head, sent, route):
            _restore(request, sent)
            return None
        admission = None
        if self._quotas.rules:
            admission = self._quotas.admit_at_once(head, route.surface)
            if admission is None:
                _restore(request, sent)
                return None
        pending = self._upstream.try_forward(head, route.target, client.remote, sent or None)
        if pending is None:
            if admission is not None:
                admission.cancel()
            _restore(request, sent)
            return None
        return ForwardedRequest(self, head, pending, route, client, admission)

    def _arriving(self, body: RequestBody, route: BypassRoute) -> bytes | RequestBody | None:
        """A body that did not come with its head: whole by now, or a long one that goes past the process."""
        if body.complete:
            return body.arrived(self._max_body)
        if body.length is None or body.length <= SMALL_BODY or route.body_markers:
            return None
        return body

    def _passes(self, head: RequestHead, text: bytes, route: BypassRoute) -> bool:
        """Whether a whole body is short enough, and none of the route's words is in it.

        Types other than JSON spell them otherwise.
        """
        if len(text) > self._max_body:
            return False
        body_markers, names = route.body_markers, route.names
        if not body_markers and not names:
            return True
        if (body_markers and head.has_encoding) or ((len(body_markers) > 1 or names) and not head.says_json):
            return False
        return not any(word in text for word in (*body_markers, *names))


def _restore(request: InboundRequest, sent: bytes | RequestBody | None) -> None:
    """Puts the body back into a request that is not forwarded."""
    if isinstance(sent, bytes) and request.text is None:
        request.body.restore(sent)


class ForwardedRequest:
    """A request whose response is pending."""

    __slots__ = ("_client", "_forwarder", "_head", "_in_flight", "admission", "pending", "route", "started")

    def __init__(
        self,
        forwarder: FastForwarder,
        head: RequestHead,
        pending: PendingResponse,
        route: BypassRoute,
        client: ClientConnection,
        admission: Any = None,
    ) -> None:
        """`admission`: what the request has of quotas, where there are any."""
        self._forwarder = forwarder
        self._head = head
        self._client = client
        self.admission = admission
        self.pending = pending
        self.route = route
        self.started = forwarder.metrics.start_request()
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
        write_buffered(transport, response)
        self._end()
        forwarder, surface, status = self._forwarder, self.route.surface, response.status
        if self.admission is not None:
            self.admission.end(status)
        forwarder.metrics.count(surface, status, self.started)
        if forwarder.log.enabled:
            request = FinishedRequest(self._head, status, surface, self.started, self._client.remote)
            # The callback runs in the context of whoever opened the connection to the node.
            before = CURRENT.set(RequestIds(self._head))
            try:
                forwarder.log.finish(request)
            finally:
                CURRENT.reset(before)
        self._client.answered()

    def _hand_over(self) -> None:
        self.pending.listen(None)
        self._end()
        self._client.fall_back()

    def abandon(self) -> None:
        """The client is gone: so is the exchange."""
        self._end()
        if self.admission is not None:
            self.admission.end(CLIENT_GONE)
        self.pending.close()

    def _end(self) -> None:
        if self._in_flight:
            self._in_flight = False
            if self.route.creates:
                self._forwarder.bypass.created()
            self._forwarder.metrics.end()
