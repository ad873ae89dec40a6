"""Sends requests on in the callback in which they have arrived."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from headrace.ops.logs.lines import CURRENT, RequestIds
from headrace.ops.runner import INLINE_BYTES
from headrace.server.connection import SMALL_BODY
from headrace.server.fast_path.forwarded import ForwardedRequest

if TYPE_CHECKING:
    from headrace.http1.body import RequestBody
    from headrace.server.components import Components
    from headrace.server.connection import ClientConnection
    from headrace.server.fast_path.routes import BypassDecider, BypassRoute, InlinePipelines, InlineRun
    from headrace.server.inbound import InboundRequest
    from headrace.upstream.pending import PendingResponse
    from headrace.upstream.pool import IdleConnection
    from headrace_pipelines.http1 import RequestHead

log = logging.getLogger("headrace.proxy")
MAX_BODY = 256 << 10
"""Bytes of the longest body that is sent from here whole."""
_ACCEPTED = (None, b"*/*", b"application/json", b"application/json, */*", b"application/json, text/plain, */*")
"""Values of `Accept` that surely mean JSON."""


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
        if route is None or route.pipelines is None:
            return route is not None and length <= SMALL_BODY
        if request.is_sampled or length > self._max_run or not self._may_run(head):
            return False
        return length <= SMALL_BODY or request.reserve(self._budget, length)

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
        idle = self._upstream.acquire(head, client.remote)
        pending = None
        if idle is not None:
            pending = self._upstream.try_forward(idle, head, route.target, client.remote, sent or None)
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
        if (
            size <= self._max_run
            and self._may_run(head)
            and (size <= SMALL_BODY or request.reserve(self._budget, size))
        ):
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
        # Before the pipelines run: without a connection they would run again.
        idle = self._upstream.acquire(request.head, client.remote)
        if idle is None:
            return None
        run, sends = None, False
        try:
            run = pipelines.run(request.head, text)
            sends = run is not None and run.body is not None and run.running is None
        finally:
            if not sends:
                self._upstream.release_unused(idle)
        if run is None:
            return None
        if run.running is not None:
            # Its handler may have to begin anew.
            _restore(request, text)
            return ForwardedRequest(self, request, None, route, client, run=run)
        pending, is_sent = None, not sends
        try:
            if sends:
                pending = self._send_over(idle, run, request.head, client)
                is_sent = pending is not None
        finally:
            run.settle(sent=is_sent)
        return ForwardedRequest(self, request, pending, route, client, run=run) if is_sent else None

    def send(self, run: InlineRun, head: RequestHead, client: ClientConnection) -> PendingResponse | None:
        """Sends what pipelines made of a request; `None` where nothing is to be sent, or no connection is open."""
        idle = self._upstream.acquire(head, client.remote) if run.body is not None else None
        return self._send_over(idle, run, head, client) if idle is not None else None

    def _send_over(
        self, idle: IdleConnection, run: InlineRun, head: RequestHead, client: ClientConnection
    ) -> PendingResponse | None:
        return self._upstream.try_forward(idle, head, run.target, client.remote, run.body, plain=run.reads_answer)

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
