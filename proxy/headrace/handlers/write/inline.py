"""Writes whose pipelines run without a handler before the request is sent: bulks and single documents.

Nothing waits here: the request names the pipelines, or they follow from the view of the cluster's names at hand. They
run on the event loop where they are quickly done, and a single one that is not runs on a thread. Whatever needs more
(finals, dead letters, shadows, mappings, a name that is the cluster's, a new index, an error of the whole request) is
left to the handlers, which say and do everything themselves.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import unquote

import msgspec

from headrace.execution import choice, document_run
from headrace.execution.choice import NO_PIPELINE
from headrace.execution.document_run import DEFAULT
from headrace.execution.rollouts.inline import InlineSplits
from headrace.handlers.write import document
from headrace.handlers.write.write_run import WriteRun
from headrace.protocol.headers.encoding import as_single_line
from headrace.protocol.indices.resolver import dated
from headrace.security import registry_guard
from headrace_pipelines import Bulk, BulkError, Execution
from headrace_pipelines.errors import EngineError
from headrace_pipelines.registry.association import DOCUMENT_FINAL

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace.execution.choice import Attached
    from headrace.ops.runner import PlannedRun
    from headrace.protocol.indices.view import View
    from headrace.protocol.target import Target
    from headrace.server.components import Components
    from headrace.server.fast_path import InlinePipelines
    from headrace.server.router import Match
    from headrace_pipelines import Snapshot
    from headrace_pipelines.http1 import RequestHead
    from headrace_pipelines.registry.association import Slot
    from headrace_pipelines.registry.rollouts.running import RunningRollout

PARAMETERS = frozenset({"refresh", "timeout", "wait_for_active_shards"})
"""URL parameters that neither choose pipelines nor shape the answer."""
NAMES = frozenset({"pipeline", "document_pipeline"})
"""Those that choose the pipeline."""


def may_run(snapshot: Snapshot, target: Target) -> bool:
    """Whether writes may run their pipelines here, as far as the registry and the target say."""
    return (
        not snapshot.protects
        and DOCUMENT_FINAL not in snapshot.bound
        and not snapshot.has_dead_letters
        and target.values.keys() - NAMES <= PARAMETERS
    )


class InlineWrites:
    """Runs the default pipelines of writes, or those that they name."""

    def __init__(
        self, components: Components, snapshot: Snapshot, view: View | None, named: Attached | None = None
    ) -> None:
        """`named`: what the URL names; without it `view` tells what is attached, if anything is."""
        self.components = components
        self._registry = components.settings.registry_index
        self._snapshot = snapshot.origin
        self._default = NO_PIPELINE if named is None and DEFAULT not in snapshot.bound else named
        """What actions have that name none; `None` where their indexes tell it."""
        self.by_view = self._default is None
        self._attachments = components.attachments.of(snapshot, view) if view is not None and self.by_view else None
        self._rollouts: dict[str, RunningRollout] = {}
        """The rollouts of the pipelines that were found, by the labels of their stable versions."""

    def groups(self, parsed: Bulk) -> dict[str, document_run.Group] | None:
        """The pipelines of a bulk's targets, whose names are taken out of it; `None` where nothing here tells them."""
        found: dict[str, document_run.Group] = {}
        find = self._attachments.find if self._attachments is not None else self._unknown
        for key, (index, name, writes) in enumerate(parsed.targets()):
            if index is None or not writes:
                if index is None or name is not None or registry_guard.names_registry(index, self._registry):
                    return None
                continue
            attached = find(index) if name is None and self.by_view else self._named(index, name)
            if attached is None or not attached.plain:
                return None
            if name is not None:
                parsed.strip_pipeline(key)
            if attached.pipeline is not None:
                label = attached.pipeline.label
                group = found.get(label)
                if group is None:
                    found[label] = (attached.pipeline, [key])
                    if attached.rollout is not None:
                        self._rollouts[label] = attached.rollout
                else:
                    group[1].append(key)
        return found

    def _unknown(self, index: str | None) -> Attached | None:
        """No view is at hand that tells what is attached to an index."""
        return None

    def _named(self, index: str, name: str | None) -> Attached | None:
        """The pipeline of a write to `index` by the name in its action or URL; `None` for its handler to say."""
        if registry_guard.names_registry(index, self._registry):
            return None
        return self._default if name is None else choice.of_name(self._snapshot, name)

    def over(
        self, parsed: Bulk, groups: dict[str, document_run.Group], finish: Callable[[WriteRun], bool]
    ) -> WriteRun | None:
        """Runs the pipelines, or has a thread run the one there is; `None` for a bulk that is its handler's.

        `finish` as [`WriteRun`] has it.
        """
        work = WriteRun(self.components, parsed, finish, self._is_astray)
        candidates: list[document_run.Group] = []
        if self._rollouts:
            # There is to be time for the candidates, too.
            split = [label for label in groups if label in self._rollouts]
            candidates = [(self._rollouts[label].candidate, groups[label][1]) for label in split]
        plan = self.components.runner.plan(parsed, [*groups.values(), *candidates])
        if plan is None:
            if len(groups) == 1 and not candidates:
                ((pipeline, keys),) = groups.values()
                work.thread = self.components.runner.start(pipeline, parsed, keys)
            return work if work.thread is not None else None
        executions: list[tuple[Slot, Execution]] = []
        done = False
        try:
            for planned in plan.runs[: len(groups)]:
                if not self._ran(work, planned, plan.end, executions):
                    return None
            done = True
        except EngineError as error:
            work.error, done = error, True
            return work
        finally:
            if not done:
                work.settle(sent=False)
        return work if work.end(executions) else None

    def _ran(self, work: WriteRun, planned: PlannedRun, end: float, executions: list[tuple[Slot, Execution]]) -> bool:
        """Runs one pipeline over its documents; false where the time is over before it is done."""
        parsed, runner, pipeline = work.parsed, self.components.runner, planned.pipeline
        rollout = self._rollouts.get(pipeline.label) if self._rollouts else None
        if rollout is not None:
            return self._ran_versions(work, rollout, planned, end, executions)
        if planned.idle is not None:
            if planned.idle:
                work.uncounted.idle.append((pipeline, planned.idle))
                executions.append((DEFAULT, Execution(pipeline.label)))
            return True
        if pipeline.fused is not None:
            fused_run = runner.attempt_planned(planned, pipeline.fused, parsed, end)
            if fused_run is None:
                return False
            if len(fused_run):
                work.uncounted.fused.append((pipeline, fused_run))
                executions.append((DEFAULT, Execution(pipeline.label, fused_run.skipped)))
            return True
        batch = parsed.batch(planned.keys)
        if not len(batch):
            return True
        run = runner.attempt_in_plan(pipeline, batch, end)
        if run is None:
            return False
        work.uncounted.others.append(run)
        executions.append((DEFAULT, run.execution))
        parsed.absorb(batch)
        return True

    def _ran_versions(
        self,
        work: WriteRun,
        rollout: RunningRollout,
        planned: PlannedRun,
        end: float,
        executions: list[tuple[Slot, Execution]],
    ) -> bool:
        """The same of a pipeline with a rollout, whose versions run each over its part."""
        batch = work.parsed.batch(planned.keys)
        components = self.components
        splits = InlineSplits(components.registry, self._snapshot, components.rollouts, components.runner)
        ran = splits.attempt(rollout, batch, end, work.uncounted)
        if ran is None:
            return False
        executions += [(DEFAULT, execution) for execution in ran]
        if ran:
            work.parsed.absorb(batch)
        return True

    def _is_astray(self, parsed: Bulk) -> bool:
        """Whether a stage has sent a document to the registry, or to date math: then more has to be said."""
        moved = parsed.indexes(moved=True)
        return bool(moved) and any(
            index and (dated(index) or registry_guard.names_registry(index, self._registry)) for index in moved
        )


