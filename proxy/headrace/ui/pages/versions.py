"""The versions of a pipeline: side by side, who made them, and the way back."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from headrace.ui.definitions import definition_text, find
from headrace.ui.differences import side_by_side
from headrace.ui.inner import ApiError
from headrace.ui.view import address, redirect

if TYPE_CHECKING:
    from aiohttp import web

    from headrace.ui.view import View

MOST_HOLDERS = 50
"""Patterns and indexes that a confirmation lists; more are counted."""

SAME_CHANGE_SECONDS = 5.0
"""Seconds between the times of a version and of the revision that brought it, which is written behind it."""


@dataclass(frozen=True)
class Maker:
    """Who made a version, and of which commit."""

    user: str = ""
    commit: str = ""


async def show(view: View) -> web.StreamResponse:
    """The versions, the difference of two, and before a change what it concerns."""
    kind, name = view.request.match_info["type"], view.request.match_info["name"]
    found = await find(view, kind, name)
    listed = (await view.api.get("_pipeline", name, "_versions", type=kind))["versions"]
    listed.reverse()
    makers = await _makers(view, found, listed)
    names = [each["version"] for each in listed]
    to = view.query("to") or view.query("activate") or found["version"]
    before = view.query("from") or _before(names, to, found["version"])
    rows = await _difference(view, kind, name, before, to) if before and before != to else []
    wanted = view.query("activate")
    return await view.page(
        "pipelines/versions.html",
        "pipelines",
        name,
        pipeline=found,
        versions=[(each, makers.get(each["version"], Maker())) for each in listed],
        before=before,
        to=to,
        rows=rows,
        wanted=wanted if wanted in names and wanted != found["version"] else "",
        wanted_runs=next((each["enabled"] for each in listed if each["version"] == wanted), True),
        holders=await holders(view, kind, name) if wanted else ([], 0),
        activated=view.query("activated"),
        activated_runs=next((each["enabled"] for each in listed if each["version"] == view.query("activated")), True),
        tab="versions",
    )


def _before(names: list[str], to: str, active: str) -> str:
    """The version that is compared with `to`: the active one, else the one before it."""
    if to != active:
        return active
    later = names[names.index(to) + 1 :] if to in names else []
    return later[0] if later else ""


async def _difference(view: View, kind: str, name: str, before: str, to: str) -> list[Any]:
    left, right = await asyncio.gather(find(view, kind, name, before), find(view, kind, name, to))
    return await asyncio.to_thread(side_by_side, definition_text(left), definition_text(right))


async def _makers(view: View, found: dict[str, Any], versions: list[dict[str, Any]]) -> dict[str, Maker]:
    """Who made each version, as far as the log of this process or the history of the set says."""
    name, managed_by = found["name"], found.get("managed_by")
    makers: dict[str, Maker] = {}
    if managed_by:
        changed = [each for each in await _revisions(view, managed_by) if _changes(each, found)]
        for each in versions:
            near = [r for r in changed if abs(_seconds(r["created"]) - _seconds(each["created"])) < SAME_CHANGE_SECONDS]
            if near:
                source = near[0].get("source", {})
                makers[each["version"]] = Maker(source.get("by") or near[0].get("user", ""), source.get("commit", ""))
    for line in await _audit_lines(view):
        method, _, path = str(line.get("action", "")).partition(" ")
        stored = method in ("PUT", "POST") and line.get("status") in (200, 201) and line.get("type") == found["type"]
        if stored and unquote(path) == f"/_pipeline/{name}":
            makers.setdefault(str(line.get("version", "")), Maker(str(line.get("user", ""))))
    return makers


async def _audit_lines(view: View) -> list[dict[str, Any]]:
    """The recent lines of the audit log; none for who is no administrator."""
    try:
        await view.api.get("_proxy", "info")
    except ApiError:
        return []
    return view.audit.recent()


async def _revisions(view: View, name: str) -> list[dict[str, Any]]:
    try:
        found: list[dict[str, Any]] = (await view.api.get("_registry", "_revisions", set=name))["revisions"]
    except ApiError:
        return []
    return found


def _changes(revision: dict[str, Any], pipeline: dict[str, Any]) -> bool:
    return any(c.get("name") == pipeline["name"] and c.get("type") == pipeline["type"] for c in revision["changes"])


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


async def holders(view: View, kind: str, name: str) -> tuple[list[str], int]:
    """The patterns and indexes that have the pipeline attached, and how many more there are than are listed."""
    found: list[str] = []
    listed = (await view.api.get("_pipeline", "_association"))["associations"]
    found += [f"pattern {each['pattern']}" for each in listed if _holds(each.get(kind), name)]
    try:
        indexes = await view.api.get("*", "_pipeline")
    except ApiError:
        indexes = {}
    found += [f"index {index}" for index, slots in sorted(indexes.items()) if _holds(slots.get(kind), name)]
    return found[:MOST_HOLDERS], max(len(found) - MOST_HOLDERS, 0)


def _holds(slots: Any, name: str) -> bool:
    return slots == name or (isinstance(slots, dict) and name in slots.values())


async def activate(view: View) -> web.StreamResponse:
    """Makes a version active: back, or forward."""
    kind, name = view.request.match_info["type"], view.request.match_info["name"]
    version = view.form.get("version", "")
    await view.api.post("_pipeline", name, "_activate", version=version, type=kind)
    raise redirect(address("pipelines", kind, name, "versions", activated=version))
