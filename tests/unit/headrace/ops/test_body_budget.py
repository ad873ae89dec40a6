from __future__ import annotations

import asyncio

import pytest

from headrace.ops import body_budget as module
from headrace.ops.body_budget import BodyBudget


def never() -> None:
    raise AssertionError("so few bytes leave nothing to give back")


async def test_who_does_not_fit_waits_for_their_turn():
    budget = BodyBudget(10, release=never)
    order: list[str] = []

    async def take(name: str, size: int) -> int:
        taken = await budget.acquire(size)
        order.append(name)
        return taken

    assert await take("a", 6) == 6
    tasks = [asyncio.create_task(take(name, size)) for name, size in (("b", 6), ("c", 2), ("d", 99))]
    await asyncio.sleep(0)
    assert order == ["a"], "c would fit, but b was first"
    budget.release(6)
    await asyncio.sleep(0.01)
    assert order == ["a", "b", "c"]
    assert (budget.free, tasks[2].done()) == (2, False)
    budget.release(6)
    budget.release(2)
    assert await tasks[2] == 10, "one that is larger than all there is takes all there is"
    budget.release(10)
    assert budget.free == 10


@pytest.mark.parametrize("granted", [False, True])
async def test_one_that_goes_away_leaves_nothing_behind(granted: bool):
    budget = BodyBudget(10, release=never)
    await budget.acquire(8)
    gone, after = asyncio.create_task(budget.acquire(8)), asyncio.create_task(budget.acquire(2))
    await asyncio.sleep(0)
    if granted:
        budget.release(8)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    assert await asyncio.wait_for(after, 1) == 2
    if not granted:
        budget.release(8)
    budget.release(2)
    assert budget.free == 10


async def test_what_is_owed_holds_others_back():
    budget = BodyBudget(10, release=never)
    await budget.acquire(4)
    budget.overdraw(9)
    waiting = asyncio.create_task(budget.acquire(1))
    await asyncio.sleep(0)
    assert not waiting.done()
    budget.release(13)
    assert await waiting == 1
    assert budget.free == 9


async def test_memory_goes_back_once_many_bodies_are_gone_and_none_comes(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "MANY", 6)
    monkeypatch.setattr(module, "QUIET_SECONDS", 0.1)
    released: list[float] = []
    loop = asyncio.get_running_loop()
    budget = BodyBudget(10, release=lambda: released.append(loop.time()))
    await budget.acquire(5)
    budget.release(5)
    await asyncio.sleep(0.2)
    assert not released, "they were too few"
    await budget.acquire(4)
    await budget.acquire(4)
    budget.release(4)
    budget.release(4)
    # Others that come and go put it off, and so does one that stays.
    for _ in range(3):
        await asyncio.sleep(0.06)
        await budget.acquire(1)
        budget.release(1)
    last = loop.time()
    await budget.acquire(1)
    await asyncio.sleep(0.2)
    assert not released
    budget.release(1)
    assert loop.time() - last >= 0.2
    await asyncio.sleep(0.3)
    assert len(released) == 1
    await budget.acquire(5)
    budget.release(5)
    await asyncio.sleep(0.2)
    assert len(released) == 1, "there have been no many since"
