"""`/_registry`: sets of pipelines, UDFs and associations, from a directory under version control."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec

from headrace.handlers.admin.sets import view
from headrace.handlers.admin.sets.request import MOST_BYTES, SetRequest, check_set, check_source, read_request
from headrace.handlers.admin.trials.simulate import decode_body
from headrace.handlers.admin.versions.deletion import created_with
from headrace.registry import sets
from headrace.registry.records_codec import now
from headrace.security import admin
from headrace.server.reply import reply_json
from headrace_pipelines.definition import PipelineType
from headrace_pipelines.errors import ConflictError, InvalidError, MissingError, TooLargeError
from headrace_pipelines.registry import PipelineRecord
from headrace_pipelines.registry.records import Revision, Source, version_in
from headrace_pipelines.registry.sets import Fault, Planner

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp import web

    from headrace.registry.sets import Opened
    from headrace.server.request import RequestContext
    from headrace_pipelines.registry.sets import Content, Plan

ATTEMPTS = 5
"""Attempts at a change while other sets are changed at the same time."""


async def diff(context: RequestContext) -> web.StreamResponse:
    """Answers the changes that applying a set would make; nothing is written."""
    await admin.require_admin(context, changes=False)
    request, content = await _request(context)
    at = await sets.opened(context.components.registry, request.set)
    _check_expected(at, request.set, request.expected)
    plan = await _plan(context, at, request, content)
    answer = {"revision": at.revision(request.set), "changes": await _changes(context, at, plan)}
    return await reply_json(context, 200, answer)


async def apply(context: RequestContext) -> web.StreamResponse:
    """Brings a set in force as a whole, or nothing of it."""
    await admin.require_admin(context)
    request, content = await _request(context)

    async def plan(at: Opened) -> Plan:
        return await _plan(context, at, request, content)

    return await _change(context, request.set, request.expected, plan)


class RollbackRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Why a set goes back, and the revision that the sender has seen."""

    source: Source = Source()
    expected: int | None = None


async def rollback(context: RequestContext) -> web.StreamResponse:
    """Brings the content of an earlier revision in force again, as a new revision."""
    await admin.require_admin(context)
    name, wanted = _set_named(context), _number(context)
    body = await context.plain_text() if context.has_body else b"{}"
    request = decode_body(body, RollbackRequest)
    check_source(request.source)

    async def plan(at: Opened) -> Plan:
        past = [revision for revision in at.basis.kept if revision.revision == wanted]
        if not past:
            kept = ", ".join(str(revision.revision) for revision in at.basis.kept)
            raise MissingError(f"the set [{name}] has no revision [{wanted}]; kept are: {kept or 'none'}")
        planner = Planner(at.basis, _revision(context, at, name, request.source, "rollback"))
        codes = await _codes(context, at, past[0])
        return await asyncio.to_thread(planner.restore, past[0], codes)

    return await _change(context, name, request.expected, plan)


async def _change(
    context: RequestContext, name: str, expected: int | None, planned: Callable[[Opened], Awaitable[Plan]]
) -> web.StreamResponse:
    """Plans a change and makes it, anew where another set was changed meanwhile."""
    registry, base = context.components.registry, None
    for _ in range(ATTEMPTS):
        at = await sets.opened(registry, name)
        if base is not None and at.revision(name) != base:
            _check_expected(at, name, base)
        base = at.revision(name)
        _check_expected(at, name, expected)
        if base == 0 and len(at.heads) >= sets.MOST_SETS and sets.spare(at) is None:
            raise InvalidError(f"there are {sets.MOST_SETS} sets, the maximum; use one of them, or empty one", "set")
        plan = await planned(at)
        changes = await _changes(context, at, plan)
        context.add_audit_facts(set=name, before=str(base))
        if not plan.different:
            await registry.supply_code(plan.codes)
            return await reply_json(context, 200, {"revision": base, "changes": changes})
        for change in plan.changes:
            if change.kind == "association" and change.action != "unchanged":
                await admin.require_attaching(context, change.name)
        try:
            await sets.commit(registry, at, plan.revision, plan.staged, plan.codes, plan.released)
        except sets.LostRaceError:
            continue
        context.add_audit_facts(revision=str(plan.revision.revision), commit=plan.revision.source.commit)
        return await reply_json(context, 200, {"revision": plan.revision.revision, "changes": changes})
    raise ConflictError("sets were changed by other requests at the same time; try again")


async def revisions(context: RequestContext) -> web.StreamResponse:
    """The kept revisions of a set, newest first, and what each worker and each proxy has in force; or all sets."""
    registry = context.components.registry
    snapshot = context.snapshot
    if context.target.get("set") is None:
        found = [
            {"set": name, "objects": len(r.pipelines) + len(r.udfs) + len(r.patterns)}
            | view.revision_shown(r, r.revision)
            for name, r in sorted(snapshot.records.sets.items())
        ]
        return await reply_json(context, 200, {"total": len(found), "sets": found})
    name = _set_named(context)
    kept = await sets.history(registry, name)
    if not kept:
        raise MissingError(f"there is no set [{name}]")
    in_force = kept[-1].revision
    shown = [view.revision_shown(revision, in_force) for revision in reversed(kept)]
    counts = await context.components.metrics.gathered()
    workers = [
        {"process": worker.process, "registry": worker.registry, "revision": worker.sets.get(name, 0)}
        for worker in counts.in_force
    ]
    settings = context.components.settings
    proxies = [
        {"host": r.host, "process": r.process, "registry": r.registry, "revision": r.sets.get(name, 0)}
        for r in await registry.presence.reports()
    ]
    answer = {"set": name, "revision": in_force, "revisions": shown, "workers": workers, "proxies": proxies}
    answer |= {"expected_workers": settings.workers, "poll_seconds": registry.poll}
    return await reply_json(context, 200, answer)


