"""A request that has left without a handler, or whose pipelines run before that."""

from __future__ import annotations

import asyncio
import logging
from contextvars import Context
from typing import TYPE_CHECKING, Any, Protocol

from headrace.ops.logs.lines import CURRENT, RequestIds
from headrace.ops.logs.requests import FinishedRequest
from headrace.protocol.target import Target
from headrace.server.response import WholeAnswer, write_answer, write_buffered, written_error
from headrace_pipelines.errors import HeadraceError

if TYPE_CHECKING:
    from aiohttp import web

    from headrace.ops.logs.requests import RequestLog
    from headrace.ops.metrics import Metrics
    from headrace.server.connection import ClientConnection
    from headrace.server.fast_path.routes import BypassDecider, BypassRoute, InlineRun
    from headrace.server.inbound import InboundRequest
    from headrace.server.request import RequestContext
    from headrace.upstream.pending import PendingResponse
    from headrace.upstream.response import BufferedResponse
    from headrace_pipelines.http1 import RequestHead

log = logging.getLogger("headrace.proxy")
CLIENT_GONE = 499
"""The status under which requests are counted whose client has hung up before there was an answer."""


class Forwarder(Protocol):
    """What has sent a request."""

    bypass: BypassDecider
    metrics: Metrics
    log: RequestLog

    def send(self, run: InlineRun, head: RequestHead, client: ClientConnection) -> PendingResponse | None:
        """Sends what pipelines made of a request; `None` where nothing is to be sent, or no connection is open."""
        ...


class ForwardedRequest:
    """A request whose response is pending, or one that is answered without the cluster."""

    __slots__ = ("_client", "_forwarder", "_in_flight", "_request", "_run", "admission", "pending", "route", "started")

    def __init__(
        self,
        forwarder: Forwarder,
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
        elif run is not None and run.running is not None:
            run.running.add_done_callback(lambda _: self._go_on(run), context=Context())
        else:
            # Not at once: answers that follow each other would nest.
            asyncio.get_running_loop().call_soon(self._answer, None)

    def _go_on(self, run: InlineRun) -> None:
        """Sends what a thread has made of the request. Whatever fails, the client is not left waiting."""
        head, goes_on = self._request.head, True
        before = CURRENT.set(RequestIds(head))
        try:
            if self._in_flight:
                goes_on = self._adopted(run)
            else:
                run.abandon()
        except BaseException:
            log.exception("an unexpected error in %s %s", head.method, head.target.partition("?")[0])
            self._client.abort()
            return
        finally:
            CURRENT.reset(before)
        if not goes_on:
            # A handler keeps the context in which it begins.
            self._hand_over()

    def _adopted(self, run: InlineRun) -> bool:
        """Sends the request, or has it answered; false where its handler has to."""
        done = False
        try:
            done = run.adopt()
        finally:
            if not done:
                run.settle(sent=False)
        if not done:
            self._request.forwarded = None
            return False
        self._request.drop_body()
        self.pending = self._forwarder.send(run, self._request.head, self._client)
        run.settle(sent=True)
        if self.pending is not None:
            self.pending.listen(self._progress)
        elif run.body is None:
            self._answer(None)
        return self.pending is not None or run.body is None

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
        target = self._run.target if self._run is not None else self.route.target
        if target is not None:
            # Where it is sent once more, it says what it said.
            context.target = Target.parse(target)
        if self._run is not None:
            return await self._run.resume(context, self.pending)
        if self.pending is None:
            raise RuntimeError("the request has not been sent")
        return await context.resume_forwarded(self.pending)

    def _hand_over(self) -> None:
        """Has the handler go on: with the response, with what has been made, or, as one not forwarded, anew.

        What has not left yet keeps its room.
        """
        if self.pending is not None:
            self.pending.listen(None)
        self._end(releases=self.pending is not None)
        self._client.fall_back()

    def abandon(self) -> None:
        """The client is gone: so is the exchange."""
        if self._in_flight:
            self._end()
            self._count(CLIENT_GONE, self._run.pipelines if self._run is not None else "", gone=True)
            if self._run is not None:
                self._run.cancel()
        elif self.admission is not None:
            self.admission.end(CLIENT_GONE)
        if self.pending is not None:
            self.pending.close()

    def _end(self, *, releases: bool = True) -> None:
        if self._in_flight:
            self._in_flight = False
            if releases:
                self._request.release()
            if self.route.creates:
                self._forwarder.bypass.created()
            self._forwarder.metrics.end()
