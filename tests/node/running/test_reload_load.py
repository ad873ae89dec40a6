"""Reloads under load lose no request; the secret of the registry is exchanged while proxies serve."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Any

import aiohttp

from headrace.app import Proxy
from headrace.settings import Sources
from tests.conftest import Http, native
from tests.support.certificates import Authority

if TYPE_CHECKING:
    from pathlib import Path

RELOADS = 12
"""Reloads in the gate; a hundred take a minute."""


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


async def test_no_request_fails_while_everything_is_exchanged(node: str, name: str, tmp_path: Path, direct: Http):
    authority = Authority(tmp_path / "tls")
    cert, key = authority.issue("server")
    registry = f".headrace-test-{name}"
    filed = Filed(
        tmp_path, "p", upstream=node, registry_index=registry, registry_secret="of this test, and long enough",
        tls_cert=str(cert), tls_key=str(key),
    )  # fmt: skip
    await filed.proxy.start()
    trusting = ssl.create_default_context(cafile=authority.path)
    over, counts = asyncio.Event(), [0, 0, 0]
    try:
        async with (
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trusting)) as kept,
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trusting, force_close=True)) as fresh,
        ):
            through = Http(filed.proxy.url, kept)
            await through.pipeline(name, "document", native("v", "set", field="v", value=1))

            async def passing() -> None:
                while not over.is_set():
                    assert (await through.get("/_cat/health")).status == 200
                    counts[0] += 1

            async def connecting() -> None:
                while not over.is_set():
                    assert (await Http(filed.proxy.url, fresh).get("/_proxy/health/live")).status == 200
                    counts[1] += 1

            async def writing() -> None:
                while not over.is_set():
                    written = await through.put(f"/{name}/_doc/1?pipeline={name}", {})
                    assert written.status in (200, 201), written.body
                    counts[2] += 1

            work = [asyncio.create_task(each()) for each in (passing, passing, connecting, connecting, writing)]
            for i in range(RELOADS):
                authority.issue("server")
                filed.write(
                    max_body=f"{i + 1}mb", upstream_timeout=f"{100 + i}s", udf_timeout=f"{200 + i}ms", queue=100 + i
                )
                report = await filed.proxy.reload()
                assert {"max_body", "upstream_timeout", "udf_timeout", "queue", "tls_cert"} <= set(report.changed)
                await asyncio.sleep(0.05)
            over.set()
            await asyncio.gather(*work)
            assert min(counts) > RELOADS, counts
            assert (await through.get(f"/_pipeline/{name}/_stats")).json["total_executions"] == counts[2]
    finally:
        over.set()
        await filed.proxy.stop()
        await direct.delete(f"/{registry}")


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
