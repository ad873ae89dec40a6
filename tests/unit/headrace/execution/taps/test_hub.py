"""The taps of a worker: one thread for all of them, and bytes that are counted until nobody holds them."""

from __future__ import annotations

import asyncio
import json
import time
from types import SimpleNamespace
from typing import Any

import pytest

from headrace.execution.taps import bounds, hub, records, samples
from headrace.execution.taps.bounds import HeldBytes
from headrace.execution.taps.hub import RecordQueue, Shown, Taps
from headrace.execution.taps.samples import Facts, Sample
from headrace.execution.taps.selection import Selection
from headrace.execution.taps.watching import Choice, Watch
from headrace_pipelines import Bulk, Deadline, Pipelines, RunOptions, execute
from headrace_pipelines.errors import OverloadedError
from headrace_pipelines.udf.catalog import Catalog
from tests.conftest import native

LOADED = Pipelines.load(
    {
        "p": {"type": "document", "stages": [native("lower", "lowercase", field="a")]},
        "grow": {"type": "document", "stages": [native("g", "set", field="b", value="{{{a}}}{{{a}}}")] * 1},
    }
)
SNAPSHOT = LOADED._snapshot


def context() -> Any:
    components = SimpleNamespace(registry=SimpleNamespace(catalog=Catalog(), snapshot=SNAPSHOT))
    return SimpleNamespace(
        components=components,
        request=SimpleNamespace(headers={}),
        surface="bulk",
        params={},
        trace=None,
        snapshot=SNAPSHOT,
    )


def run(watch: Watch, pipeline: str = "p", count: int = 1, size: int = 1) -> None:
    """A run over so many documents under a watch, which is then answered."""
    lines = [b'{"index":{"_id":"%d"}}\n{"a":"%b"}\n' % (n, b"A" * size) for n in range(count)]
    bulk = Bulk(b"".join(lines), index="i")

    def again() -> Any:
        return bulk.batch(list(range(count)))

    batch, found = again(), SNAPSHOT.find(pipeline)
    observed = watch.start(found, batch, again, RunOptions())
    execution = execute(found, batch, Deadline(5), RunOptions())
    if observed is not None:
        observed.read(batch)
        observed.finish(execution)


