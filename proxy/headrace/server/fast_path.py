"""Small and plain requests, from the client's bytes to the node's in one callback and back in another.

A task, a request object and several futures for each request cost more than everything else that a small one needs
(docs/decisions/041-front-door.md). Here a request is sent at once if it is here whole, a connection to a node is open,
and its route passes, or its pipelines are known and run on the event loop. Whatever is not as plain as that goes, or
goes on, the way of all requests: a [`ForwardedRequest`] is handed over with its response pending, so that nothing is
sent twice and every error has one shape.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from headrace.ops.logs.lines import CURRENT, RequestIds
from headrace.ops.logs.requests import FinishedRequest
from headrace.ops.runner import INLINE_BYTES
from headrace.protocol.target import Target
from headrace.server.connection import SMALL_BODY
from headrace.server.response import WholeAnswer, write_answer, write_buffered, written_error
from headrace_pipelines.errors import HeadraceError

if TYPE_CHECKING:
    from aiohttp import web

    from headrace.http1.body import RequestBody
    from headrace.server.components import Components
    from headrace.server.connection import ClientConnection
    from headrace.server.inbound import InboundRequest
    from headrace.server.request import RequestContext
    from headrace.upstream.pending import PendingResponse
    from headrace.upstream.response import BufferedResponse
    from headrace_pipelines.http1 import RequestHead

log = logging.getLogger("headrace.proxy")
MAX_BODY = 256 << 10
"""Bytes of the longest body that is sent from here whole."""
_ACCEPTED = (None, b"*/*", b"application/json", b"application/json, */*", b"application/json, text/plain, */*")
"""Values of `Accept` that surely mean JSON."""

CLIENT_GONE = 499
"""The status under which requests are counted whose client has hung up before there was an answer."""


class InlineRun(Protocol):
    """A request whose pipelines have run on the event loop.

    `target`: the new target, if it changes. `reads_answer`: the response is worked on, so that it is asked for without
    a content coding. `pipelines`: as `X-Pipeline` says them.
    """

    target: str | None
    reads_answer: bool
    pipelines: str

    @property
    def body(self) -> bytes | memoryview | None:
        """What they made of the request's; `None` where nothing goes to the cluster."""
        ...

    def settle(self, *, sent: bool) -> None:
        """Counts the runs if the request has left; else the handler runs them again."""
        ...

    def answer(self, response: BufferedResponse | None) -> WholeAnswer | None:
        """The answer for the client; `None` where that takes longer, for [`resume`]. Raises HeadraceError."""
        ...

    async def resume(self, context: RequestContext, sent: PendingResponse) -> web.StreamResponse:
        """Answers the request in its handler: its response is not here whole, or takes longer to work on."""
        ...


class InlinePipelines(Protocol):
    """The pipelines of requests with one method and target, where they are known.

    `by_view`: they follow from the view of the cluster's names.
    """

    by_view: bool

    def may_run(self, size: int) -> bool:
        """Whether a body of `size` bytes may be one for the event loop, as far as that shows before it is read."""
        ...

    def run(self, head: RequestHead, text: bytes) -> InlineRun | None:
        """Runs them; `None`, and nothing happened, for a request that is not plain or would take long."""
        ...


