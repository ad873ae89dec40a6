"""Changes of the records of rollouts, by compare-and-set: of two at one moment the second sees the first."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

from headrace.registry.records_codec import ROLLOUT, now, rollout_document
from headrace_pipelines.errors import ConflictError
from headrace_pipelines.registry.rollouts.record import Rollout

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace.registry.live import LiveRegistry
    from headrace_pipelines.registry.rollouts.record import State

ATTEMPTS = 5
"""Attempts at a change that loses compare-and-set races."""
POLLS = 2
"""Polls of the registry after which every proxy has read a change: one may just be going on."""
WRITING_SECONDS = 2.0
"""Seconds that the write may take beside that, until a search of the registry shows it: a busy cluster takes one."""


def soon(registry: LiveRegistry) -> str:
    """A time at which all proxies have read what is written now, by their polls: in ISO 8601."""
    lead = timedelta(seconds=POLLS * registry.poll + WRITING_SECONDS)
    return (datetime.now(UTC) + lead).isoformat(timespec="milliseconds")


async def change(
    registry: LiveRegistry, key: str, update: Callable[[Rollout | None], Rollout | None]
) -> Rollout | None:
    """Changes the rollout of a pipeline; `update` gets what is stored, and gives `None` where nothing is to change.

    Gives the new record, `None` if nothing changed. Raises ConflictError when others keep changing it, RegistryError.
    """
    for attempt in range(ATTEMPTS):
        before = await registry.store.read(f"{ROLLOUT}:{key}")
        old = msgspec.convert(before.value, Rollout) if before.value else None
        new = update(old)
        if new is None or new == old:
            return None
        try:
            await registry.store.save(before, rollout_document(new))
        except ConflictError:
            if attempt == ATTEMPTS - 1:
                raise
            continue
        await registry.changed()
        return new
    return None


def ended(record: Rollout, state: State, by: str, reason: str = "", judged_by: str = "") -> Rollout:
    """The record in its last state."""
    return msgspec.structs.replace(record, state=state, at=now(), by=by, reason=reason, judged_by=judged_by)


def paused(record: Rollout, by: str) -> Rollout:
    """The record, whose step does not go on."""
    begun = time.time() >= record.since
    ran = record.step_ran + _passed(record)
    since = "" if begun else record.step_since
    return msgspec.structs.replace(record, state="paused", at=now(), by=by, step_ran=ran, step_since=since)


def resumed(record: Rollout, by: str) -> Rollout:
    """The record, whose step goes on."""
    return msgspec.structs.replace(record, state="running", at=now(), by=by, step_since=record.step_since or now())


def next_step(record: Rollout, since: str) -> Rollout:
    """The record at its next step, which begins at a time in ISO 8601."""
    return msgspec.structs.replace(record, step=record.step + 1, step_since=since, step_ran=0.0)


def left_in_step(record: Rollout) -> float | None:
    """Seconds until the next step is due, at most 0 where it is; `None` where none follows or time stands still."""
    spec = record.spec
    if record.state != "running" or record.step >= spec.last_step:
        return None
    seconds = spec.steps[record.step].seconds
    return None if seconds is None else seconds - record.step_ran - _passed(record)


def _passed(record: Rollout) -> float:
    """Seconds since the step began, by the clock of this machine."""
    return max(time.time() - record.since, 0.0) if record.step_since else 0.0
