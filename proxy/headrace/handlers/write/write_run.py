"""A write on the fast path: what its pipelines have made, how it is sent, and what answers it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from headrace.execution import choice
from headrace.execution.document_run import DEFAULT
from headrace.ops.runner import ThreadRun, UncountedRuns
from headrace.server.components import Components
from headrace.server.reply import reply_answer
from headrace.server.response import WholeAnswer
from headrace_pipelines import Bulk, BulkError
from headrace_pipelines.errors import EngineError, HeadraceError, UpstreamError

if TYPE_CHECKING:
    import asyncio

    from aiohttp import web

    from headrace.server.request import RequestContext
    from headrace.upstream.client import Answer
    from headrace.upstream.pending import PendingResponse
    from headrace.upstream.response import BufferedResponse
    from headrace_pipelines import Execution, Run
    from headrace_pipelines.registry.association import Slot


class WriteRun(msgspec.Struct):
    """A bulk whose pipelines have run (`server.fast_path.InlineRun`); a single document is a bulk of one."""

    components: Components
    parsed: Bulk
    finish: Callable[[WriteRun], bool] | None
    """Makes what is sent of what the pipelines have made; false for what only the handler can send. It has the text."""
    is_astray: Callable[[Bulk], bool]
    thread: ThreadRun | None = None
    body: bytes | memoryview | None = None
    target: str | None = None
    reads_answer: bool = False
    pipelines: str = ""
    noop: bytes | None = None
    """The answer to a single document that was dropped."""
    error: HeadraceError | None = None
    """The error that answers the request."""
    uncounted: UncountedRuns = msgspec.field(default_factory=UncountedRuns)
    started: float = msgspec.field(default_factory=time.monotonic)

    @property
    def running(self) -> asyncio.Future[Any] | None:
        """The thread that is at work."""
        return self.thread.done if self.thread is not None else None

    def cancel(self) -> None:
        """Ends what the thread does."""
        if self.thread is not None:
            self.thread.deadline.cancel()

    def abandon(self) -> None:
        """Counts what the thread has done for a client that is gone."""
        thread, self.thread, self.finish = self.thread, None, None
        if thread is not None and not thread.done.cancelled() and thread.done.exception() is None:
            run: Run | None = thread.done.result()
            if run is not None:
                run.count()

    def adopt(self) -> bool:
        """Goes on with what the thread has made; false where only the handler can send it."""
        thread, self.thread = self.thread, None
        if thread is None:
            return False
        try:
            run: Run | None = thread.done.result()
        except EngineError as error:
            self.error, self.finish = error, None
            return True
        if run is not None:
            self.uncounted.others.append(run)
        return self.end([(DEFAULT, run.execution)] if run is not None else [])

    def end(self, executions: list[tuple[Slot, Execution]]) -> bool:
        """Makes what is sent after these runs; false, and they count nothing, where only the handler can send it."""
        if executions:
            self.pipelines = choice.header(executions)
        finish, self.finish = self.finish, None
        done = finish is not None and not self.is_astray(self.parsed) and finish(self)
        if not done:
            self.settle(sent=False)
        return done

    def settle(self, *, sent: bool) -> None:
        """Counts the runs if the request has left."""
        self.uncounted.settle(sent=sent)

    def answer(self, response: BufferedResponse | None) -> WholeAnswer | None:
        """The cluster's answer, or its items and ours. Raises UpstreamError, and the error of the request."""
        if self.error is not None:
            raise self.error
        if response is None:
            return WholeAnswer(200, self.noop if self.noop is not None else self._merged(None), self.pipelines)
        body = None
        if self.reads_answer and 200 <= response.status < 300 and response.is_json:
            body = self._merged(response.body)
        return WholeAnswer(response.status, body, self.pipelines)

    def _merged(self, items: bytes | None) -> bytes:
        try:
            merged = self.parsed.merge(items, int((time.monotonic() - self.started) * 1000))
        except BulkError as error:
            raise UpstreamError(str(error)) from None
        return self.components.without_secrets(merged)

    async def resume(self, context: RequestContext, sent: PendingResponse | None) -> web.StreamResponse:
        """Answers once the response is here whole; sends the request, if it has not left."""
        if self.pipelines:
            context.response_headers["X-Pipeline"] = self.pipelines
        if not self.reads_answer:
            if sent is None:
                return await context.forward(self.body or b"", changed=True)
            return await context.resume_forwarded(sent)
        answer: Answer = (
            await context.read_forwarded(sent)
            if sent is not None
            else await context.forward_buffered(self.body or b"", unfiltered=True)
        )
        merged = self._merged(answer.body) if answer.ok and answer.json else None
        return await reply_answer(context, answer, merged)