class BypassRoute(NamedTuple):
    """How a request is forwarded without a handler: its surface for the metrics, and its new target, if that changes.

    With `pipelines` their run says the target.
    `reads`: it changes nothing, whatever the method. `body_markers`: byte strings; a body that contains one goes to the
    handler. `names`: the same for bodies that have arrived whole; longer bodies are spliced unread. `creates`: it may
    create an index. `pipelines`: those that run first.
    """

    surface: str
    target: str | None
    reads: bool
    body_markers: tuple[bytes, ...] = ()
    names: tuple[bytes, ...] = ()
    creates: bool = False
    pipelines: InlinePipelines | None = None


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
        self._taps = components.taps
        self._upstream = components.upstream
        self._tracer = components.tracer
        self._max_body = min(MAX_BODY, components.max_body)
        self._max_run = min(INLINE_BYTES, components.max_body)
        self._budget = components.budget

    def awaits(self, request: InboundRequest) -> bool:
        """Whether a request would be forwarded once its body is here, and there is room for that."""
        head, length = request.head, request.head.length or 0
        route = self.bypass.decide(head.method, head.target)
        if route is None or length <= SMALL_BODY:
            return route is not None
        pipelines = route.pipelines
        if pipelines is None or request.is_sampled or length > self._max_run or not self._may_run(head):
            return False
        return pipelines.may_run(length) and request.reserve(self._budget, length)

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
        if route.pipelines is not None:
            return self._run(request, route, route.pipelines, client)
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
        return ForwardedRequest(self, request, pending, route, client, admission)

    def _run(
        self, request: InboundRequest, route: BypassRoute, pipelines: InlinePipelines, client: ClientConnection
    ) -> ForwardedRequest | None:
        """Runs the pipelines of a request and sends on what they made; `None` for one that is not for this path."""
        head, text = request.head, request.text
        if text is None:
            text = request.body.arrived(self._max_run) if request.body.complete else None
        if not text:
            return None
        forwarded, size = None, len(text)
        may_run = self._may_run(head) and pipelines.may_run(size)
        if may_run and self._upstream.is_ready(head, client.remote) and self._has_room(request, size):
            # Lines that UDFs log belong to the request.
            before = CURRENT.set(RequestIds(head))
            try:
                forwarded = self._sent(request, text, route, pipelines, client)
            except Exception:
                log.exception("an unexpected error in %s %s", head.method, head.target.partition("?")[0])
            finally:
                CURRENT.reset(before)
        if forwarded is None:
            _restore(request, text)
        return forwarded

    def _sent(
        self,
        request: InboundRequest,
        text: bytes,
        route: BypassRoute,
        pipelines: InlinePipelines,
        client: ClientConnection,
    ) -> ForwardedRequest | None:
        """The request with this body after its pipelines, on its way; `None` where that cannot be."""
        head = request.head
        run = pipelines.run(head, text)
        if run is None:
            return None
        pending, is_sent = None, False
        try:
            if run.body is not None:
                pending = self._upstream.try_forward(head, run.target, client.remote, run.body, plain=run.reads_answer)
            is_sent = run.body is None or pending is not None
        finally:
            run.settle(sent=is_sent)
        return ForwardedRequest(self, request, pending, route, client, run=run) if is_sent else None

    def _has_room(self, request: InboundRequest, size: int) -> bool:
        """Whether a body of `size` bytes may be run here: it is small, or has room in the budget."""
        return size <= SMALL_BODY or (size <= self._max_run and request.reserve(self._budget, size))

    def _may_run(self, head: RequestHead) -> bool:
        """Whether nothing observes or counts the runs of a request, and it is about plain JSON both ways."""
        watched = self._taps.open or self._quotas.rules or self.log.times_stages
        return not watched and not head.has_encoding and head.says_json and head.header(b"accept") in _ACCEPTED

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
    """A request whose response is pending, or one that is answered without the cluster."""

    __slots__ = ("_client", "_forwarder", "_in_flight", "_request", "_run", "admission", "pending", "route", "started")

    def __init__(
        self,
        forwarder: FastForwarder,
        request: InboundRequest,
        pending: PendingResponse | None,
        route: BypassRoute,
        client: ClientConnection,
        admission: Any = None,
        run: InlineRun | None = None,
    ) -> None:
        """`admission`: what the request has of quotas, where there are any. `run`: the pipelines that have run."""
        self._forwarder = forwarder
        self._request = request
        self._client = client
        self._run = run
        self.admission = admission
        self.pending = pending
        self.route = route
        self.started = forwarder.metrics.start_request()
        self._in_flight = True
        if pending is not None:
            pending.listen(self._progress)
        else:
            # Not at once: answers that follow each other would nest.
            asyncio.get_running_loop().call_soon(self._answer, None)

    def _progress(self) -> None:
        """Answers the client if the response is here; hands over if it will not come whole."""
        if self.pending is None:
            return
        response = self.pending.buffered()
        if response is not None:
            self._answer(response)
        elif not self.pending.may_buffer:
            self._hand_over()

    def _answer(self, response: BufferedResponse | None) -> None:
        transport, run = self._client.transport, self._run
        if transport is None:
            # The client has just gone; its connection will say so.
            return
        if run is None and response is not None:
            write_buffered(transport, response)
            self._finish(response.status)
        elif run is not None:
            # The callback runs in the context of whoever opened the connection to the node.
            before = CURRENT.set(RequestIds(self._request.head))
            try:
                answer = self._answered(run, response)
            finally:
                CURRENT.reset(before)
            if answer is None:
                self._hand_over()
                return
            write_answer(transport, response, answer, self._request.head.header(b"accept-encoding"))
            self._finish(answer.status, answer.pipelines)

    def _answered(self, run: InlineRun, response: BufferedResponse | None) -> WholeAnswer | None:
        """What a run makes of a response, or the error that it ends with; `None` where its handler has to go on."""
        try:
            return run.answer(response)
        except HeadraceError as error:
            self._forwarder.metrics.refused(error, administers=False)
            return written_error(error, run.pipelines)
        except Exception:
            log.exception(
                "an unexpected error in %s %s", self._request.head.method, self._request.head.target.partition("?")[0]
            )
            return written_error(HeadraceError("an unexpected error in the proxy; its log has the details"), "")

    def _finish(self, status: int, pipelines: str = "") -> None:
        """Counts the request, whose answer has been written, and has the connection go on."""
        self._end()
        self._count(status, pipelines, gone=False)
        self._client.answered()

    def _count(self, status: int, pipelines: str, *, gone: bool) -> None:
        """Puts the request into quotas, metrics and the access log."""
        forwarder, surface = self._forwarder, self.route.surface
        if self.admission is not None:
            self.admission.end(status)
        forwarder.metrics.count(surface, status, self.started)
        if forwarder.log.enabled:
            request = FinishedRequest(
                self._request.head, status, surface, self.started, self._client.remote, pipelines, gone
            )
            # The callback runs in the context of whoever opened the connection to the node.
            before = CURRENT.set(RequestIds(self._request.head))
            try:
                forwarder.log.finish(request)
            finally:
                CURRENT.reset(before)

    async def resume(self, context: RequestContext) -> web.StreamResponse:
        """Answers the request in its handler, once its response is there."""
        if self.pending is None:
            raise RuntimeError("the request has not been sent")
        target = self._run.target if self._run is not None else self.route.target
        if target is not None:
            # Where it is sent once more, it says what it said.
            context.target = Target.parse(target)
        if self._run is not None:
            return await self._run.resume(context, self.pending)
        return await context.resume_forwarded(self.pending)

    def _hand_over(self) -> None:
        if self.pending is not None:
            self.pending.listen(None)
        self._end()
        self._client.fall_back()

    def abandon(self) -> None:
        """The client is gone: so is the exchange."""
        if self._in_flight:
            self._end()
            self._count(CLIENT_GONE, self._run.pipelines if self._run is not None else "", gone=True)
        elif self.admission is not None:
            self.admission.end(CLIENT_GONE)
        if self.pending is not None:
            self.pending.close()

    def _end(self) -> None:
        if self._in_flight:
            self._in_flight = False
            self._request.release()
            if self.route.creates:
                self._forwarder.bypass.created()
            self._forwarder.metrics.end()
