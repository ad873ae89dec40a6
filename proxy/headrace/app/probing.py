"""A search that is sent once more, with a text in place of what one pipeline made of it: for the shadow of a rollout.

It goes the way of every search, with the credentials of its caller, under the final pipelines and masks that are in
force, up to the answer of the cluster: nothing is sent to the client.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from headrace.handlers import explaining, routes
from headrace.handlers.search.search import search
from headrace.protocol.target import Target
from headrace.server.request import RequestContext
from headrace_pipelines import Batch, Execution, RunOptions
from headrace_pipelines.errors import HeadraceError
from headrace_pipelines.stats import PipelineStats

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp import web

    from headrace.execution.rollouts.shadow.searches import Resend
    from headrace.upstream.client import Answer
    from headrace.upstream.sending import Text
    from headrace_pipelines.registry import Pipeline
    from headrace_pipelines.registry.rollouts.record import Rollout

MAX_BODY = 64 << 10
"""Bytes of the longest request that is kept to be sent once more."""
BEGINS_CURSOR = ("scroll", "search_type")
"""Parameters with which a search is not sent again: a scroll holds memory of the cluster."""


class AnsweredError(Exception):
    """The cluster has answered: the search goes no further."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.answer = answer


class NotReplacedError(HeadraceError):
    """The pipeline does not run on the search any more."""


@dataclass
class ProbeContext(RequestContext):
    """A search that ends with the answer of the cluster.

    `replacement` stands for what the pipeline of the `rollout` makes of it.
    """

    rollout: Rollout | None = None
    replacement: bytes = b""
    replaced: bool = False

    async def run_pipeline(
        self,
        pipeline: Pipeline,
        batch: Batch,
        again: Callable[[], Batch],
        options: RunOptions | None = None,
        then: Callable[[Batch], object] | None = None,
    ) -> Execution:
        """Puts the text in place of the run of the pipeline; others run uncounted."""
        if self._is_meant(pipeline):
            self.replaced = True
            batch.restart(Batch.of("query", self.replacement, index=self.params.get("index"), ctx=batch.context(0)))
            return Execution(pipeline.label)
        uncounted = replace(options or RunOptions(), counted=False, logged=False)
        return await self.components.runner.run(replace(pipeline, stats=PipelineStats()), batch, again, uncounted, then)

    def _is_meant(self, pipeline: Pipeline) -> bool:
        definition, rollout = pipeline.definition, self.rollout
        return rollout is not None and (definition.type, definition.name, definition.version) == (
            rollout.type,
            rollout.name,
            rollout.stable,
        )

    async def forward_streaming(self) -> web.StreamResponse:
        """Raises NotReplacedError: no pipeline concerns the search any more."""
        raise NotReplacedError("no pipeline concerns the search")

    async def forward(self, body: Text, *, changed: bool) -> web.StreamResponse:
        """Raises AnsweredError with the answer of the cluster."""
        await self.forward_buffered(body, changed=changed)
        raise NotReplacedError("no answer")

    async def forward_buffered(self, body: Text, *, changed: bool = True, unfiltered: bool = False) -> Answer:
        """Raises AnsweredError with the answer of the cluster, NotReplacedError where it is no other search."""
        if not self.replaced:
            raise NotReplacedError("the pipeline does not run on the search")
        raise AnsweredError(await super().forward_buffered(body, changed=changed, unfiltered=True))


def probe(context: RequestContext, rollout: Rollout) -> Resend | None:
    """Keeps of a search what sends it once more; `None` for one that is not sent again."""
    body = context.kept_body
    if body is None or len(body) > MAX_BODY or context.explain is not None or context.method not in ("GET", "POST"):
        return None
    target = Target.parse(context.head.target)
    if target.has_any(BEGINS_CURSOR) or explaining.PARAMETER in target.values:
        return None
    (route, params), target = routes.ROUTER.match_target(context.method, target if target.plain else target.canonical)
    if route.handler is not search:
        return None
    request, inbound, components, surface = context.request, context.inbound, context.components, context.surface

    async def resend(text: bytes) -> bytes | None:
        again = ProbeContext(request, inbound, components, target, params.copy(), _body=body, rollout=rollout)
        again.replacement, again.surface, again.reads = text, surface, True
        if components.registry.holds:
            again.read_source_parameter()
        try:
            await search(again)
        except AnsweredError as ended:
            return ended.answer.body if ended.answer.ok and ended.answer.json else None
        return None

    return resend
