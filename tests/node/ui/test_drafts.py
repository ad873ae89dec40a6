"""What people typed is not lost, the focus is on what they asked for, and an address leads somewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.conftest import native

if TYPE_CHECKING:
    from playwright.async_api import Dialog, Page

    from tests.node.ui.conftest import Site

pytestmark = [pytest.mark.node, pytest.mark.asyncio(loop_scope="session")]
STAGE = '{"name": "level", "type": "native", "config": {"function": "uppercase", "parameters": {"field": "level"}}}'
ADDED = f'{{"type": "document", "description": "typed", "stages": [{STAGE}]}}'


async def type_over(page: Page, text: str) -> None:
    await page.click("label[for=definition]")
    await page.keyboard.press("Control+a")
    await page.keyboard.press("Delete")
    await page.keyboard.insert_text(text)


async def focused(page: Page) -> str:
    return str(await page.evaluate("document.activeElement.textContent.trim()"))


async def test_a_text_that_is_not_saved_is_asked_about_kept_and_restored(page: Page, site: Site):
    await site.proxy.pipeline("drafted", "document", native("level", "lowercase", field="level"))
    asked: list[str] = []

    async def leave(dialog: Dialog) -> None:
        asked.append(dialog.type)
        await dialog.accept()

    page.on("dialog", leave)
    await page.goto("pipelines/document/drafted")
    assert await page.is_hidden("#draft")
    await page.click("text=Overview")
    assert asked == []
    await page.goto("pipelines/document/drafted")
    await type_over(page, ADDED)
    await page.click("text=Overview")
    await page.wait_for_selector("h1:has-text('Overview')")
    assert asked == ["beforeunload"]
    await page.goto("pipelines/document/drafted/simulate")
    await page.click("text=Restore it")
    assert await page.locator("#definition").evaluate("area => area.value") == ADDED
    await page.keyboard.press("Control+s")
    await page.wait_for_selector("text=Version 2 is stored and active")
    assert (await site.proxy.get("/_pipeline/drafted")).json["description"] == "typed"
    assert asked == ["beforeunload"], "a text that is sent is not lost"
    await page.goto("pipelines/document/drafted")
    assert await page.is_hidden("#draft")
    assert await page.evaluate("sessionStorage.length") == 0

    await type_over(page, '{"type": "document", "stages": 7}')
    await page.click("text=Save as a new version")
    await page.wait_for_selector("#problems li")
    assert await focused(page) == "Problems"
    await page.click("text=Overview")
    await page.wait_for_selector("h1:has-text('Overview')")
    assert asked == ["beforeunload"] * 2, "what came back with its problems is not saved"
    await page.goto("pipelines/document/drafted")
    await page.click("text=Discard it")
    await page.reload()
    assert await page.is_hidden("#draft")


async def test_a_new_pipeline_is_tried_before_it_is_created(page: Page, site: Site):
    await page.goto("pipelines/new")
    await page.fill("#samples", '{"level": "WARN"}')
    await page.click("text=Run the samples")
    await page.wait_for_selector("#results table")
    assert await focused(page) == "1 of 1 sample succeeds"
    assert (await page.inner_text("#results .changes")).split() == ["level", "was", '"WARN"', "is", '"warn"']
    assert await page.locator("text=Save as a test case").count() == 0
    await page.fill("#samples", "{")
    await page.click("text=Run the samples")
    await page.wait_for_selector("text=the samples are not JSON")
    await type_over(page, '{"type": "document", "stages": 7}')
    await page.fill("#samples", "{}")
    await page.click("text=Run the samples")
    await page.wait_for_selector("#problems li")
    assert (await site.proxy.get("/_pipeline/tried")).status == 404
    await type_over(page, ADDED)
    await page.fill("input[name=name]", "tried")
    await page.keyboard.press("Control+s")
    await page.wait_for_selector("text=Version 1 is stored and active")
    assert await page.evaluate("sessionStorage.length") == 0


async def test_the_focus_goes_to_what_was_asked_for(page: Page, site: Site):
    for field in ("level", "other"):
        await site.proxy.pipeline("focused", "document", native("level", "lowercase", field=field))
    await page.goto("pipelines/document/focused/simulate")
    await page.fill("#samples", '{"other": "WARN"}')
    await page.click("text=Run the samples")
    await page.wait_for_selector("#results table")
    assert await focused(page) == "1 of 1 sample succeeds"
    await page.goto("pipelines/document/focused/versions")
    await page.click("text=Roll back")
    await page.wait_for_selector("text=It is attached to no pattern")
    assert await focused(page) == "Make version 1 active in place of 2?"
    await page.click("button:has-text('Make version 1 active')")
    await page.wait_for_selector("text=Version 1 is active.")
    assert await focused(page) == "Version 1 is active."


async def test_the_page_says_that_a_version_is_switched_off(page: Page, site: Site):
    body = {"type": "document", "stages": [native("level", "lowercase", field="level")]}
    for enabled in (True, False, True):
        await site.proxy.put("/_pipeline/switched", {**body, "enabled": enabled, "description": f"{enabled}"})
    await site.proxy.put("/_pipeline/_association/switched-*", {"document": "switched"})
    await site.proxy.put("/_pipeline/switched", {**body, "enabled": True, "description": "last"})
    await page.goto("pipelines/document/switched/versions")
    rows = await page.locator("tbody tr >> nth=0").locator("xpath=..").locator("tr th").all_inner_texts()
    assert [row.split() for row in rows] == [["4", "active"], ["3"], ["2", "off"], ["1"]]
    await page.goto("pipelines/document/switched/versions?activate=2")
    text = await page.inner_text("section.confirm")
    assert "Version 2 is switched off" in text
    assert "It stops running for:" in text
    await page.click("button:has-text('Make version 2 active, switched off')")
    await page.wait_for_selector("text=Version 2 is active and switched off")
    await page.goto("pipelines/document/switched/versions?activate=1")
    assert "switched off" not in await page.inner_text("section.confirm")
    await site.proxy.delete("/_pipeline/_association/switched-*")


async def test_an_address_without_the_type_leads_to_the_pipeline(page: Page, site: Site):
    await page.goto("pipelines/logs")
    assert page.url.endswith("/pipelines/document/logs")
    answer = await page.goto("pipelines/no-such-name")
    assert answer is not None
    assert answer.status == 404
    assert "pipeline [no-such-name] is missing" in await page.inner_text("main")
    for kind, stage in (
        ("query", native("q", "oversample", sample_factor=2)),
        ("result", native("r", "mask", fields=["a"])),
    ):
        await site.proxy.pipeline("twice", kind, stage)
    await page.goto("pipelines/twice")
    assert [await page.locator("#list tbody th").count(), page.url.rpartition("/")[2]] == [2, "pipelines?q=twice"]


async def test_a_failure_leads_to_a_trial_of_its_stage(page: Page, site: Site):
    await site.proxy.pipeline("failing", "document", native("to-number", "convert", field="n", type="integer"))
    await site.proxy.put("/_pipeline/_association/failed-*", {"document": "failing"})
    await site.proxy.bulk({"index": {"_index": "failed-1"}}, {"n": "many"})
    await page.goto("pipelines/document/failing/statistics")
    await page.click("section[aria-labelledby=errors] >> text=Simulate")
    await page.wait_for_selector("text=Stage [to-number] fails: get samples of the index or of the traffic")
    assert await page.input_value("#samples") == ""
    await site.proxy.delete("/_pipeline/_association/failed-*")


async def test_the_page_of_a_udf_has_its_log(page: Page, site: Site):
    source = "def process(doc):\n    print('seen', doc['n'])\n    return doc\n"
    await site.proxy.put("/_udf/logging", {"language": "python", "source": source})
    await site.proxy.post("/_udf/logging/_test", {"input": {"n": 1}})
    stage = {"name": "log", "type": "python", "config": {"udf_name": "logging"}}
    await site.proxy.pipeline("logging", "document", stage)
    await site.proxy.put("/_pipeline/_association/logged-*", {"document": "logging"})
    await site.proxy.bulk({"index": {"_index": "logged-1"}}, {"n": 42})
    await page.goto("udfs/logging")
    assert "seen 42" in await page.inner_text("section[aria-labelledby=logs]")
    await site.proxy.delete("/_pipeline/_association/logged-*")
    await site.proxy.delete("/logged-1")
