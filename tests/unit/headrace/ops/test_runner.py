"""Where a pipeline runs: on the event loop what is quickly done, on a thread the rest."""

from __future__ import annotations

import threading
from functools import partial

import pytest

from headrace.ops.runner import INLINE_NS_ON_FEW_CORES, INLINE_WORK, Runner
from headrace.settings import Settings
from headrace_pipelines import Batch, Bulk
from headrace_pipelines.registry.cost import FIXED, CostEstimate
from headrace_pipelines.stats import shown
from tests.conftest import native, wasm
from tests.support import wat
from tests.unit.headrace_pipelines.executor.test_executor import compiled

SET = native("s", "set", field="x", value=1)
LOOP_ON_A = wat.field_udf(
    """(if (call $exists (local.get $ctx) (i32.const 0) (i32.const 1)) (then (loop (br 0))))
    (i32.const 1)""",
    imports='(import "env" "has_field" (func $exists (param i64 i32 i32) (result i32)))',
    data='(data (i32.const 0) "a")',
)


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
