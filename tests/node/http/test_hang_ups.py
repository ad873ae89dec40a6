"""Clients that hang up at any moment of a change: it is whole or was never begun, everywhere, and has its audit line."""

from __future__ import annotations

import asyncio
import json
import logging
import random
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import aiohttp

from headrace.app import Proxy
from tests.conftest import Http, ProxyProcess, native, settings_for
from tests.node.security.test_workers import free_port, on_new_connection, ready
from tests.support import wat

if TYPE_CHECKING:
    import pytest

HANG_UPS = 220
WORKER_HANG_UPS = 60


async def hang_up(url: str, method: str, target: str, body: Any, seconds: float) -> None:
    """Sends a request, waits so long, and closes the connection whatever has come back."""
    text = json.dumps(body).encode()
    parts = urlsplit(url)
    _, writer = await asyncio.open_connection(parts.hostname, parts.port)
    head = f"{method} {target} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\n"
    writer.write(f"{head}Content-Length: {len(text)}\r\n\r\n".encode() + text)
    await writer.drain()
    await asyncio.sleep(seconds)
    writer.transport.abort()


def changes(name: str, order: random.Random) -> list[tuple[str, str, Any]]:
    """Changes of every kind, each to something of its own, so that all may be made at once."""
    found: list[tuple[str, str, Any]] = []
    for i in range(HANG_UPS):
        stage = native("s", "set", field="x", value=i)
        kind = i % 6
        if kind == 0:
            found.append(("PUT", f"/_pipeline/{name}-{i}", {"type": "document", "stages": [stage]}))
        elif kind == 1:
            found.append(("PUT", f"/_udf/{name}-{i}", {"language": "wat", "source": wat.answering(f'{{"v":{i}}}')}))
        elif kind == 2:
            found.append(("PUT", f"/_pipeline/_association/{name}-{i}*", {"document": f"{name}-base"}))
        elif kind == 3:
            settings = {"index.document.default_pipeline": f"{name}-base"}
            found.append(("PUT", f"/{name}-{i}", {"settings": settings}))
        elif kind == 4:
            found.append(("POST", f"/_pipeline/{name}-twice/_activate?version={1 + i % 2}", {}))
        else:
            found.append(("DELETE", f"/_pipeline/{name}-old-{i}", {}))
    order.shuffle(found)
    return found


async def registry(http: Http) -> dict[str, Any]:
    paths = ("/_pipeline", "/_udf", "/_pipeline/_association")
    return {path: (await http.get(path)).json for path in paths}


def audited(records: list[logging.LogRecord]) -> list[dict[str, Any]]:
    return [json.loads(record.getMessage()) for record in records if record.name == "headrace.audit"]


