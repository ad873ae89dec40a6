"""Changes of the records of rollouts, by compare-and-set: of two at one moment the second sees the first."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from headrace.registry.records_codec import ROLLOUT, now, rollout_document
from headrace_pipelines.errors import ConflictError
from headrace_pipelines.registry.rollouts.record import Rollout

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace.registry.live import LiveRegistry
    from headrace_pipelines.registry.rollouts.record import State

    Update = Callable[[Rollout | None], Rollout | None]

ATTEMPTS = 5
"""Attempts at a change that loses compare-and-set races."""
GOOD_SECONDS = 1.0
"""Seconds for which a reading of the registry is good while a rollout runs, in all processes: two polls by default."""
STARTING_SECONDS = 2.0
"""Seconds more, at least, for which one is good when a rollout starts: a process without any waits for none."""
STARTING_POLLS = 2
"""Polls that those seconds have room for: one may just be going on."""
WRITING_SECONDS = 1.0
"""Seconds that the write of a step may take until searches of the registry show it; a slower one is repeated."""
MAX_WRITING_SECONDS = 32.0
"""Maximum of the same in repetitions: the cluster's answers are waited for 10 s, and a write is a read before."""


async def change(registry: LiveRegistry, key: str, update: Update) -> Rollout | None:
    """Changes the rollout of a pipeline; `update` gets what is stored, and gives `None` where nothing is to change.

    Gives the new record, `None` if nothing changed. Raises ConflictError when others keep changing it, RegistryError.
    """
    new = await _save(registry, key, update)
    if new is not None:
        await registry.changed()
    return new


async def announce(registry: LiveRegistry, key: str, update: Update) -> Rollout | None:
    """As [`change`], for a record with a step that is to begin: it begins in all processes at once.

    The step is written ahead of its time, pending. When searches have shown it so early that every reading which is
    still good at its time has it, that is noted; else it is written once more, with twice the time for the write.
    """
    writing = WRITING_SECONDS
    new = await _save(registry, key, partial(_pending, update, registry, writing))
    written = new
    while written is not None:
        new = written
        if time.time() <= new.since - _good_seconds(registry, new):
            noted = await _save(registry, key, partial(_of_step, new, lambda step: _replaced(step, pending=False)))
            new = noted or new
            break
        writing = min(2 * writing, MAX_WRITING_SECONDS)
        written = await _save(registry, key, partial(_of_step, new, partial(_ahead, registry, writing)))
    if new is not None:
        await registry.changed()
    return new


async def announce_again(registry: LiveRegistry, record: Rollout) -> None:
    """Announces a step that is pending after its time, since its writer has not gone on. Raises as [`change`]."""
    await announce(registry, record.key, partial(_of_step, record, lambda step: step))


async def _save(registry: LiveRegistry, key: str, update: Update) -> Rollout | None:
    """[`change`] that is not taken over here yet."""
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
        return new
    return None


def _pending(update: Update, registry: LiveRegistry, writing: float, stored: Rollout | None) -> Rollout | None:
    new = update(stored)
    return None if new is None else _ahead(registry, writing, new)


def _ahead(registry: LiveRegistry, writing: float, record: Rollout) -> Rollout:
    """The record, whose step begins when all processes have read it, if the write takes at most so many seconds."""
    begins = time.time() + _good_seconds(registry, record) + writing
    since = datetime.fromtimestamp(begins, UTC).isoformat(timespec="milliseconds")
    return _replaced(record, pending=True, step_since=since)


def _good_seconds(registry: LiveRegistry, record: Rollout) -> float:
    """Seconds for which a reading is good before the step of a record."""
    starting = max(STARTING_SECONDS, STARTING_POLLS * registry.poll)
    return GOOD_SECONDS + (starting if record.step == 0 else 0.0)


def _of_step(record: Rollout, changed: Callable[[Rollout], Rollout], stored: Rollout | None) -> Rollout | None:
    """What is stored, changed, if it is still at the pending step of a record, and runs."""
    if stored is None or not stored.pending or stored.state != "running":
        return None
    same = (stored.seed, stored.step, stored.step_since) == (record.seed, record.step, record.step_since)
    return changed(stored) if same else None


def ended(record: Rollout, state: State, by: str, reason: str = "", judged_by: str = "") -> Rollout:
    """The record in its last state."""
    return _replaced(record, state=state, at=now(), by=by, reason=reason, judged_by=judged_by)


def paused(record: Rollout, by: str) -> Rollout:
    """The record, whose step does not go on; a step that is pending stays so."""
    return _replaced(record, state="paused", at=now(), by=by, step_ran=record.step_ran + _passed(record))


def resumed(record: Rollout, by: str) -> Rollout:
    """The record, whose step goes on: the pause does not count. One that is pending is announced anew."""
    # A note that was on its way before the pause is one of another time.
    since = now() if record.pending or not record.step_since else record.step_since
    return _replaced(
        record, state="running", at=now(), by=by, step_since=since, step_ran=record.step_ran - _passed(record)
    )


def next_step(record: Rollout) -> Rollout:
    """The record at its next step, for [`announce`]."""
    return _replaced(record, step=record.step + 1, step_ran=0.0)


def left_in_step(record: Rollout) -> float | None:
    """Seconds until the next step is due, at most 0 where it is; `None` where none follows or time stands still."""
    spec = record.spec
    if record.state != "running" or record.step >= spec.last_step:
        return None
    seconds = spec.steps[record.step].seconds
    return None if seconds is None else seconds - record.step_ran - _passed(record)


def is_over(record: Rollout) -> bool:
    """Whether the next step is due."""
    left = left_in_step(record)
    return left is not None and left <= 0 and not record.pending


def _passed(record: Rollout) -> float:
    """Seconds since the step began, by the clock of this machine."""
    return max(time.time() - record.since, 0.0) if record.step_since and not record.pending else 0.0


def _replaced(record: Rollout, **changes: object) -> Rollout:
    return msgspec.structs.replace(record, **changes)
