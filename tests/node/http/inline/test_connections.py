"""A request takes its connection to a node before its pipelines run, and leaves it to the next one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from headrace.handlers.write.inline import InlineDocument
from headrace.upstream.client import Upstream
from headrace.upstream.pool import ConnectionPool
from tests.conftest import NDJSON, Http, ndjson
from tests.node.http.inline.pairs import SHAPE, Pair

if TYPE_CHECKING:
    from headrace.upstream.pool import IdleConnection
    from headrace_pipelines.http1 import RequestHead

TARGET = "/INDEX/_doc/x"
REQUESTS = {
    "changed": (TARGET, {"level": "A"}, 200),
    "dropped": (TARGET, {"drop": 1}, 200),
    "failed": (TARGET, {"fail": 1}, 400),
    "unreadable": (TARGET, b'{"level":', 400),
    "all dropped": ("/_bulk", ndjson({"index": {"_index": "INDEX"}}, {"drop": 1}), 200),
    "no bulk": ("/_bulk", b"{}\n", 400),
}


@pytest.fixture
def pools(monkeypatch: pytest.MonkeyPatch) -> set[ConnectionPool]:
    """The pools out of which a request has taken a connection."""
    found: set[ConnectionPool] = set()
    acquire = ConnectionPool.acquire

    def watched(self: ConnectionPool, node: str) -> IdleConnection | None:
        found.add(self)
        return acquire(self, node)

    monkeypatch.setattr(ConnectionPool, "acquire", watched)
    return found


async def attached(pair: Pair, through: Http, name: str) -> None:
    await through.pipeline(name, "document", *SHAPE)
    await pair.make(document=name)
    await sent(pair, through, "changed")


async def sent(pair: Pair, through: Http, kind: str) -> None:
    target, body, status = REQUESTS[kind]
    headers = NDJSON if "_bulk" in target else {"Content-Type": "application/json"}
    data = (body if isinstance(body, bytes) else json.dumps(body).encode()).replace(b"INDEX", pair.fast.encode())
    answer = await through("PUT", target.replace("INDEX", pair.fast), data, headers=headers)
    # The first document is created.
    assert answer.status in (status, 201 if status == 200 else status), answer.body


def connections(pools: set[ConnectionPool]) -> int:
    (pool,) = pools
    return len(pool._open)


@pytest.mark.parametrize("kind", REQUESTS)
async def test_the_next_request_uses_the_same_connection(
    pair: Pair, name: str, through: Http, pools: set[ConnectionPool], kind: str
):
    await attached(pair, through, name)
    before = connections(pools)
    for _ in range(3):
        await sent(pair, through, kind)
        await sent(pair, through, "changed")
    assert connections(pools) == before


async def test_a_run_that_breaks_leaves_its_connection(
    pair: Pair, name: str, through: Http, pools: set[ConnectionPool], monkeypatch: pytest.MonkeyPatch
):
    await attached(pair, through, name)
    before, broken = connections(pools), []

    def run(*_: Any) -> None:
        broken.append(1)
        raise RuntimeError("broken")

    monkeypatch.setattr(InlineDocument, "run", run)
    for _ in range(3):
        await sent(pair, through, "changed")
    assert (connections(pools), len(broken)) == (before, 3)


async def test_pipelines_run_once_for_a_head_that_the_node_may_not_take(
    pair: Pair, name: str, through: Http, pools: set[ConnectionPool], monkeypatch: pytest.MonkeyPatch
):
    await attached(pair, through, name)
    ran: list[str] = []
    run = InlineDocument.run

    def watched(self: InlineDocument, head: RequestHead, text: bytes) -> Any:
        ran.append(head.target)
        return run(self, head, text)

    monkeypatch.setattr(InlineDocument, "run", watched)
    monkeypatch.setattr(Upstream, "_fits", lambda *_: False)
    long = {"Content-Type": "application/json", "X-Opaque-Id": "x" * 2000}
    for headers, count in ((long, 0), ({"Content-Type": "application/json"}, 1)):
        answer = await through("PUT", f"/{pair.fast}/_doc/x", b'{"level":"A"}', headers=headers)
        assert (answer.status, len(ran)) == (200, count), "a handler has it alone"
