"""A search on its way, whatever surface it came by: its body, the pipelines that concern it, and what they did."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from headrace.execution import choice
from headrace.execution.choice import ScopedPipeline
from headrace.execution.expressions import narrow
from headrace.execution.protected import (
    UNPROTECTED,
    Protection,
    check_processors,
    guarded,
    over_judged,
    protection_of,
    reviewed,
)
from headrace.execution.protection import HiddenFields, Scope, may_have_lookups
from headrace.execution.rollouts import versions
from headrace.execution.rollouts.searches import note_run
from headrace.execution.search_plan import plan_search
from headrace.ops.observers import RunOrigin
from headrace.protocol.cursors import Cursor, PinnedPart
from headrace.protocol.headers.encoding import canonical, decode_object, encode_exact
from headrace.protocol.indices.options import READ
from headrace_pipelines import Batch, PipelineType, RunOptions
from headrace_pipelines.definition import members_of
from headrace_pipelines.errors import InvalidError, RefusedError
from headrace_pipelines.registry import key
from headrace_pipelines.registry.association import NONE, Slot

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from headrace.execution.search_plan import SearchPlan
    from headrace.protocol.indices.options import IndicesOptions
    from headrace.protocol.indices.view import Reading
    from headrace.server.request import RequestContext
    from headrace_pipelines import Execution, Snapshot
    from headrace_pipelines.registry import Pipeline

QUERY, RESULT = PipelineType.QUERY, PipelineType.RESULT


@dataclass
class SearchRun:
    """A search: what it is over, its body (JSON, or nothing), its context, and the runs so far.

    `changed`: the body is no longer the one that came. `pit`: the sealed point in time that it is over. `rendered`: it
    came as a template. `asynchronous`: the response comes as a member of the answer, and perhaps not yet.
    """

    context: RequestContext
    expression: str
    body: bytes
    changed: bool = False
    pit: Cursor | None = None
    ctx: bytes | None = None
    rendered: bool = False
    asynchronous: bool = False
    options: IndicesOptions = READ
    """The expansion options of the expression."""
    reading: Reading | None = None
    """The indexes of the search, where finals or masks may concern it."""
    scripted: bool = False
    """Whether errors of the request's scripts may quote documents that it must not see."""
    unnamed: bool = False
    """Whether what is sent on cannot name what was judged, so that the query has to."""
    runs: list[tuple[Slot, Execution]] = field(default_factory=list)
    _came: dict[PipelineType, bytes] = field(default_factory=dict)
    """The texts before the first pipeline, for observers."""

    @property
    def members(self) -> dict[str, msgspec.Raw]:
        """The members of the body. Raises UnparsableError."""
        return members_of(self.body) if self.body else {}

    def replace_members(self, members: dict[str, msgspec.Raw]) -> None:
        """Another body."""
        self.body, self.changed = msgspec.json.encode(members), True

    async def run(self, slot: Slot, part: ScopedPipeline, text: bytes) -> bytes:
        """`text` after the pipeline. Raises StageError when the pipeline ends the request."""
        make = partial(Batch.of, slot.kind.value, text, index=self.context.params.get("index"), ctx=self.ctx)
        origin = self._origin(slot.kind, text) if self.context.observers else None
        batch, options = make(), RunOptions(final=slot.final, indexes=part.indexes, origin=origin)
        run = await self.context.run_pipeline(part.pipeline, batch, make, options)
        self.runs.append((slot, run))
        _, failure = batch.outcome(0)
        stable = note_run(self.context, part.pipeline, run)
        if failure is not None and stable is not None:
            batch = make()
            self.runs.append((slot, await self.context.run_pipeline(stable, batch, make, options)))
            _, failure = batch.outcome(0)
        if failure is not None:
            raise self.context.stage_error(*failure)
        self.ctx = batch.context(0)
        return batch.document(0)

    def _origin(self, kind: PipelineType, text: bytes) -> RunOrigin:
        """What observers are told of a run over `text`."""
        came = self._came.setdefault(kind, text)
        indexes = tuple(self.reading.resolution.indexes) if self.reading is not None else ()
        return RunOrigin(self.expression, indexes, came, came is not text)

    async def run_members(
        self,
        chosen: SearchPlan,
        members: dict[str, msgspec.Raw],
        protection: Protection | None,
        searched: Collection[str] = ("query",),
    ) -> None:
        """Runs query pipelines over the `searched` members of a body; the others stay as they are.

        Raises RefusedError for what cannot obey finals, StageError.
        """
        asked = {name: members[name] for name in searched if name in members}
        self.body = msgspec.json.encode(asked)
        await self.queries(chosen.of(QUERY), protection)
        changed = self.members
        rest = {name: value for name, value in members.items() if name not in searched}
        self.replace_members(rest | {name: changed[name] for name in searched if name in changed})

    async def queries(self, parts: list[tuple[Slot, ScopedPipeline]], protection: Protection | None) -> None:
        """Runs query pipelines over the body: the default ones, then the review, then the final ones.

        Raises RefusedError for what cannot obey finals and masks, StageError.
        """
        filtered, before = protection is not None and protection.scope.filtered, self.body
        for slot, part in parts:
            if slot.final and protection is not None:
                await self.review(protection)
                protection = None
            if not slot.final:
                self.body = before = await self.run(slot, part, self.body.strip() or b"{}")
            else:
                self.body = await self.run(slot, part, self.body.strip() or b"{}")
        if protection is not None:
            await self.review(protection)
        # One that only filters is known to leave every document, where it is not among what is reviewed.
        unforeseen = any(slot.final and part.visible is None for slot, part in parts)
        if not filtered and unforeseen and self.context.snapshot.protects:
            await self._check_unforeseen(before)

    async def _check_unforeseen(self, before: bytes) -> None:
        """Reviews a search that a final pipeline filters although it leaves an empty search alone.

        Raises RefusedError for what would have to be rewritten by that filter.
        """
        came = decode_object(canonical(before.strip() or b"{}"))
        if came.get("query") != decode_object(self.body).get("query"):
            await reviewed(self.context, came, Protection(Scope(True, HiddenFields(), errors_withheld=False)))

    async def review(self, protection: Protection) -> None:
        """Puts the request into the form that obeys finals and masks. Raises RefusedError."""
        came = members = decode_object(self.body or b"{}")
        if protection.scope.filtered or protection.scope.hidden or protection.lookups:
            members, self.scripted = await reviewed(self.context, members, protection)
            self.scripted = self.scripted or not protection.lookups
        if self.unnamed and self.reading is not None:
            members = members | {"query": guarded(members.get("query"), self.reading)}
        if members is not came:
            self.body = encode_exact(members)
        self.changed = True

    async def results(self, parts: list[tuple[Slot, ScopedPipeline]], text: bytes) -> bytes:
        """An answer with its response after result pipelines. Raises StageError."""
        if self.asynchronous:
            members = members_of(text)
            response = bytes(members.get("response", b"null"))
            if response == b"null":
                return text
            members["response"] = msgspec.Raw(await self._through(parts, response))
            return msgspec.json.encode(members)
        return await self._through(parts, text)

    async def _through(self, parts: list[tuple[Slot, ScopedPipeline]], response: bytes) -> bytes:
        for slot, part in parts:
            response = await self.run(slot, part, response)
        return response

    async def choose(self, snapshot: Snapshot, named: str | None) -> SearchPlan:
        """The pipelines of this search; `named`: what the request itself names, in place of the defaults.

        Raises InvalidError where finals cannot be put together, or a name of the URL is none.
        """
        if self.pit is not None:
            snapshot = versions.kept(snapshot, self.pit.versions)
        given = {kind: choice.override(self.context, snapshot, kind) for kind in (QUERY, RESULT)}
        chosen = await plan_search(
            self.context, snapshot, self.expression, defaults=named is None, options=self.options
        )
        self.reading = chosen.reading
        if named is not None:
            for kind in (QUERY, RESULT):
                _set_pipeline(chosen, kind, choice.named(snapshot, kind, named).pipeline)
        for kind, own in given.items():
            if own is not None:
                _set_pipeline(chosen, kind, own.pipeline)
        return chosen

    def pop_search_pipeline(self, snapshot: Snapshot) -> str | None:
        """The `search_pipeline` of the body; one of ours is taken out of it, an inline one counts as the cluster's."""
        if b"search_pipeline" not in self.body:
            return None
        members = self.members
        if "search_pipeline" not in members:
            return None
        name = msgspec.json.decode(members["search_pipeline"])
        if not isinstance(name, str):
            return NONE
        if is_ours(snapshot, name):
            del members["search_pipeline"]
            self.replace_members(members)
        return name

    def open_point_in_time(self, snapshot: Snapshot) -> None:
        """Puts the cluster's own point in time into the body, and its indexes in place of the expression.

        Raises InvalidError for one whose indexes cannot be told, where pipelines are attached.
        """
        bound = bool(snapshot.bound_types & {QUERY, RESULT})
        if not self.body or not (bound or b'"pit"' in self.body):
            return
        members = self.members
        if "pit" not in members:
            return
        pit = members_of(bytes(members["pit"]))
        text = msgspec.json.decode(pit.get("id", msgspec.Raw(b"null")))
        cursor = self.context.components.cursors.open("pit", text) if isinstance(text, str) else None
        if cursor is None:
            if bound:
                raise InvalidError(
                    "the indexes of this point in time cannot be told: it was made past this proxy, or before there "
                    "were any pipelines; make it again"
                )
            return
        self.pit, self.expression = cursor, cursor.expression
        pit["id"] = msgspec.Raw(msgspec.json.encode(cursor.id))
        members["pit"] = msgspec.Raw(msgspec.json.encode(pit))
        self.replace_members(members)

    def seal_point_in_time(self, response: bytes) -> bytes:
        """A response with its point in time sealed as the request's was."""
        if self.pit is None:
            return response
        return sealed(response, "pit_id", self.context.components.cursors.sealer(self.pit))


