"""Second runs and the records that are made of them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from headrace.execution.protection import HiddenFields
from headrace.execution.taps.records import MAX_REASON, WITHHELD, encoded, record_of
from headrace.execution.taps.rerun import Rerunner, matching
from headrace.execution.taps.samples import Facts, Sample
from headrace.execution.taps.selection import Selection
from headrace_pipelines import Batch, Deadline, Pipelines, RunOptions, execute
from headrace_pipelines.errors import InvalidError
from headrace_pipelines.udf.catalog import Catalog
from tests.conftest import native

SNAPSHOT = Pipelines.load(
    {
        "p": {
            "type": "document",
            "stages": [
                native("lower", "lowercase", field="a"),
                {**native("refuse", "fail", message="no {{a}}"), "if": "doc.n == 1"},
                {**native("drop", "drop"), "if": "doc.n == 2"},
            ],
        },
        "skip": {"type": "document", "stages": [{**native("never", "lowercase", field="a"), "if": "doc.n == 9"}]},
        "mask": {"type": "result", "stages": [native("m", "mask", fields=["s"])]},
    }
)._snapshot


def sample_of(text: bytes, pipeline: str = "p") -> Sample:
    found = SNAPSHOT.find(pipeline)
    batch = Batch.of(found.definition.type.value, text, index="i", id="1")
    sample = Sample.of(batch, 0, found, SNAPSHOT, RunOptions(), Facts("bulk", "ada", "x", "t"), None)
    execute(found, batch, Deadline(5), RunOptions())
    sample.read(batch, list(range(len(batch))))
    return sample


def shown(sample: Sample, *hidden: str, **selection: Any) -> dict[str, Any]:
    record = record_of(sample, Selection(**selection), HiddenFields.of(hidden), Rerunner(Catalog()))
    assert record is not None
    found: dict[str, Any] = json.loads(encoded(record))
    return found


def test_a_document_is_shown_stage_by_stage():
    record = shown(sample_of(b'{"a":"A","n":1.50}'), stages="full")
    assert (record["before"], record["after"]) == ({"a": "A", "n": 1.5}, {"a": "a", "n": 1.5})
    first, *skipped = record["stages"]
    assert first["patch"] == [{"op": "replace", "path": "/a", "value": "a"}]
    assert first["output"] == record["after"]
    assert [stage["if"] for stage in skipped] == [False, False]
    assert (record["outcome"], record["user"], record["id"]) == ("changed", "ada", "1")
    assert "rerun" not in record


@pytest.mark.parametrize(("n", "outcome"), [(1, "failed"), (2, "dropped")])
def test_an_end_without_output(n: int, outcome: str):
    record = shown(sample_of(b'{"a":"A","n":%d}' % n))
    assert (record["outcome"], record["after"], "rerun" in record) == (outcome, None, False)
    assert record["error"] == (
        {"type": "fail_processor_exception", "reason": "no a", "stage": "refuse", "status": 400} if n == 1 else None
    )


def test_reasons_are_cut_and_withheld():
    sample = sample_of(b'{"a":"%b","n":1}' % (b"x" * 20_000))
    assert len(shown(sample)["error"]["reason"]) == MAX_REASON
    record = shown(sample, "a")
    assert record["error"]["reason"] == WITHHELD
    assert "xxx" not in json.dumps(record)


def test_a_run_that_ends_otherwise_differs():
    sample = sample_of(b'{"a":"A","n":0}')
    sample.outputs = [b'{"a":"other","n":0}']
    assert shown(sample)["rerun"] == "differs"
    assert "rerun" not in shown(sample, stages="none")


def test_a_run_of_skipped_stages_is_skipped():
    assert shown(sample_of(b'{"a":"A","n":0}', "skip"))["outcome"] == "skipped"
    nothing = HiddenFields()
    for outcome, selected in (("skipped", True), ("changed", False), ("slow", False)):
        selection = Selection(outcome=[outcome], slow="10s")
        record = record_of(sample_of(b'{"a":"A","n":0}', "skip"), selection, nothing, Rerunner(Catalog()))
        assert (record is not None) == selected


def test_responses_show_numbers_of_hits():
    hits = [{"_index": "i", "_id": str(n), "_source": {"s": "hushed", "n": n}} for n in range(3)]
    record = shown(sample_of(json.dumps({"hits": {"hits": hits}}).encode(), "mask"))
    assert record["hits"] == {"before": 3, "after": 3, "removed": 0, "changed": 3, "added": 0}
    assert (record["before"], record["after"]) == (None, None)
    assert "hushed" not in json.dumps(record)


def test_a_text_that_cannot_be_read_shows_nothing():
    sample = sample_of(b'{"a":"A","n":0}')
    sample.text = b'{"a":'
    record = shown(sample, "s", stages="none")
    assert (record["rerun"], record["before"], record["after"]) == ("unreadable", None, None)


def test_a_version_that_cannot_be_compiled_has_no_stages(monkeypatch: pytest.MonkeyPatch):
    def fails(*_: Any) -> None:
        raise InvalidError("no such UDF", "stages")

    monkeypatch.setattr(Rerunner, "run", fails)
    record = shown(sample_of(b'{"a":"A","n":0}'))
    assert (record["stages"], record["after"]) == (None, {"a": "a", "n": 0})


def test_second_runs_are_not_counted():
    before = SNAPSHOT.find("p").stats.dump().total
    sample = sample_of(b'{"a":"A","n":0}')
    assert SNAPSHOT.find("p").stats.dump().total == before + 1
    assert Rerunner(Catalog()).run(sample).outputs == [b'{"a":"a","n":0}']
    assert SNAPSHOT.find("p").stats.dump().total == before + 1


def test_samples_that_meet_a_condition():
    samples = [sample_of(b'{"a":"A","n":%d}' % n) for n in range(4)]
    samples.append(sample_of(b'{"a":"A",\n"n":3}'))
    samples.append(sample_of(b'{"a":"A"}'))
    texts = [(sample, sample.text or b"") for sample in samples]
    found = matching(texts, Selection(match="doc.n >= 2").conditions)
    assert found == samples[2:5]
    assert matching([], Selection(match="doc.n >= 2").conditions) == []