def route(
    components: Components, snapshot: Snapshot, view: View | None, match: Match, target: Target
) -> InlinePipelines | None:
    """The pipelines of writes with this target, where they may run on the event loop.

    Without a `view` those that the URL names, or those of actions where nothing is attached.
    """
    if not may_run(snapshot, target):
        return None
    named = None
    if names := [value for name, value in target.values.items() if name in NAMES]:
        named = choice.of_name(snapshot, names[0]) if len(names) == 1 else None
        if named is None or not named.plain:
            return None
    elif view is None and DEFAULT in snapshot.bound:
        return None
    inline = InlineWrites(components, snapshot, view, named)
    index = match.params.get("index")
    stripped = target.without(*NAMES) if named is not None else None
    if match.route.bulk:
        return InlineBulk(inline, index, stripped.raw if stripped is not None else None)
    if match.route.handler is not document.document or index is None:
        return None
    creates, by_id = "_create" in target.segments, "id" in match.params
    return InlineDocument(inline, index, creates=creates, by_id=by_id, stripped=stripped)


class InlineBulk:
    """The pipelines of bulks with one target (`server.fast_path.InlinePipelines`)."""

    def __init__(self, inline: InlineWrites, index: str | None, target: str | None) -> None:
        """`target`: the new target, if it changes."""
        self._inline = inline
        self.by_view = inline.by_view
        self._index = index
        self._target = target

    def run(self, head: RequestHead, text: bytes) -> WriteRun | None:
        """Runs the pipelines of a bulk; `None` for one that is not plain."""
        inline = self._inline
        try:
            parsed = Bulk(text, index=self._index)
        except BulkError:
            return None
        groups = inline.groups(parsed) if len(parsed) else None
        return inline.over(parsed, groups, partial(self._finish, text)) if groups is not None else None

    def _finish(self, text: bytes, work: WriteRun) -> bool:
        """Renders the bulk; false where it is longer than it may be."""
        parsed = work.parsed
        rendered = parsed.render()
        if rendered is not None and len(rendered) > work.components.max_body:
            return False
        parsed.let_go()
        work.target = self._target
        if rendered is None or (not work.pipelines and not parsed.counts()[2]):
            # The cluster's items are the answer.
            work.body = text if rendered is None else rendered
        elif rendered:
            work.body, work.reads_answer = rendered, True
        return True


