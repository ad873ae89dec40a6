"""The editor of a pipeline: a new one, a new version, and the check while somebody types."""

from __future__ import annotations

import asyncio
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import web

from headrace.ui.definitions import KINDS, Problem, checked, definition_text, find, problem_of, skeleton
from headrace.ui.inner import ApiError
from headrace.ui.trials.runs import trials_of
from headrace.ui.trials.samples import MOST_SAMPLES, SampleError, read_samples
from headrace.ui.view import address, redirect
from headrace_pipelines.registry import schemas

if TYPE_CHECKING:
    from headrace.ui.view import View


async def edit(view: View) -> web.StreamResponse:
    """The active version in the editor."""
    kind, name = view.request.match_info["type"], view.request.match_info["name"]
    found = await find(view, kind, name)
    return await _editor(view, found, definition_text(found), [], saved=view.query("saved"))


async def _editor(
    view: View, found: dict[str, Any], text: str, problems: list[Problem], /, status: int = 200, **facts: Any
) -> web.Response:
    return await view.page(
        "pipelines/edit.html",
        "pipelines",
        found["name"],
        status,
        **{"saved": "", "conflict": "", **facts},
        pipeline=found,
        text=text,
        unsaved=is_unsaved(text, definition_text(found)),
        problems=problems,
        tab="edit",
    )


def is_unsaved(text: str, stored: str) -> bool:
    """Whether a text of a form is another one than the stored: browsers send CR LF."""
    return text.replace("\r\n", "\n").strip() != stored.strip()


async def save(view: View) -> web.StreamResponse:
    """Stores the text as a new version, which is active from then on."""
    kind, name = view.request.match_info["type"], view.request.match_info["name"]
    text, base = view.form.get("definition", ""), view.form.get("base", "")
    found = await find(view, kind, name)
    if base and base != found["version"] and view.form.get("overwrite") != found["version"]:
        return await _editor(view, found, text, [], status=409, conflict=base)
    problems = _wrong_type(text, kind)
    if not problems:
        try:
            answer = await view.api.put("_pipeline", name, text=text.encode())
        except ApiError as error:
            problems = [problem_of(error, text)]
            return await _editor(view, found, text, problems, status=error.status)
        raise redirect(address("pipelines", kind, name, saved=answer["version"]))
    return await _editor(view, found, text, problems, status=400)


def _wrong_type(text: str, kind: str) -> list[Problem]:
    """A definition of another type would be another pipeline of the same name."""
    try:
        found = msgspec.json.decode(text.encode("utf-8", "replace"))
    except msgspec.DecodeError:
        return []
    if isinstance(found, dict) and found.get("type") not in (None, kind):
        return [Problem("type", f"this is a {kind} pipeline; create a new pipeline for another type")]
    return []


async def new(view: View) -> web.StreamResponse:
    """The editor for a new pipeline of a type."""
    kind = view.query("type") if view.query("type") in KINDS else "document"
    await view.api.get("_cat", "pipelines", format="json", h="name")
    return await _new(view, kind, "", skeleton(kind), [], 200)


async def _new(
    view: View, kind: str, name: str, text: str, problems: list[Problem], status: int, /, **trial: Any
) -> web.Response:
    facts = {"type": kind, "name": name, "text": text, "problems": problems, "kinds": KINDS, "most": MOST_SAMPLES}
    facts |= {"unsaved": is_unsaved(text, skeleton(kind)), "samples": view.form.get("samples", "")}
    facts |= {"note": "", "trials": [], **trial}
    return await view.page("pipelines/new.html", "pipelines", "New pipeline", status, **facts)


async def create(view: View) -> web.StreamResponse:
    """Creates a pipeline; a name that there is already is refused: its own page changes it."""
    name, text = view.form.get("name", "").strip(), view.form.get("definition", "")
    kind = view.form.get("type") if view.form.get("type") in KINDS else "document"
    try:
        if any(row["name"] == name for row in await view.api.get("_cat", "pipelines", format="json", h="name")):
            problem = Problem("name", f"there is a pipeline [{name}] already; open it to change it")
            return await _new(view, str(kind), name, text, [problem], 409)
        if not name:
            return await _new(view, str(kind), name, text, [Problem("name", "enter a name")], 400)
        answer = await view.api.put("_pipeline", name, text=text.encode())
    except ApiError as error:
        return await _new(view, str(kind), name, text, [problem_of(error, text)], error.status)
    raise redirect(address("pipelines", answer["type"], name, saved=answer["version"]))


async def try_new(view: View) -> web.StreamResponse:
    """Runs a definition that is not stored over samples."""
    name, text = view.form.get("name", "").strip(), view.form.get("definition", "")
    kind = str(view.form.get("type") if view.form.get("type") in KINDS else "document")
    try:
        inputs = await asyncio.to_thread(read_samples, view.form.get("samples", ""), _kind_in(text) or kind)
        trials = await trials_of(view.api, text, inputs)
    except SampleError as error:
        return await _new(view, kind, name, text, [], 400, note=error.reason)
    except ApiError as error:
        if error.status in (401, 403):
            raise
        return await _new(view, kind, name, text, [problem_of(error, text)], 400)
    return await _new(view, kind, name, text, [], 200, trials=trials, good=sum(trial.good for trial in trials))


def _kind_in(text: str) -> str:
    """The type that a definition names; empty where it names none."""
    try:
        found = msgspec.json.decode(text.encode("utf-8", "replace"))
    except msgspec.DecodeError:
        return ""
    return str(found["type"]) if isinstance(found, dict) and found.get("type") in KINDS else ""


async def check(view: View) -> web.StreamResponse:
    """The problems of a text, as a part of a page: the API compiles it and runs it on nothing."""
    text = view.form.get("definition", "")
    try:
        problems = await checked(view, text)
    except ApiError as error:
        problems = [Problem("", error.reason)]
    return await view.page("pipelines/problems.html", "", "Problems", problems=problems, checked=True)


async def schema(view: View) -> web.StreamResponse:
    """The JSON Schema of pipelines, with the names of the UDFs that there are."""
    try:
        rows = await view.api.get("_cat", "udfs", format="json", h="name")
    except ApiError:
        rows = []
    body = await asyncio.to_thread(_schema_with, [row["name"] for row in rows])
    return web.Response(body=body, content_type="application/json", headers={"Cache-Control": "private, max-age=60"})


def _schema_with(udfs: list[str]) -> bytes:
    found = msgspec.json.decode(_schema())
    for kind in KINDS:
        config = found["$defs"][f"{kind}.udf"]["properties"]["udf_name"]
        config["examples"] = udfs
    return msgspec.json.encode(found)


@cache
def _schema() -> bytes:
    return msgspec.json.encode(schemas.pipeline())
