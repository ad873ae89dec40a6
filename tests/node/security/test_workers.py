"""Several workers on one port: changes are seen at once, statistics add up, a lost worker comes back."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from pathlib import Path

import aiohttp
import pytest

from tests.conftest import Http, ProxyProcess, native


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def children(pid: int) -> list[int]:
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


async def on_new_connection(url: str, method: str, target: str, body: object = None) -> tuple[int, dict]:
    """A request on a connection of its own, which any worker may get."""
    connector = aiohttp.TCPConnector(force_close=True)
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.request(method, url + target, json=body) as answer,
    ):
        return answer.status, await answer.json()


async def ready(url: str, workers: int) -> None:
    for _ in range(200):
        try:
            async with aiohttp.ClientSession() as session, session.get(f"{url}/_proxy/metrics") as answer:
                if f"headrace_workers {workers}.0" in await answer.text():
                    return
        except aiohttp.ClientError:
            pass
        await asyncio.sleep(0.1)
    raise AssertionError("the workers did not start")


async def test_workers_share_a_port_and_their_counts(node: str, direct: Http, name: str, tmp_path: Path):
    registry = f".headrace-test-{name}"
    proxy = ProxyProcess(node, registry, tmp_path, free_port(), workers="3")
    try:
        await ready(proxy.url, 3)
        for version in range(1, 4):
            stage = native("v", "set", field="v", value=version)
            status, _ = await on_new_connection(
                proxy.url, "PUT", f"/_pipeline/{name}", {"type": "document", "version": str(version), "stages": [stage]}
            )
            assert status == 201
            shown = [await on_new_connection(proxy.url, "GET", f"/_pipeline/{name}") for _ in range(8)]
            assert {body["version"] for _, body in shown} == {str(version)}, "every worker has it when PUT returns"
        for i in range(24):
            await on_new_connection(proxy.url, "PUT", f"/{name}/_doc/{i}?pipeline={name}", {})
        seen = [await on_new_connection(proxy.url, "GET", f"/_pipeline/{name}/_stats") for _ in range(6)]
        assert {(b["total_executions"], b["documents_out"]) for _, b in seen} == {(24, 24)}
        _, history = await on_new_connection(proxy.url, "GET", f"/_proxy/stats/history?pipeline={name}@3")
        runs = [p for minute in history["minutes"] for p in minute["pipelines"].values()]
        assert history["workers"] == 3
        assert sum(p["runs"] for p in runs) == sum(s["documents"] for p in runs for s in p["stages"]) == 24
        _, totals = await on_new_connection(proxy.url, "GET", f"/_proxy/stats?pipeline={name}")
        assert len(totals["processes"]) == 3
        assert sum(totals["pipelines"][f"document:{name}@3"]["durations"].values()) == 24
        lost = children(proxy.process.pid)[0]
        os.kill(lost, signal.SIGKILL)
        for _ in range(100):
            if lost not in children(proxy.process.pid) and len(children(proxy.process.pid)) == 3:
                break
            await asyncio.sleep(0.1)
        await ready(proxy.url, 3)
        async with aiohttp.ClientSession() as session, session.get(f"{proxy.url}/_proxy/metrics") as answer:
            assert "headrace_worker_restarts_total 1.0" in await answer.text()
        pids = children(proxy.process.pid)
        assert proxy.end() == 0
        assert not any(alive(pid) for pid in pids)
    finally:
        proxy.end()
        await direct.delete(f"/{registry}")


async def test_an_alias_that_one_worker_makes_is_judged_by_the_others_at_once(
    node: str, direct: Http, name: str, tmp_path: Path
):
    registry = f".headrace-test-{name}"
    proxy = ProxyProcess(node, registry, tmp_path, free_port(), workers="3")
    swapped, secret = f"{name}-swapped", f"{name}-secret"

    async def ask(method: str, target: str, body: object = None) -> dict:
        status, answer = await on_new_connection(proxy.url, method, target, body)
        assert status in (200, 201), answer
        return answer

    async def found() -> str:
        return str(await ask("POST", f"/{swapped}/_search", {"query": {"match_all": {}}}))

    try:
        await ready(proxy.url, 3)
        stage = native("f", "filter_query", query={"term": {"tenant": 1}})
        await ask("PUT", f"/_pipeline/{name}", {"type": "query", "stages": [stage]})
        await ask("PUT", f"/{secret}", {"settings": {"index.query.final_pipeline": name}})
        await ask("PUT", f"/{secret}/_doc/1?refresh=true", {"tenant": 2, "text": "hidden"})
        add, remove = ({"add": {"index": secret, "alias": swapped}}, {"remove_index": {"index": swapped}})
        for _ in range(12):
            await ask("PUT", f"/{swapped}/_doc/1?refresh=true", {"text": "open"})
            before = [await found() for _ in range(6)]
            assert all("open" in each for each in before)
            await ask("POST", "/_aliases", {"actions": [remove, add]})
            after = await asyncio.gather(*(found() for _ in range(9)))
            assert not [each for each in after if "hidden" in each]
            await ask("POST", "/_aliases", {"actions": [{"remove": {"index": secret, "alias": swapped}}]})
    finally:
        proxy.end()
        await direct.delete(f"/{registry}")


@pytest.mark.parametrize(("workers", "listen"), [("0", "127.0.0.1:1"), ("999", "127.0.0.1:1"), ("2", "127.0.0.1:0")])
def test_settings_of_workers_that_cannot_be(workers: str, listen: str):
    from headrace.cli import main

    assert main(["check-config", "--workers", workers, "--listen", listen]) == 2
