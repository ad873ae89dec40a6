"""Windows of rollouts: what is judged, what exceeds a limit, and what is only noise."""

from __future__ import annotations

import random

import pytest

from headrace.execution.rollouts.window import MIN_RUNS, Side, Window, slower
from headrace_pipelines.registry.rollouts.record import AbortLimits


def side(documents: int, failures: int = 0, dropped: int = 0) -> Side:
    found = Side()
    found.add(documents, failures, dropped, None)
    return found


@pytest.mark.parametrize(
    ("candidate", "limits", "limit"),
    [
        (side(500, failures=5), AbortLimits(error_rate=0.005), "error_rate"),
        (side(500, failures=2), AbortLimits(error_rate=0.005), None),
        (side(499, failures=499), AbortLimits(error_rate=0.005), None),
        (side(500, dropped=6), AbortLimits(dropped_rate=0.01), "dropped_rate"),
        (side(500, failures=500), AbortLimits(), None),
    ],
)
def test_rates_are_judged_with_enough_documents(candidate: Side, limits: AbortLimits, limit: str | None):
    window = Window(candidate, side(10_000, failures=1))
    found = window.excess(limits, 500)
    assert (found[0] if found else None) == limit
    if found:
        assert f"more than {limit}" in found[1]


def test_documents_that_were_compared_are_judged_by_their_own_number():
    window = Window()
    window.add_compared(480, 10)
    assert not window.is_judged(500)
    assert window.excess(AbortLimits(diff_rate=0.01), 500) is None
    window.add_compared(10, 0)
    assert window.is_judged(500)
    assert window.excess(AbortLimits(diff_rate=0.01), 500) == (
        "diff_rate",
        "10 of 500 documents differ (2.00%), more than diff_rate 0.01",
    )


def noisy(rng: random.Random, count: int, factor: float) -> list[float]:
    """Times as of a busy host: one run in fifty waits for a turn of the processor, whatever it does."""
    return [factor * rng.gauss(100, 15) + (rng.uniform(500, 4000) if rng.random() < 0.02 else 0) for _ in range(count)]


@pytest.mark.parametrize("count", [MIN_RUNS, 100, 1000])
def test_noise_aborts_nothing_and_three_times_slower_shows(count: int):
    rng = random.Random(count)
    equal = [slower(noisy(rng, count, 1), noisy(rng, count, 1)) for _ in range(400)]
    assert sum(found is not None and found[1] > 2 for found in equal) == 0
    slow = [slower(noisy(rng, count, 3), noisy(rng, count, 1)) for _ in range(200)]
    missed = sum(found is None or found[1] <= 2 for found in slow)
    assert missed <= (20 if count == MIN_RUNS else 0)


def test_a_slow_end_shows_with_enough_runs_alone():
    stable, candidate = [100.0] * 2000, [100.0] * 1900 + [1000.0] * 100
    found = slower(candidate, stable)
    assert found is not None
    assert found == (0.99, 10.0)
    assert slower(candidate[-10:], stable) is None


def test_a_window_without_a_control_judges_no_times():
    window = Window(side(1000), side(1000))
    for _ in range(50):
        window.candidate.add(10, 0, 0, 1_000_000)
    assert window.excess(AbortLimits(p99_ratio=2), 500) is None
