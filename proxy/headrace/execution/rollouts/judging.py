"""Goes on with the steps of rollouts, and aborts those whose candidate exceeds a limit in this process.

Every process judges what it has seen itself, and writes what it has found by compare-and-set: of several the first one
counts. While the registry cannot be read, nothing is judged and no step ends.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import socket
import time
from time import monotonic
from typing import TYPE_CHECKING

from headrace.execution.rollouts import changing
from headrace.security.audit import record_own
from headrace_pipelines.errors import HeadraceError

if TYPE_CHECKING:
    from headrace.execution.rollouts.windows import Windows
    from headrace.registry.live import LiveRegistry
    from headrace_pipelines.registry.rollouts.record import Rollout
    from headrace_pipelines.registry.rollouts.running import RunningRollout

log = logging.getLogger("headrace.rollouts")

BY_OTHERS = "another version became active"
"""The reason of a rollout that ended by an activation."""
WINDOW_SECONDS = 5.0
"""Seconds of a window: 100 documents a second of the candidate fill one of the default `min_samples`."""
TICK_SECONDS = 1.0
"""Seconds between two looks at the steps: one ends that much late at most."""


class Judge:
    """The judge of this process."""

    def __init__(self, registry: LiveRegistry, windows: Windows) -> None:
        self._registry = registry
        self._windows = windows
        self._name = f"{socket.gethostname()}/{os.getpid()}"
        self._task: asyncio.Task[None] | None = None
        self._judged = monotonic()

    def start(self) -> None:
        """Begins to judge."""
        self._task = asyncio.create_task(self._go_on(), name="judge of rollouts")

    async def stop(self) -> None:
        """Ends it."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _go_on(self) -> None:
        while True:
            # Processes that started together do not write together.
            await asyncio.sleep(TICK_SECONDS * random.uniform(0.8, 1.2))  # noqa: S311 - nobody is to be kept from guessing it
            try:
                await self._tick()
            except HeadraceError as error:
                log.warning("a rollout could not be changed: %s", error.reason)
            except Exception:
                log.exception("rollouts could not be judged")

    async def _tick(self) -> None:
        if self._registry.state != "current":
            return
        snapshot = self._registry.snapshot
        self._windows.keep({record.seed for record in snapshot.records.rollouts})
        judging = monotonic() - self._judged >= WINDOW_SECONDS
        if judging:
            self._judged = monotonic()
        for record in snapshot.records.rollouts:
            active = snapshot.records.active.get(record.key)
            # One that cannot be changed does not keep the others from being judged.
            try:
                if record.concerns_traffic and active != record.stable:
                    await self._close(record, active)
                elif (rollout := snapshot.rollouts.get(record.key)) is not None and rollout.record is record:
                    await self._go_on_with(rollout, judging=judging)
            except HeadraceError as error:
                log.warning("the rollout of [%s] could not be changed: %s", record.key, error.reason)

    async def _go_on_with(self, rollout: RunningRollout, *, judging: bool) -> None:
        if not (judging and await self._abort(rollout)):
            await self._step(rollout)

    async def _abort(self, rollout: RunningRollout) -> bool:
        """Whether the candidate exceeds a limit, so that the rollout is aborted; a judged window ends."""
        record, watched = rollout.record, self._windows.of(rollout)
        spec, window = record.spec, watched.window
        if not window.is_judged(spec.min_samples):
            return False
        excess = window.excess(spec.abort_if, spec.min_samples)
        if excess is None:
            watched.window = window.following()
            return False
        limit, reason = excess

        def update(stored: Rollout | None) -> Rollout | None:
            if stored is None or stored.seed != record.seed or not stored.concerns_traffic:
                return None
            return changing.ended(stored, "aborted", "", reason, self._name)

        if await changing.change(self._registry, record.key, update) is not None:
            self._windows.aborted(record.key, limit)
            label = f"{record.name}@{spec.candidate}"
            log.error("the rollout of %s pipeline [%s] is aborted: %s", record.type.value, label, reason)
            record_own("abort rollout", pipeline=record.key, version=spec.candidate, limit=limit, reason=reason)
        # A window whose abort could not be written is judged again.
        watched.window = watched.window.following()
        return True

    async def _close(self, record: Rollout, active: str | None) -> None:
        """Writes down that an activation has ended a rollout: it must not go on when its stable version comes back."""
        promoted = active == record.spec.candidate

        def update(stored: Rollout | None) -> Rollout | None:
            if stored is None or stored.seed != record.seed or not stored.concerns_traffic:
                return None
            reason = "" if promoted else f"{BY_OTHERS}: [{active}]"
            return changing.ended(stored, "promoted" if promoted else "aborted", "", reason)

        await changing.change(self._registry, record.key, update)

    async def _step(self, rollout: RunningRollout) -> None:
        record = rollout.record
        if rollout.undecided_at(time.time()):
            await changing.announce_again(self._registry, record)
            return
        if not changing.is_over(record):
            return

        def update(stored: Rollout | None) -> Rollout | None:
            if stored is None or (stored.seed, stored.step) != (record.seed, record.step):
                return None
            return changing.next_step(stored) if changing.is_over(stored) else None

        if (new := await changing.announce(self._registry, record.key, update)) is not None:
            percent = f"{new.spec.percent(new.step):g}"
            log.info("the rollout of %s pipeline [%s] goes on to %s %%", new.type.value, new.name, percent)
            record_own("next step of rollout", pipeline=new.key, version=new.spec.candidate, percent=percent)
