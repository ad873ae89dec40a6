"""Proxies in front of clusters at the network's edge."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
import uvloop

from headrace.app import Proxy
from headrace.handlers.bypass import BypassDecisions
from headrace.server import listener
from tests.conftest import settings_for, watch_fast_path
from tests.integration.ways import Way
from tests.support.cluster import Cluster, answer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from headrace.server.fast_path import FastForwarder


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> dict[str, Callable[[], Any]]:
    """These run on uvloop, as the proxy does; what has to do with the loop itself also on asyncio's own."""
    loops: dict[str, Callable[[], Any]] = {"uvloop": uvloop.new_event_loop}
    if item.path.name in ("test_splicing.py", "test_receiving.py", "test_connection.py"):
        loops["asyncio"] = asyncio.new_event_loop
    return loops


@pytest.fixture
async def start(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Callable[..., Any]]:
    """Starts proxies, with the fast path or without it."""
    started: list[tuple[Way, asyncio.Server]] = []

    def note(forwarder: FastForwarder, target: str) -> None:
        way = next(way for way, _ in started if way.forwarder is forwarder)
        way.taken.append(target)

    watch_fast_path(monkeypatch, note)

    async def start(
        *, fast: bool = True, keepalive: float = 3630, other: int = 0, narrow: bool = False, **settings: Any
    ) -> Way:
        cluster = Cluster(answers={"/warm": answer(b"ok")})
        server = await cluster.start()
        with monkeypatch.context() as patched:
            patched.setattr(listener, "IDLE_SECONDS", keepalive)
            if not fast:
                patched.setattr(BypassDecisions, "of", lambda _: None)
            folder = tmp_path / str(len(started))
            nodes = ",".join(f"http://127.0.0.1:{port}" for port in (cluster.port, other) if port)
            proxy = Proxy(settings_for(nodes, folder, **{"allowed_hosts": "p", **settings}))
            await proxy.start()
        way = Way(cluster, proxy)
        started.append((way, server))
        return way

    yield start
    for way, server in started:
        for client in way.clients:
            client.writer.close()
        await way.proxy.stop()
        server.close()
        async with asyncio.timeout(5):
            while way.cluster.gone < way.cluster.connections:
                await asyncio.sleep(0.01)
