"""An edit, its check, a trial run and the way back, by keyboard alone."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.conftest import native

if TYPE_CHECKING:
    from playwright.async_api import Page

    from tests.node.ui.conftest import Site

pytestmark = [pytest.mark.node, pytest.mark.asyncio(loop_scope="session")]
MOST_TABS = 60
"""Steps by the tabulator key from one end of a page to the other."""


async def step_to(page: Page, label: str) -> None:
    """Goes on by the tabulator key until the focus is on what has this name."""
    for _ in range(MOST_TABS):
        await page.keyboard.press("Tab")
        found = await page.evaluate(
            """() => {
                let at = document.activeElement;
                while (at?.shadowRoot?.activeElement) at = at.shadowRoot.activeElement;
                if (!at || at === document.body) return "";
                return (at.getAttribute("aria-label") || at.labels?.[0]?.textContent || at.textContent || "").trim();
            }"""
        )
        if found.startswith(label):
            return
    raise AssertionError(f"the focus does not come to [{label}]")


async def test_a_pipeline_is_edited_checked_stored_tried_and_rolled_back_by_keyboard(page: Page, site: Site):
    await site.proxy.pipeline("by-keys", "document", native("level", "lowercase", field="level"))
    await page.goto("pipelines?q=by-keys")
    await step_to(page, "by-keys")
    await page.keyboard.press("Enter")
    await page.wait_for_selector("h1:has-text('by-keys')")

    await step_to(page, "Definition")
    await page.keyboard.press("Control+a")
    await page.keyboard.press("Delete")
    definition = '{"type": "document", "stages": [{"name": "level", "type": "native", "config": {"function": "upp'
    await page.keyboard.insert_text(definition)
    await page.keyboard.press("Control+Space")
    await page.wait_for_selector(".cm-tooltip-autocomplete")
    await page.wait_for_timeout(120)
    await page.keyboard.press("Enter")
    await page.keyboard.press("End")
    await page.keyboard.insert_text(', "parameters": {"fild": "level"}}}]}')
    await page.wait_for_selector("#problems code:has-text('stages[0].config')")
    assert await page.locator(".cm-lintRange-error").count() == 1
    for _ in range(len('fild": "level"}}}]}')):
        await page.keyboard.press("ArrowLeft")
    await page.keyboard.press("ArrowRight")
    await page.keyboard.press("ArrowRight")
    await page.keyboard.insert_text("e")
    await page.wait_for_selector("#problems .fine")

    await step_to(page, "Save as a new version")
    await page.keyboard.press("Enter")
    await page.wait_for_selector("text=Version 2 is stored and active")
    stored = (await site.proxy.get("/_pipeline/by-keys")).json
    assert (stored["version"], stored["stages"][0]["config"]["function"]) == ("2", "uppercase")

    await step_to(page, "Simulate")
    await page.keyboard.press("Enter")
    await page.wait_for_selector("text=Run the samples")
    await step_to(page, "Samples")
    await page.keyboard.insert_text('{"level": "warn", "n": 1.10}\n{"level": 4}')
    await step_to(page, "Run the samples")
    await page.keyboard.press("Enter")
    await page.wait_for_selector("text=1 of 2 samples succeed")
    assert (await page.inner_text("#results .changes >> nth=0")).split() == ["level", "was", '"warn"', "is", '"WARN"']

    await step_to(page, "Save as a test case")
    async with page.expect_download() as downloading:
        await page.keyboard.press("Enter")
    path = await (await downloading.value).path()
    case = yaml.safe_load(path.read_text())
    assert case["pipeline"] == "by-keys"
    assert case["cases"] == [
        {"name": "sample 1", "docs": [{"level": "warn", "n": 1.1}], "expect": [{"level": "WARN", "n": 1.1}]}
    ]

    await page.goto("pipelines/document/by-keys/versions")
    await step_to(page, "Roll back to version 1")
    await page.keyboard.press("Enter")
    await page.wait_for_selector("text=It is attached to no pattern and no index")
    await step_to(page, "Make version 1 active")
    await page.keyboard.press("Enter")
    await page.wait_for_selector("text=Version 1 is active")
    assert (await site.proxy.get("/_pipeline/by-keys")).json["version"] == "1"


async def test_a_pipeline_is_created_and_its_samples_come_from_an_index(page: Page, site: Site):
    await page.goto("pipelines/new")
    await page.fill("input[name=name]", "made-here")
    await page.click("text=Create")
    await page.wait_for_selector("text=Version 1 is stored and active")
    await page.goto("pipelines/new")
    await page.fill("input[name=name]", "made-here")
    await page.click("text=Create")
    await page.wait_for_selector("text=there is a pipeline [made-here] already")
    await page.goto("pipelines/document/made-here/simulate")
    await page.fill("input[name=index]", "page-logs")
    await page.fill("input[name=count]", "3")
    await page.click("text=From the index")
    await page.wait_for_selector("text=3 of [page-logs]")
    await page.click("text=Run the samples")
    await page.wait_for_selector("text=3 of 3 samples succeed")
    await page.fill("input[name=index]", "no-such-index")
    await page.click("text=From the index")
    await page.wait_for_selector("text=no such index")


async def test_two_people_who_edit_one_pipeline_learn_of_each_other(page: Page, site: Site):
    await site.proxy.pipeline("shared", "document", native("level", "lowercase", field="level"))
    await page.goto("pipelines/document/shared")
    await site.proxy.pipeline("shared", "document", native("level", "uppercase", field="level"))
    await page.click("text=Save as a new version")
    await page.wait_for_selector("text=Somebody has stored version 2 since you opened version 1")
    assert (await site.proxy.get("/_pipeline/shared")).json["version"] == "2"
    await page.check("input[name=overwrite]")
    await page.click("text=Save as a new version")
    await page.wait_for_selector("text=Version 3 is stored and active")


async def test_a_definition_that_is_wrong_is_not_stored_and_not_lost(page: Page, site: Site):
    await site.proxy.pipeline("kept", "document", native("level", "lowercase", field="level"))
    for text, problem in (
        ('{"type": "document", "stages": [', "line 1, column"),
        ('{"type": "query", "stages": []}', "this is a document pipeline"),
        ('{"type": "document", "stages": [], "x": "</textarea><img>"}', "stages"),
    ):
        await page.goto("pipelines/document/kept")
        await page.locator("#definition").evaluate("(area, text) => { area.value = text; }", text)
        await page.click("text=Save as a new version")
        await page.wait_for_selector("#problems li")
        assert problem in await page.inner_text("#problems")
        assert await page.locator("#definition").evaluate("area => area.value") == text
    assert (await site.proxy.get("/_pipeline/kept")).json["version"] == "1"


async def test_samples_come_from_the_traffic(page: Page, site: Site):
    await page.goto("pipelines/document/logs/simulate")
    await page.fill("input[name=count]", "2")
    waiting = asyncio.create_task(page.click("text=From the traffic"))
    for n in range(50):
        await site.proxy.bulk({"index": {"_index": "page-logs"}}, {"level": f"TAPPED{n}"})
        if waiting.done():
            break
        await asyncio.sleep(0.1)
    await waiting
    await page.wait_for_selector("text=2 of the traffic")
    assert '"level": "TAPPED' in await page.input_value("#samples")
    await page.click("text=Run the samples")
    await page.wait_for_selector("text=2 of 2 samples succeed")


async def test_a_rollout_is_paused_and_promoted(page: Page, site: Site):
    await site.proxy.pipeline("by-steps", "document", native("level", "lowercase", field="level"))
    second = {"type": "document", "version": "2", "stages": [native("level", "uppercase", field="level")]}
    assert (await site.proxy.put("/_pipeline/by-steps?activate=false", second)).status == 201
    spec = {"candidate": "2", "mode": "canary", "steps": [{"percent": 5}]}
    assert (await site.proxy.put("/_pipeline/by-steps/_rollout", spec)).status == 201
    await page.goto("pipelines/document/by-steps/rollout")
    await page.click("button:has-text('Pause')")
    await page.wait_for_selector(".figure:has-text('paused')")
    assert (await site.proxy.get("/_pipeline/by-steps/_rollout")).json["state"] == "paused"
    await page.click("text=Promote…")
    await page.click("button:has-text('Promote version 2')")
    await page.wait_for_selector(".figure:has-text('promoted')")
    assert (await site.proxy.get("/_pipeline/by-steps")).json["version"] == "2"
