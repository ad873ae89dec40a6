"""What `top` makes of answers: rates, several proxies, restarts and silence."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from headrace.cli.commands.watch import rates, top
from headrace.cli.commands.watch.rates import Watched, interval_of
from headrace.client.errors import ClientError, UnreachableError


def answer(runs: int, process: str = "1-1") -> dict[str, Any]:
    counts = {"runs": runs, "documents": runs * 10, "failures": runs, "dropped": 0, "fuel": runs * 500}
    counts["durations"] = {"100": runs}
    return {"processes": [process], "pipelines": {"document:p@1": {**counts, "stages": [{"name": "s", **counts}]}}}


class Proxy:
    """A client whose answers are given; an exception is raised."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)

    def request(self, method: str, path: str, params: dict[str, str]) -> Any:
        found = self.answers.pop(0)
        if isinstance(found, Exception):
            raise found
        return found


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch):
    """A monotonic clock that goes on by two seconds at each question."""
    times = iter(range(0, 1000, 2))
    monkeypatch.setattr(rates, "time", SimpleNamespace(monotonic=lambda: float(next(times))))


def watched(*answers: Any) -> Watched:
    return Watched("http://a", Proxy(*answers))  # type: ignore[arg-type]


@pytest.mark.usefixtures("clock")
def test_rates_are_differences_by_seconds():
    target = watched(answer(100), answer(104))
    target.ask()
    assert not interval_of([target]).rows
    target.ask()
    (row,) = interval_of([target]).rows
    assert (row.runs, row.documents, row.failures, row.fuel) == (2, 20, 2, 50)
    assert row.stages[0].documents == 20
    assert row.p50_ms == row.p99_ms > 0


@pytest.mark.usefixtures("clock")
def test_several_proxies_add_up_and_those_at_rest_are_left_out():
    targets = [watched(answer(0), answer(4)), watched(answer(50), answer(56)), watched(answer(7), answer(7))]
    for _ in range(2):
        for target in targets:
            target.ask()
    interval = interval_of(targets)
    assert interval.workers == 3
    assert sum(row.runs for row in interval.rows) == pytest.approx(10 / interval.seconds)


@pytest.mark.usefixtures("clock")
def test_a_restart_is_no_traffic():
    target = watched(answer(100), answer(104), answer(3, "2-2"), answer(5, "2-2"))
    for _ in range(3):
        target.ask()
    assert target.newest is None
    assert "others than before" in target.note
    target.ask()
    assert interval_of([target]).rows[0].runs == 1


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("lost", [UnreachableError("http://a cannot be reached"), ClientError(503, "starting")])
def test_a_proxy_that_is_away_is_asked_again(lost: Exception):
    target = watched(answer(1), answer(2), lost, answer(9), answer(11))
    for _ in range(3):
        target.ask()
    assert (target.newest, target.workers, target.refused) == (None, 0, None)
    assert target.note
    for _ in range(2):
        target.ask()
    assert (interval_of([target]).rows[0].runs, target.note) == (1, "")


def test_a_refusal_is_final():
    target = watched(ClientError(403, "no right"))
    target.ask()
    assert target.refused is not None


def test_an_interval_is_printed_when_it_is_new(monkeypatch: pytest.MonkeyPatch):
    """Files and programs get the interval that has just ended, not the one before it."""
    happened: list[str] = []
    monkeypatch.setattr(top, "time", SimpleNamespace(sleep=lambda _: happened.append("sleep")))
    monkeypatch.setattr(top, "_intervals", lambda _: (happened.append("interval") or n for n in range(2)))
    monkeypatch.setattr(top, "_print", lambda *_: happened.append("print"))
    top._print_on([], "docs", "json", 1.0)
    assert happened == ["sleep", *["interval", "print", "sleep"] * 2]