class InlineDocument:
    """The pipelines of single documents with one target, or with targets that differ in their plain id."""

    def __init__(
        self, inline: InlineWrites, index: str, *, creates: bool, by_id: bool, stripped: Target | None
    ) -> None:
        """`stripped`: a target without the name of the pipeline, where requests have one."""
        self._inline = inline
        self.by_view = inline.by_view
        self._index = index
        self._creates = creates
        self._by_id = by_id
        self._query = None if stripped is None else f"?{stripped.raw_query}" if stripped.raw_query else ""
        self._groups: dict[str, document_run.Group] | None = None

    def run(self, head: RequestHead, text: bytes) -> WriteRun | None:
        """Runs the pipelines of a document; `None` for one that is not plain."""
        inline = self._inline
        id_ = unquote(_path(head).rpartition("/")[2]) if self._by_id else None
        body = document.plain(text)
        parsed = Bulk.single(as_single_line(body), index=self._index, id=id_, creates=self._creates)
        groups = self._groups = self._groups or inline.groups(parsed)
        return inline.over(parsed, groups, partial(self._finish, head, id_, body)) if groups is not None else None

    def _finish(self, head: RequestHead, id_: str | None, body: bytes, work: WriteRun) -> bool:
        """Puts the document back into its request; false for one that stages have moved, or made several of."""
        if self._query is not None:
            work.target = _path(head) + self._query
        state, failure = work.parsed.outcome(0)
        if failure is not None:
            work.error = work.components.stage_error(*failure)
        elif state == "dropped":
            work.noop = msgspec.json.encode(document.noop(self._index, id_, creates=self._creates))
        elif state == "here":
            changed = work.parsed.document(0)
            work.body = body if changed is None else changed
        else:
            return False
        return True


def _path(head: RequestHead) -> str:
    return head.target.partition("?")[0]
