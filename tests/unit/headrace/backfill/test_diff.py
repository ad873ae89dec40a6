"""Differences of two texts by path."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.backfill.diff import changed_paths
from headrace.backfill.spec import MAX_PATHS, ItemResult, Sample, count_bounded
from headrace.protocol.media.differences import MAX_DIFFERENCES

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=8,
)


def text(value: Any) -> bytes:
    return json.dumps(value).encode()


@given(VALUES, VALUES)
def test_equal_texts_have_no_differences_and_others_have_some(before: Any, after: Any):
    assert changed_paths(text(before), text(before)) == []
    same = json.dumps(before, sort_keys=True) == json.dumps(after, sort_keys=True)
    assert (changed_paths(text(before), text(after)) == []) == same


@pytest.mark.parametrize(
    ("before", "after", "paths"),
    [
        ({"a": 1, "b": {"c": 1}}, {"b": {"c": 2}, "a": 1}, ["~ b.c"]),
        ({"a": 1}, {"a": 1.0}, ["~ a"]),
        ({"a": [1, {"b": 1}]}, {"a": [1, {"b": 2}, 3]}, ["+ a[]", "~ a[].b"]),
        ({"a": 1}, {"b": 1}, ["- a", "+ b"]),
    ],
)
def test_paths(before: Any, after: Any, paths: list[str]):
    assert sorted(changed_paths(text(before), text(after))) == sorted(paths)


def test_texts_that_are_no_json_and_very_different_ones_are_bounded():
    assert changed_paths(b"{", b"{}") == ["~ "]
    assert changed_paths(b"[" * 100_000, b"{}") == ["~ "]
    assert len(changed_paths(text({f"k{n}": n for n in range(500)}), b"{}")) == MAX_DIFFERENCES


def test_results_are_bounded():
    result = ItemResult()
    for n in range(MAX_PATHS + 50):
        count_bounded(result.paths, f"p{n}")
        result.add_sample(Sample(str(n), "changed", "{}"))
    result.add_sample(Sample("x", "dropped", "{}"))
    total = ItemResult()
    total.add(result)
    total.add(result)
    assert (len(total.paths), total.paths["*"], sum(total.paths.values())) == (MAX_PATHS + 1, 100, 2 * MAX_PATHS + 100)
    assert [sample.outcome for sample in total.samples] == ["changed"] * 5 + ["dropped"] * 2