async def export(context: RequestContext) -> web.StreamResponse:
    """A set as it is in force, in the form in which it is applied; without `?set=`, what no set has."""
    snapshot = context.snapshot
    revision = None
    head: dict[str, Any] = {}
    if context.target.get("set") is not None:
        name = _set_named(context)
        revision = snapshot.records.sets.get(name)
        if revision is None:
            raise MissingError(f"there is no set [{name}]")
        head = {"set": name, "revision": revision.revision}
    found = await asyncio.to_thread(view.exported, snapshot, revision, snapshot.codes)
    return await reply_json(context, 200, head | found)


async def _request(context: RequestContext) -> tuple[SetRequest, Content]:
    length = context.inbound.body.length
    if length is not None and length > MOST_BYTES:
        raise TooLargeError(f"a set may have {MOST_BYTES >> 20} MiB; divide it into several sets")
    return await asyncio.to_thread(read_request, await context.plain_text())


def _set_named(context: RequestContext) -> str:
    """The parameter `set`. Raises InvalidError."""
    name = context.target.get("set") or ""
    check_set(name)
    return name


def _number(context: RequestContext) -> int:
    """The parameter `revision`. Raises InvalidError."""
    text = context.target.get("revision") or ""
    if not text.isascii() or not text.isdigit() or len(text) > 15:
        raise InvalidError("required: the number of a revision", "revision")
    return int(text)


def _revision(context: RequestContext, at: Opened, name: str, source: Source, action: str) -> Revision:
    """The revision that a request makes, still empty."""
    return Revision(
        set=name,
        revision=at.revision(name) + 1,
        token="",
        created=now(),
        action="rollback" if action == "rollback" else "apply",
        source=source,
        user=context.user,
    )


async def _plan(context: RequestContext, at: Opened, request: SetRequest, content: Content) -> Plan:
    planner = Planner(at.basis, _revision(context, at, request.set, request.source, "apply"))
    return await asyncio.to_thread(planner.apply, content, prune=request.prune)


async def _changes(context: RequestContext, at: Opened, plan: Plan) -> list[dict[str, Any]]:
    """The changes of a plan as they are shown. Raises SetError with everything that is wrong."""
    faults = [
        *plan.faults,
        *_rolled_out(context, plan),
        *await _taken_by_cluster(context, plan),
        *await _created(context, plan),
    ]
    if faults:
        raise view.set_error(faults)
    codes = {**at.basis.snapshot.codes, **plan.codes}
    base = at.basis.visible.sets.get(plan.revision.set)
    return await asyncio.to_thread(view.changes_shown, plan.changes, base, at.basis.kept, codes)


def _rolled_out(context: RequestContext, plan: Plan) -> list[Fault]:
    """Faults for pipelines whose active version a plan changes while a rollout of them runs."""
    faults = []
    for name, running in context.snapshot.rollouts.items():
        id_, record = plan.revision.pipelines.get(name), running.record
        if f"pipeline {name}" in plan.released or (id_ is not None and version_in(id_) != record.stable):
            reason = f"has a rollout of version [{record.spec.candidate}]; promote or abort it first"
            faults.append(Fault(kind="pipeline", name=name, reason=reason, conflict=True))
    return faults


async def _taken_by_cluster(context: RequestContext, plan: Plan) -> list[Fault]:
    """Faults for new pipelines whose names the cluster's own have: a request could not tell them apart."""
    store = context.components.registry.store
    faults = []
    for change in plan.changes:
        if change.action == "create" and isinstance(change.after, PipelineRecord):
            definition = change.after.definition
            family = "_ingest" if definition.type is PipelineType.DOCUMENT else "_search"
            if await store.cluster_has_pipeline(family, definition.name):
                reason = f"is the name of a pipeline of the cluster itself ({family}/pipeline); choose another name"
                faults.append(Fault(kind="pipeline", name=change.name, field="name", reason=reason, conflict=True))
    return faults


async def _created(context: RequestContext, plan: Plan) -> list[Fault]:
    """Faults for pipelines that would go, and that indexes have from the templates they were created under."""
    faults = []
    for label in sorted(plan.released):
        kind, _, name = label.partition(" ")
        if kind == "pipeline":
            type_, _, plain = name.partition(":")
            if users := await created_with(context, context.snapshot, PipelineType(type_), plain):
                reason = f"is used by {', '.join(users)}; detach it first"
                faults.append(Fault(kind=kind, name=name, reason=reason, conflict=True))
    return faults


async def _codes(context: RequestContext, at: Opened, past: Revision) -> dict[str, bytes]:
    """The code of the UDFs of an earlier revision, which need not be in force now. Raises RegistryError."""
    codes = dict(at.basis.snapshot.codes)
    wanted = {*past.udfs.values(), *past.versions}
    for record in at.basis.stored.udfs:
        if record.id in wanted and record.digest not in codes:
            codes[record.digest] = await context.components.registry.store.code(record.digest)
    return codes


def _check_expected(at: Opened, name: str, expected: int | None) -> None:
    """Raises ConflictError, which names who changed what and when, unless the set is as its sender expects it."""
    present = at.revision(name)
    if expected is None or expected == present:
        return
    later = [revision for revision in at.basis.kept if revision.revision > expected]
    words = "; ".join(view.told(revision) for revision in later[-3:])
    raise ConflictError(
        f"the set [{name}] is at revision {present}, not {expected}; look at the differences again"
        + (f". Since then: {words}" if words else "")
    )
