"""The page in a real Chromium: one browser, one proxy, one node for all tests of this folder."""

from __future__ import annotations

import fcntl
import json
import shutil
import subprocess
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import pytest_asyncio
from playwright.async_api import async_playwright

from headrace.app import Proxy
from headrace.cli.demo.download import cache_folder
from tests.conftest import ROOT, Http, native, settings_for

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from playwright.async_api import Browser, Page

CHROMIUM = shutil.which("chromium")
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
HOSTILE = """<script>window.owned=1</script>"'><img src=x onerror=window.owned=1>{{7*7}}"""
"""A text that is markup, an attribute and a template wherever it is not escaped."""
PAGES = {
    "overview": "",
    "pipelines": "pipelines",
    "new": "pipelines/new?type=query",
    "edit": "pipelines/document/logs",
    "simulate": "pipelines/document/logs/simulate",
    "versions": "pipelines/document/logs/versions?from=1&to=2",
    "roll back": "pipelines/document/logs/versions?activate=1",
    "rollout": "pipelines/document/rolled/rollout",
    "promote": "pipelines/document/rolled/rollout?confirm=promote",
    "no rollout": "pipelines/document/logs/rollout",
    "statistics": "pipelines/document/logs/statistics",
    "udfs": "udfs",
    "udf": "udfs/titles",
    "attachments": "attachments?q=page-*",
    "audit": "audit",
    "login": "login",
    "missing": "pipelines/document/no-such",
}


@dataclass
class Site:
    """A proxy with its page."""

    proxy: Http
    url: str
    """Where the page is, with a slash at its end."""

    @property
    def origin(self) -> str:
        return self.url.removesuffix("/_proxy/ui/")


@dataclass
class Seen:
    """What a browser has reported: messages of its console, and requests."""

    messages: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def watch(self, page: Page) -> None:
        page.on("console", lambda message: self.messages.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: self.messages.append(f"error: {error}"))
        page.on("request", lambda request: self.requests.append(request.url))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("Chromium is not on this machine (Debian: apt install chromium)")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        await browser.close()


@asynccontextmanager
async def running_site(node: str, folder: Path, **changes: Any) -> AsyncIterator[Site]:
    """A proxy with a page, and a registry of its own."""
    proxy = Proxy(settings_for(node, folder, ui_listen="127.0.0.1:0", **changes))
    await proxy.start()
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        try:
            yield Site(Http(proxy.url, session), proxy.page_url)
        finally:
            await proxy.stop()
            await Http(node, session).delete(f"/{proxy.settings.registry_index}")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def site(node: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """A proxy with pipelines, a UDF, an attachment, traffic and failures."""
    async with running_site(node, tmp_path_factory.mktemp("page")) as site:
        await fill(site.proxy)
        yield site
        await site.proxy.delete("/page-logs")


async def fill(http: Http) -> None:
    source = f"def process(doc, params):\n    # {HOSTILE}\n    return doc\n"
    await http.put("/_udf/titles", {"language": "python", "source": source, "description": HOSTILE})
    titles = {"name": "titles", "type": "python", "config": {"udf_name": "titles"}}
    await http.pipeline("logs", "document", native("level", "lowercase", field="level"))
    number = native(HOSTILE, "convert", field=HOSTILE, type="integer", ignore_missing=True)
    level = {**native("level", "lowercase", field="level"), "if": "has(doc.level)"}
    await http.pipeline("logs", "document", level, titles, number, description=HOSTILE)
    await http.pipeline("hidden", "result", native("hide", "mask", fields=["password"]))
    await http.put("/_pipeline/_association/page-*", {"document": "logs", "result": {"final_pipeline": "hidden"}})
    await http.pipeline("rolled", "document", native("level", "lowercase", field="level"))
    second = {"type": "document", "version": "2", "stages": [native("level", "uppercase", field="level")]}
    await http.put("/_pipeline/rolled?activate=false", second)
    spec = {"candidate": "2", "mode": "canary", "steps": [{"percent": 5, "for": "1h"}, {"percent": 50}]}
    await http.put("/_pipeline/rolled/_rollout", spec)
    lines = [line for n in range(20) for line in ({"index": {"_index": "page-logs"}}, {"level": f"WARN{n}"})]
    await http.bulk(*lines, {"index": {"_index": "page-logs"}}, {HOSTILE: HOSTILE})
    await http.delete(f"/_pipeline/{'%3Cscript%3Ewindow.owned=1%3C%2Fscript%3E'}")


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Browser, site: Site) -> AsyncIterator[Page]:
    context = await browser.new_context(base_url=site.url, reduced_motion="reduce")
    page = await context.new_page()
    page.set_default_timeout(10_000)
    yield page
    await context.close()


@pytest.fixture(scope="session")
def modules() -> Iterator[Path]:
    """The folder of the sources of the page's script, with the packages of its lock file installed, in the cache."""
    if shutil.which("npm") is None:
        pytest.skip("Node.js is not on this machine")
    source = ROOT / "release" / "ui"
    lock = (source / "package-lock.json").read_bytes()
    folder = cache_folder() / f"ui-{json.loads((source / 'package.json').read_text())['devDependencies']['esbuild']}"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        for name in ("package.json", "package-lock.json", ".npmrc", "build.mjs"):
            shutil.copyfile(source / name, folder / name)
        shutil.rmtree(folder / "src", ignore_errors=True)
        shutil.copytree(source / "src", folder / "src")
        installed = folder / "installed.json"
        if not installed.exists() or installed.read_bytes() != lock:
            subprocess.run(["npm", "ci"], check=True, capture_output=True, timeout=280, cwd=folder)
            installed.write_bytes(lock)
        yield folder
