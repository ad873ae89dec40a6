"""A candidate that differs in two documents of a hundred, on two proxies with two workers each."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import aiohttp

from tests.conftest import NDJSON, Http, ProxyProcess, native, ndjson
from tests.node.rollouts.shadows import begin, rollout, two_versions
from tests.node.security.test_workers import free_port, ready

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

WINDOW = 5.0
"""Seconds of a window of the judge."""


async def traffic(url: str, index: str, first: int, over: Callable[[], bool]) -> int:
    """Bulks on connections of their own, which any worker may get, until it is over; gives the number of documents."""
    sent, connector = 0, aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(connector=connector) as session:
        while not over():
            lines: list[Any] = []
            for n in range(first + sent, first + sent + 16):
                lines += [{"index": {"_index": index, "_id": str(n)}}, {"n": n * 37 % 100}]
            async with session.post(f"{url}/_bulk", data=ndjson(*lines), headers=NDJSON) as answer:
                assert answer.status == 200
                assert not (await answer.json())["errors"]
            sent += 16
            await asyncio.sleep(0.01)
    return sent


async def test_it_is_aborted_within_two_windows_and_counts_are_those_of_all_workers(
    node: str, session: aiohttp.ClientSession, direct: Http, name: str, tmp_path: Path
):
    registry = f".headrace-test-{name}"
    folders = [tmp_path / each for each in ("a", "b")]
    for folder in folders:
        folder.mkdir()
    proxies = [ProxyProcess(node, registry, folder, free_port(), workers="2") for folder in folders]
    try:
        for proxy in proxies:
            await ready(proxy.url, 2)
        clients = [Http(proxy.url, session) for proxy in proxies]
        differs = {**native("d", "set", field="x", value=2), "if": "doc.n < 2"}
        stable = native("s", "set", field="x", value=1)
        await two_versions(clients[0], name, "document", [stable], [stable, differs])
        await clients[0].index(name, document=name)
        await begin(clients[0], name, abort_if={"diff_rate": 0.01}, min_samples=200)
        await asyncio.sleep(2.5)
        started, ended = time.monotonic(), asyncio.Event()
        tasks = [
            asyncio.create_task(traffic(proxy.url, name, 1_000_000 * n, ended.is_set))
            for n, proxy in enumerate(proxies)
        ]
        try:
            async with asyncio.timeout(20):
                while (found := await rollout(clients[1], name))["state"] == "running":
                    await asyncio.sleep(0.1)
            took = time.monotonic() - started
        finally:
            ended.set()
            sent = await asyncio.gather(*tasks)
        assert took < 2 * WINDOW + 3, "two windows, and the time in which a change is seen"
        assert found["state"] == "aborted"
        assert "diff_rate" in found["reason"]
        # Every worker has read the registry once more.
        await asyncio.sleep(3)
        told = [(await rollout(client, name))["shadow"] for client in clients]
        for shadow, count in zip(told, sent, strict=True):
            assert 0 < shadow["seen"] <= count
            assert shadow["paths"] == [{"path": "x", "kind": "changed", "count": shadow["different"]}]
            assert 0.01 < shadow["different"] / (shadow["different"] + shadow["same"]) < 0.04
        # The candidate is not run any more.
        before = [shadow["seen"] for shadow in told]
        assert await traffic(proxies[0].url, name, 5_000_000, _after(5)) > 0
        assert [(await rollout(client, name))["shadow"]["seen"] for client in clients] == before
    finally:
        for proxy in proxies:
            proxy.end()
        await direct.delete(f"/{registry}")


def _after(count: int) -> Callable[[], bool]:
    left = iter([False] * count)
    return lambda: next(left, True)
