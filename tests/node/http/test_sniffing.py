"""Clients that sniff are told the proxy's address."""

from __future__ import annotations

import asyncio

import pytest
from opensearchpy import OpenSearch

from tests.conftest import Http


@pytest.mark.parametrize("target", ["/_nodes/http", "/_nodes/_all/http", "/_nodes", "/_nodes/_local/http"])
async def test_publish_addresses_are_the_proxys(through: Http, direct: Http, target: str):
    mine, theirs = (await through.get(target)).json, (await direct.get(target)).json
    address = through.base.removeprefix("http://")
    for id_, node in mine["nodes"].items():
        assert node["http"]["publish_address"] == address
        assert node["roles"] == theirs["nodes"][id_]["roles"]
    assert theirs["nodes"].keys() == mine["nodes"].keys()


async def test_a_client_that_sniffs_stays_with_the_proxy(through: Http, name: str):
    host, _, port = through.base.removeprefix("http://").rpartition(":")

    def story() -> list[str]:
        client = OpenSearch([{"host": host, "port": int(port)}], sniff_on_start=True, sniff_on_connection_fail=True)
        client.index(index=name, id="1", body={"a": 1})
        return [connection.host for connection in client.transport.connection_pool.connections]

    assert await asyncio.to_thread(story) == [through.base]
