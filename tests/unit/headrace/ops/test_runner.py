"""Where a pipeline runs: on the event loop what is quickly done, on a thread the rest."""

from __future__ import annotations

import threading
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from headrace.ops.runner import INLINE_NS_ON_FEW_CORES, INLINE_SECONDS, INLINE_WORK, Runner, UncountedRuns
from headrace.settings import Settings
from headrace_pipelines import Batch, Bulk, attempt_fused
from headrace_pipelines.registry.cost import FIXED, MEASURED, SLOW_TURNS, CostEstimate
from headrace_pipelines.stats import shown
from tests.conftest import native, ndjson, wasm
from tests.support import wat
from tests.unit.headrace_pipelines.executor.test_executor import compiled

if TYPE_CHECKING:
    from collections.abc import Callable

SET = native("s", "set", field="x", value=1)
LOOP_ON_A = wat.field_udf(
    """(if (call $exists (local.get $ctx) (i32.const 0) (i32.const 1)) (then (loop (br 0))))
    (i32.const 1)""",
    imports='(import "env" "has_field" (func $exists (param i64 i32 i32) (result i32)))',
    data='(data (i32.const 0) "a")',
)
BUSY_ON_A = wat.field_udf(
    """(local $n i32)
    (if (call $exists (local.get $ctx) (i32.const 0) (i32.const 1)) (then
      (loop $again
        (local.set $n (i32.add (local.get $n) (i32.const 1)))
        (br_if $again (i32.lt_u (local.get $n) (i32.const 1000000))))))
    (i32.const 1)""",
    imports='(import "env" "has_field" (func $exists (param i64 i32 i32) (result i32)))',
    data='(data (i32.const 0) "a")',
)
"""Counts to a million for a document with `a`: some tenths of a millisecond, and no more than a few."""


@pytest.fixture
def runner():
    made = Runner(Settings(upstream=["http://127.0.0.1:1"]))
    yield made
    made.close()


async def ran(runner: Runner, pipeline, text: bytes) -> tuple[Batch, bool]:
    """The batch, and whether it stayed on the event loop."""
    places = []
    make = partial(Batch.of, "document", text)
    batch = make()
    await runner.run(pipeline, batch, make, then=lambda _: places.append(threading.get_ident() == loop))
    return batch, places[0]


loop = threading.get_ident()


async def test_quick_built_ins_stay_on_the_loop_while_there_is_little_to_do(runner: Runner):
    made = compiled(SET)
    assert (await ran(runner, made, b"{}"))[1]
    many = b'{"a":"' + b"x" * INLINE_WORK + b'"}'
    assert not (await ran(runner, made, many))[1]


async def test_a_udf_stays_on_the_loop_once_it_is_known_to_be_quick(runner: Runner):
    made = compiled(wasm("w", "u"), SET, udfs=[("u", wat.ECHO)])
    assert not (await ran(runner, made, b"{}"))[1]
    made.cost = CostEstimate()
    made.cost.observe(2, 20_000)
    batch, stayed = await ran(runner, made, b"{}")
    assert (stayed, batch.document(0)) == (True, b'{"x":1}')
    made.cost.observe(2, INLINE_NS_ON_FEW_CORES + 1)
    assert not (await ran(runner, made, b"{}"))[1]


async def test_what_takes_too_long_on_the_loop_begins_again_on_a_thread(runner: Runner):
    made = compiled(SET, wasm("w", "u"), udfs=[("u", LOOP_ON_A)])
    for text in (b"{}", b"{}"):
        await ran(runner, made, text)
    made.cost = CostEstimate()
    made.cost.observe(2, 20_000)
    batch, stayed = await ran(runner, made, b'{"a":1}')
    assert not stayed
    state, failure = batch.outcome(0)
    assert (state, failure[1]) == ("failed", "udf_timeout_exception")
    assert failure[2] == "the UDF ran longer than its limit of 100 ms", "its own limit, not the loop's patience"
    stats = shown(made.stats.dump())
    assert (stats["total_executions"], stats["current"], stats["documents_failed"]) == (3, 0, 1)
    assert [s["executions"] for s in stats["stage_stats"]] == [3, 3]
    assert made.cost.predict(2) > INLINE_NS_ON_FEW_CORES, "the next one goes to a thread at once"


