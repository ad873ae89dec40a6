"""`_update_by_query`, `_delete_by_query`, `_reindex`: writes whose documents never leave the cluster.

Final query pipelines hold for what they select; default ones do not, as in OpenSearch (with a default `filter_query` it
deletes less than was asked for). Document pipelines cannot run: of default ones the answer warns, or the request is
refused by a setting; where a final one would be skipped it is refused always (design: wire.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pipelines import PipelineType
from pipelines.association import Slot
from pipelines.definition import members_of
from pipelines.errors import InvalidError, UnsupportedError
from proxy.handlers import choice
from proxy.handlers.finals import attached
from proxy.handlers.passthrough import passthrough
from proxy.handlers.query_only import run_on
from proxy.handlers.searching import QUERY, RESULT_FINAL, Searching
from proxy.protocol import search as codec

if TYPE_CHECKING:
    from aiohttp import web

    from proxy.handlers.call import Call

DOCUMENT = PipelineType.DOCUMENT
_SLOTS = (Slot(DOCUMENT), Slot(DOCUMENT, final=True))


async def update(call: Call) -> web.StreamResponse:
    """`_update_by_query`."""
    if not call.snapshot.types & {DOCUMENT, QUERY}:
        return await passthrough(call)
    expression = call.params["index"]
    _refuse_named(call, call.target.get("pipeline"))
    for held in await choice.held(call.snapshot, call.parts.resolver, expression, _SLOTS):
        _skip(call, held.names, final=held.slot.final)
    return await _filtered(call, expression)


async def delete(call: Call) -> web.StreamResponse:
    """`_delete_by_query`."""
    if QUERY not in call.snapshot.types:
        return await passthrough(call)
    return await _filtered(call, call.params["index"])


async def _filtered(call: Call, expression: str) -> web.StreamResponse:
    """Sends the request on with the final query pipelines over its query."""
    chosen = await attached(call, call.snapshot, expression, defaults=False)
    if not chosen.of(QUERY):
        return await passthrough(call)
    body = await call.text()
    if body:
        call.require_json()
    work = Searching(call, expression, body)
    members = work.members
    over = codec.folded_query(call.target)
    if over is not None:
        members["query"] = msgspec.Raw(msgspec.json.encode(over))
        call.target = call.target.without(*codec.QUERY_STRING)
    await run_on(work, chosen, members)
    call.extra["X-Pipeline"] = choice.header(work.runs)
    return await call.send_on(work.body, changed=True)


async def reindex(call: Call) -> web.StreamResponse:
    """`_reindex`: source and destination stand in the body."""
    snapshot = call.snapshot
    if not snapshot.types:
        return await passthrough(call)
    if not snapshot.bound and not call.speaks_json:
        return await passthrough(call)
    call.require_json()
    body = await call.text()
    work = Searching(call, "", body)
    members = work.members
    source, destination = (members_of(bytes(members.get(name, msgspec.Raw(b"{}")))) for name in ("source", "dest"))
    await _check_destination(call, destination)
    if "remote" not in source:
        work.expression = _expression(source.get("index"))
        chosen = await attached(call, snapshot, work.expression, defaults=False)
        if chosen.parts.get(RESULT_FINAL):
            raise UnsupportedError(
                "the documents of _reindex never leave the cluster, so the final result pipelines of the source would "
                "be skipped; read it by searches"
            )
        if chosen.of(QUERY):
            await run_on(work, chosen, source)
            members["source"] = msgspec.Raw(work.body)
            call.extra["X-Pipeline"] = choice.header(work.runs)
            return await call.send_on(msgspec.json.encode(members), changed=True)
    return await call.send_on(body, changed=True)


async def _check_destination(call: Call, destination: dict[str, msgspec.Raw]) -> None:
    """Warns of document pipelines that a `_reindex` passes by, or raises UnsupportedError."""
    named = destination.get("pipeline")
    _refuse_named(call, str(msgspec.json.decode(named)) if named else None)
    index = msgspec.json.decode(destination.get("index", msgspec.Raw(b"null")))
    if isinstance(index, str):
        for slot in _SLOTS:
            found = await choice.for_document(call.snapshot, call.parts.resolver, index, final=slot.final)
            _skip(call, [found.definition.name] if found else [], final=slot.final)


def _refuse_named(call: Call, name: str | None) -> None:
    if name and call.snapshot.active(DOCUMENT, name):
        raise InvalidError(
            f"[{name}] is a pipeline of Headrace, which cannot run here: these documents never leave the cluster",
            "pipeline",
        )


def _skip(call: Call, names: list[str], *, final: bool) -> None:
    """Says that document pipelines do not run. Raises UnsupportedError for final ones, or where settings refuse."""
    if not names:
        return
    shown = ", ".join(names)
    if final or call.parts.settings.by_query == "refuse":
        kind = "final document" if final else "document"
        raise UnsupportedError(
            f"the {kind} pipeline [{shown}] would be skipped: documents of this request never leave the cluster. "
            "Index them with _bulk instead"
        )
    call.extra.add(
        "Warning",
        f'299 Headrace "the document pipeline [{shown}] did not run: these documents never leave the cluster"',
    )


def _expression(raw: msgspec.Raw | None) -> str:
    index = msgspec.json.decode(raw) if raw else None
    return ",".join(map(str, index)) if isinstance(index, list) else str(index or "_all")
