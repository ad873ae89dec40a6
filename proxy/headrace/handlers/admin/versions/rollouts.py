"""`/_pipeline/{name}/_rollout`: start, watch, pause, promote and abort a candidate version on live traffic."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Any

import msgspec

from headrace.execution.rollouts import changing
from headrace.execution.rollouts.judging import BY_OTHERS
from headrace.execution.rollouts.windows import ROLES
from headrace.handlers.admin import managed
from headrace.handlers.admin.trials.simulate import compile_definition, kind_of
from headrace.ops.metrics.shadows import ShadowCounts
from headrace.registry.records_codec import now
from headrace.security import admin
from headrace.server.reply import reply_json
from headrace_pipelines.engine import Histogram
from headrace_pipelines.errors import ConflictError, InUseError, InvalidError, MissingError
from headrace_pipelines.registry import key
from headrace_pipelines.registry.rollouts.record import Rollout, RolloutSpec, parse
from headrace_pipelines.registry.rollouts.running import share_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp import web

    from headrace.ops.metrics import ProcessCounts
    from headrace.server.request import RequestContext
    from headrace_pipelines import Snapshot
    from headrace_pipelines.definition import PipelineDefinition
    from headrace_pipelines.registry.rollouts.record import State
    from headrace_pipelines.stats import Counts

SEED_BYTES = 16
"""Bytes of a seed: the key of the hash."""


async def put(context: RequestContext) -> web.StreamResponse:
    """Starts a rollout of a stored version beside the active one: 201; 409 while one runs."""
    await admin.require_admin(context)
    registry = context.components.registry
    await registry.refresh()
    snapshot, stable = context.snapshot, _active(context)
    spec = parse(await context.plain_text(), stable.type)
    name = key(stable.type, stable.name)
    context.add_audit_facts(type=stable.type.value, version=spec.candidate, before=stable.version, mode=spec.mode)
    await _check_candidate(context, snapshot, stable, spec)
    new = Rollout(
        type=stable.type,
        name=stable.name,
        spec=spec,
        stable=stable.version,
        seed=secrets.token_hex(SEED_BYTES),
        created=now(),
        created_by=context.user,
        at=now(),
        by=context.user,
    )
    share_of(new)
    await registry.store.ensure_index()

    def update(old: Rollout | None) -> Rollout:
        if old is not None and old.concerns_traffic and old.stable == snapshot.records.active.get(name):
            raise InUseError(
                f"a rollout of [{stable.name}@{old.spec.candidate}] is {old.state}; promote or abort it first"
            )
        return new

    written = await changing.announce(registry, name, update)
    return await reply_json(context, 201, await _answer(context, written or new))


async def _check_candidate(
    context: RequestContext, snapshot: Snapshot, stable: PipelineDefinition, spec: RolloutSpec
) -> None:
    """Raises InvalidError for a candidate that is missing, active, switched off, or that does not compile."""
    if spec.candidate == stable.version:
        raise InvalidError(f"version [{spec.candidate}] is the active one", "candidate")
    try:
        candidate = snapshot.find(stable.name, spec.candidate, stable.type)
    except MissingError as error:
        raise InvalidError(f"{error.reason}; store it with ?activate=false", "candidate") from None
    if not (candidate.definition.enabled and stable.enabled):
        off = stable.version if candidate.definition.enabled else spec.candidate
        raise InvalidError(f"version [{off}] is not enabled: there is nothing to compare", "candidate")
    try:
        await compile_definition(context, candidate.definition, snapshot)
    except InvalidError as error:
        raise InvalidError(f"version [{spec.candidate}] does not compile: {error.reason}", "candidate") from None


async def get(context: RequestContext) -> web.StreamResponse:
    """The newest rollout of a pipeline, with what both versions did."""
    return await reply_json(context, 200, await _answer(context, _rollout(context)))


async def promote(context: RequestContext) -> web.StreamResponse:
    """Makes the candidate the active version, which ends the rollout."""
    await admin.require_admin(context)
    registry = context.components.registry
    await registry.refresh()
    record = _rollout(context)
    name, version = record.key, record.spec.candidate
    context.add_audit_facts(type=record.type.value, version=version, before=record.stable)
    managed_by = managed.manager(context, "pipeline", name)
    before = await registry.store.active(record.type, record.name)
    if not (record.concerns_traffic and before.value == record.stable):
        raise ConflictError(f"the rollout of [{record.name}@{version}] has ended: it is {_state(context, record)[0]}")
    if managed_by:
        candidate = next(r for r in context.snapshot.versions(record.type, record.name) if r.version == version)
        await managed.bring_in_force(context, managed_by, "pipeline", name, candidate.id)
    else:
        await registry.store.set_active(record.type, record.name, version, before)
    # From here on the candidate is active, and the rollout has ended, also where its record still says something else.
    return await _ended(context, record, "promoted", "")


async def abort(context: RequestContext) -> web.StreamResponse:
    """Gives all traffic back to the stable version; confirms an abort that a proxy has made."""
    await admin.require_admin(context)
    await context.components.registry.refresh()
    record = _rollout(context)
    context.add_audit_facts(type=record.type.value, version=record.spec.candidate)
    if record.state == "promoted" or _state(context, record)[0] == "promoted":
        raise ConflictError(f"[{record.name}@{record.spec.candidate}] is promoted; activate another version instead")
    return await _ended(context, record, "aborted", record.reason or "by hand")


async def _ended(context: RequestContext, record: Rollout, state: State, reason: str) -> web.StreamResponse:
    def update(old: Rollout | None) -> Rollout | None:
        if old is None or old.seed != record.seed:
            return None
        return changing.ended(old, state, context.user, reason)

    registry = context.components.registry
    if await changing.change(registry, record.key, update) is None:
        await registry.changed()
    return await reply_json(context, 200, await _answer(context, _rollout(context)))


async def pause(context: RequestContext) -> web.StreamResponse:
    """Keeps the percentage; the step goes on when the rollout is resumed. One that all processes know of begins."""
    return await _switch(context, "running", changing.paused)


async def resume(context: RequestContext) -> web.StreamResponse:
    """Has the step go on."""
    return await _switch(context, "paused", changing.resumed)


async def _switch(
    context: RequestContext, expected: State, change: Callable[[Rollout, str], Rollout]
) -> web.StreamResponse:
    await admin.require_admin(context)
    registry = context.components.registry
    await registry.refresh()
    record = _rollout(context)
    context.add_audit_facts(type=record.type.value, version=record.spec.candidate)

    def update(old: Rollout | None) -> Rollout | None:
        if old is None or not old.concerns_traffic or old.seed != record.seed or _state(context, old)[0] != old.state:
            raise ConflictError(f"the rollout of [{record.name}@{record.spec.candidate}] has ended")
        return change(old, context.user) if old.state == expected else None

    await changing.change(registry, record.key, update)
    return await reply_json(context, 200, await _answer(context, _rollout(context)))


def _active(context: RequestContext) -> PipelineDefinition:
    return context.snapshot.find(context.params["name"], None, kind_of(context)).definition


def _rollout(context: RequestContext) -> Rollout:
    """The newest rollout of the pipeline. Raises MissingError."""
    definition = _active(context)
    found = context.snapshot.rollout(definition.type, definition.name)
    if found is None:
        raise MissingError(f"pipeline [{definition.name}] has no rollout")
    return found


def _state(context: RequestContext, record: Rollout) -> tuple[str, str]:
    """The state of a rollout, and the reason of its end: an activation ends it before its record says so."""
    active = context.snapshot.records.active.get(record.key)
    if not record.concerns_traffic or active == record.stable:
        return record.state, record.reason
    if active == record.spec.candidate:
        return "promoted", record.reason
    return "aborted", f"{BY_OTHERS}: [{active}]"


async def _answer(context: RequestContext, record: Rollout) -> dict[str, Any]:
    """A rollout as the API shows it."""
    (state, reason), left = _state(context, record), changing.left_in_step(record)
    running = state in ("running", "paused")
    answer = {
        "name": record.name,
        "type": record.type.value,
        "stable": record.stable,
        **{name: msgspec.to_builtins(getattr(record.spec, name)) for name in RolloutSpec.__struct_fields__},
        "state": state,
        "step": record.step,
        "percent": record.percent_at(time.time()) if running else 100.0 if state == "promoted" else 0.0,
        "step_since": record.step_since or None,
        "next_step_in_seconds": round(max(left, 0.0), 1) if left is not None and state == "running" else None,
        "created": record.created,
        "created_by": record.created_by,
        "changed": record.at,
        "changed_by": record.by,
        "reason": reason,
        "judged_by": record.judged_by,
    }
    counts = await context.components.metrics.gathered()
    answer["versions"] = {role: _version(record, role, counts) for role in ROLES}
    shadow = counts.shadows.get(record.seed, ShadowCounts())
    answer["shadow"] = shadow.shown if record.spec.mode == "shadow" else {}
    return answer


def _version(record: Rollout, role: str, counts: ProcessCounts) -> dict[str, Any]:
    """What a version did since the rollout began, over all workers; its durations since the start of the proxy."""
    version = record.stable if role == "stable" else record.spec.candidate
    prefix = f"{record.seed}|{record.key}|{version}|{role}"
    came, failed, dropped = (counts.rollouts.get(f"{prefix}|{name}", 0) for name in ("in", "failed", "dropped"))
    found = counts.pipelines.get(f"{record.key}@{version}")
    return {
        "version": version,
        "documents": came,
        "failed": failed,
        "dropped": dropped,
        "error_rate": round(failed / came, 6) if came else 0.0,
        "dropped_rate": round(dropped / came, 6) if came else 0.0,
        **_durations(found.durations if found is not None else []),
    }


def _durations(durations: Counts) -> dict[str, float]:
    histogram = Histogram()
    histogram.add(durations)
    return {"p50_duration_ms": histogram.quantile_ms(0.5), "p99_duration_ms": histogram.quantile_ms(0.99)}
