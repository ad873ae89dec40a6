"""Taps under load: over several workers, with a slow reader, and beside full bulks."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from devnode.node import free_port
from tests.conftest import NDJSON, Http, ProxyProcess, native, ndjson
from tests.node.security.test_workers import children, on_new_connection, ready
from tests.node.watching.taps import tapped


@asynccontextmanager
async def two_workers(node: str, name: str, folder: Path) -> AsyncIterator[ProxyProcess]:
    proxy = ProxyProcess(node, f".headrace-test-{name}", folder, free_port(), workers="2")
    try:
        await ready(proxy.url, 2)
        yield proxy
    finally:
        proxy.end()


async def test_a_tap_sees_all_workers_and_outlives_one(node: str, direct: Http, name: str, tmp_path: Path):
    async with two_workers(node, name, tmp_path) as proxy:
        body = {"type": "document", "stages": [native("s", "set", field="x", value=1)]}
        await on_new_connection(proxy.url, "PUT", f"/_pipeline/{name}", body)

        async def write(first: int) -> None:
            for n in range(first, first + 24):
                await on_new_connection(proxy.url, "PUT", f"/{name}/_doc/{n}?pipeline={name}", {"n": n})

        async with tapped(proxy.url, pipeline=name, per_second=1000, duration="1500ms") as seen:
            await write(0)
        assert {record["id"] for record in seen.records} == {str(n) for n in range(24)}
        assert (seen.end["seen"], seen.end["shown"], seen.end["missed"]) == (24, 24, 0)

        async with tapped(proxy.url, pipeline=name, per_second=1000, limit=24, duration="20s") as seen:
            owner = worker_of(proxy)
            (lost,) = [pid for pid in children(proxy.process.pid) if pid != owner]
            os.kill(lost, signal.SIGKILL)
            await asyncio.sleep(0.2)
            while len(children(proxy.process.pid)) < 2:
                await asyncio.sleep(0.1)
            await ready(proxy.url, 2)
            await asyncio.sleep(1.0)
            await write(100)
        assert {record["id"] for record in seen.records} == {str(n) for n in range(100, 124)}

        # Four taps are those of the proxy, whichever worker they are at.
        async with (
            tapped(proxy.url, duration="1s"),
            tapped(proxy.url, duration="1s"),
            tapped(proxy.url, duration="1s"),
            tapped(proxy.url, duration="1s"),
        ):
            answers = [await on_new_connection(proxy.url, "POST", "/_proxy/tap", {}) for _ in range(4)]
            assert {status for status, _ in answers} == {429}
    await direct.delete(f"/.headrace-test-{name}")


def worker_of(proxy: ProxyProcess) -> int:
    """The worker that holds the one connection of a tap: the one with an established socket of the port."""
    port = int(proxy.url.rpartition(":")[2])
    inodes = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        parts = line.split()
        if int(parts[1].rpartition(":")[2], 16) == port and parts[3] == "01":
            inodes.add(parts[9])
    for pid in children(proxy.process.pid):
        for fd in Path(f"/proc/{pid}/fd").iterdir():
            try:
                target = str(fd.readlink())
            except OSError:
                continue
            if target.startswith("socket:[") and target[8:-1] in inodes:
                return pid
    raise AssertionError("no worker has the connection")


async def test_full_bulks_are_stored_alike_with_and_without_a_tap_and_none_is_missed(through: Http, name: str):
    stages = [native("l", "lowercase", field="a"), {**native("s", "set", field="x", value=1), "if": "doc.n > 500"}]
    await through.pipeline(name, "document", *stages)
    for suffix in ("off", "on"):
        await through.index(f"{name}-{suffix}", document=name)

    async def load(index: str) -> None:
        for batch in range(8):
            lines = []
            for n in range(1000):
                lines += [{"index": {"_id": f"{batch}-{n}"}}, {"a": "ABC Déf", "n": n, "f": 1.50, "t": "x" * 200}]
            answer = await through.post(f"/{index}/_bulk", ndjson(*lines), headers=NDJSON)
            assert answer.status == 200
            assert answer.json["errors"] is False

    await load(f"{name}-off")
    async with tapped(through.base, index=f"{name}-on", per_second=5, duration="4s") as seen:
        await load(f"{name}-on")
    assert seen.end["seen"] == 8000
    assert seen.end["missed"] == 0
    assert 5 <= len(seen.records) <= 5 * 5
    assert all(record["after"]["a"] == "abc déf" for record in seen.records)

    async def stored(index: str) -> dict[str, bytes]:
        await through.post(f"/{index}/_refresh")
        found = await through.post(f"/{index}/_search", {"size": 10000, "_source": True})
        return {hit["_id"]: json.dumps(hit["_source"]).encode() for hit in found.json["hits"]["hits"]}

    assert await stored(f"{name}-off") == await stored(f"{name}-on")


def slow_reader(through: Http, body: bytes) -> socket.socket:
    """A tap whose reader takes few bytes at once."""
    host, _, port = through.base.removeprefix("http://").partition(":")
    slow = socket.socket()
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    slow.connect((host, int(port)))
    head = "POST /_proxy/tap HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    slow.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    return slow


async def test_a_reader_that_does_not_read_misses_records_and_holds_up_nobody(through: Http, name: str):
    await through.pipeline(name, "document", native("s", "set", field="x", value=1))
    await through.index(name, document=name)
    body = json.dumps({"per_second": 1000, "duration": "8s", "pipeline": name}).encode()
    with slow_reader(through, body) as slow:
        await asyncio.sleep(0.3)
        lines = [{"index": {"_index": name}}, {"t": "x" * 20000}] * 50
        for _ in range(20):
            assert (await through.bulk(*lines, target="/_bulk")).status == 200
            await asyncio.sleep(0.1)
        await asyncio.sleep(2)
        received = b""
        slow.settimeout(10)
        loop = asyncio.get_running_loop()
        while b'"end":"' not in received[-400:]:
            piece = await loop.run_in_executor(None, slow.recv, 1 << 20)
            assert piece, "the tap was ended without its last line"
            received += piece
    end = json.loads(received[received.rindex(b'{"end"') :].split(b"\n")[0])
    assert end["seen"] == 1000
    assert end["missed"] > 0
    assert end["shown"] + end["missed"] <= 1000


async def test_many_requests_at_once_with_a_match_are_all_examined(through: Http, name: str):
    await through.pipeline(name, "document", native("s", "set", field="x", value=1))
    await through.index(name, document=name)
    async with tapped(through.base, pipeline=name, match="doc.n == 777", duration="3s") as seen:
        lines = [part for n in range(2000) for part in ({"index": {"_index": name, "_id": str(n)}}, {"n": n})]
        await asyncio.gather(*(through.bulk(*lines[at : at + 400], target="/_bulk") for at in range(0, 4000, 400)))
    assert [record["id"] for record in seen.records] == ["777"]
    assert (seen.end["seen"], seen.end["unexamined"]) == (2000, 0)


async def status_of_tap(url: str) -> int:
    """The status of a short tap on a connection of its own, which any worker may get."""
    async with aiohttp.ClientSession() as session, session.post(f"{url}/_proxy/tap", json={"duration": "20ms"}) as tap:
        await tap.read()
        return tap.status


async def test_clients_that_go_while_their_tap_starts_leave_no_tap_open(node: str, direct: Http, name: str, tmp_path):
    """With two workers: a tap starts with a question to the other one, which a client does not wait for."""
    async with two_workers(node, name, tmp_path) as proxy:
        host, _, port = proxy.url.removeprefix("http://").partition(":")
        head = b"POST /_proxy/tap HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        request = head + b"Content-Length: 19\r\n\r\n" + b'{"duration": "10m"}'
        for n in range(60):
            _, writer = await asyncio.open_connection(host, int(port))
            writer.write(request)
            await writer.drain()
            await asyncio.sleep(n % 12 / 2000)
            writer.transport.abort()
        async with asyncio.timeout(10):
            for _ in range(8):
                while await status_of_tap(proxy.url) != 200:
                    await asyncio.sleep(0.1)
    await direct.delete(f"/.headrace-test-{name}")


async def test_the_end_of_the_proxy_ends_taps_and_followed_lines(node: str, direct: Http, name: str, tmp_path: Path):
    async with two_workers(node, name, tmp_path) as proxy:
        code = {"language": "python", "source": "def process(doc, params): return doc"}
        status, _ = await on_new_connection(proxy.url, "PUT", f"/_udf/{name}", code)
        assert status == 201
        async with aiohttp.ClientSession() as session:
            lines = await session.get(f"{proxy.url}/_udf/{name}/_logs?follow=true")
            tap = await session.post(f"{proxy.url}/_proxy/tap", json={"duration": "10m"})
            assert (lines.status, tap.status) == (200, 200)
            started = time.monotonic()
            proxy.process.terminate()
            assert json.loads(await tap.content.readline())["end"] == "closed"
            assert await lines.content.read() == b""
            while proxy.process.poll() is None:
                await asyncio.sleep(0.05)
            assert time.monotonic() - started < 10, "nothing waits for shutdown_grace, which is 30 s"
    await direct.delete(f"/.headrace-test-{name}")


async def test_a_reader_of_a_few_bytes_does_not_outlast_its_tap(through: Http, name: str):
    await through.pipeline(name, "document", native("s", "set", field="x", value=1))
    await through.index(name, document=name)
    body = json.dumps({"per_second": 1000, "duration": "1s", "pipeline": name, "stages": "full"}).encode()
    with slow_reader(through, body):
        await asyncio.sleep(0.3)
        lines = [{"index": {"_index": name}}, {"t": "x" * 50000}] * 50
        for _ in range(4):
            assert (await through.bulk(*lines, target="/_bulk")).status == 200
        # The records that wait for this reader are some megabytes; its tap has ended after a second all the same.
        async with asyncio.timeout(10), contextlib.AsyncExitStack() as stack:
            await asyncio.sleep(1.5)
            for _ in range(4):
                seen = await stack.enter_async_context(tapped(through.base, duration="500ms"))
                assert seen.status == 200