async def test_a_bulk_that_takes_too_long_on_the_loop_is_whole_when_it_begins_again(runner: Runner):
    made = compiled(SET, wasm("w", "u"), udfs=[("u", LOOP_ON_A)])
    await ran(runner, made, b"{}")
    made.cost = CostEstimate()
    made.cost.observe(2, 20_000)
    bulk = Bulk(b"".join(b'{"index":{"_index":"i"}}\n%b\n' % text for text in (b'{"b":1}', b'{"a":1}', b'{"b":2}')))
    make, threads = partial(bulk.batch, [0]), []

    def take_over(batch: Batch) -> None:
        threads.append(threading.get_ident())
        bulk.absorb(batch)

    run = await runner.run(made, make(), make, then=take_over)
    assert (run.failures, bulk.counts(), threads == [loop]) == (1, (2, 0, 1), False)
    lines = (bulk.render() or b"").splitlines()
    assert lines[1::2] == [b'{"b":1,"x":1}', b'{"b":2,"x":1}']
    stats = shown(made.stats.dump())
    assert [s["documents_in"] for s in stats["stage_stats"]] == [4, 4], "one before, three now"


async def test_a_pipeline_that_waits_between_retries_never_waits_on_the_loop(runner: Runner):
    made = compiled({**wasm("w", "u"), "retry": {}}, udfs=[("u", wat.ECHO)])
    made.cost.observe(2, 1000)
    assert not (await ran(runner, made, b"{}"))[1]


def test_a_pace_rises_at_once_and_falls_slowly():
    cost = CostEstimate()
    assert cost.predict(0) == float("inf")
    cost.observe(0, 1000)
    assert cost.predict(0) == 1000
    cost.observe(0, 5000)
    assert cost.predict(0) == 5000
    cost.observe(0, 1000)
    assert cost.predict(0) == pytest.approx(4600)
    assert cost.predict(FIXED) == pytest.approx(9200)


def test_one_run_in_eight_is_measured_and_the_first():
    cost = CostEstimate()
    assert cost.is_due()
    cost.observe(0, 1)
    assert sum(cost.is_due() for _ in range(8 * MEASURED)) == 8


IDLE = {"if": "doc.level == 'NONE'"}


def bulk_of(*indexes: str, text: str = "{}") -> tuple[Bulk, list[list[int]]]:
    """A bulk of a document for each index, and the targets, each in a group of its own."""
    return Bulk(ndjson(*[line for index in indexes for line in ({"index": {"_index": index}}, text)])), [
        [key] for key in range(len(indexes))
    ]


@pytest.mark.parametrize("fields", [{}, {"timeout": "1s"}], ids=["fused", "not fused"])
def test_a_pipeline_whose_conditions_are_not_met_has_nothing_to_do(runner: Runner, fields):
    made = compiled(wasm("w", "u") | IDLE, udfs=[("u", wat.ECHO)], **fields)
    assert (made.fused is None) == bool(fields)
    parsed, ((key,),) = bulk_of("i", text='{"level":"A"}')
    plan = runner.plan(parsed, [(made, [key])])
    assert [(each.idle, each.keys) for each in plan.runs] == [(1, [key])]
    met, _ = bulk_of("i", text='{"level":"NONE"}')
    assert runner.plan(met, [(made, [key])]) is None, "nobody has seen how long it takes"
    assert made.cost.predict(0) == float("inf")
    assert shown(made.stats.dump())["total_executions"] == 0


def test_nothing_runs_where_one_of_the_pipelines_belongs_on_a_thread(runner: Runner):
    quick, unseen = compiled(SET), compiled(wasm("w", "u"), udfs=[("u", wat.ECHO)])
    parsed, (first, second) = bulk_of("i", "j")
    assert runner.plan(parsed, [(quick, first), (unseen, second)]) is None
    unseen.cost.observe(2, INLINE_NS_ON_FEW_CORES + 1)
    assert runner.plan(parsed, [(quick, first), (unseen, second)]) is None
    assert parsed.render() is None
    unseen.cost = CostEstimate()
    unseen.cost.observe(2, 20_000)
    assert [run.measured for run in runner.plan(parsed, [(quick, first), (unseen, second)]).runs] == [False, True]


