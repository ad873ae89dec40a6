"""`_update_by_query`, `_delete_by_query`, `_reindex`: writes whose documents never leave the cluster.

Final query pipelines hold for what they select; default ones do not, as in OpenSearch (with a default `filter_query` it
deletes less than was asked for). Document pipelines cannot run: of default ones the answer warns, or the request is
refused by a setting; where a final one would be skipped it is refused always.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from headrace.execution import choice, document_run
from headrace.execution.expressions import options_of, read_by
from headrace.execution.protected import masks_of, withheld
from headrace.execution.search_plan import plan_search
from headrace.execution.search_run import SearchRun, obliged, protect
from headrace.handlers.passthrough import passthrough
from headrace.protocol import search as codec
from headrace.protocol.headers.encoding import canonical
from headrace.server.reply import reply_answer
from headrace_pipelines import PipelineType
from headrace_pipelines.definition import members_of
from headrace_pipelines.errors import InvalidError, RefusedError, UnsupportedError
from headrace_pipelines.registry.association import DOCUMENT_FINAL, NONE, Slot

if TYPE_CHECKING:
    from collections.abc import Collection

    from aiohttp import web

    from headrace.execution.search_plan import SearchPlan
    from headrace.server.request import RequestContext
    from headrace_pipelines import Snapshot

DOCUMENT = PipelineType.DOCUMENT
_SEARCHED = ("query", "sort", "slice", "_source")
"""Members that say which documents are selected and what of them: reviewed like those of a search."""
_BY_QUERY = frozenset({*_SEARCHED, "script", "max_docs", "conflicts", "size"})
_SOURCE = frozenset({*_SEARCHED, "index", "size"})
_SLOTS = (Slot(DOCUMENT), DOCUMENT_FINAL)


async def update(context: RequestContext) -> web.StreamResponse:
    """`_update_by_query`."""
    if not context.snapshot.types:
        return await passthrough(context)
    expression = context.params["index"]
    _refuse_named(context, context.target.get("pipeline"))
    if not context.snapshot.bound.isdisjoint(_SLOTS):
        reading = await read_by(context, expression, options_of(context))
        for held in choice.assignments(context.snapshot, reading.targets, _SLOTS):
            _skip(context, held.names, final=held.slot.final)
    return await _filtered(context, expression)


async def delete(context: RequestContext) -> web.StreamResponse:
    """`_delete_by_query`."""
    if not context.snapshot.types:
        return await passthrough(context)
    return await _filtered(context, context.params["index"])


async def _filtered(context: RequestContext, expression: str) -> web.StreamResponse:
    """Sends the request on with the final query pipelines over its query."""
    work = SearchRun(context, expression, b"", options=options_of(context))
    chosen = await plan_search(context, context.snapshot, expression, defaults=False, options=work.options)
    work.reading = chosen.reading
    if chosen.reading is None or not context.snapshot.protects:
        return await passthrough(context)
    work.body = await context.text()
    if work.body:
        context.require_json()
        work.body = canonical(work.body)
    protection = await protect(work, chosen)
    _refuse_shown_scripts(context, chosen, work.body)
    members = work.members
    _check_members(members, _BY_QUERY)
    over = codec.folded_query(context.target)
    if over is not None:
        members["query"] = msgspec.Raw(msgspec.json.encode(over))
        context.target = context.target.without(*codec.QUERY_STRING)
    await work.run_members(chosen, members, protection, _SEARCHED)
    if work.runs:
        context.response_headers["X-Pipeline"] = choice.header(work.runs)
    try:
        if not work.scripted:
            return await context.forward(work.body, changed=True)
        answer = await context.forward_buffered(work.body, unfiltered=True)
        return await reply_answer(context, answer, withheld(answer.body) if answer.json else None)
    finally:
        context.components.resolver.forget()


def _check_members(members: Collection[str], allowed: frozenset[str]) -> None:
    """Raises RefusedError for a member that might select or show documents past the review."""
    if unknown := set(members) - allowed:
        raise RefusedError(
            f"[{min(unknown)}] is not known to obey the final pipelines that are attached; there may be "
            f"{', '.join(sorted(allowed))}"
        )


def _refuse_shown_scripts(context: RequestContext, chosen: SearchPlan, body: bytes) -> None:
    """Raises RefusedError for a script over documents that are masked: its error text would show their values."""
    if masks_of(chosen) and b'"script"' in body:
        raise RefusedError("[script] would see fields that final result pipelines hide, and can show them in its error")
    if masks_of(chosen) and context.target.get("pipeline") not in (None, NONE):
        raise RefusedError(
            "[pipeline] of the cluster would see fields that final result pipelines hide, and can copy them"
        )


async def reindex(context: RequestContext) -> web.StreamResponse:
    """`_reindex`: source and destination stand in the body."""
    snapshot = context.snapshot
    if not snapshot.types:
        return await passthrough(context)
    if not snapshot.bound and not context.readable:
        return await passthrough(context)
    context.require_json()
    work = SearchRun(context, "", canonical(await context.text()))
    members = work.members
    source, destination = (members_of(bytes(members.get(name, msgspec.Raw(b"{}")))) for name in ("source", "dest"))
    await _check_destination(context, destination)
    if "script" in members and DOCUMENT_FINAL in snapshot.bound:
        raise UnsupportedError(
            "[script] of _reindex may send documents to any index, and there are final document pipelines that would "
            "be skipped; read the source by searches and index it with _bulk"
        )
    if bytes(source.get("remote", msgspec.Raw(b"null"))) == b"null":
        source.pop("remote", None)
        await _filter_source(work, source, snapshot)
        members["source"] = msgspec.Raw(work.body)
    return await context.forward(msgspec.json.encode(members), changed=True)


async def _filter_source(work: SearchRun, source: dict[str, msgspec.Raw], snapshot: Snapshot) -> None:
    """Puts the source of a `_reindex`, as the final query pipelines of its indexes leave it, into the body of `work`.

    Raises UnsupportedError where final result pipelines would be skipped.
    """
    context = work.context
    work.expression = _expression(source.get("index"))
    work.replace_members(source)
    chosen = await plan_search(context, snapshot, work.expression, defaults=False)
    if masks_of(chosen):
        raise UnsupportedError(
            "the documents of _reindex never leave the cluster, so the final result pipelines of the source would "
            "be skipped; read it by searches"
        )
    if chosen.reading is None or not snapshot.protects:
        return
    work.reading = chosen.reading
    names = chosen.reading.resolution.forwarded
    work.unnamed = names is None or chosen.reading.resolution.aliased
    if names is not None:
        source["index"] = msgspec.Raw(msgspec.json.encode(names))
    protection = await obliged(work, chosen, None, withholds=False)
    _check_members(source, _SOURCE)
    await work.run_members(chosen, source, protection, _SEARCHED)
    if work.runs:
        context.response_headers["X-Pipeline"] = choice.header(work.runs)


async def _check_destination(context: RequestContext, destination: dict[str, msgspec.Raw]) -> None:
    """Warns of document pipelines that a `_reindex` passes by, or raises UnsupportedError."""
    named = destination.get("pipeline")
    _refuse_named(context, str(msgspec.json.decode(named)) if named else None)
    index = msgspec.json.decode(destination.get("index", msgspec.Raw(b"null")))
    if index is not None and not isinstance(index, str):
        raise InvalidError("must be the name of an index", "dest.index")
    if index is not None:
        for slot in _SLOTS:
            found = await choice.for_document(context.snapshot, context.components.resolver, index, final=slot.final)
            _skip(context, [found.definition.name] if found else [], final=slot.final)


def _refuse_named(context: RequestContext, name: str | None) -> None:
    if name and context.snapshot.active(DOCUMENT, name):
        raise InvalidError(
            f"[{name}] is a pipeline of Headrace, which cannot run here: these documents never leave the cluster",
            "pipeline",
        )
    if document_run.names_of_cluster(context, context.snapshot, name):
        raise document_run.of_cluster(name)


def _skip(context: RequestContext, names: list[str], *, final: bool) -> None:
    """Says that document pipelines do not run. Raises UnsupportedError for final ones, or where settings refuse."""
    if not names:
        return
    shown = ", ".join(names)
    if final or context.components.settings.by_query == "refuse":
        kind = "final document" if final else "document"
        raise UnsupportedError(
            f"the {kind} pipeline [{shown}] would be skipped: documents of this request never leave the cluster. "
            "Index them with _bulk instead"
        )
    context.response_headers.add(
        "Warning",
        f'299 Headrace "the document pipeline [{shown}] did not run: these documents never leave the cluster"',
    )


def _expression(raw: msgspec.Raw | None) -> str:
    index = msgspec.json.decode(raw) if raw else None
    return ",".join(map(str, index)) if isinstance(index, list) else str(index or "_all")