async def shown(taps: Taps, tap: hub.Tap, count: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    async with asyncio.timeout(10):
        while len(found) < count:
            await asyncio.sleep(0.01)
            while len(tap.queue):
                found.append(json.loads(tap.queue.popleft().record))
    return found


async def test_many_explain_at_once_beside_a_tap_that_ends(monkeypatch: pytest.MonkeyPatch):
    taps, selection = Taps(Catalog(), enabled=True), Selection(per_second=1000)
    record_of, working, most = records.record_of, [0], [0]

    def slowly(*args: Any) -> Any:
        working[0] += 1
        most[0] = max(most[0], working[0])
        time.sleep(0.002)
        working[0] -= 1
        return record_of(*args)

    monkeypatch.setattr(hub, "record_of", slowly)

    async def explain() -> int:
        watch = Watch(context(), [Choice(selection)], HeldBytes(), lambda *_: None)
        run(watch, count=3)
        return len(await taps.explained(context(), watch, selection))

    for _ in range(5):
        tap = taps.start(selection, lambda: None)
        explaining = [asyncio.create_task(explain()) for _ in range(4)]
        await asyncio.sleep(0.001)
        taps.stop(tap)
        assert await asyncio.gather(*explaining) == [3] * 4
    assert most == [1], "one thread works for all of them"
    assert taps._thread is None
    assert taps._users == 0


async def test_an_explained_request_that_is_cancelled_shares_nothing_with_the_next(monkeypatch: pytest.MonkeyPatch):
    taps, selection = Taps(Catalog(), enabled=True), Selection(per_second=1000)
    used: list[Any] = []
    record_of = records.record_of

    def noted(sample: Sample, *args: Any) -> Any:
        used.append(args[-1])
        return record_of(sample, *args)

    monkeypatch.setattr(hub, "record_of", noted)
    for _ in range(2):
        watch = Watch(context(), [Choice(selection)], HeldBytes(), lambda *_: None)
        run(watch)
        task = asyncio.create_task(taps.explained(context(), watch, selection))
        while taps._thread is None:
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert taps._thread is None
    assert len({id(rerunner) for rerunner in used}) == len(used)


async def test_nothing_is_held_once_a_tap_has_ended():
    taps = Taps(Catalog(), enabled=True)
    tap, beside = (taps.start(Selection(per_second=100), lambda: None) for _ in range(2))
    for _ in range(3):
        watch = taps.watch(context())
        run(watch, count=10, size=1000)
        watch.answered()
    late = taps.watch(context())
    run(late, count=10, size=1000)
    assert taps.held.nbytes > 0
    await asyncio.sleep(0)
    taps.stop(tap)
    late.answered()
    await shown(taps, beside, 40)
    taps.stop(beside)
    while taps._working is not None:
        await asyncio.sleep(0.01)
    assert taps.held.nbytes == 0
    assert taps._thread is None


async def test_records_are_shown_and_the_fault_of_one_is_not_that_of_the_next(monkeypatch: pytest.MonkeyPatch):
    taps = Taps(Catalog(), enabled=True)
    tap = taps.start(Selection(per_second=100), lambda: None)
    record_of, called = records.record_of, []

    def fails_first(*args: Any) -> Any:
        called.append(args)
        if len(called) == 1:
            raise ValueError("a fault")
        return record_of(*args)

    monkeypatch.setattr(hub, "record_of", fails_first)
    for _ in range(2):
        watch = taps.watch(context())
        run(watch)
        watch.answered()
    (record,) = await shown(taps, tap, 1)
    assert (record["before"], record["after"]) == ({"a": "A"}, {"a": "a"})
    taps.stop(tap)


async def test_a_fifth_tap_is_refused_and_a_switch_ends_all():
    taps = Taps(Catalog(), enabled=True)
    found = [taps.start(Selection(), lambda: None) for _ in range(hub.MAX_TAPS)]
    with pytest.raises(OverloadedError):
        taps.start(Selection(), lambda: None)
    taps.enable(enabled=False)
    assert all(tap.over for tap in found)
    assert not taps.limits.closed


def test_a_queue_is_bounded_in_number_and_in_bytes(monkeypatch: pytest.MonkeyPatch):
    held = HeldBytes()
    queue = RecordQueue(held)
    assert [queue.append(Shown(b"x", [])) for _ in range(hub.MAX_QUEUED + 1)] == [True] * hub.MAX_QUEUED + [False]
    queue.clear()
    assert held.nbytes == 0
    monkeypatch.setattr(hub, "MAX_QUEUED_BYTES", 500)
    assert [queue.append(Shown(b"x" * 300, [])) for _ in range(4)] == [True, True, False, False]
    assert RecordQueue(held).append(Shown(b"x", [])), "another reader has room"
    queue.clear()
    monkeypatch.undo()
    monkeypatch.setattr(bounds, "MAX_HELD", 1000)
    added = [queue.append(Shown(b"x" * 300, [])) for _ in range(10)]
    assert added == [True] * 4 + [False] * 6
    queue.popleft()
    assert queue.append(Shown(b"x", []))
    assert len(queue) == 4


def sample_of(pipeline: str, text: bytes) -> Sample:
    bulk = Bulk(b'{"index":{}}\n%b\n' % text, index="i")
    batch, found = bulk.batch([0]), SNAPSHOT.find(pipeline)
    sample = Sample.of(batch, 0, found, SNAPSHOT, RunOptions(), Facts(), None)
    execute(found, batch, Deadline(5), RunOptions())
    sample.read(batch, [0])
    return sample


def test_outputs_that_are_too_long_are_not_kept():
    assert sample_of("grow", b'{"a":"%b"}' % (b"x" * 1000)).outputs
    long = sample_of("grow", b'{"a":"%b"}' % (b"x" * (samples.MAX_TEXT // 2)))
    assert (long.text, long.outputs, long.outcome) == (None, [], "changed")


async def explained(text: bytes, **selection: Any) -> dict[str, Any]:
    taps, chosen = Taps(Catalog(), enabled=True), Selection(**selection)
    watch: Any = SimpleNamespace(kept={None: [sample_of("grow", text)]})
    (found,) = await taps.explained(context(), watch, chosen)
    record: dict[str, Any] = json.loads(bytes(found))
    return record


async def test_stages_that_are_too_long_are_not_shown(monkeypatch: pytest.MonkeyPatch):
    text = b'{"a":"%b"}' % (b"x" * 1000)
    assert (await explained(text, stages="full"))["stages"]
    monkeypatch.setattr(records, "MAX_TRACE", 1000)
    cut = await explained(text, stages="full")
    assert (cut["truncated"], cut["stages"], cut["before"]) == (True, None, {"a": "x" * 1000})
    monkeypatch.undo()
    monkeypatch.setattr(records, "MAX_RECORD", 5000)
    cut = await explained(text, stages="full")
    assert (cut["truncated"], cut["stages"], cut["before"]) == (True, None, {"a": "x" * 1000})
    monkeypatch.setattr(records, "MAX_RECORD", 1000)
    assert (await explained(text, stages="full"))["before"] is None


async def test_records_of_one_request_are_bounded_together(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(hub, "MAX_HELD", 3000)
    taps, selection = Taps(Catalog(), enabled=True), Selection(per_second=1000)
    watch = Watch(context(), [Choice(selection)], HeldBytes(), lambda *_: None)
    run(watch, count=50)
    assert 0 < len(await taps.explained(context(), watch, selection)) < 10