async def protect(work: SearchRun, chosen: SearchPlan, *, withholds: bool = False) -> Protection | None:
    """Points the search at the judged indexes and returns its protection; `None` for none.

    `withholds`: the answer goes through [`withheld`] if a script of the request may quote documents in its errors.
    Raises HeadraceError.
    """
    context = work.context
    if chosen.reading is None or not context.snapshot.protects:
        return None
    if work.pit is None:
        work.unnamed = not narrow(context, chosen.reading)
    protection = await obliged(work, chosen, context.target.get("search_pipeline"), withholds=withholds)
    if protection is None or protection.lookups:
        return protection
    if (
        context.target.get("search_pipeline") is None
        and context.surface == "search"
        and b"search_pipeline" not in work.body
    ):
        # That of the index's settings would run behind the filter and before the mask, too.
        context.target = context.target.with_parameter("search_pipeline", NONE)
    if context.target.flag("verbose_pipeline"):
        raise RefusedError("[verbose_pipeline] shows what final pipelines hide of this search; leave it out")
    return protection


async def obliged(work: SearchRun, chosen: SearchPlan, pipeline: str | None, *, withholds: bool) -> Protection | None:
    """The protection of a search; `None` for none. `pipeline`: the cluster's search pipeline that the request names.

    Raises HeadraceError.
    """
    context, reading = work.context, chosen.reading
    protection = await protection_of(context, chosen)
    if protection is not None:
        check_processors(context, pipeline)
    if work.unnamed and reading is not None:
        protection = over_judged(protection, reading)
    if protection is None:
        body = context.decoded_text(work.body) if context.needs_decoding and not work.changed else work.body
        return UNPROTECTED if may_have_lookups(body) or (body and not context.readable) else None
    return protection.withholding if withholds else protection


