"""The ring of minutes: differences, sums over workers, bounds of memory."""

from __future__ import annotations

import random
from types import SimpleNamespace

import pytest

from headrace.ops.metrics import history as histories
from headrace.ops.metrics.activity import history_bucket, in_history_buckets, quantile_ms, upper_bound
from headrace.ops.metrics.history import MINUTES, History, Wanted
from headrace_pipelines import Batch, Deadline, execute
from headrace_pipelines.engine import Histogram
from headrace_pipelines.stats import MAX_FAILURE_TYPES, REST_OF_TYPES, PipelineStats
from tests.conftest import native
from tests.unit.headrace_pipelines.executor.test_executor import compiled


class Worker:
    """A ring over one pipeline, `document:p@1`, on a clock that tests set."""

    def __init__(self, process: str = "a") -> None:
        self.now = 6000.0
        fail = native("f", "fail", message="no") | {"if": "has(doc.bad)", "on_failure": "continue"}
        self.pipeline = compiled(native("s", "set", field="x", value=1), fail)
        registry = SimpleNamespace(
            state="current", snapshot=SimpleNamespace(compiled={("document:p", "1"): self.pipeline})
        )
        self.requests: dict[str, int] = {}
        self.history = History(registry, lambda: (dict(self.requests), {}), process, lambda: self.now)

    def run(self, *documents: bytes) -> None:
        for document in documents:
            execute(self.pipeline, Batch.of("document", document), Deadline(30.0))

    def pass_minute(self) -> None:
        self.now += 60
        self.history.note()


async def test_a_minute_has_what_was_done_in_it():
    worker = Worker()
    worker.requests = {"bulk|2xx": 3}
    worker.run(b"{}", b'{"bad":true}')
    worker.pass_minute()
    worker.pass_minute()
    worker.requests = {"bulk|2xx": 3, "bulk|5xx": 1}
    worker.run(b"{}")
    worker.now += 5
    first, idle, last = (await worker.history.gathered()).minutes
    assert (first.start, idle.start, last.start) == (6000, 6060, 6120)
    assert (first.seconds, last.seconds) == (60.0, 5.0)
    done = first.pipelines["document:p@1"]
    assert (done.runs, done.documents, done.stages["s"].documents, done.stages["f"].runs) == (2, 2, 2, 1)
    assert sum(done.durations.values()) == 2
    assert done.errors == {"f": {"fail_processor_exception": 1}}
    assert not idle.pipelines
    assert not idle.surfaces
    done = last.pipelines["document:p@1"]
    assert (done.runs, list(done.stages), done.errors) == (1, ["s"], {})
    assert (first.surfaces["bulk"].requests, first.surfaces["bulk"].errors) == (3, 0)
    assert (last.surfaces["bulk"].requests, last.surfaces["bulk"].errors) == (1, 1)


async def test_the_minutes_of_workers_add_up():
    mine, other = Worker("a"), Worker("b")
    for worker in (mine, other):
        worker.run(b"{}", b"{}")
        worker.pass_minute()
        worker.run(b"{}")

    async def ask(wanted: Wanted) -> list[bytes]:
        return [other.history.dump(wanted)]

    mine.history.ask_others = ask
    found = await mine.history.gathered(Wanted(totals=True))
    assert found.processes == ["a", "b"]
    assert [minute.pipelines["document:p@1"].runs for minute in found.minutes] == [4, 2]
    assert found.totals.pipelines["document:p@1"].runs == 6
    assert found.totals.pipelines["document:p@1"].stages["s"].documents == 6
    few = await mine.history.gathered(Wanted(minutes=1, stages=False))
    assert [minute.start for minute in few.minutes] == [6060]
    assert not few.minutes[0].pipelines["document:p@1"].stages


@pytest.mark.parametrize("asked", ["", "p", "document:p", "p@1", "document:p@1"])
def test_what_names_a_pipeline(asked: str):
    assert Wanted(asked).matches("document:p@1")
    assert not asked or not Wanted(asked).matches("document:pp@1")


@pytest.mark.parametrize("asked", ["q", "query:p", "p@2", "1", "document"])
def test_what_names_another(asked: str):
    assert not Wanted(asked).matches("document:p@1")


async def test_two_hours_are_kept_and_memory_is_bounded(monkeypatch):
    worker = Worker()
    for _ in range(MINUTES + 5):
        worker.run(b"{}")
        worker.pass_minute()
    assert len((await worker.history.gathered(Wanted(minutes=MINUTES + 100))).minutes) == MINUTES + 1
    minute = worker.history.nbytes / MINUTES
    assert minute < 400
    monkeypatch.setattr(histories, "MAX_BYTES", int(minute * 10))
    worker.run(b"{}")
    worker.pass_minute()
    assert worker.history.nbytes <= minute * 10
    assert 5 < len((await worker.history.gathered()).minutes) < 15


async def test_counts_that_began_anew_are_no_difference():
    worker = Worker()
    worker.run(b"{}", b"{}", b"{}")
    worker.pass_minute()
    worker.pipeline.stats = PipelineStats()
    worker.run(b"{}")
    worker.pass_minute()
    assert [m.pipelines["document:p@1"].runs for m in (await worker.history.gathered()).minutes if m.pipelines] == [
        3,
        1,
    ]


def test_buckets_are_at_most_a_sixteenth_wide():
    for value in [*range(5000), *(random.Random(1).randrange(1, 3_600_000_000) for _ in range(2000))]:
        bound = upper_bound(history_bucket(value))
        assert value <= bound <= max(value * 17 / 16, value)
        assert history_bucket(bound) == history_bucket(value)
        assert history_bucket(bound + 1) == history_bucket(value) + 1


def test_percentiles_are_those_of_the_histogram():
    draw, histogram = random.Random(2), Histogram()
    for _ in range(5000):
        histogram.record(int(draw.lognormvariate(12, 1.5)))
    found = in_history_buckets(histogram.counts())
    for share in (0.5, 0.95, 0.99):
        assert quantile_ms(found, share) == pytest.approx(histogram.quantile_ms(share), rel=0.07)
    assert quantile_ms({}, 0.5) == 0


def test_types_of_errors_are_bounded():
    stats = PipelineStats()
    for i in range(100):
        run = SimpleNamespace(errors=[(0, f"type_{i}", "", "{}")], failures=3)
        stats.errors("s", run)
    counts = stats.dump().failures_by_type["s"]
    assert len(counts) == MAX_FAILURE_TYPES + 1
    assert counts["type_0"] == 3
    assert sum(counts.values()) == 300
    assert counts[REST_OF_TYPES] == 3 * (100 - MAX_FAILURE_TYPES)


async def test_a_minute_that_could_not_be_kept_is_in_the_next(monkeypatch):
    worker = Worker()
    worker.run(b"{}", b"{}")
    worker.pass_minute()
    worker.requests = {"bulk|2xx": 3}
    worker.run(b"{}")
    with monkeypatch.context() as patched:
        patched.setattr(worker.history, "_surfaces", lambda: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            worker.pass_minute()
    worker.run(b"{}", b"{}", b"{}")
    worker.pass_minute()
    minutes = (await worker.history.gathered()).minutes
    assert [m.pipelines["document:p@1"].runs for m in minutes if m.pipelines] == [2, 4]
    assert minutes[1].surfaces["bulk"].statuses == {"2xx": 3}
