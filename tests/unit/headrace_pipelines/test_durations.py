"""Percentiles of durations are those of the recorded values, to three digits, from microseconds to an hour."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace_pipelines.engine import Histogram

HOUR_MS = 3_600_000.0
QUANTILES = (0.01, 0.5, 0.95, 0.99, 1.0)
# By the exponent, so that each order of magnitude is as frequent as the others.
nanoseconds = st.floats(0, 14).map(lambda exponent: int(10**exponent))


def ms(ns: int) -> float:
    """As it is recorded: whole microseconds, from one to an hour."""
    return min(max(ns // 1000, 1) / 1000, HOUR_MS)


def near(value: float) -> object:
    return pytest.approx(value, rel=1e-3, abs=1e-3)


@given(st.lists(nanoseconds, min_size=1, max_size=200), st.integers(0, 200))
def test_percentiles_and_means(values: list[int], cut: int):
    first, second = Histogram(), Histogram()
    for histogram, part in ((first, values[:cut]), (second, values[cut:])):
        for value in part:
            histogram.record(value)
    whole = Histogram()
    whole.add(first.counts())
    whole.add(second.counts())
    assert len(whole) == len(values)
    expected = sorted(ms(value) for value in values)
    for q in QUANTILES:
        assert whole.quantile_ms(q) == near(expected[math.ceil(q * len(expected)) - 1]), q
    assert whole.mean_ms == near(sum(expected) / len(expected))
