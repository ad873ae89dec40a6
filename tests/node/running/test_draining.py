"""The end of a proxy: not ready first, then deaf, then gone; and word of it to the service manager."""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from tests.conftest import Http, native

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path


async def asked(http: Http, target: str) -> tuple[int, str, bytes]:
    """Status, `Connection` and body of an answer on a connection of its own."""
    async with aiohttp.ClientSession() as session, session.get(http.base + target) as answer:
        return answer.status, answer.headers.get("Connection", ""), await answer.read()


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Awaitable[str]]]:
    """The next word that a service manager gets."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(20)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))

        async def told() -> str:
            return (await asyncio.to_thread(listening.recv, 4096)).decode()

        yield told


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_proxy_serves_on_while_it_is_not_ready(
    serve: Callable[..., Any], name: str, manager: Callable[[], Awaitable[str]], workers: str
):
    process, http = serve(workers=workers, **{"drain-delay": "1500ms", "log-level": "info"})
    assert (await manager()).startswith("READY=1\nSTATUS=serving ")
    for _ in range(4):
        assert (await asked(http, "/_proxy/health/ready"))[:2] == (200, ""), "whoever is told so may connect"
    assert (await asked(http, "/_cat/health"))[1] == ""
    await http.pipeline(name, "document", native("v", "set", field="v", value=1))
    process.process.send_signal(signal.SIGHUP)
    assert (await manager()).startswith("RELOADING=1\nMONOTONIC_USEC=")
    assert (await manager()).startswith("READY=1")
    started = time.monotonic()
    process.process.send_signal(signal.SIGTERM)
    assert await manager() == "STOPPING=1"
    await asyncio.sleep(0.3)
    for _ in range(4):
        status, connection, body = await asked(http, "/_proxy/health/ready")
        assert (status, connection) == (503, "close")
        assert b'"status":"draining"' in body
        assert (await asked(http, "/_proxy/health/live"))[:2] == (200, "close")
        assert (await asked(http, "/_cat/health"))[:2] == (200, "close"), "what only passes says so, too"
    assert (await http.put(f"/{name}/_doc/1?pipeline={name}", {})).status == 201
    assert process.end(0) == 0  # Signal 0 is none.
    assert 1.4 < time.monotonic() - started < 6
    with pytest.raises(aiohttp.ClientError):
        await asked(http, "/_proxy/health/live")


@pytest.mark.parametrize(("workers", "number"), [("2", signal.SIGTERM), ("1", signal.SIGINT)])
async def test_a_second_signal_ends_the_delay(
    serve: Callable[..., Any], manager: Callable[[], Awaitable[str]], workers: str, number: signal.Signals
):
    process, http = serve(workers=workers, **{"drain-delay": "60s"})
    assert (await manager()).startswith("READY=1")
    process.process.send_signal(signal.SIGTERM)
    await asyncio.sleep(0.5)
    assert (await asked(http, "/_proxy/health/ready"))[0] == 503
    started = time.monotonic()
    assert process.end(number) == 0
    assert time.monotonic() - started < 5
