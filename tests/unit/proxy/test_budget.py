from __future__ import annotations

import asyncio

import pytest

from proxy.budget import Budget


async def test_who_does_not_fit_waits_for_their_turn():
    budget = Budget(10)
    order: list[str] = []

    async def take(name: str, size: int) -> int:
        taken = await budget.take(size)
        order.append(name)
        return taken

    assert await take("a", 6) == 6
    tasks = [asyncio.create_task(take(name, size)) for name, size in (("b", 6), ("c", 2), ("d", 99))]
    await asyncio.sleep(0)
    assert order == ["a"], "c would fit, but b was first"
    budget.give(6)
    await asyncio.sleep(0.01)
    assert order == ["a", "b", "c"]
    assert (budget.free, tasks[2].done()) == (2, False)
    budget.give(6)
    budget.give(2)
    assert await tasks[2] == 10, "one that is larger than all there is takes all there is"
    budget.give(10)
    assert budget.free == 10


@pytest.mark.parametrize("granted", [False, True])
async def test_one_that_goes_away_leaves_nothing_behind(granted: bool):
    budget = Budget(10)
    await budget.take(8)
    gone, after = asyncio.create_task(budget.take(8)), asyncio.create_task(budget.take(2))
    await asyncio.sleep(0)
    if granted:
        budget.give(8)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    assert await asyncio.wait_for(after, 1) == 2
    if not granted:
        budget.give(8)
    budget.give(2)
    assert budget.free == 10


async def test_what_is_owed_holds_others_back():
    budget = Budget(10)
    await budget.take(4)
    budget.owe(9)
    waiting = asyncio.create_task(budget.take(1))
    await asyncio.sleep(0)
    assert not waiting.done()
    budget.give(13)
    assert await waiting == 1
    assert budget.free == 9
