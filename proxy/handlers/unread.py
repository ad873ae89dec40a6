"""Requests that are passed on unread although something is protected: only what shows and writes no document."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from pipelines import PipelineType
from pipelines.association import SLOTS, Slot
from pipelines.errors import InvalidError, RefusedError
from proxy.handlers.expressions import options_of
from proxy.handlers.finals import attached
from proxy.handlers.index_settings import mark
from proxy.handlers.passthrough import passthrough
from proxy.handlers.protected import canonical, decode, visible_documents
from proxy.protocol import endpoints
from proxy.upstream import ClusterRefusedError

if TYPE_CHECKING:
    from aiohttp import web

    from pipelines import Snapshot
    from pipelines.association import Target
    from proxy.handlers.call import Call

QUERY_FINAL = Slot(PipelineType.QUERY, final=True)
_RENAMES = ("rename_pattern", "rename_replacement", "rename_alias_pattern", "rename_alias_replacement")


class BadIndexNameError(InvalidError):
    """A path of one segment that is no endpoint: what the node takes for the name of an index."""

    type = "invalid_index_name_exception"


async def unread(call: Call) -> web.StreamResponse:
    """Passes a request on whose endpoint is known to show and write no document. Raises RefusedError."""
    segments = call.target.raw_segments
    if not call.parts.registry.protects:
        return await passthrough(call)
    if "_rollover" in segments[1:2]:
        await _check_rollover(call)
    if endpoints.harmless(call.method, segments):
        return await passthrough(call)
    if endpoints.copies(call.method, segments):
        await _check_copy(call)
    elif call.parts.settings.unknown_requests == "refuse":
        if len(segments) == 1 and segments[0].startswith("_") and call.method in endpoints.READS:
            raise BadIndexNameError(f"Invalid index name [{segments[0]}], must not start with '_'.")
        raise RefusedError(
            f"[{call.method} {call.target.raw_path[:200]}] is not known to this proxy: it might show or write "
            "documents past the final pipelines that are attached. Send it to the cluster directly, or allow such "
            "requests by the setting unknown_requests"
        )
    return await passthrough(call)


async def _check_rollover(call: Call) -> None:
    """Raises RefusedError where the next index of an alias would lack the final pipelines of the one before."""
    resolver, snapshot = call.parts.resolver, call.snapshot
    name = call.target.segments[0]
    target = await resolver.write_target(name)
    if name in (await resolver.view()).streams:
        return
    attached = [(slot, snapshot.associations.find(slot, target)) for slot in SLOTS if slot.final]
    if any(found is not None and found.source == "index" for _, found in attached):
        raise RefusedError(
            f"the next index of [{name}] would not have the final pipelines that are attached to [{target.name}] "
            "itself; attach them to a pattern or a template that both match"
        )


async def _check_copy(call: Call) -> None:
    """Raises RefusedError unless the new index is protected as the one that it is a copy of."""
    source, target = call.target.segments[0], call.target.segments[2]
    resolver, snapshot = call.parts.resolver, call.snapshot
    before = await resolver.write_target(source)
    after = (await resolver.view([target])).target(target)
    if _protection(snapshot, before) - _protection(snapshot, after):
        raise RefusedError(
            f"[{target}] would hold the documents of [{source}] without its final pipelines; attach them to a pattern "
            "that matches both, or copy the index past this proxy"
        )


def _protection(snapshot: Snapshot, target: Target) -> set[tuple[Slot, str]]:
    """What protects an index: its final pipelines, and a default one that masks wherever it shows."""
    found = {(slot, held.name) for slot in SLOTS if (held := snapshot.associations.find(slot, target)) is not None}
    return {
        (s, n) for s, n in found if s.final or (s.kind is PipelineType.RESULT and snapshot.attached(s.kind, n).protects)
    }


async def restore(call: Call) -> web.StreamResponse:
    """`_snapshot/…/_restore`: an index that was deleted comes back with what was attached to it, as with its settings.

    Raises RefusedError for another name, under which it would have other final pipelines, or none.
    """
    deleted = call.snapshot.associations.deleted
    if not call.parts.registry.protects and not deleted:
        return await passthrough(call)
    sent = b""
    if call.has_body:
        call.require_json()
        sent = canonical(await call.text() or b"{}")
    body = decode(sent) if sent else {}
    if renames := [name for name in _RENAMES if body.get(name)]:
        raise RefusedError(f"[{renames[0]}] restores indexes under names that have other final pipelines, or none")
    back = await _restored(call, body.get("indices"), set(deleted)) if deleted else []
    for index in back:
        await mark(call, index, deleted=False)
    answer = await call.exchange(sent)
    if not answer.ok:
        for index in back:
            await mark(call, index, deleted=True)
    return await call.reply_answer(answer)


async def _restored(call: Call, wanted: Any, names: set[str]) -> list[str]:
    """Those of `names` that a restore may bring back: what its snapshot has, and `wanted` does not leave out."""
    repository, snapshot = (quote(call.params[name], safe="") for name in ("repository", "snapshot"))
    answer = await call.ask("GET", f"/_snapshot/{repository}/{snapshot}")
    if not answer.ok:
        raise ClusterRefusedError(answer)
    held = {index for each in decode(answer.body)["snapshots"] for index in each["indices"]}
    parts = wanted if isinstance(wanted, list) else str(wanted or "*").split(",")
    included = [part.strip() for part in map(str, parts) if not part.startswith("-")]
    return sorted(n for n in names & held if any(p == "_all" or fnmatchcase(n, p) for p in included) or not included)


async def field_capabilities(call: Call) -> web.StreamResponse:
    """`_field_caps`: its `index_filter` tells of documents that final query pipelines hide. Raises RefusedError."""
    if call.parts.registry.protects and call.has_body:
        call.require_json()
        if "index_filter" in decode(canonical(await call.text() or b"{}")):
            raise RefusedError("[index_filter] would look at documents past final query pipelines; leave it out")
    return await passthrough(call)


async def count(call: Call) -> web.StreamResponse:
    """`_cat/count`: refused where a final query pipeline leaves documents out. Raises RefusedError."""
    if QUERY_FINAL in call.snapshot.bound:
        expression = call.params.get("index", "_all")
        chosen = await attached(call, call.snapshot, expression, defaults=False, options=options_of(call))
        if await visible_documents(call, chosen.parts.get(QUERY_FINAL, ())) is not None:
            raise RefusedError("[_cat/count] counts documents that final query pipelines leave out; use _count")
    return await passthrough(call)
