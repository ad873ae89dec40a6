"""Who may see the page and change by it: sessions, forms of other pages, foreign names, rights of the API."""

from __future__ import annotations

import re
import statistics
import time
from typing import TYPE_CHECKING, Any

import pytest

from headrace.settings import Settings, validate
from headrace.upstream.permissions import Permissions, Verdict
from headrace_pipelines.errors import InvalidError
from tests.conftest import Answer, Http, native
from tests.node.ui.conftest import running_site

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.async_api import Browser

    from headrace.server.request import RequestContext
    from tests.node.ui.conftest import Site

pytestmark = [pytest.mark.node, pytest.mark.asyncio(loop_scope="session")]
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


async def opened(site: Site, path: str, cookie: str = "") -> tuple[Answer, str, str]:
    """A page, the cookie of its session and the token of its forms."""
    http = Http(site.origin, site.proxy.session)
    answer = await http.get(f"/_proxy/ui/{path}", headers={"Cookie": cookie} if cookie else {})
    token = re.search(r'name="csrf" value="(\w+)"', answer.body.decode())
    cookie = answer.headers.get("Set-Cookie", cookie).partition(";")[0]
    return answer, cookie, token[1] if token else ""


async def posted(site: Site, path: str, body: str, **headers: str) -> Answer:
    http = Http(site.origin, site.proxy.session)
    return await http.post(f"/_proxy/ui/{path}", body, headers={**FORM, **headers})


async def test_a_change_needs_the_form_of_this_page_and_this_session(site: Site):
    await site.proxy.pipeline("guarded", "document", native("level", "lowercase", field="level"))
    await site.proxy.pipeline("guarded", "document", native("level", "uppercase", field="level"))
    path = "pipelines/document/guarded/versions"
    _, cookie, token = await opened(site, f"{path}?activate=1")
    _, foreign, foreign_token = await opened(site, f"{path}?activate=1")
    assert cookie != foreign
    own = {"Origin": site.origin, "Cookie": cookie}
    for body, headers in (
        ("version=1", own),
        ("version=1&csrf=", own),
        (f"version=1&csrf={foreign_token}", own),
        (f"version=1&csrf={token}", {"Origin": site.origin}),
        (f"version=1&csrf={token}", {"Origin": site.origin, "Cookie": foreign}),
        (f"version=1&csrf={token}", {"Cookie": cookie}),
        (f"version=1&csrf={token}", {"Cookie": cookie, "Origin": "null"}),
        (f"version=1&csrf={token}", {"Cookie": cookie, "Origin": "http://evil.example"}),
        (f"version=1&csrf={token}", {"Cookie": cookie[:-4] + "AAAA", "Origin": site.origin}),
    ):
        assert (await posted(site, path, body, **headers)).status == 403
    assert (await site.proxy.get("/_pipeline/guarded")).json["version"] == "2"
    assert (await posted(site, path, f"version=1&csrf={token}", **own)).status == 303
    assert (await site.proxy.get("/_pipeline/guarded")).json["version"] == "1"


async def test_answers_have_the_headers_that_keep_other_sites_out(site: Site):
    answer, _, _ = await opened(site, "pipelines")
    kept = {part.strip() for part in answer.headers["Set-Cookie"].split(";")}
    assert {"HttpOnly", "SameSite=Strict", "Path=/_proxy/ui"} <= kept
    for path in ("pipelines", "no-such-page", "static/headrace.css", "pipelines/document/no-such"):
        headers = (await opened(site, path))[0].headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "same-origin"
    http = Http(site.origin, site.proxy.session)
    for host in ("evil.example", f"evil.example:{site.origin.rpartition(':')[2]}", ""):
        assert (await http.get("/_proxy/ui/", headers={"Host": host})).status in (400, 421)
        assert (await http.get("/_proxy/ui/login", headers={"Host": host})).status in (400, 421)


async def test_with_an_admin_token_nothing_is_shown_before_the_login(browser: Browser, node: str, tmp_path: Path):
    async with running_site(node, tmp_path, admin_token="a long token") as site:
        context = await browser.new_context(base_url=site.url)
        page = await context.new_page()
        await page.goto("pipelines")
        assert page.url == f"{site.url}login?next=/_proxy/ui/pipelines"
        # A pipeline of this name is no login.
        await page.goto("pipelines/document/login")
        assert "/login?next=" in page.url
        await page.goto("pipelines")
        await page.fill("input[name=token]", "a wrong token")
        await page.click("main >> text=Log in >> nth=-1")
        await page.wait_for_selector("[role=alert]")
        assert await page.inner_text("[role=alert]") == "The admin token is wrong."
        await page.fill("input[name=token]", "a long token")
        await page.click("button.primary")
        await page.wait_for_selector("text=No pipelines yet")
        assert page.url == f"{site.url}pipelines"
        (cookie,) = await context.cookies()
        assert (cookie["httpOnly"], cookie["sameSite"], cookie["expires"]) == (True, "Strict", -1)
        assert "token" not in cookie["value"]
        await page.goto("audit")
        await page.wait_for_selector("h1:has-text('Audit')")
        await page.click("text=Log out")
        await page.wait_for_selector("h1:has-text('Log in')")
        await page.goto("pipelines")
        assert "/login" in page.url
        await context.close()
        for target in ("//evil.example", "https://evil.example", "/_proxy/ui/../../x", "/\\evil.example"):
            _, cookie_text, token = await opened(site, "login")
            body = f"csrf={token}&token=a+long+token&next={target}"
            answer = await posted(site, "login", body, Origin=site.origin, Cookie=cookie_text)
            assert answer.headers["Location"].startswith("/_proxy/ui/"), target


