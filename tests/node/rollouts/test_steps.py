"""Steps of rollouts begin in all processes at once, however late the cluster shows them and whoever dies meanwhile."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from headrace.execution.rollouts.changing import GOOD_SECONDS, STARTING_SECONDS, WRITING_SECONDS
from headrace.execution.rollouts.judging import Judge
from headrace.registry.live import LiveRegistry
from headrace.registry.store import Store
from headrace_pipelines.errors import RegistryError
from tests.node.registry.test_registry_tampering import another, until
from tests.node.running.test_rollouts import marks, versions

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from headrace.settings import Settings
    from tests.conftest import Http

IDS = [f"k{n}" for n in range(40)]
STABLE, CANDIDATE = (dict.fromkeys(IDS, version) for version in (1, 2))
ALL = {"candidate": "2", "mode": "canary", "steps": [{"percent": 100}]}


def change_saves(monkeypatch: pytest.MonkeyPatch, change: Any) -> list[float]:
    """Has `change` called with the number of each save of a rollout, behind it; gives the times of the saves."""
    save, times = Store.save, []

    async def changed(self: Store, before: Any, document: Any) -> None:
        if document.kind == "rollout":
            times.append(time.time())
            await change(len(times), lambda: save(self, before, document))
        else:
            await save(self, before, document)

    monkeypatch.setattr(Store, "save", changed)
    return times


async def nothing(_: object) -> None:
    """In place of what a process does by itself."""


async def test_a_step_that_is_shown_too_late_begins_later(
    through: Http, settings: Settings, tmp_path: Path, direct: Http, name: str, monkeypatch: pytest.MonkeyPatch
):
    await versions(through, name, "document")
    await through.index(name, document=name)

    async def late(number: int, save: Any) -> None:
        await save()
        if number == 1:
            await asyncio.sleep(4.0)

    times = change_saves(monkeypatch, late)
    async with another(settings, tmp_path / "other", through.session) as other:
        starting = asyncio.create_task(through.put(f"/_pipeline/{name}/_rollout", ALL))
        while not starting.done():
            assert await marks(other, direct, name, IDS) == STABLE
        made = starting.result().json
        assert made["percent"] == 0
        assert len(times) >= 3, "written, written once more, and noted"

        async def begun() -> bool:
            return (await other.get(f"/_pipeline/{name}/_rollout")).json["percent"] == 100

        await until(begun, 10)
        for http in (through, other):
            assert await marks(http, direct, name, IDS) == CANDIDATE
        assert time.time() > times[1] + 3.0, "what others have read until then is no longer good"


async def test_a_step_whose_writer_goes_no_further_is_announced_by_others(
    through: Http, settings: Settings, tmp_path: Path, direct: Http, name: str, monkeypatch: pytest.MonkeyPatch
):
    await versions(through, name, "document")
    await through.index(name, document=name)

    async def fails_once(number: int, save: Any) -> None:
        if number == 2:
            raise RegistryError("the cluster does not answer")
        await save()

    times = change_saves(monkeypatch, fails_once)
    async with another(settings, tmp_path / "other", through.session) as other:
        assert (await through.put(f"/_pipeline/{name}/_rollout", ALL)).status == 503
        while len(times) < 3:
            assert await marks(through, direct, name, IDS) == STABLE
            await asyncio.sleep(0.05)

        async def begun() -> bool:
            return (await other.get(f"/_pipeline/{name}/_rollout")).json["percent"] == 100

        await until(begun, 10)
        for http in (through, other):
            assert await marks(http, direct, name, IDS) == CANDIDATE


async def test_a_step_that_is_due_but_pending_is_read_anew(
    through: Http, direct: Http, name: str, monkeypatch: pytest.MonkeyPatch
):
    """Another process may have read already that it has begun."""
    await versions(through, name, "document")
    await through.index(name, document=name)
    held, go_on = asyncio.Event(), asyncio.Event()

    async def hold_note(number: int, save: Any) -> None:
        if number == 2:
            held.set()
            await go_on.wait()
        await save()

    change_saves(monkeypatch, hold_note)
    # Nobody else announces it anew.
    monkeypatch.setattr(Judge, "_tick", nothing)
    starting = asyncio.create_task(through.put(f"/_pipeline/{name}/_rollout", ALL))
    await held.wait()
    await asyncio.sleep(GOOD_SECONDS + STARTING_SECONDS + WRITING_SECONDS)
    readings: list[float] = []
    with monkeypatch.context() as polls:
        polls.setattr(LiveRegistry, "refresh", nothing)
        read = LiveRegistry._read_changes

        async def counted(registry: LiveRegistry) -> None:
            readings.append(time.time())
            await read(registry)

        polls.setattr(LiveRegistry, "_read_changes", counted)
        assert await marks(through, direct, name, IDS) == STABLE
        assert len(readings) == 1
    go_on.set()
    assert (await starting).json["percent"] == 100
    assert await marks(through, direct, name, IDS) == CANDIDATE
