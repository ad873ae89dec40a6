"""Reloads under load lose no request; the secret of the registry is exchanged while proxies serve."""

from __future__ import annotations

import asyncio
import os
import ssl
from typing import TYPE_CHECKING, Any

import aiohttp

from headrace.app import Proxy
from headrace.settings import Sources
from tests.conftest import Http, native
from tests.support.certificates import Authority

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

RELOADS = int(os.environ.get("HEADRACE_RELOADS", "12"))
"""Reloads under load; `HEADRACE_RELOADS=150` takes half a minute."""


class Filed:
    """A proxy in this process whose settings are a file."""

    def __init__(self, folder: Path, name: str, **settings: Any) -> None:
        self.file = folder / f"{name}.toml"
        self._base = {"listen": "127.0.0.1:0", "state_dir": str(folder / name), **settings}
        self.write()
        sources = Sources(self.file, {}, {})
        self.proxy = Proxy(sources.load(), sources)

    def write(self, **settings: Any) -> None:
        self._base |= settings
        self.file.write_text("".join(f"{name} = {value!r}\n" for name, value in self._base.items()))


class Load:
    """Clients that ask without a pause: requests that pass, requests on new connections, and documents of a pipeline."""

    def __init__(self, url: str, name: str, trusted: Path) -> None:
        self._name = name
        context = ssl.create_default_context(cafile=trusted)
        self._sessions = [
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context, force_close=close))
            for close in (False, True)
        ]
        self.kept, self.fresh = (Http(url, session) for session in self._sessions)
        self.counts = {"passing": 0, "connecting": 0, "writing": 0}
        self._over = asyncio.Event()

    async def started(self) -> None:
        for _ in range(200):
            try:
                await self.fresh.get("/_proxy/health/live")
                break
            except aiohttp.ClientConnectorError:
                await asyncio.sleep(0.05)

    def start(self) -> None:
        works = (self._passing, self._passing, self._connecting, self._connecting, self._writing)
        self._tasks = [asyncio.create_task(each()) for each in works]

    async def end(self) -> None:
        """Raises what a client has met."""
        self._over.set()
        try:
            await asyncio.gather(*getattr(self, "_tasks", []))
        finally:
            for session in self._sessions:
                await session.close()

    async def _passing(self) -> None:
        while not self._over.is_set():
            assert (await self.kept.get("/_cat/health")).status == 200
            self.counts["passing"] += 1

    async def _connecting(self) -> None:
        while not self._over.is_set():
            assert (await self.fresh.get("/_proxy/health/live")).status == 200
            self.counts["connecting"] += 1

    async def _writing(self) -> None:
        while not self._over.is_set():
            written = await self.kept.put(f"/{self._name}/_doc/1?pipeline={self._name}", {})
            assert written.status in (200, 201), written.body
            self.counts["writing"] += 1


async def test_no_request_fails_while_everything_is_exchanged(serve: Callable[..., Any], name: str, tmp_path: Path):
    authority = Authority(tmp_path / "tls")
    cert, key = authority.issue("server")
    file = tmp_path / "headrace.toml"
    file.write_text(f"tls_cert = '{cert}'\ntls_key = '{key}'\n")
    process, http = serve(config=str(file))
    load = Load(http.base.replace("http:", "https:"), name, authority.path)
    try:
        await load.started()
        await load.kept.pipeline(name, "document", native("v", "set", field="v", value=1))
        load.start()
        for i in range(RELOADS):
            authority.issue("server")
            file.write_text(
                f"tls_cert = '{cert}'\ntls_key = '{key}'\nmax_body = '{i + 1}mb'\nqueue = {100 + i}\n"
                f"upstream_timeout = '{100 + i}s'\nudf_timeout = '{200 + i}ms'\n"
            )
            report = (await load.kept.post("/_proxy/reload")).json
            assert {"max_body", "upstream_timeout", "udf_timeout", "queue", "tls_cert"} <= set(report["changed"])
            await asyncio.sleep(0.05)
        stats = await load.kept.get(f"/_pipeline/{name}/_stats")
        assert stats.json["total_executions"] + 1 >= load.counts["writing"], "counts survive"
    finally:
        await load.end()
    assert min(load.counts.values()) > RELOADS, load.counts
    assert process.end() == 0


async def keys_of(direct: Http, registry: str) -> set[str]:
    """The names of the keys by which the documents of a registry are signed."""
    await direct.post(f"/{registry}/_refresh")
    hits = (await direct.get(f"/{registry}/_search?size=50&_source=signature")).json["hits"]["hits"]
    return {hit["_source"]["signature"].split(".")[1] for hit in hits if "signature" in hit["_source"]}


async def test_the_secret_of_the_registry_is_exchanged_in_steps(
    node: str, name: str, tmp_path: Path, direct: Http, session: aiohttp.ClientSession
):
    registry = f".headrace-test-{name}"
    shared = {"upstream": node, "registry_index": registry, "registry_poll": "100ms"}
    old, new = "the old secret of all proxies", "the new secret of all proxies"
    filed = Filed(tmp_path, "first", **shared, registry_secret=old)
    await filed.proxy.start()
    other = Filed(tmp_path, "second", **shared, registry_secret=new)
    try:
        through = Http(filed.proxy.url, session)
        await through.pipeline(name, "document", native("v", "set", field="v", value=1))
        before = await keys_of(direct, registry)
        for secret in (f"{old},{new}", f"{new},{old}"):
            filed.write(registry_secret=secret)
            assert (await filed.proxy.reload()).changed == ["registry_secret"]
        for _ in range(100):
            await asyncio.sleep(0.1)
            keys = await keys_of(direct, registry)
            if keys.isdisjoint(before):
                break
        assert keys.isdisjoint(before), "every document is signed anew"
        filed.write(registry_secret=new)
        assert (await filed.proxy.reload()).changed == ["registry_secret"]
        await other.proxy.start()
        shown = await Http(other.proxy.url, session).get(f"/_pipeline/{name}")
        assert shown.status == 200, shown.body
        await through.pipeline(f"{name}-2", "document", native("v", "set", field="v", value=2))
        await asyncio.sleep(0.5)
        assert (await Http(other.proxy.url, session).get(f"/_pipeline/{name}-2")).status == 200
    finally:
        await filed.proxy.stop()
        await other.proxy.stop()
        await direct.delete(f"/{registry}")