def test_a_pipeline_is_judged_by_its_own_documents(runner: Runner):
    made = compiled(wasm("w", "u"), udfs=[("u", wat.ECHO)])
    text = f'{{"a":"{"x" * FIXED}"}}'
    parsed, groups = bulk_of(*"abcdefghi", text=text)
    assert parsed.nbytes_of(groups) == [len(text)] * 9
    assert parsed.nbytes_of([[0, 1], [2], [9]]) == [2 * len(text), len(text), 0]
    made.cost.observe(len(text), runner._max_inline_ns // 2)
    assert runner.plan(parsed, [(made, groups[0])]) is not None
    assert runner.plan(parsed, [(made, groups[0]), (made, groups[1])]) is not None
    assert runner.plan(parsed, [(made, group) for group in groups[:3]]) is None, "all of them together"


def test_built_ins_share_the_time_of_the_loop(runner: Runner):
    made = compiled(SET)
    text = f'{{"a":"{"x" * (INLINE_WORK // 5)}"}}'
    parsed, groups = bulk_of(*"abc", text=text)
    made.cost.observe(0, 1)
    assert runner.plan(parsed, [(made, group) for group in groups[:2]]) is not None
    assert runner.plan(parsed, [(made, group) for group in groups]) is None


@pytest.mark.parametrize("fields", [{}, {"timeout": "1s"}], ids=["fused", "not fused"])
def test_the_pipelines_of_a_bulk_have_the_time_of_one(runner: Runner, fields, monkeypatch: pytest.MonkeyPatch):
    made = compiled(SET, **fields)
    parsed, (keys,) = bulk_of("i")
    for seconds in (0.0, 30.0):
        monkeypatch.setattr("headrace.ops.runner.INLINE_SECONDS", seconds)
        plan = runner.plan(parsed, [(made, keys)])
        if made.fused is not None:
            run = runner.attempt_planned(plan.runs[0], made.fused, parsed, plan.end)
        else:
            run = runner.attempt_in_plan(made, parsed.batch(keys), plan.end)
        assert (run is not None) == bool(seconds)
        assert seconds or parsed.render() is None
        assert shown(made.stats.dump())["total_executions"] == 0


def test_a_run_by_the_engine_that_is_late_is_none_and_is_measured(runner: Runner):
    made = compiled(SET, wasm("w", "u"), udfs=[("u", LOOP_ON_A)])
    parsed, (keys,) = bulk_of("i", text='{"a":1}')
    batch = Batch.of("document", b'{"a":1}')
    assert runner.attempt_fused(made, made.fused, batch) is None, "nobody has seen how long it takes"
    assert batch.document(0) == b'{"a":1}'
    made.cost.observe(2, 20_000)
    for _ in range(2):
        plan = runner.plan(parsed, [(made, keys)])
        assert runner.attempt_planned(plan.runs[0], made.fused, parsed, plan.end) is None
        assert (parsed.render(), parsed.counts()) == (None, (1, 0, 0))
        assert made.cost.predict(2) == float("inf"), "it is done again on a thread"
    assert made.cost.predict(2) > INLINE_NS_ON_FEW_CORES, "the second one counts"
    made.cost = CostEstimate()
    made.cost.observe(2, 20_000)
    for _ in range(2):
        assert runner.attempt_fused(made, made.fused, Batch.of("document", b'{"a":1}')) is None
        assert made.cost.predict(2) == float("inf")
    assert made.cost.predict(2) > INLINE_NS_ON_FEW_CORES
    assert shown(made.stats.dump())["total_executions"] == 0
    made.cost = CostEstimate()
    made.cost.observe(2, 20_000)
    assert len(runner.attempt_fused(made, made.fused, Batch.of("document", b"{}"))) == 1


async def test_what_was_ended_on_the_loop_is_done_again_on_a_thread(runner: Runner, monkeypatch: pytest.MonkeyPatch):
    made = compiled(SET, wasm("w", "u"), udfs=[("u", LOOP_ON_A)])
    made.cost.observe(2, 20_000)
    # The second run is not timed by the clock of its thread.
    assert runner.attempt_fused(made, made.fused, Batch.of("document", b"{}")) is not None
    assert runner.attempt_fused(made, made.fused, Batch.of("document", b'{"a":1}')) is None
    tries: list[Batch] = []
    monkeypatch.setattr(runner, "_attempt", lambda _pipeline, batch, *_: tries.append(batch))
    batch, stayed = await ran(runner, made, b'{"a":1}')
    assert (stayed, tries, batch.outcome(0)[0]) == (False, [], "failed")


@pytest.mark.parametrize("phase", range(2))
def test_slow_documents_that_take_turns_with_quick_ones_are_seen(runner: Runner, phase: int):
    made = compiled(wasm("w", "u"), udfs=[("u", BUSY_ON_A)])
    runner._max_inline_ns = 100_000
    slow, quick = b'{"a":1}', b"{}"
    attempt_fused(made.fused, Batch.of("document", slow), 30)
    made.cost.observe(0, 1000)
    for turn in range(2 * MEASURED):
        text = slow if turn % 2 == phase else quick
        if runner.attempt_fused(made, made.fused, Batch.of("document", text)) is None:
            break
    assert turn <= 3 + phase, "the second slow one counts, and the next one is for a thread"
    assert made.cost.predict(len(slow)) > runner._max_inline_ns


@pytest.mark.parametrize("apart", [1, SLOW_TURNS - 1, SLOW_TURNS])
def test_runs_that_waited_for_a_core_count_no_more_than_their_time(
    runner: Runner, monkeypatch: pytest.MonkeyPatch, apart: int
):
    made = compiled(wasm("w", "u"), udfs=[("u", wat.ECHO)])
    made.cost.observe(0, 1000)
    monkeypatch.setattr(made.cost, "is_due", partial(not_due, made.cost.is_due))
    late, quick = (SimpleNamespace(late=each, nbytes=2, duration_ns=10**11 if each else 1) for each in (True, False))
    for turn in range(apart + 1):
        run = late if turn in (0, apart) else quick
        monkeypatch.setattr("headrace.ops.runner.attempt_fused", lambda *_args, run=run, **_kw: run)
        assert made.cost.predict(2) < 2000, "one alone does not count"
        assert runner.attempt_fused(made, made.fused, Batch.of("document", b"{}")) is (None if run.late else run)
        assert not run.late or made.cost.predict(2) == float("inf"), "it is done again on a thread"
    counts = apart < SLOW_TURNS
    assert made.cost.predict(2) == pytest.approx(INLINE_SECONDS * 1e9 if counts else 1000, rel=0.01)


def not_due(is_due: Callable[[], bool]) -> bool:
    """Takes a turn that the clock of the thread does not time."""
    is_due()
    return False


def test_those_that_are_safe_for_the_whole_are_not_measured_apart(runner: Runner, monkeypatch: pytest.MonkeyPatch):
    one, two = compiled(SET), compiled(SET)
    parsed, groups = bulk_of("i", "j")
    plan = runner.plan(parsed, [(one, groups[0]), (two, groups[1])])
    assert [(run.measured, run.idle) for run in plan.runs] == [(False, None)] * 2
    text = f'{{"a":"{"x" * (INLINE_WORK // 4)}"}}'
    parsed, groups = bulk_of("i", "j", text=text)
    udf = compiled(wasm("w", "u"), udfs=[("u", wat.ECHO)])
    udf.cost.observe(len(text), runner._max_inline_ns // 4)
    plan = runner.plan(parsed, [(one, groups[0]), (udf, groups[1])])
    assert [run.measured for run in plan.runs] == [False, True], "each by its own part"
    udf.cost.observe(len(text), runner._max_inline_ns * 3 // 5)
    assert runner.plan(parsed, [(one, groups[0]), (udf, groups[1])]) is None, "a half and three fifths of the time"


def test_the_runs_of_requests_are_apart():
    one, other = UncountedRuns(), UncountedRuns()
    done: list[str] = []
    one.others.append(SimpleNamespace(count=lambda: done.append("count"), forget=lambda: done.append("forget")))
    other.settle(sent=True)
    assert done == []
    for _ in range(2):
        one.settle(sent=True)
    assert done == ["count"]