def _set_pipeline(chosen: SearchPlan, kind: PipelineType, pipeline: Pipeline | None) -> None:
    """Puts what the request names into the default slot."""
    chosen.parts[Slot(kind)] = [ScopedPipeline(pipeline)] if pipeline is not None else []
    chosen.names_result = chosen.names_result or kind is RESULT


def is_ours(snapshot: Snapshot, name: str) -> bool:
    """Whether a pipeline of searches in our registry is called so."""
    return any(snapshot.active(kind, name) for kind in (QUERY, RESULT))


def strip_names(context: RequestContext, snapshot: Snapshot) -> str | None:
    """Takes our names out of the URL, and gives the `search_pipeline` that stood there."""
    name = context.target.get("search_pipeline")
    context.target = context.target.without("query_pipeline", "result_pipeline")
    if name is not None and is_ours(snapshot, name):
        context.target = context.target.without("search_pipeline")
    return name


def warn_of_conflicts(context: RequestContext, conflicts: list[str]) -> None:
    """Says that pipelines of several indexes differ, so that none of them ran."""
    if conflicts:
        shown = "; ".join(conflicts)
        context.response_headers["X-Pipeline-Conflict"] = shown
        context.response_headers.add(
            "Warning",
            f'299 Headrace "the indexes of this search have different pipelines, none of them ran: {shown}"',
        )


def pinned(parts: list[tuple[Slot, ScopedPipeline]]) -> list[PinnedPart]:
    """Result pipelines as a cursor carries them."""
    return [
        PinnedPart(slot.final, part.pipeline.definition.name, part.pipeline.definition.version, part.indexes)
        for slot, part in parts
    ]


def unpinned(snapshot: Snapshot, parts: list[PinnedPart]) -> list[tuple[Slot, ScopedPipeline]]:
    """The result pipelines of a cursor; the active version in place of the candidate of an aborted rollout.

    Raises MissingError for a version that is gone.
    """
    found: list[tuple[Slot, ScopedPipeline]] = []
    for part in parts:
        aborted = versions.is_aborted(snapshot, key(RESULT, part.name), part.version)
        pipeline = snapshot.origin.find(part.name, None if aborted else part.version, RESULT)
        found.append((Slot(RESULT, part.final), ScopedPipeline(pipeline, part.indexes)))
    return found


def sealed(body: bytes, member: str, sealer: Callable[[str], str]) -> bytes:
    """`body` with its cursor, the text of `member`, sealed; one without a cursor as it is."""
    members = members_of(body)
    cursor = msgspec.json.decode(members.get(member, b"null"))
    if not isinstance(cursor, str):
        return body
    members[member] = msgspec.Raw(msgspec.json.encode(sealer(cursor)))
    return msgspec.json.encode(members)
