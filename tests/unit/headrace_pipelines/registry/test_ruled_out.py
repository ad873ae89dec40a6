"""Bulks that no condition of a pipeline concerns: what their bytes rule out is what a run over them finds."""

from __future__ import annotations

import random
from typing import Any

import pytest

from headrace_pipelines import Bulk, Deadline, execute, record_skipped
from headrace_pipelines.stats import shown
from tests.conftest import native, ndjson, wasm, without
from tests.support import wat
from tests.unit.headrace_pipelines.executor.test_executor import compiled

IS = {"if": "doc.level == 'DEBUG'"}
SET = native("set", "set", field="x", value=1)
INDEX: dict[str, Any] = {"index": {"_index": "i"}}
PLAIN = [INDEX, {"level": "INFO"}]


def outcome(bulk: Bulk, made: Any) -> Any:
    stats = without(shown(made.stats.dump()), "duration", "millis", "time", "last")
    return bulk.render(), bulk.counts(), stats


CONDITIONS = (
    "doc.level == 'DEBUG'",
    "'DEBUG' == doc.level && doc.n != 'a'",
    "doc.level == 'DEBUG' || has(doc.gone)",
    "doc.a.b == 'DEBUG'",
    "doc.level != 'INFO'",
    "!(doc.level == 'INFO')",
    "doc.n == 1",
    "has(doc.level)",
    "doc.level == 'a/b'",
    "true",
)
LINES = (
    '{"level":"INFO"}',
    '{"level":"DEBUG"}',
    '{"level":"D\\u0045BUG"}',
    '{"level":"caf\\u00e9"}',
    '{"level":"a\\/b"}',
    '{"l\\u0065vel":"x","n":1}',
    '{"a":{"b":"DEBUG"}}',
    '{"gone":null}',
    ' {"level":"INFO"}',
    '{"level":"INFO"',
    "[1]",
    "",
)
ACTIONS: tuple[dict[str, Any], ...] = (
    INDEX,
    {"create": {"_index": "i", "_id": "1"}},
    {"update": {"_index": "i", "_id": "1"}},
    {"delete": {"_index": "i", "_id": "1"}},
    {"index": {"_index": "other"}},
)


def test_what_is_ruled_out_is_what_a_run_would_have_left_alone():
    order = random.Random(3)
    ruled_out = 0
    for _ in range(6000):
        conditions = order.sample(CONDITIONS, order.randint(1, 2))
        stages = [native(f"s{n}", "set", field="x", value=n) | {"if": text} for n, text in enumerate(conditions)]
        lines: list[Any] = []
        for _ in range(order.randint(1, 3)):
            action = order.choice(ACTIONS) if order.random() < 0.4 else INDEX
            lines += [action] if "delete" in action else [action, order.choice(LINES)]
        body = ndjson(*lines)
        bulk, made = Bulk(body), compiled(*stages)
        keys = [key for key, (_, _, writes) in enumerate(bulk.targets()) if writes]
        documents = bulk.ruled_out(keys, made.conditions)
        if not documents:
            continue
        ruled_out += 1
        record_skipped(made, documents)
        other, ran = Bulk(body), compiled(*stages)
        batch = other.batch(keys)
        execution = execute(ran, batch, Deadline(5))
        assert not execution.skipped
        other.absorb(batch)
        assert outcome(bulk, made) == outcome(other, ran), (conditions, lines)
    assert ruled_out > 100


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        (PLAIN, 1),
        ([*PLAIN, {"delete": {"_index": "i", "_id": "1"}}, *PLAIN], 2),
        ([{"delete": {"_index": "i", "_id": "1"}}], 0),
        ([*PLAIN, INDEX, {"other": "a DEBUG b"}], None),
        ([*PLAIN, INDEX, '{"level":"\\u0044EBUG"}'], None),
        ([*PLAIN, {"update": {"_index": "i", "_id": "1"}}, {"doc": {}}], None),
        ([*PLAIN, INDEX, "[]"], None),
        ([*PLAIN, INDEX, '{\0"\0'], None),
        ([*PLAIN, INDEX, ""], None),
    ],
)
def test_only_what_shows_itself_is_ruled_out(lines: list[Any], found: int | None):
    bulk = Bulk(ndjson(*lines))
    keys = [key for key, (_, _, writes) in enumerate(bulk.targets()) if writes]
    assert bulk.ruled_out(keys, compiled(SET | IS).conditions) == found


def test_of_other_targets_it_says_nothing():
    bulk = Bulk(ndjson(*PLAIN, {"index": {"_index": "j"}}, "[]"))
    conditions = compiled(SET | IS).conditions
    assert (bulk.ruled_out([0], conditions), bulk.ruled_out([1], conditions)) == (1, None)
    bulk.fail(0, 403, "security_exception", "no")
    assert bulk.ruled_out([0], conditions) is None


@pytest.mark.parametrize(
    ("stages", "udfs", "number"),
    [
        ([SET | IS, SET | {"name": "two"} | IS], (), 1),
        ([SET | IS, SET | {"name": "two", "if": "doc.n == 'x'"}], (), 2),
        ([SET | IS, SET | {"name": "two"}], (), 0),
        ([SET | IS | {"enabled": False}], (), 0),
        ([SET | IS | {"timeout": "1s"}], (), 0),
        ([SET | IS | {"on_failure": [native("mark", "set", field="bad", value=1)]}], (), 0),
        ([wasm("u", "echo") | IS], (("echo", wat.answering("{}")),), 1),
        ([{"name": "c", "type": "composite", "config": {"stages": [SET]}} | IS], (), 0),
        ([], (), 0),
    ],
)
def test_pipelines_whose_conditions_decide_it_all(stages: list[Any], udfs: Any, number: int):
    assert len(compiled(*stages, udfs=udfs).conditions) == number
