"""The state of a running proxy, and its reload, as handlers and other workers see them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from headrace_pipelines.errors import HeadraceError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine


class ReloadReport(msgspec.Struct, kw_only=True):
    """The settings that a reload has changed, also by the content of their files, and those that need a restart."""

    changed: list[str] = []
    restart_needed: list[str] = []

    @property
    def text(self) -> str:
        """The report as a line of the log."""
        changed = f"changed: {', '.join(self.changed)}" if self.changed else "nothing has changed"
        return changed + (f"; a restart is needed for {', '.join(self.restart_needed)}" if self.restart_needed else "")


class WorkerReloadError(HeadraceError):
    """Another worker did not reload: the workers differ until a later reload."""


@dataclass
class Lifecycle:
    """`reload` reloads this process; `draining`: the proxy serves, but wants no new clients.

    `tasks`: what requests have started that goes on behind their answers.
    """

    reload: Callable[[], Awaitable[ReloadReport]]
    draining: bool = False
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def start(self, work: Coroutine[object, object, None]) -> None:
        """Has work go on behind the answer of a request, until it ends or the proxy stops."""
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def stop(self) -> None:
        """Cancels what goes on, and waits for its end."""
        tasks = list(self.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
