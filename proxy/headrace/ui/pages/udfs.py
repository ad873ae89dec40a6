"""UDFs: the list, and one with its source, users and times."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from headrace.ui.inner import ApiError
from headrace.ui.view import sliced

if TYPE_CHECKING:
    from aiohttp import web

    from headrace.ui.view import View

LONGEST_SOURCE = 200_000
"""Characters of a source that are shown."""

LINES = 50
"""Lines of the log that are shown."""


async def listed(view: View) -> web.StreamResponse:
    """UDFs whose names contain a text, 100 at a time."""
    rows = await view.api.get("_cat", "udfs", format="json")
    text = view.query("q").lower()
    found = sorted((row for row in rows if text in row["name"]), key=lambda row: row["name"])
    table = sliced(found, view.page_number)
    return await view.page("udfs/list.html", "udfs", "UDFs", table=table, any=bool(rows), q=view.query("q"))


async def show(view: View) -> web.StreamResponse:
    """A UDF in a version: the latest, or the one that the address names."""
    name, version = view.request.match_info["name"], view.query("version")
    found, versions, counts, source = await asyncio.gather(
        view.api.get("_udf", name, version=version),
        view.api.get("_udf", name, "_versions"),
        view.api.get("_udf", name, "_stats"),
        _source(view, name, version),
    )
    by_version = {each["version"]: each for each in counts["versions"]}
    return await view.page(
        "udfs/one.html",
        "udfs",
        name,
        udf=found,
        versions=versions["versions"][::-1],
        counts=by_version.get(found["version"], counts),
        source=source,
        users=_users(view, name),
        logs=await _logs(view, name),
    )


async def _source(view: View, name: str, version: str) -> dict[str, Any]:
    """The text of the source, or why there is none."""
    try:
        answer = await view.api.get("_udf", name, "_source", version=version, format="json")
    except ApiError as error:
        return {"text": "", "note": error.reason}
    if "source" not in answer:
        return {"text": "", "note": "This UDF is a compiled module; the API has its bytes."}
    text = str(answer["source"])
    note = f"The first {LONGEST_SOURCE} characters." if len(text) > LONGEST_SOURCE else ""
    return {"text": text[:LONGEST_SOURCE], "note": note}


async def _logs(view: View, name: str) -> dict[str, Any]:
    """The last lines that it has logged, for administrators; none where the proxy keeps none."""
    try:
        answer = await view.api.get("_udf", name, "_logs", lines=LINES)
    except ApiError as error:
        return {
            "lines": [],
            "note": "Lines may quote documents: they are for administrators." if error.status == 403 else "",
        }
    return {"lines": answer["lines"][::-1], "note": "" if answer["lines"] else "It has logged nothing."}


def _users(view: View, name: str) -> list[str]:
    """The pipelines that run it, for a caller who may read them: the API has answered before."""
    return list(dict.fromkeys(view.components.registry.snapshot.users_of_udf(name, None)))
