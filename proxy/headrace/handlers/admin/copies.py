"""Requests that make an index out of another one, or bring one back: it is protected as that was.

Each may have settings of ours in its body, as the creation of an index may.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from headrace.handlers.admin.attachment import attach, check, mentions, settle
from headrace.handlers.admin.index_settings import mark, note
from headrace.handlers.passthrough import passthrough
from headrace.protocol import index_settings as codec
from headrace.protocol.headers.encoding import canonical, decode_object
from headrace.protocol.indices.expressions import matcher
from headrace.protocol.indices.templates import Templates
from headrace.security import admin
from headrace.server.reply import reply_answer
from headrace.upstream.client import ClusterRefusedError
from headrace_pipelines import PipelineType
from headrace_pipelines.errors import RefusedError
from headrace_pipelines.registry.association import NONE, SLOTS

if TYPE_CHECKING:
    from aiohttp import web

    from headrace.protocol.index_settings import Found
    from headrace.server.request import RequestContext
    from headrace.upstream.client import Answer
    from headrace_pipelines import Snapshot
    from headrace_pipelines.registry.association import Slot, Target

_BACKING = re.compile(r"\.ds-(.+)-\d{6,}")
"""Names of backing indexes of data streams."""
_RENAMES = ("rename_pattern", "rename_replacement", "rename_alias_pattern", "rename_alias_replacement")


async def rollover(context: RequestContext) -> web.StreamResponse:
    """`POST /{alias}/_rollover[/{new}]`: the next index gets what the body attaches. Raises RefusedError."""
    rest, found = await _settings(context)
    if context.components.registry.protects:
        await _check_rollover(context, rest, found)
    if not found:
        return await passthrough(context)
    dry = await context.call_cluster("POST", context.target.with_parameter("dry_run", "true").raw, rest)
    dry.require_ok()
    rolls = decode_object(dry.body)
    if context.target.flag("dry_run"):
        return await reply_answer(context, dry)
    created = await _make(context, str(rolls["new_index"]), rest, found, kept=_rolled_over)
    return await reply_answer(context, created)


def _rolled_over(answer: Answer) -> bool:
    return answer.ok and decode_object(answer.body).get("rolled_over") is True


async def copy(context: RequestContext) -> web.StreamResponse:
    """`/{index}/_clone|_shrink|_split/{target}`. Raises RefusedError for a copy that is not protected alike."""
    rest, found = await _settings(context)
    if context.components.registry.protects:
        await _check_copy(context, found)
    if not found:
        return await passthrough(context)
    return await reply_answer(context, await _make(context, context.params["target"], rest, found))


async def _settings(context: RequestContext) -> tuple[bytes, Found]:
    """The body without settings of ours, and these. Raises RefusedError, InvalidError."""
    text = await context.text() if context.has_body else b""
    rest, found = codec.extract_from_create(text) if mentions(context, text) else (text, {})
    if found:
        await admin.require_admin(context)
        check(context, found)
        note(context, found)
    return rest, found


async def _make(
    context: RequestContext, index: str, rest: bytes, found: Found, kept: Any = lambda answer: answer.ok
) -> Answer:
    """Attaches, then has the index made, so that no document comes between; undone where it is not."""
    before = await attach(context, index, found)
    answer = await context.forward_buffered(rest)
    if not kept(answer):
        await attach(context, index, {slot: before.name(slot) for slot in found})
    return answer


async def _check_rollover(context: RequestContext, rest: bytes, found: Found) -> None:
    """Raises RefusedError where the next index of an alias would lack the final pipelines of the one before."""
    resolver, snapshot = context.components.resolver, context.snapshot
    name = context.params["index"]
    target = await resolver.write_target(name)
    before = _protection(snapshot, _attached(snapshot, target))
    if not before or name in (await resolver.view()).streams:
        return
    dry = await context.call_cluster(
        "POST", context.target.with_parameter("dry_run", "true").without("filter_path").raw, rest or None
    )
    if not dry.ok:
        # The cluster refuses it, in its own words.
        return
    after = str(decode_object(dry.body)["new_index"])
    if before - _protection(snapshot, await _will_have(context, after, found)):
        raise RefusedError(
            f"the next index of [{name}], [{after}], would not have the final pipelines that are attached to "
            f"[{target.name}]; attach them to a pattern or a template that both match, or name them in [settings]"
        )


async def _will_have(context: RequestContext, index: str, found: Found) -> dict[Slot, str | None]:
    """The attachments of an index that is created with these settings."""
    snapshot = context.snapshot
    created = (await context.components.resolver.view([index])).target(index)
    has = {slot: name for slot, name in _attached(snapshot, created).items() if slot not in found}
    return has | {slot: name for slot, name in found.items() if name not in (None, NONE)}


async def _check_copy(context: RequestContext, found: Found) -> None:
    """Raises RefusedError unless the new index is protected as the one that it is a copy of."""
    source, target = context.params["index"], context.params["target"]
    resolver, snapshot = context.components.resolver, context.snapshot
    before = await resolver.write_target(source)
    has = await _will_have(context, target, found)
    if _protection(snapshot, _attached(snapshot, before)) - _protection(snapshot, has):
        raise RefusedError(
            f"[{target}] would hold the documents of [{source}] without its final pipelines; attach them to a pattern "
            "that matches both, name them in [settings], or copy the index past this proxy"
        )


def _attached(snapshot: Snapshot, target: Target) -> dict[Slot, str | None]:
    found = ((slot, snapshot.associations.find(slot, target)) for slot in SLOTS)
    return {slot: held.name for slot, held in found if held is not None}


def _protection(snapshot: Snapshot, attached: dict[Slot, str | None]) -> set[tuple[Slot, str]]:
    """The protecting attachments of an index: final pipelines, and a default one with `protect`."""
    named = {(slot, name) for slot, name in attached.items() if name is not None}
    return {
        (s, n) for s, n in named if s.final or (s.kind is PipelineType.RESULT and snapshot.attached(s.kind, n).protects)
    }


async def restore(context: RequestContext) -> web.StreamResponse:
    """`_snapshot/…/_restore`: an index that was deleted comes back with what was attached to it, as with its settings.

    Raises RefusedError for another name, under which it would have other final pipelines, or none.
    """
    deleted = context.snapshot.associations.deleted
    if not context.components.registry.protects and not deleted:
        return await passthrough(context)
    sent = b""
    if context.has_body:
        context.require_json()
        sent = canonical(await context.text() or b"{}")
    body = decode_object(sent) if sent else {}
    if renames := [name for name in _RENAMES if body.get(name)]:
        raise RefusedError(f"[{renames[0]}] restores indexes under names that have other final pipelines, or none")
    if body.get("include_global_state") not in (None, False):
        # Its templates come in place of those that are there.
        await settle(context, lambda now: Templates(created=now.created))
    wanted, held = _Wanted.of(body.get("indices")), await _held(context)
    await _check_streams(context, wanted, held)
    back = sorted(name for name in held & deleted.keys() if wanted.may_restore(name))
    for index in back:
        await mark(context, index, deleted=False)
    answer = await context.forward_buffered(sent)
    if not answer.ok:
        for index in back:
            await mark(context, index, deleted=True)
    return await reply_answer(context, answer)


class _Wanted(NamedTuple):
    """The indexes that a restore names."""

    included: list[str]
    excluded: list[str]

    @classmethod
    def of(cls, said: Any) -> _Wanted:
        parts = said if isinstance(said, list) else str(said or "*").split(",")
        named = [part.strip() for part in map(str, parts)]
        included = ["*" if part == "_all" else part for part in named if not part.startswith("-")]
        return cls(included or ["*"], [part[1:] for part in named if part.startswith("-")])

    def may_restore(self, name: str) -> bool:
        """Whether a name is among them, unless it is left out again."""
        return any(matcher(part)(name) for part in self.included)

    def restores(self, name: str) -> bool:
        """Whether a name is among them for sure."""
        return self.may_restore(name) and not any(matcher(part)(name) for part in self.excluded)


async def _held(context: RequestContext) -> set[str]:
    """The indexes and data streams of the snapshot. Raises ClusterRefusedError."""
    repository, snapshot = (quote(context.params[name], safe="") for name in ("repository", "snapshot"))
    answer = await context.call_cluster("GET", f"/_snapshot/{repository}/{snapshot}")
    if not answer.ok:
        raise ClusterRefusedError(answer)
    shown = decode_object(answer.body)["snapshots"]
    return {name for each in shown for name in [*each["indices"], *each.get("data_streams", [])]}


async def _check_streams(context: RequestContext, wanted: _Wanted, held: set[str]) -> None:
    """Raises RefusedError for a backing index without its data stream, by which it is protected."""
    for index in filter(wanted.may_restore, held):
        if (match := _BACKING.fullmatch(index)) is None:
            continue
        stream = match[1]
        if stream in held and wanted.restores(stream):
            continue
        before = (await context.components.resolver.view([stream])).target(stream)
        deleted = context.snapshot.associations.deleted.get(stream)
        if deleted is not None or _protection(context.snapshot, _attached(context.snapshot, before)):
            raise RefusedError(f"[{index}] would come back without its data stream [{stream}] and its final pipelines")
