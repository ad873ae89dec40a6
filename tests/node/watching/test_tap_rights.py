"""Taps of a cluster with rights: an administrator sees documents only of indexes that the cluster lets them read."""

from __future__ import annotations

from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web

from headrace.app import Proxy
from headrace.execution.taps.hub import Shown, Taps
from tests.conftest import Http, settings_for
from tests.node.security.test_security import Plugin


def user(name: str) -> dict[str, str]:
    return {"Authorization": aiohttp.encode_basic_auth(name, "x")}


@pytest.fixture
async def secured(session: aiohttp.ClientSession, tmp_path):
    """A proxy before a cluster in which `writer` may manage pipelines, and read no index."""
    plugin = Plugin()
    runner = web.ServerRunner(web.Server(plugin))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    proxy = Proxy(settings_for(f"http://127.0.0.1:{runner.addresses[0][1]}", tmp_path))
    await proxy.start()
    yield Http(proxy.url, session), plugin
    await proxy.stop()
    await runner.cleanup()


async def test_an_index_that_the_caller_may_not_read_is_refused(secured: Any):
    http, plugin = secured
    body = {"index": "mine", "duration": "50ms"}
    assert (await http.post("/_proxy/tap", body)).status == 401
    assert (await http.post("/_proxy/tap", body, headers=user("reader"))).status == 403
    refused = await http.post("/_proxy/tap", body, headers=user("writer"))
    assert (refused.status, "indices:data/read/search" in refused.error["reason"]) == (403, True)
    assert ("writer", "/mine/_search") in plugin.checks
    assert (await http.post("/_proxy/tap", body, headers=user("admin"))).status == 200
    explained = await http.get("/mine/_search?explain_pipelines=true", headers=user("writer"))
    assert explained.status == 403


async def test_records_of_indexes_that_the_caller_may_not_read_are_left_out(
    secured: Any, monkeypatch: pytest.MonkeyPatch
):
    http, _ = secured
    start = Taps.start

    def with_a_record(self: Taps, *arguments: Any) -> Any:
        tap = start(self, *arguments)
        tap.deliver(Shown(msgspec.json.encode({"before": "private"}), ["mine"]))
        return tap

    monkeypatch.setattr(Taps, "start", with_a_record)
    for name, shown in (("writer", False), ("admin", True)):
        answer = await http.post("/_proxy/tap", {"duration": "200ms"}, headers=user(name))
        assert (b"private" in answer.body) is shown
        end = msgspec.json.decode(answer.body.splitlines()[-1], type=dict[str, Any])
        assert end["refused"] == (0 if shown else 1)
