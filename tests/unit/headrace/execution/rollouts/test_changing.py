"""Changes of records of rollouts: what a pause keeps, and when a step is over."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest

from headrace.execution.rollouts import changing
from headrace_pipelines.definition import PipelineType
from headrace_pipelines.registry.rollouts.record import Rollout, RolloutSpec, Step

START = 1_800_000_000.0


class Clock:
    """The time of the module, in seconds since 1970."""

    now = START

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(changing, "time", found)
    return found


def at(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def rollout(**changes: object) -> Rollout:
    steps = [Step(percent=10, duration="60s"), Step(percent=40, duration="60s"), Step(percent=80)]
    spec = RolloutSpec(candidate="2", mode="canary", steps=steps)
    record = Rollout(
        type=PipelineType.DOCUMENT, name="p", spec=spec, stable="1", seed="s", created=at(START), step_since=at(START)
    )
    return msgspec.structs.replace(record, **changes)


def test_a_pause_does_not_count_and_no_percentage_goes_back(clock: Clock):
    record = rollout()
    clock.now = START + 20
    held = changing.paused(record, "me")
    clock.now = START + 1000
    assert (changing.left_in_step(held), changing.is_over(held)) == (None, False)
    again = changing.resumed(held, "me")
    assert changing.left_in_step(again) == pytest.approx(40)
    # A request that arrived before the pause ended is no other one.
    for seconds in (START, START + 20, START + 999.9, START + 1001):
        assert (held.percent_at(seconds), again.percent_at(seconds)) == (10, 10)
    clock.now = START + 1010
    twice = changing.resumed(changing.paused(again, "me"), "me")
    assert changing.left_in_step(twice) == pytest.approx(30)
    clock.now = START + 1041
    assert changing.is_over(twice)


def test_a_pending_step_has_not_begun_however_late_it_is(clock: Clock):
    record = changing.next_step(rollout(step_since=at(START + 90), pending=True))
    clock.now = START + 500
    assert record.percent_at(clock.now) == 10
    assert not changing.is_over(record)
    held = changing.paused(record, "me")
    assert (held.pending, held.percent_at(clock.now)) == (True, 10)
    assert changing.resumed(held, "me").percent_at(clock.now) == 10
    begun = msgspec.structs.replace(record, pending=False)
    assert begun.percent_at(clock.now) == 40
