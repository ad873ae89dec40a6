"""The listener of the page: TLS with renewal, several workers, bounds."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING

import aiohttp
import pytest

from devnode.node import free_port
from headrace.app import Proxy
from headrace.settings import Settings
from headrace.ui.listener import MOST_FORM_BYTES, context_of
from tests.conftest import Http, ProxyProcess, native, settings_for
from tests.node.ui.conftest import Site
from tests.node.ui.test_guard import opened, posted
from tests.support.certificates import Authority

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.node, pytest.mark.asyncio(loop_scope="session")]


async def shown_certificate(port: int) -> bytes:
    """The certificate that the page shows."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    found: bytes = writer.get_extra_info("ssl_object").getpeercert(True)
    writer.close()
    return found


async def test_beyond_loopback_it_speaks_tls_and_takes_a_renewed_certificate(node: str, tmp_path: Path):
    authority = Authority(tmp_path / "ca")
    certificate, key = await asyncio.to_thread(authority.issue, "proxy")
    tls = {"tls_cert": str(certificate), "tls_key": str(key)}
    assert context_of(Settings(ui_listen="9332", **tls)) is None
    assert context_of(Settings(ui_listen="9332", tls_client_ca=str(authority.path), **tls)) is not None
    proxy = Proxy(settings_for(node, tmp_path, ui_listen="0.0.0.0:0", admin_token="t", **tls))
    await proxy.start()
    try:
        origin = proxy.page_url.removesuffix("/_proxy/ui/").replace("0.0.0.0", "127.0.0.1")
        assert origin.startswith("https://")
        async with (
            aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session,
            session.get(f"{origin}/_proxy/ui/", ssl=False, allow_redirects=False) as answer,
        ):
            assert answer.status == 303
            assert "/login" in answer.headers["Location"]
            cookie = answer.headers["Set-Cookie"]
        assert cookie.startswith("__Secure-headrace-")
        assert "Secure;" in f"{cookie};"
        port = int(origin.rpartition(":")[2])
        before = await shown_certificate(port)
        await asyncio.to_thread(authority.issue, "proxy")
        await proxy.reload()
        assert await shown_certificate(port) != before
    finally:
        await proxy.stop()
        async with aiohttp.ClientSession() as session:
            await Http(node, session).delete(f"/{proxy.settings.registry_index}")


async def test_a_session_holds_in_all_workers(node: str, site: Site, tmp_path: Path):
    page, registry = free_port(), f".headrace-test-{tmp_path.name[-12:].lower()}"
    proxy = ProxyProcess(node, registry, tmp_path, free_port(), **{"workers": "2", "ui-listen": f"127.0.0.1:{page}"})
    try:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:
            http = Http(proxy.url, session)
            await proxy.ready(http)
            await http.pipeline("shared", "document", native("level", "lowercase", field="level"))
            there = Site(http, f"http://127.0.0.1:{page}/_proxy/ui/")
            for _ in range(100):
                try:
                    _, cookie, token = await opened(there, "pipelines/document/shared")
                    break
                except aiohttp.ClientError:
                    await asyncio.sleep(0.05)
            own = {"Origin": there.origin, "Cookie": cookie}
            for _ in range(12):
                checked = await posted(there, "check", f"csrf={token}&definition=%7B", **own)
                assert (checked.status, b"line 1, column 2" in checked.body) == (200, True)
    finally:
        proxy.end()
        await site.proxy.delete(f"/{registry}")
        await Http(node, site.proxy.session).delete(f"/{registry}")


async def test_a_form_that_is_too_long_is_refused(site: Site):
    _, cookie, token = await opened(site, "pipelines/new")
    own = {"Origin": site.origin, "Cookie": cookie}
    assert (await posted(site, "check", f"csrf={token}&definition={'x' * MOST_FORM_BYTES}", **own)).status == 413
