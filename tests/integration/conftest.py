"""Proxies in front of clusters at the network's edge."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import uvloop

from headrace import app
from headrace.app import Proxy
from headrace.server.connection import Server
from headrace.server.fast_path import FastPath
from headrace.upstream.protocols import NodeProtocol
from tests.cluster import Cluster, answer
from tests.conftest import settings_for, watch_fast_path
from tests.integration.ways import Way

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> dict[str, Callable[[], Any]]:
    """These run on uvloop, as the proxy does; what has to do with the loop itself also on asyncio's own."""
    loops: dict[str, Callable[[], Any]] = {"uvloop": uvloop.new_event_loop}
    if item.path.name in ("test_splicing.py", "test_gathering.py"):
        loops["asyncio"] = asyncio.new_event_loop
    return loops


@pytest.fixture
async def start(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Callable[..., Any]]:
    """Starts proxies, with the fast path or without it."""
    started: list[tuple[Way, asyncio.Server]] = []

    def note(path: FastPath, target: str, known: bool) -> None:
        way = next(way for way, _ in started if way.proxy._parts is path._parts)
        way.taken.append(target)
        if known:
            way.known.append(target)

    watch_fast_path(monkeypatch, note)

    async def start(
        *, fast: bool = True, keepalive: float = 3630, other: int = 0, narrow: bool = False, **settings: Any
    ) -> Way:
        cluster = Cluster(answers={"/warm": answer(b"ok")})
        server = await cluster.start()
        monkeypatch.setattr(app, "Server", partial(Server, keepalive_timeout=keepalive))
        with monkeypatch.context() as patched:
            if not fast:
                patched.setattr(FastPath, "of", lambda _: None)
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


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Of each answer that was looked at, whether it was taken without its head being parsed."""
    found: list[bool] = []
    like = NodeProtocol._like_one_before

    def watched(self: Any, data: bytes) -> bool:
        found.append(like(self, data))
        return found[-1]

    monkeypatch.setattr(NodeProtocol, "_like_one_before", watched)
    return found
