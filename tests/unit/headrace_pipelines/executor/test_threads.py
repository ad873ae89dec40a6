"""A large batch that two threads share: the same documents in the same order, and the same counts."""

from __future__ import annotations

import pytest

from headrace_pipelines import Bulk, Deadline, RunOptions, execute
from headrace_pipelines.stats import shown
from tests.conftest import native, ndjson, wasm, without
from tests.support import wat
from tests.unit.headrace_pipelines.executor.test_executor import compiled

DOCUMENTS = 5000
SPLIT = wat.answering('[{"part":1},{"part":2}]')
STAGES = {
    "built-ins": ([native("set", "set", field="x", value=1), native("low", "lowercase", field="level")], ()),
    "a drop and failures that are passed over": (
        [
            native("out", "drop") | {"if": "doc.n == 7"},
            native("low", "lowercase", field="level") | {"on_failure": "continue"},
            native("set", "set", field="n", value=0) | {"if": "doc.level == 'b'"},
        ],
        (),
    ),
    "a UDF that makes several of some": (
        [
            wasm("split", "split") | {"if": "doc.n % 100 == 3"},
            native("set", "set", field="x", value="y"),
        ],
        (("split", SPLIT),),
    ),
    "a UDF that traps on some": (
        [
            wasm("trap", "trap") | {"if": "doc.n % 500 == 3", "on_failure": "continue"},
            native("set", "set", field="x", value="y"),
        ],
        (("trap", wat.OUT_OF_BOUNDS),),
    ),
    "runs between stages that take the batch as a whole": (
        [
            native("set", "set", field="x", value=1),
            native("slow", "lowercase", field="level")
            | {"on_failure": [native("mark", "set", field="bad", value=True)]},
            native("last", "remove", field="n"),
        ],
        (),
    ),
}


@pytest.mark.parametrize("name", STAGES)
def test_two_threads_do_what_one_does(name: str):
    stages, udfs = STAGES[name]
    levels = ["A", "B", 5, "c"]
    documents = [{"n": i, "level": levels[i % 4]} for i in range(DOCUMENTS)]
    documents[DOCUMENTS // 2 + 10] = "no object"
    body = ndjson(*(line for d in documents for line in ({"index": {"_index": "i"}}, d)))
    outcomes = []
    for threads in (1, 2):
        made = compiled(*stages, udfs=udfs)
        bulk = Bulk(body)
        batch = bulk.batch([0])
        execution = execute(made, batch, Deadline(30), RunOptions(threads=threads))
        # Two sandboxes have two buffers to ask for.
        stats = without(shown(made.stats.dump())["stage_stats"], "duration", "memory", "fuel")
        found = [(batch.outcome(i), batch.document(i)) for i in range(len(batch))]
        bulk.absorb(batch)
        outcomes.append((found, bulk.render(), bulk.counts(), execution.skipped, execution.failures, stats))
    assert outcomes[0] == outcomes[1]
    assert any(state == "failed" for (state, _), _ in outcomes[0][0])
