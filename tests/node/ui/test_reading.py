"""Everything can be read without JavaScript, by people with assistive technology, and without asking another host."""

from __future__ import annotations

import asyncio
import gzip
import re
import subprocess
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from tests.conftest import ROOT
from tests.node.ui.conftest import HOSTILE, PAGES, Seen

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.async_api import Browser, Page

    from tests.node.ui.conftest import Site

pytestmark = [pytest.mark.node, pytest.mark.asyncio(loop_scope="session")]
NARROW, WIDE = 320, 1280
"""Widths of a small telephone and of a desk, in CSS pixels."""


async def test_every_page_can_be_read_without_javascript(browser: Browser, site: Site):
    context = await browser.new_context(base_url=site.url, java_script_enabled=False)
    page = await context.new_page()
    wanted = {
        "overview": ["Ready", "current", "reachable", "Documents / s", "logs"],
        "pipelines": ["logs", "hidden", "Attached to"],
        "edit": ["Definition", "Save as a new version"],
        "simulate": ["Run the samples"],
        "versions": ["Version 1", "has(doc.level)", "added:"],
        "roll back": ["Make version 1 active in place of 2?", "pattern page-*"],
        "statistics": ["Documents", "level"],
        "udf": ["def process(doc, params)", "pipeline [logs@2]"],
        "attachments": ["page-logs", "pattern", "final"],
        "audit": ["PUT /_pipeline/logs", "201"],
    }
    for name, path in PAGES.items():
        await page.goto(path)
        text = await page.inner_text("body")
        for part in wanted.get(name, ()):
            assert part in text, name
        assert await page.locator("h1").count() == 1, name
    await page.goto(PAGES["statistics"])
    charts = await page.locator("svg[role=img]").evaluate_all("all => all.map(each => each.getAttribute('aria-label'))")
    assert len(charts) >= 3 + 2 * 2
    assert all(re.fullmatch(r".+ in the last \d+ minutes: now [\d.]+, at most [\d.]+", text) for text in charts)
    await page.goto(PAGES["edit"])
    assert '"function": "lowercase"' in await page.input_value("textarea[name=definition]")
    await page.goto("pipelines?q=hid&type=result")
    assert "1 pipeline" in await page.inner_text("#list")
    await context.close()


async def test_no_text_becomes_markup(page: Page):
    """The hostile text is a description, a field, a stage, a comment in code, a path, a sample and its values."""
    for name, path in PAGES.items():
        await page.goto(path)
        assert await page.evaluate("window.owned === undefined"), name
        assert await page.locator("main img").count() == 0, name
    for path in (PAGES["edit"], PAGES["statistics"], PAGES["udf"]):
        await page.goto(path)
        assert HOSTILE in await page.inner_text("main"), path
    for path in ("pipelines", "udfs", "attachments", "audit"):
        await page.goto(f"{path}?q=%3Cimg%20src%3Dx%20onerror%3Dwindow.owned%3D1%3E")
        assert await page.locator("main img").count() == 0
    await page.goto(PAGES["simulate"])
    await page.fill("#samples", '{"level": "<img src=x onerror=window.owned=1>", "b": 1}')
    await page.click("text=Run the samples")
    await page.wait_for_selector("#results table")
    assert "<img src=x onerror=window.owned=1>" in await page.inner_text("#results")
    assert await page.evaluate("window.owned === undefined")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_page_has_no_serious_finding_of_axe(browser: Browser, site: Site, modules: Path, scheme: str):
    axe = await asyncio.to_thread((modules / "node_modules/axe-core/axe.min.js").read_text)
    context = await browser.new_context(base_url=site.url, color_scheme=scheme, reduced_motion="reduce")
    page = await context.new_page()
    seen = Seen()
    seen.watch(page)
    found = []
    for name, path in PAGES.items():
        await page.goto(path)
        if name == "simulate":
            await page.fill("#samples", '{"level": "WARN"}\n{"level": 7}')
            await page.click("text=Run the samples")
            await page.wait_for_selector("#results table")
        await page.evaluate(axe)
        # Between the two schemes only the colours differ.
        rules = "" if scheme == "light" else ", runOnly: ['color-contrast']"
        result = await page.evaluate(f"axe.run({{resultTypes: ['violations']{rules}}})")
        serious = [each for each in result["violations"] if each["impact"] in ("serious", "critical")]
        found += [(name, each["id"], [node["html"] for node in each["nodes"]][:3]) for each in serious]
        await page.set_viewport_size({"width": NARROW, "height": 700})
        assert await page.evaluate("document.documentElement.scrollWidth") <= NARROW, name
        await page.set_viewport_size({"width": WIDE, "height": 800})
    await context.close()
    assert found == []
    # The policy of the page is kept: a violation is a message of the console. The page that is not there is one, too.
    assert [message for message in seen.messages if "404" not in message] == []
    assert {urlsplit(url).netloc for url in seen.requests} == {urlsplit(site.url).netloc}


async def test_the_script_is_what_its_sources_build_and_small(modules: Path, tmp_path: Path):
    await asyncio.to_thread(
        subprocess.run, ["node", "build.mjs", str(tmp_path)], check=True, capture_output=True, cwd=modules
    )
    static = ROOT / "proxy/headrace/ui/static"
    for name in ("headrace.js", "headrace.js.licences.txt"):
        assert (tmp_path / name).read_bytes() == (static / name).read_bytes(), "run `npm ci && npm run build`"
    scripts = b"".join(path.read_bytes() for path in static.glob("*.js"))
    assert len(gzip.compress(scripts, 9)) < 150_000
