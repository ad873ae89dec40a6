"""What a tap keeps of a request: how much, of which inputs, and that nothing of it is lost or left over."""

from __future__ import annotations

import json
import threading
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.execution.taps import bounds
from headrace.execution.taps.bounds import Bucket, HeldBytes
from headrace.execution.taps.samples import MAX_TEXT, Sample
from headrace.execution.taps.selection import Selection, checked
from headrace.execution.taps.watching import Choice, Watch
from headrace_pipelines import Bulk, Deadline, Pipelines, RunOptions, execute
from headrace_pipelines.errors import InvalidError
from tests.conftest import native

STAGES = [
    native("lower", "lowercase", field="a"),
    {**native("refuse", "fail", message="no"), "if": "doc.n % 10 == 1"},
    {**native("drop", "drop"), "if": "doc.n % 10 == 2"},
]
LOADED = Pipelines.load({"p": {"type": "document", "stages": STAGES}})
PIPELINE = LOADED._snapshot.find("p")


def watched(selection: Selection, count: int = 100, size: int = 0) -> tuple[Choice, HeldBytes, list[Sample]]:
    """A run over so many documents under one tap: its choice, what is held, and what is offered."""
    context: Any = SimpleNamespace(
        request=SimpleNamespace(headers={}), surface="bulk", params={}, trace=None, snapshot=LOADED._snapshot
    )
    lines = [b'{"index":{"_id":"%d"}}\n{"a":"A%b","n":%d}\n' % (n, b"x" * size, n) for n in range(count)]
    bulk = Bulk(b"".join(lines), index="i")

    def again() -> Any:
        return bulk.batch(list(range(len(bulk.targets()))))

    choice, held, offered = Choice(selection), HeldBytes(), []
    watch = Watch(context, [choice], held, lambda _, samples: offered.extend(samples))
    batch, options = again(), RunOptions()
    observation = watch.start(PIPELINE, batch, again, options)
    run = execute(PIPELINE, batch, Deadline(5), options)
    if observation is not None:
        observation.read(batch)
        observation.finish(run)
    assert offered == []
    watch.answered()
    assert held.nbytes == sum(sample.nbytes for sample in offered)
    return choice, held, offered


def under_a_tap(selection: Selection, **replaced: Any) -> tuple[Any, HeldBytes, Watch, Any, Any]:
    """A run that has been made under one tap, and that no observation has read: observation, bytes, watch, batch, run."""
    context: Any = SimpleNamespace(
        request=SimpleNamespace(headers={}), surface="bulk", params={}, trace=None, snapshot=LOADED._snapshot
    )
    bulk = Bulk(b'{"index":{"_id":"1"}}\n{"a":"A","n":1}\n' * 20, index="i")

    def again() -> Any:
        return bulk.batch(list(range(20)))

    held = HeldBytes()
    watch = Watch(context, [Choice(selection)], held, lambda *_: None)
    batch, options = again(), RunOptions()
    observation = watch.start(PIPELINE, batch, again, options)
    return observation, held, watch, batch, execute(PIPELINE, batch, Deadline(5), options)


SELECTIONS = [Selection(per_second=100), Selection(outcome=["failed"], per_second=100)]


@pytest.mark.parametrize("selection", SELECTIONS)
def test_a_client_that_goes_before_the_thread_reads_leaves_nothing(selection: Selection):
    observation, held, watch, batch, _ = under_a_tap(selection)
    observation.finish(None)
    observation.read(batch)
    assert held.nbytes == 0
    assert watch.kept == {}


@pytest.mark.parametrize("selection", SELECTIONS)
def test_a_client_that_goes_while_the_thread_reads_leaves_nothing(
    selection: Selection, monkeypatch: pytest.MonkeyPatch
):
    observation, held, watch, batch, _ = under_a_tap(selection)
    reads, goes = threading.Event(), threading.Event()
    read = Sample.read

    def slowly(sample: Sample, *args: Any) -> None:
        reads.set()
        assert goes.wait(10)
        read(sample, *args)

    monkeypatch.setattr(Sample, "read", slowly)
    thread = threading.Thread(target=observation.read, args=(batch,))
    thread.start()
    assert reads.wait(10)
    observation.finish(None)
    goes.set()
    thread.join()
    assert held.nbytes == 0
    assert watch.kept == {}


