"""Documents as columns: what data frames of engines get and write."""

from __future__ import annotations

import msgspec
import pyarrow
import pytest

from headrace.backfill import columns
from headrace.backfill.cluster import link as links
from headrace.backfill.spec import BackfillError
from headrace_pipelines import Bundle
from tests.conftest import native
from tests.unit.headrace.backfill.fake import Cluster

STAGES = [
    native("r", "set", field="_routing", value="else") | {"if": "doc.n == 1"},
    native("d", "drop") | {"if": "doc.n == 2"},
    native("f", "fail", message="no") | {"if": "doc.n == 3"},
]
PIPELINE = msgspec.json.encode({"type": "document", "version": "1", "stages": STAGES})


@pytest.mark.parametrize("routing", [None, "r"])
def test_rows_say_what_became_of_them(routing: str | None):
    """A changed routing is a move, which no write follows: a copy under the old one would stay."""
    rows = {
        "_id": [f"d{n}" for n in range(4)],
        "_routing": pyarrow.array([routing] * 4, pyarrow.string()),
        "_source": [f'{{"n":{n}}}' for n in range(4)],
    }
    code = columns.Code.of("p", Bundle((("p", PIPELINE),)))
    (result,) = columns.run(code, [pyarrow.RecordBatch.from_pydict(rows)])
    assert result.column("outcome").to_pylist() == ["same", "moved", "dropped", "failed"]
    assert result.column("_routing").to_pylist() == [routing] * 4
    reasons = result.column("reason").to_pylist()
    assert (reasons[0], "_routing" in reasons[1], reasons[2], "no" in reasons[3]) == (None, True, None, True)


def test_columns_that_a_run_needs_or_makes():
    with pytest.raises(BackfillError, match="must be a column"):
        columns.kept_columns(["_id"], keep_before=False)
    with pytest.raises(BackfillError, match="rename it"):
        columns.kept_columns(["_source", "outcome"], keep_before=False)


def test_rows_that_are_no_documents_are_dead_letters_and_cost_no_others(monkeypatch: pytest.MonkeyPatch):
    """The cluster refuses a whole bulk for one id that is too long."""
    monkeypatch.setattr(links, "_OPEN", links.threading.local())
    cluster = Cluster([])
    texts = ['{"n":1}', '{"n":\n2}', '{"n":\n', '{"n":4}', '{"n":5}', '{"n":6}']
    rows = pyarrow.RecordBatch.from_pydict({"_id": ["a", "b", "c", "x" * 513, "", "f"], "_source": texts})
    job = columns.writing_job({"url": cluster.url, "index": "t", "dead_letters": "dead"})
    try:
        counts = columns.write(job, [rows])
    finally:
        links.Link.shared(job.cluster, job.patience).close()
        cluster.close()
    assert (counts.read, counts.written, counts.failed) == (6, 3, 3)
    assert set(cluster.indexed) == {"a", "b", "f"}
    dead = {record["id"]: record for record in cluster.dead}
    assert {id_: record["original"] for id_, record in dead.items()} == dict(
        zip(["c", "x" * 513, ""], texts[2:5], strict=True)
    )
