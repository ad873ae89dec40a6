"""Trial runs: a definition over samples, stage by stage, and samples as test cases."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any

from aiohttp import web

from headrace.ui.definitions import definition_text, find, problem_of
from headrace.ui.inner import ApiError
from headrace.ui.pages.editing import is_unsaved
from headrace.ui.trials.cases import case_text
from headrace.ui.trials.runs import Trial, trials_of
from headrace.ui.trials.samples import MOST_SAMPLES, SampleError, from_index, from_tap, read_samples, written

if TYPE_CHECKING:
    from headrace.ui.definitions import Problem
    from headrace.ui.view import View

LONGEST = 200
"""Characters of the name of a stage that are shown."""


async def show(view: View) -> web.StreamResponse:
    """The form, with the active version."""
    found = await _pipeline(view)
    stage = view.query("failed")[:LONGEST]
    note = f"Stage [{stage}] fails: get samples of the index or of the traffic, or paste a document." if stage else ""
    return await _page(view, found, definition_text(found), "", [], [], note=note)


async def _pipeline(view: View) -> dict[str, Any]:
    return await find(view, view.request.match_info["type"], view.request.match_info["name"])


async def _page(
    view: View,
    found: dict[str, Any],
    text: str,
    samples: str,
    trials: list[Trial],
    problems: list[Problem],
    status: int = 200,
    /,
    **facts: Any,
) -> web.Response:
    shared = {"note": "", "index": "", "count": 5, **facts}
    return await view.page(
        "pipelines/simulate.html",
        "pipelines",
        found["name"],
        status,
        **shared,
        pipeline=found,
        text=text,
        unsaved=is_unsaved(text, definition_text(found)),
        samples=samples,
        trials=trials,
        problems=problems,
        good=sum(trial.good for trial in trials),
        most=MOST_SAMPLES,
        tab="simulate",
    )


async def run(view: View) -> web.StreamResponse:
    """Runs the definition over the samples, or gets samples of an index."""
    found = await _pipeline(view)
    text, samples = view.form.get("definition", ""), view.form.get("samples", "")
    index, number = view.form.get("index", "").strip(), view.form.get("count", "5")
    count = int(number) if number.isdecimal() and len(number) < 4 else 5
    facts: dict[str, Any] = {"index": index, "count": count}
    if not view.form.get("do"):
        return await _page(view, found, text, samples, [], [], **facts)
    try:
        if view.form.get("do") in ("fetch", "tap"):
            fetched, note = await _fetched(view, found, index, count)
            return await _page(view, found, text, written(fetched), [], [], **facts, note=note)
        inputs = await asyncio.to_thread(read_samples, samples, found["type"])
        trials = await trials_of(view.api, text, inputs)
    except SampleError as error:
        return await _page(view, found, text, samples, [], [], 400, **facts, note=error.reason)
    except ApiError as error:
        if error.status in (401, 403) or view.form.get("do") != "run":
            return await _page(view, found, text, samples, [], [], error.status, **facts, note=error.reason)
        return await _page(view, found, text, samples, [], [problem_of(error, text)], 400, **facts)
    return await _page(view, found, text, samples, trials, [], **facts)


async def _fetched(view: View, found: dict[str, Any], index: str, count: int) -> tuple[list[Any], str]:
    """Samples of an index or of the traffic, and where they come from."""
    if view.form["do"] == "tap":
        samples = await from_tap(view.api, found, count)
        return samples, f"{len(samples)} of the traffic that goes through the active version"
    samples = await from_index(view.api, found["type"], index, count)
    return samples, f"{len(samples)} of [{index}]" if samples else f"[{index}] has no documents"


async def case(view: View) -> web.StreamResponse:
    """A sample and what became of it as a file of test cases."""
    found = await _pipeline(view)
    number = view.form.get("case", "0")
    try:
        inputs = await asyncio.to_thread(read_samples, view.form.get("samples", ""), found["type"])
        chosen = inputs[int(number) : int(number) + 1] if number.isdecimal() else []
        if not chosen:
            raise SampleError("there is no such sample")
        trials = await trials_of(view.api, view.form.get("definition", ""), chosen)
    except SampleError as error:
        raise web.HTTPBadRequest(text=error.reason) from None
    body = await asyncio.to_thread(case_text, found, chosen[0], trials[0], int(number) + 1)
    name = re.sub(r"[^a-z0-9._-]", "-", found["name"])
    headers = {"Content-Disposition": f'attachment; filename="{name}.cases.yaml"'}
    return web.Response(text=body, content_type="application/yaml", charset="utf-8", headers=headers)
