"""How often a body is copied, counted: Python's allocations of at least half a body, on the way through."""

from __future__ import annotations

import json
import sys
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from headrace.http1.body import RequestBody
from headrace_pipelines._wasm import Native
from headrace_pipelines.engine import Bulk, Deadline, Step
from headrace_pipelines.http1 import RequestParser

DOCUMENT = json.dumps({"level": "INFO", "text": "x" * 500})
BODY = b"".join(b'{"index":{"_index":"i"}}\n' + DOCUMENT.encode() + b"\n" for _ in range(2000))
ANSWER = b'{"took":1,"errors":false,"items":[' + b",".join([b'{"index":{"_id":"1","status":201}}'] * 2000) + b"]}"


def peak(work: Callable[[], Any]) -> float:
    """The most that Python had allocated for `work` at once, in bodies."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1] / len(BODY)
    finally:
        tracemalloc.stop()


def through(function: str, parameters: bytes) -> Bulk:
    bulk = Bulk(BODY)
    batch = bulk.batch([0])
    batch.check("p")
    native = Native(function, "document", parameters)
    batch.run_native(native, Deadline(), abort=True, pipeline="p", stage="s")
    bulk.absorb(batch)
    return bulk


def together(function: str, parameters: bytes) -> Bulk:
    """The same by the way that most stages take."""
    bulk = Bulk(BODY)
    batch = bulk.batch([0])
    step = Step.native("s", Native(function, "document", parameters))
    batch.run_steps([step], Deadline(), closed=True, pipeline="p")
    bulk.absorb(batch)
    return bulk


def test_a_bulk_that_is_all_made_by_stages_is_seen_where_it_is():
    bulks: list[Bulk] = []
    rendered: list[bytes | memoryview | None] = []

    def work() -> None:
        bulks.append(together("set", b'{"field":"env","value":"prod"}'))
        rendered.append(bulks[0].render())

    assert peak(work) < 0.05
    (view,) = rendered
    assert isinstance(view, memoryview)
    assert view.readonly
    assert view == through("set", b'{"field":"env","value":"prod"}').render()
    before = bytes(view)
    # Another pipeline makes others; what has been shown stays, also when nobody has the bulk any more.
    batch = bulks[0].batch([0])
    step = Step.native("s", Native("set", "document", b'{"field":"env","value":"other"}'))
    batch.run_steps([step], Deadline(), closed=True, pipeline="p")
    bulks[0].absorb(batch)
    assert bulks[0].render() == before.replace(b'"prod"', b'"other"')
    bulks.clear()
    assert view == before


def test_a_bulk_lets_go_of_its_texts_and_knows_its_answer():
    bulk = together("set", b'{"field":"env","value":"prod"}')
    view, others = bulk.render(), sys.getrefcount(BODY)
    assert view is not None
    expected = bulk.merge(ANSWER, 7)
    text = bytes(view)
    bulk.let_go()
    assert sys.getrefcount(BODY) == others - 1
    assert view == text, "which has it still"
    assert bulk.merge(ANSWER, 7) == expected
    assert bulk.counts() == (2000, 0, 0)


def test_a_bulk_that_stages_change_is_written_once():
    assert 0.9 < peak(lambda: through("set", b'{"field":"env","value":"prod"}').render()) < 1.2


def test_a_bulk_that_nothing_changes_is_not_copied():
    def work() -> None:
        bulk = Bulk(BODY)
        batch = bulk.batch([0])
        batch.check("p")
        bulk.absorb(batch)
        assert bulk.render() is None

    assert peak(work) < 0.05


def test_the_answer_is_written_once():
    bulk = through("set", b'{"field":"env","value":"prod"}')
    assert 0.9 < peak(lambda: bulk.merge(ANSWER, 1)) * len(BODY) / len(ANSWER) < 1.2


@pytest.mark.parametrize("size", [100_000, 900_000])
def test_a_body_that_arrived_whole_is_copied_once(size: int):
    head = b"POST / HTTP/1.1\r\nHost: p\r\nContent-Length: %d\r\n\r\n" % size
    parsed = RequestParser(1 << 12, 1 << 14, 100).parse(head)
    assert parsed is not None
    data, taken = memoryview(bytearray(size)), []

    def work() -> None:
        body = RequestBody(parsed, None)
        assert body.arrived(size) is None, "it may go on"
        assert body.feed(data, 0, size) == size
        assert body.arrived(size - 1) is None
        taken.append(body.arrived(size))
        assert body.arrived(size) == b""

    tracemalloc.start()
    try:
        work()
        assert tracemalloc.get_traced_memory()[1] < 1.1 * size
    finally:
        tracemalloc.stop()
    assert taken == [bytes(size)]