async def test_a_caller_who_may_only_read_sees_no_reasons_and_changes_nothing(
    node: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The page asks the API in the name of its caller, whom the cluster lets read and not change."""

    async def refuse(self: Permissions, context: RequestContext) -> Verdict:
        return Verdict(allowed=False, missing=("cluster:admin/ingest/pipeline/put",))

    async with running_site(node, tmp_path) as site:
        await site.proxy.pipeline("p", "document", native("n", "convert", field="n", type="integer"))
        await site.proxy.index("page-reasons", document="p")
        await site.proxy.bulk({"index": {"_index": "page-reasons"}}, {"n": "what a document says"})
        shown, _, _ = await opened(site, "pipelines/document/p/statistics")
        assert b"what a document says" in shown.body
        monkeypatch.setattr(Permissions, "manage", refuse)
        shown, cookie, token = await opened(site, "pipelines/document/p/statistics")
        assert b"what a document says" not in shown.body
        assert b"for administrators" in shown.body
        assert (await opened(site, "audit"))[0].status == 303
        body = f"csrf={token}&definition=%7B%22type%22%3A%22document%22%2C%22stages%22%3A%5B%5D%7D"
        own = {"Origin": site.origin, "Cookie": cookie}
        assert (await posted(site, "pipelines/document/p", body, **own)).status == 403
        assert (await posted(site, "check", body, **own)).status in (303, 403)
        assert (
            await posted(site, "pipelines/document/p/simulate", f"{body}&do=run&samples=%7B%7D", **own)
        ).status == 403
        assert (await site.proxy.get("/_pipeline/p")).json["version"] == "1"
        _, cookie, token = await opened(site, "login")
        own = {"Origin": site.origin, "Cookie": cookie}
        entered = await posted(site, "login", f"csrf={token}&user=reader&password=x", **own)
        assert (entered.status, entered.headers["Location"]) == (303, "/_proxy/ui/")
        cookie = entered.headers["Set-Cookie"].partition(";")[0]
        shown, _, _ = await opened(site, "audit", cookie)
        assert (shown.status, b"You are reader" in shown.body) == (403, True)
        await site.proxy.delete("/page-reasons")


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"ui_listen": "0.0.0.0:9332"}, "ui_listen"),
        ({"ui_listen": "page"}, "ui_listen"),
        ({"ui_listen": "127.0.0.1:0", "workers": 2}, "ui_listen"),
    ],
)
async def test_an_address_of_the_page_that_gives_more_than_the_proxy_is_refused(settings: dict[str, Any], field: str):
    with pytest.raises(InvalidError) as caught:
        validate(Settings(**settings))
    assert caught.value.field == field
    validate(Settings(ui_listen="0.0.0.0:9332", admin_token="t"))
    validate(Settings(ui_listen="9332"))


PIPELINES = 1000
PAGE_SECONDS = 0.1
"""Seconds of the server for a page, with as many pipelines."""


async def test_a_page_takes_less_than_100_ms_with_1000_pipelines(node: str, tmp_path: Path):
    async with running_site(node, tmp_path) as site:
        stage = native("level", "lowercase", field="level")
        names = [f"p{n:04}" for n in range(PIPELINES)]
        pipelines = [{"name": name, "type": "document", "stages": [stage]} for name in names]
        for body in (
            {"set": "a", "pipelines": pipelines},
            {"set": "b", "associations": {f"{name}-*": {"document": name} for name in names}},
        ):
            applied = await site.proxy.post("/_registry/_apply", body)
            assert applied.status in (200, 201), applied.body[:500]
        for path in ("", "pipelines", "pipelines?q=99&sort=updated", "pipelines?page=9", "attachments",
                     "pipelines/document/p0500", "pipelines/document/p0500/versions",
                     "pipelines/document/p0500/statistics", "pipelines/document/p0500/simulate", "audit"):  # fmt: skip
            times = []
            for _ in range(5):
                started = time.monotonic()
                answer, _, _ = await opened(site, path)
                times.append(time.monotonic() - started)
                assert answer.status == 200, path
            assert statistics.median(times) < PAGE_SECONDS, (path, times)
