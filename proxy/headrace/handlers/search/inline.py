"""Searches whose pipelines, attached or named, run on the event loop.

Query pipelines run before the request is sent, result pipelines on its answer. Whatever needs more (finals and masks,
rollouts, cursors, names of the cluster's, parts over some indexes only) is left to the handlers, and so is an answer
that is long or takes long.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from headrace.execution import choice
from headrace.execution.choice import ScopedPipeline
from headrace.execution.search_run import QUERY, RESULT, SearchRun
from headrace.handlers.search import search
from headrace.ops.runner import UncountedRuns
from headrace.protocol.indices.options import expansion
from headrace.server.response import WholeAnswer
from headrace.upstream.client import Answer
from headrace_pipelines import Batch, Execution
from headrace_pipelines.definition import members_of
from headrace_pipelines.errors import EngineError, HeadraceError, StageError
from headrace_pipelines.registry.association import Slot

if TYPE_CHECKING:
    from aiohttp import web

    from headrace.protocol.indices.options import IndicesOptions
    from headrace.protocol.target import Target
    from headrace.server.components import Components
    from headrace.server.fast_path import InlinePipelines
    from headrace.server.request import RequestContext
    from headrace.server.router import Match
    from headrace.upstream.pending import PendingResponse
    from headrace.upstream.response import BufferedResponse
    from headrace_pipelines import PipelineType, Snapshot
    from headrace_pipelines.http1 import RequestHead
    from headrace_pipelines.registry import Pipeline

DEFAULTS = {kind: Slot(kind) for kind in (QUERY, RESULT)}
_KINDS = {slot: kind.value for kind, slot in DEFAULTS.items()}
"""The types as the engine calls them."""
PARAMETERS = frozenset(
    {
        "allow_no_indices",
        "batched_reduce_size",
        "expand_wildcards",
        "ignore_throttled",
        "ignore_unavailable",
        "max_concurrent_shard_requests",
        "pre_filter_shard_size",
        "preference",
        "request_cache",
        "routing",
        "typed_keys",
    }
)
"""URL parameters that neither choose pipelines, nor belong into the body, nor shape the answer."""
_NAMES = {kind: choice.OVERRIDES[kind] for kind in DEFAULTS}
"""Those that choose the pipeline of a type."""
_BOTH = "search_pipeline"
"""The one that chooses both."""
_ALL_NAMES = frozenset({_BOTH, *_NAMES.values()})
_MARKER = _BOTH.encode()
"""A body that contains it may name a pipeline."""


def route(components: Components, snapshot: Snapshot, match: Match, target: Target) -> InlinePipelines | None:
    """The pipelines of searches with this target, where they may run on the event loop."""
    expression = match.params.get("index")
    plain = target.values.keys() - _ALL_NAMES <= PARAMETERS and not snapshot.protects
    if match.route.handler is not search.search or expression is None or not plain:
        return None
    named = _named(snapshot, target)
    if named is None:
        return None
    names_all = _BOTH in target.values
    by_view = not names_all and not snapshot.bound.isdisjoint(DEFAULTS.values())
    try:
        options = expansion(target.values)
        found = _attached(components, snapshot, expression, options) if by_view else {}
    except HeadraceError:
        return None
    if found is None:
        return None
    for kind, pipeline in named.items():
        found.pop(DEFAULTS[kind], None)
        if pipeline is not None:
            found[DEFAULTS[kind]] = pipeline
    if any(pipeline.definition.name in snapshot.names_with_rollouts(slot.kind) for slot, pipeline in found.items()):
        return None
    stripped = target.without(*_ALL_NAMES).raw if named else None
    return InlineSearch(components, expression, found, stripped, by_view, names_all) if found else None


def _named(snapshot: Snapshot, target: Target) -> dict[PipelineType, Pipeline | None] | None:
    """The pipelines that the URL names in place of the defaults, by type; `None` for a name that is not ours."""
    named: dict[PipelineType, Pipeline | None] = {}
    if (name := target.get(_BOTH)) is not None:
        named = {kind: snapshot.active(kind, name) for kind in DEFAULTS}
        if not any(named.values()):
            return None
    for kind, parameter in _NAMES.items():
        if (name := target.get(parameter)) is not None:
            named[kind] = snapshot.active(kind, name)
            if named[kind] is None:
                return None
    return named


def _attached(
    components: Components, snapshot: Snapshot, expression: str, options: IndicesOptions
) -> dict[Slot, Pipeline] | None:
    """The default pipelines of the indexes; `None` where the view at hand does not tell them, or they differ.

    Raises MissingIndexError.
    """
    reading = components.resolver.current(expression, options)
    if reading is None or reading.registry or reading.remote:
        return None
    assigned = choice.assignments(snapshot, reading.targets, DEFAULTS.values())
    if any(each.mixed for each in assigned):
        return None
    return {each.slot: snapshot.attached(each.slot.kind, each.names[0]) for each in assigned if each.names}


@dataclass
class InlineSearch:
    """The pipelines of searches with one target (`server.fast_path.InlinePipelines`)."""

    components: Components
    index: str
    """The index or expression of the path."""
    found: dict[Slot, Pipeline]
    target: str | None = None
    """The new target, if it changes."""
    by_view: bool = True
    names_all: bool = False
    """Whether the URL names the pipelines of both types, beside which the body names none."""

    def run(self, head: RequestHead, text: bytes) -> InlineSearchRun | None:
        """Runs the query pipeline; `None` for a search that is not plain, or that it ends."""
        if _MARKER in text or not text.lstrip().startswith(b"{") or (self.names_all and not _is_plain(text)):
            return None
        work = InlineSearchRun(self, text, self.target)
        work.reads_answer = DEFAULTS[RESULT] in self.found
        if DEFAULTS[QUERY] not in self.found:
            return work
        try:
            work.body = work.through(DEFAULTS[QUERY], text.strip())
        except (EngineError, StageError) as error:
            work.body, work.error = None, error
        return work if work.body is not None or work.error is not None else None


class InlineSearchRun(msgspec.Struct):
    """A search whose query pipeline has run (`server.fast_path.InlineRun`)."""

    search: InlineSearch
    body: bytes | None
    target: str | None
    reads_answer: bool = False
    pipelines: str = ""
    error: HeadraceError | None = None
    """The error that its query pipeline ends it with."""
    ctx: bytes | None = None
    running: asyncio.Future[Any] | None = None
    runs: list[tuple[Slot, Execution]] = []
    _uncounted: UncountedRuns = msgspec.field(default_factory=UncountedRuns)
    _response: Answer | None = None
    """The cluster's answer, where its pipeline takes longer than the event loop can wait."""

    def through(self, slot: Slot, text: bytes) -> bytes | None:
        """`text` after the pipeline of a default slot; `None` where that belongs on a thread. Raises StageError."""
        batch = Batch.of(_KINDS[slot], text, index=self.search.index, ctx=self.ctx)
        pipeline, runner = self.search.found[slot], self.search.components.runner
        if pipeline.fused is None:
            run = runner.attempt(pipeline, batch)
            if run is None:
                return None
            self._uncounted.others.append(run)
            execution = run.execution
        else:
            fused_run = runner.attempt_fused(pipeline, pipeline.fused, batch)
            if fused_run is None:
                return None
            self._uncounted.fused.append((pipeline, fused_run))
            execution = Execution(pipeline.label, fused_run.skipped)
        _, failure = batch.outcome(0)
        if failure is not None:
            raise self.search.components.stage_error(*failure)
        self.runs.append((slot, execution))
        self.ctx = batch.context(0)
        return batch.document(0)

    def adopt(self) -> bool:
        """No thread is at work."""
        return False

    def abandon(self) -> None:
        """The same."""

    def cancel(self) -> None:
        """The same."""

    def settle(self, *, sent: bool) -> None:
        """Counts the runs if the request has left."""
        self._uncounted.settle(sent=sent)

    def answer(self, response: BufferedResponse | None) -> WholeAnswer | None:
        """The answer after the result pipeline; one that is no success as it is. Raises StageError, MediaTypeError."""
        if self.error is not None or response is None:
            raise self.error or RuntimeError("a search goes to the cluster")
        if not self.reads_answer or not 200 <= response.status < 300:
            return WholeAnswer(response.status, None, choice.header(self.runs))
        if not response.is_json:
            _whole(response).require_json()
        try:
            body = self.through(DEFAULTS[RESULT], response.body)
        finally:
            self._uncounted.settle(sent=True)
        if body is None:
            self._response = _whole(response)
            return None
        return WholeAnswer(response.status, body, choice.header(self.runs))

    async def resume(self, context: RequestContext, sent: PendingResponse | None) -> web.StreamResponse:
        """Goes on as a search of its handler."""
        if sent is None:
            raise RuntimeError("the search has not been sent")
        if not self.reads_answer:
            context.response_headers["X-Pipeline"] = choice.header(self.runs)
            return await context.resume_forwarded(sent)
        answer = self._response or await context.read_forwarded(sent)
        context.params = {"index": self.search.index}
        work = SearchRun(context, self.search.index, self.body or b"", changed=True, ctx=self.ctx)
        work.runs = self.runs
        results = DEFAULTS[RESULT]
        return await search.answered(work, [(results, ScopedPipeline(self.search.found[results]))], answer)


def _is_plain(body: bytes) -> bool:
    """Whether a body can be read, and names no pipeline, however it writes that."""
    try:
        return _BOTH not in members_of(body)
    except HeadraceError:
        return False


def _whole(response: BufferedResponse) -> Answer:
    """The same response as handlers have it."""
    return Answer(response.status, response.head.reason, response.head.raw_headers, response.body)