@pytest.mark.parametrize("selection", SELECTIONS)
def test_a_fault_of_the_thread_leaves_nothing(selection: Selection, monkeypatch: pytest.MonkeyPatch):
    observation, held, watch, batch, run = under_a_tap(selection)

    def fails(*_: Any) -> None:
        raise ValueError("a fault")

    monkeypatch.setattr(Sample, "read", fails)
    with pytest.raises(ValueError, match="a fault"):
        observation.read(batch)
    observation.finish(run)
    assert held.nbytes == sum(sample.nbytes for samples in watch.kept.values() for sample in samples)


def test_a_bucket_counts_over_threads(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(bounds, "time", SimpleNamespace(monotonic=lambda: 1.0))
    bucket, granted = Bucket(10_000), []

    def use() -> None:
        granted.append(sum(bucket.grant(1) for _ in range(5000)))

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(granted) == 10_000


def ids(samples: list[Sample]) -> set[int]:
    return {int(sample.id or "-1") for sample in samples}


@given(st.integers(1, 300), st.integers(1, 50))
def test_the_rate_bounds_what_is_copied(count: int, rate: int):
    choice, _, offered = watched(Selection(per_second=rate), count)
    assert len(offered) == min(count, rate)
    assert (choice.seen, choice.missed, choice.unexamined) == (count, 0, 0)
    for sample in offered:
        n = int(sample.id or "")
        assert json.loads(sample.text or b"") == {"a": "A", "n": n}, "the input, not what became of it"
        assert sample.outcome == {1: "failed", 2: "dropped"}.get(n % 10, "changed")


@pytest.mark.parametrize(
    ("selection", "wanted"),
    [
        (Selection(outcome=["failed"]), {1}),
        (Selection(outcome=["dropped"]), {2}),
        (Selection(outcome=["failed", "dropped"]), {1, 2}),
        (Selection(match="doc.n % 10 == 1"), {1}),
        (Selection(match="doc.n % 10 <= 2", outcome=["dropped"]), {2}),
        (Selection(outcome=["changed"]), {0, 3, 4, 5, 6, 7, 8, 9}),
        (Selection(outcome=["unchanged"]), set()),
        (Selection(index="other"), set()),
    ],
)
def test_outcomes_and_conditions_choose(selection: Selection, wanted: set[int]):
    _, _, offered = watched(selection)
    assert {n % 10 for n in ids(offered)} <= wanted
    assert bool(offered) == bool(wanted)
    assert all(json.loads(sample.text or b"")["a"] == "A" for sample in offered)


def test_one_failure_among_many_is_found():
    choice, _, offered = watched(Selection(outcome=["failed"]), 2)
    assert ids(offered) == {1}
    assert choice.unexamined == 0


def test_a_long_document_keeps_no_bytes():
    _, held, offered = watched(Selection(per_second=3), 3, size=MAX_TEXT)
    assert [sample.text for sample in offered] == [None] * 3
    assert held.nbytes == 0


def test_what_is_held_is_bounded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(bounds, "MAX_HELD", 10_000)
    choice, _, offered = watched(Selection(per_second=100), 100, size=1000)
    assert 0 < len(offered) < 100
    assert choice.missed == 100 - len(offered)


def test_other_pipelines_and_surfaces_cost_one_comparison():
    for selection in (Selection(pipeline="q*"), Selection(surface="search"), Selection(surface="query")):
        choice, _, offered = watched(selection)
        assert (choice.seen, offered) == (0, [])


def test_a_bucket_fills_up_again(monkeypatch: pytest.MonkeyPatch):
    now = [100.0]
    monkeypatch.setattr(bounds, "time", SimpleNamespace(monotonic=lambda: now[0]))
    bucket = Bucket(5)
    assert [bucket.grant(3), bucket.grant(3), bucket.grant(3)] == [3, 2, 0]
    now[0] += 0.4
    assert bucket.grant(9) == 2
    now[0] += 100
    assert bucket.grant(9) == 5
    bucket.spend(10)
    now[0] += 1
    assert bucket.grant(1) == 0


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"duration":"601s"}', "duration"),
        (b'{"duration":"soon"}', "duration"),
        (b'{"match":"doc."}', "match"),
        (b'{"slow":1}', "slow"),
        (b'{"limit":0}', "limit"),
        (b'{"per_second":1001}', "per_second"),
        (b'{"outcome":["odd"]}', "outcome[0]"),
        (b'{"speed":1}', "speed"),
    ],
)
def test_a_bad_selection_names_its_field(body: bytes, field: str):
    with pytest.raises(InvalidError) as caught:
        checked(body)
    assert caught.value.field == field


def test_an_empty_body_selects_everything():
    assert checked(b" ") == Selection()
