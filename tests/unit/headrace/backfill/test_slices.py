"""Slices: scrolls whose pages are lost or too long, late as well as early, and for any time that they take."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.backfill import kernel, run_item
from headrace.backfill.cluster import link as links
from headrace.backfill.cluster import reading
from headrace.backfill.kernel import MAX_LOSSES
from headrace.backfill.spec import BackfillError
from tests.unit.headrace.backfill.fake import Cluster, documents
from tests.unit.headrace.backfill.test_kernel import ITEM, job_of

SLICE = msgspec.structs.replace(ITEM, slices=1)


class Scrolls(Cluster):
    """A scroll at a time. `sizes`: of each that began; `losses`: how often the page from a document on is lost."""

    def __init__(self, lengths: list[int]) -> None:
        super().__init__([each for n, size in enumerate(lengths) for each in documents(1, size) if named(each, n)])
        self.sizes: list[int] = []
        self.losses: dict[int, int] = {}
        self.lost = 503
        self._first = 0

    def answer(self, path: str, body: bytes) -> tuple[int, Any]:
        if path == "/s/_search":
            self._first = 0
            self.sizes.append(json.loads(body)["size"])
        elif path == "/_search/scroll" and json.loads(body).get("scroll"):
            self._first += self.sizes[-1]
            if self.losses.get(self._first, 0):
                self.losses[self._first] -= 1
                return self.lost, {}
        else:
            return super().answer(path, body)
        hits = self.documents[self._first : self._first + self.sizes[-1]]
        return 200, {"_scroll_id": "c", "timed_out": False, "_shards": {"failed": 0}, "hits": {"hits": hits}}


def named(document: dict[str, Any], n: int) -> bool:
    document |= {"_id": f"d{n}", "_seq_no": n, "_version": 1}
    document["_source"]["n"] = n + 10
    return True


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No time at all: what has taken longer than the patience of a call is no reason to end."""
    monkeypatch.setattr(links, "FIRST_DELAY", 0.0)
    monkeypatch.setattr(links, "_OPEN", links.threading.local())
    yield
    for link in links._OPEN.__dict__.get("links", {}).values():
        link.close()


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.sampled_from((10, 300, 5000, 30_000)), min_size=1, max_size=6).flatmap(
        lambda kinds: st.lists(st.integers(1, 150), min_size=len(kinds), max_size=len(kinds)).map(
            lambda counts: [size for size, count in zip(kinds, counts, strict=True) for _ in range(count)]
        )
    ),
    st.dictionaries(st.integers(1, 4).map(lambda turn: turn * reading.FIRST_DOCUMENTS), st.integers(1, 3), max_size=2),
    st.sampled_from(({}, {"same_index": True, "diff": True}, {"diff": True})),
)
def test_a_slice_is_read_whole_whatever_its_documents(lengths: list[int], losses: dict[int, int], changes: Any):
    cluster = Scrolls(lengths)
    cluster.losses = dict(losses)
    try:
        result = run_item(job_of(cluster, page_bytes=50_000, patience=0.0, **changes), SLICE)
        assert result.counts.read == len(lengths)
        if not changes:
            assert len(cluster.indexed) == len(lengths)
    finally:
        cluster.close()


def test_a_document_that_is_longer_than_a_job_reads_ends_the_slice(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(reading, "MAX_ANSWER", 10_000)
    for first in ([], [10]):
        cluster = Scrolls([*first, 60_000])
        with pytest.raises(BackfillError, match="longer than a job reads"):
            run_item(job_of(cluster, page_bytes=5_000), SLICE)
        cluster.close()


def test_a_page_that_is_always_lost_ends_the_slice():
    cluster = Scrolls([10] * 500)
    cluster.losses = {200: 1000}
    with pytest.raises(reading.LostPageError):
        run_item(job_of(cluster, patience=0.0), SLICE)
    assert len(cluster.sizes) == MAX_LOSSES
    with pytest.raises(reading.LostPageError):
        run_item(job_of(cluster, same_index=True, target="s"), SLICE)
    assert len(cluster.sizes) == MAX_LOSSES + 1
    cluster.close()


def test_a_slice_waits_longer_after_each_loss_and_as_long_as_a_call(monkeypatch: pytest.MonkeyPatch):
    """A node that begins again takes a minute."""
    slept: list[float] = []
    clock = itertools.count()
    times = SimpleNamespace(sleep=slept.append, monotonic=clock.__next__, thread_time=time.thread_time)
    monkeypatch.setattr(links, "time", times)
    monkeypatch.setattr(kernel, "time", times)
    monkeypatch.setattr(links, "FIRST_DELAY", 0.1)
    for patience in (0.0, 200.0):
        cluster = Scrolls([10] * 500)
        cluster.losses = {200: 1000}
        began = next(clock)
        with pytest.raises(reading.LostPageError):
            run_item(job_of(cluster, patience=patience), SLICE)
        assert next(clock) - began > patience
        assert len(cluster.sizes) >= MAX_LOSSES
        waits = [each for each in slept if each]
        # By chance between a half and the whole of what doubles.
        assert all(later >= 2 * wait for wait, later in zip(waits[:5], waits[2:7], strict=True))
        slept.clear()
        cluster.close()


@pytest.mark.parametrize("lost", [404, 503])
def test_losses_of_a_slice_that_comes_further_are_none_too_many(lost: int):
    """Scrolls of a node that begins again are not there any more."""
    cluster = Scrolls([10] * 1000)
    cluster.lost = lost
    cluster.losses = {200: MAX_LOSSES - 1, 400: MAX_LOSSES - 1, 800: MAX_LOSSES - 1}
    result = run_item(job_of(cluster, patience=0.0), SLICE)
    assert result.counts.read == len(cluster.indexed) == 1000
    cluster.close()
