"""The registry's own searches, against an upstream that is no search engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from headrace.registry.ledger import Ledger
from headrace.registry.signatures import Signer
from headrace.registry.store import Store
from headrace.settings import Settings
from headrace_pipelines.errors import RegistryError

if TYPE_CHECKING:
    from pytest_aiohttp import AiohttpServer


@pytest.mark.parametrize("answer", [{}, {"_shards": {}}, {"_shards": 3, "aggregations": None}, [], "text"])
async def test_an_upstream_that_is_no_search_engine_is_named_as_such(aiohttp_server: AiohttpServer, answer: object):
    async def anything(_: web.Request) -> web.Response:
        return web.json_response(answer)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", anything)
    server = await aiohttp_server(app)
    settings = Settings(upstream=str(server.make_url("/")).rstrip("/"))
    store = Store(settings, Ledger(Signer([b"secret"], settings.registry_index)))
    try:
        with pytest.raises(RegistryError, match=r"something else than a search's result; is it OpenSearch"):
            await store.fingerprint()
    finally:
        await store.close()
