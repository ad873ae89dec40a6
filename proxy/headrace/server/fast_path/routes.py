"""Routes of requests that need no handler, and the pipelines that run first on some of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    import asyncio

    from aiohttp import web

    from headrace.server.request import RequestContext
    from headrace.server.response import WholeAnswer
    from headrace.upstream.pending import PendingResponse
    from headrace.upstream.response import BufferedResponse
    from headrace_pipelines.http1 import RequestHead


class InlineRun(Protocol):
    """A request whose pipelines have run on the event loop, or run on a thread.

    `running`: a thread is at work; until it is done the run says nothing else. `target`: the new target, if it changes.
    `reads_answer`: the response is worked on, so that it is asked for without a content coding. `pipelines`: as
    `X-Pipeline` says them.
    """

    target: str | None
    reads_answer: bool
    pipelines: str

    @property
    def running(self) -> asyncio.Future[Any] | None:
        """The thread that is at work."""
        ...

    @property
    def body(self) -> bytes | memoryview | None:
        """What they made of the request's; `None` where nothing goes to the cluster."""
        ...

    def adopt(self) -> bool:
        """Goes on with what the thread has made; false, and it counts nothing, where the handler has to begin anew."""
        ...

    def abandon(self) -> None:
        """Counts what the thread has done for a client that is gone."""
        ...

    def cancel(self) -> None:
        """Ends what the thread does: nobody waits for it any more."""
        ...

    def settle(self, *, sent: bool) -> None:
        """Counts the runs if the request has left; else they count nothing, and the handler runs them again."""
        ...

    def answer(self, response: BufferedResponse | None) -> WholeAnswer | None:
        """The answer for the client; `None` where that takes longer, for [`resume`]. Raises HeadraceError."""
        ...

    async def resume(self, context: RequestContext, sent: PendingResponse | None) -> web.StreamResponse:
        """Answers the request in its handler: its response is not here whole, or takes longer to work on.

        Without `sent` the request has not left yet.
        """
        ...


class InlinePipelines(Protocol):
    """The pipelines of requests with one method and target, where they are known.

    `by_view`: they follow from the view of the cluster's names.
    """

    by_view: bool

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
