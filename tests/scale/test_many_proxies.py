"""Three proxies with two workers each behind nginx, restarted in turn while pipelines change: nothing fails.

`HEADRACE_SOAK_SECONDS=600 HEADRACE_SOAK_NODES=2` runs it for ten minutes over a cluster of two nodes of its own.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import shutil
import subprocess
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from devnode.node import free_port, running_cluster
from tests.conftest import NDJSON, Http, ProxyProcess, native, ndjson

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

SECONDS = float(os.environ.get("HEADRACE_SOAK_SECONDS", "25"))
NODES = int(os.environ.get("HEADRACE_SOAK_NODES", "1"))
DRAIN = "2s"
"""Longer than the pause between two requests on a connection of nginx: all of them end while the proxy still serves."""
NGINX = """
daemon off; pid {folder}/pid; error_log {folder}/log warn; worker_processes 1;
events {{ worker_connections 512; }}
http {{
  access_log off; client_max_body_size 0;
  client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
  uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
  upstream headrace {{ {servers} keepalive 16; keepalive_timeout 1s; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://headrace; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;
      proxy_next_upstream error timeout http_503;
    }}
  }}
}}
"""


class Fleet:
    """Proxies in front of a cluster, and nginx in front of them."""

    def __init__(self, node: str, registry: str, folder: Path) -> None:
        self._node, self._registry, self._folder = node, registry, folder
        self.ports = [free_port() for _ in range(3)]
        self.proxies = [self._start(n) for n in range(3)]
        self.restarts = 0
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        servers = " ".join(f"server 127.0.0.1:{each} max_fails=0;" for each in self.ports)
        (folder / "nginx.conf").write_text(NGINX.format(folder=folder, servers=servers, port=port))
        self.nginx = subprocess.Popen([shutil.which("nginx") or "nginx", "-c", str(folder / "nginx.conf")])

    def _start(self, n: int) -> ProxyProcess:
        state = self._folder / f"state-{n}"
        state.mkdir(exist_ok=True)
        return ProxyProcess(self._node, self._registry, state, self.ports[n], **{"workers": "2", "drain-delay": DRAIN})

    async def ready(self, session: aiohttp.ClientSession, n: int) -> None:
        http = Http(self.proxies[n].url, session)
        for _ in range(300):
            with suppress(aiohttp.ClientError):
                metrics = await http.get("/_proxy/metrics")
                if "headrace_workers 2.0" in metrics.body.decode():
                    return
            await asyncio.sleep(0.1)
        raise AssertionError(f"proxy {n} did not start")

    async def restart(self, session: aiohttp.ClientSession, n: int) -> None:
        """Ends a proxy as an operator does, and starts it anew."""
        code = await asyncio.to_thread(self.proxies[n].end)
        assert code == 0
        self.proxies[n] = self._start(n)
        await self.ready(session, n)
        self.restarts += 1

    def end(self) -> None:
        self.nginx.terminate()
        self.nginx.wait(10)
        for proxy in self.proxies:
            proxy.end()


@pytest.fixture(scope="session")
def nodes(request: pytest.FixtureRequest) -> Iterator[list[str]]:
    """The nodes of the cluster: that of all tests, unless there are to be several."""
    if NODES == 1:
        yield [request.getfixturevalue("node")]
        return
    with running_cluster(NODES) as urls:
        yield urls


@pytest.fixture
async def direct(nodes: list[str], session: aiohttp.ClientSession) -> Http:
    """The first node."""
    return Http(nodes[0], session)


@pytest.fixture
async def fleet(nodes: list[str], direct: Http, name: str, tmp_path: Path) -> AsyncIterator[Fleet]:
    if shutil.which("nginx") is None:
        pytest.skip("nginx is not installed; the gate installs it")
    found = Fleet(",".join(nodes), f".headrace-test-{name}", tmp_path)
    yield found
    found.end()
    await direct.delete(f"/.headrace-test-{name}")


def pipeline(version: int) -> dict[str, Any]:
    return {"type": "document", "version": str(version), "stages": [native("v", "set", field="v", value=version)]}


@pytest.mark.node
@pytest.mark.timeout(SECONDS + 120)
async def test_no_request_fails_and_no_bulk_is_mixed_while_proxies_restart_and_pipelines_change(
    fleet: Fleet, direct: Http, session: aiohttp.ClientSession, name: str
):
    for n in range(3):
        await fleet.ready(session, n)
    front = Http(fleet.url, session)
    await direct.put(f"/{name}", {"settings": {"number_of_shards": NODES, "number_of_replicas": NODES - 1}})
    assert (await front.put(f"/_pipeline/{name}", pipeline(0))).status == 201
    # Other proxies have a change after their next poll.
    await asyncio.sleep(2)
    assert (await front.put(f"/{name}/_settings", {"index.document.default_pipeline": name})).status == 200
    await asyncio.sleep(2)
    end = time.monotonic() + SECONDS
    statuses: Counter[int] = Counter()
    slowest = 0.0

    async def write(worker: int) -> None:
        for number in itertools.count():
            if time.monotonic() > end:
                return
            lines: list[Any] = []
            for n in range(50):
                lines += [{"index": {"_index": name, "_id": f"{worker}-{number}-{n}"}}, {"bulk": f"{worker}-{number}"}]
            answer = await front.post("/_bulk", ndjson(*lines), headers=NDJSON)
            statuses[answer.status] += 1
            assert answer.status == 200, answer.body
            assert answer.json["errors"] is False, answer.body
            await asyncio.sleep(random.uniform(0.02, 0.2))

    async def read() -> None:
        while time.monotonic() < end:
            answer = await front.post(f"/{name}/_search", {"query": {"term": {"v": 0}}, "size": 3})
            statuses[answer.status] += 1
            assert answer.status == 200, answer.body
            await asyncio.sleep(random.uniform(0.01, 0.1))

    async def change() -> None:
        nonlocal slowest
        for version in itertools.count(1):
            if time.monotonic() > end:
                return
            answer = await front.put(f"/_pipeline/{name}", pipeline(version))
            assert answer.status in (200, 201), answer.body
            changed = time.monotonic()
            for port in fleet.ports:
                while True:
                    try:
                        shown = (await Http(f"http://127.0.0.1:{port}", session).get(f"/_pipeline/{name}")).json
                    except aiohttp.ClientError:
                        break  # It restarts, and reads the registry then.
                    if shown.get("version") == str(version) or "version" not in shown:
                        break
                    assert time.monotonic() - changed < 2, f"{port} has {shown['version']}, not {version}"
                    await asyncio.sleep(0.02)
            slowest = max(slowest, time.monotonic() - changed)
            await asyncio.sleep(1.5)

    async def restart() -> None:
        for n in itertools.cycle(range(3)):
            if time.monotonic() > end - 4:
                return
            await fleet.restart(session, n)
            await asyncio.sleep(1)

    async with asyncio.TaskGroup() as group:
        for worker in range(3):
            group.create_task(write(worker))
        for task in (read(), read(), change(), restart()):
            group.create_task(task)
    assert set(statuses) == {200}
    assert fleet.restarts >= 2
    await direct.post(f"/{name}/_refresh")
    bulks = {"terms": {"field": "bulk.keyword", "size": 60_000}, "aggs": {"v": {"cardinality": {"field": "v"}}}}
    found = (await direct.post(f"/{name}/_search", {"size": 0, "aggs": {"bulks": bulks}})).json
    buckets = found["aggregations"]["bulks"]["buckets"]
    assert len(buckets) > 20
    assert {bucket["doc_count"] for bucket in buckets} == {50}
    assert [bucket["key"] for bucket in buckets if bucket["v"]["value"] != 1] == [], "bulks of two versions"
    print(f"{sum(statuses.values())} requests, {fleet.restarts} restarts, slowest change {slowest:.2f} s")