async def test_clients_that_hang_up_at_random_moments(
    node: str, session: aiohttp.ClientSession, direct: Http, name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO, "headrace.audit")
    settings = settings_for(node, tmp_path / "a")
    proxies = [Proxy(settings), Proxy(settings_for(node, tmp_path / "b", registry_index=settings.registry_index))]
    for proxy in proxies:
        await proxy.start()
    one, two = (Http(proxy.url, session) for proxy in proxies)
    order = random.Random(name)
    try:
        stage = native("s", "set", field="x", value=0)
        for pipeline in ("base", *(f"old-{i}" for i in range(HANG_UPS) if i % 6 == 5)):
            await one.pipeline(f"{name}-{pipeline}", "document", stage)
        for version in ("1", "2"):
            body = {"type": "document", "version": version, "description": version, "stages": [stage]}
            assert (await one.put(f"/_pipeline/{name}-twice", body)).status == 201
        begun = asyncio.get_running_loop().time()
        await one.pipeline(f"{name}-measured", "document", stage)
        takes = asyncio.get_running_loop().time() - begun
        await asyncio.sleep(1)
        caplog.clear()
        for method, target, body in changes(name, order):
            await hang_up(order.choice([one, two]).base, method, target, body, order.random() * takes * 1.2)
            if order.random() < 0.1:
                await asyncio.sleep(takes)
        for proxy in proxies:
            await proxy._changes.finish(60)
        lines = audited(caplog.records)
        gone = [line for line in lines if line.get("client") == "gone"]
        assert len(gone) > HANG_UPS / 4, "many of them did hang up meanwhile"
        # 499: gone before the proxy had begun, so that it need not be done.
        assert {line["status"] for line in lines} <= {200, 201, 409, 499, 503}
        assert not any("is ignored" in record.getMessage() for record in caplog.records), "no false alarm"
        done = {line["action"].partition("?")[0] for line in lines if line["status"] in (200, 201)}
        async with asyncio.timeout(20):
            while (shown := await registry(one)) != await registry(two):
                await asyncio.sleep(0.1)
        pipelines = {p["name"] for p in shown["/_pipeline"]["pipelines"]}
        udfs = {u["name"] for u in shown["/_udf"]["udfs"]}
        patterns = {a["pattern"] for a in shown["/_pipeline/_association"]["associations"]}
        for i in range(HANG_UPS):
            each = f"{name}-{i}"
            assert (each in pipelines) == (f"PUT /_pipeline/{each}" in done), each
            assert (each in udfs) == (f"PUT /_udf/{each}" in done), each
            assert (f"{each}*" in patterns) == (f"PUT /_pipeline/_association/{each}*" in done), each
            assert (f"{name}-old-{i}" in pipelines) == (i % 6 == 5 and f"DELETE /_pipeline/{name}-old-{i}" not in done)
            attached = (await two.get(f"/{each}/_pipeline/_resolve")).json
            if i % 6 == 3 and f"PUT /{each}" in done:
                assert attached[each]["document"]["default"]["pipeline"] == f"{name}-base"
                assert (await direct("HEAD", f"/{each}")).status == 200
        assert not any(proxy._changes._running for proxy in proxies)
    finally:
        for proxy in proxies:
            await proxy.stop()
        await direct.delete(f"/{settings.registry_index}")
        await direct.delete(f"/{name}-*")


async def test_a_body_that_breaks_off_changes_nothing_and_ends(through: Http, name: str):
    """Its client is gone: nobody waits for the rest, and nothing was begun."""
    parts = urlsplit(through.base)
    for sent, length in ((b'{"type":', 100), (b'{"language": "wat", "source": "' + b" " * 300_000, 2_000_000)):
        _, writer = await asyncio.open_connection(parts.hostname, parts.port)
        target = "_pipeline" if length == 100 else "_udf"
        writer.write(f"PUT /{target}/{name} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n".encode() + sent)
        await writer.drain()
        await asyncio.sleep(0.2)
        writer.transport.abort()
    async with asyncio.timeout(5):
        while b"\nheadrace_requests_in_flight 1.0" not in (await through.get("/_proxy/metrics")).body:
            await asyncio.sleep(0.05)
    assert (await through.get(f"/_pipeline/{name}")).status == 404
    assert (await through.get(f"/_udf/{name}")).status == 404


async def test_workers_agree_after_clients_hung_up(node: str, direct: Http, name: str, tmp_path: Path):
    index = f".headrace-test-{name}"
    proxy = ProxyProcess(node, index, tmp_path, free_port(), workers="2")
    order = random.Random(name)
    try:
        await ready(proxy.url, 2)
        for i in range(WORKER_HANG_UPS):
            body = {"type": "document", "stages": [native("s", "set", field="x", value=i)]}
            await hang_up(proxy.url, "PUT", f"/_pipeline/{name}-{i}", body, order.random() * 0.08)
        await asyncio.sleep(3)
        shown = [await on_new_connection(proxy.url, "GET", "/_pipeline") for _ in range(12)]
        names = [{p["name"] for p in body["pipelines"]} for _, body in shown]
        assert all(found == names[0] for found in names), "every worker has the same"
        assert proxy.end() == 0
        lines = [
            json.loads(line[line.index("{") :])
            for line in (await asyncio.to_thread(Path(proxy.log.name).read_text)).splitlines()
            if " headrace.audit " in line
        ]
        done = {line["action"].removeprefix("PUT /_pipeline/") for line in lines if line["status"] == 201}
        assert done == names[0]
        assert any(line.get("client") == "gone" for line in lines)
    finally:
        proxy.end()
        await direct.delete(f"/{index}")
