"""The list of pipelines."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from headrace.ui.inner import ApiError
from headrace.ui.rates.history import AT_ONCE, errors_by_pipeline, minutes_of
from headrace.ui.view import address, redirect, sliced

if TYPE_CHECKING:
    from aiohttp import web

    from headrace.ui.view import View

ORDERS = ("name", "type", "updated", "attached", "errors")


async def listed(view: View) -> web.StreamResponse:
    """Pipelines whose names contain a text, of a type, in an order, 100 at a time."""
    rows, minutes = await asyncio.gather(
        view.api.get("_cat", "pipelines", format="json"), minutes_of(view.api, AT_ONCE)
    )
    text, kind, order = view.query("q").lower(), view.query("type"), view.query("sort")
    order = order if order in ORDERS else "name"
    found = await asyncio.to_thread(_chosen, rows, minutes, text, kind, order)
    return await view.page(
        "pipelines/list.html",
        "pipelines",
        "Pipelines",
        table=sliced(found, view.page_number),
        any=bool(rows),
        q=view.query("q"),
        type=kind,
        sort=order,
        rates=bool(minutes),
    )


async def named(view: View) -> web.StreamResponse:
    """An address without the type: it leads to the pipeline of this name, or to those of several types."""
    name = view.request.match_info["name"]
    rows = await view.api.get("_cat", "pipelines", format="json", h="name,type")
    types = [row["type"] for row in rows if row["name"] == name]
    if not types:
        raise ApiError(404, f"pipeline [{name}] is missing")
    raise redirect(address("pipelines", types[0], name) if len(types) == 1 else address("pipelines", q=name))


def _chosen(rows: list[dict[str, Any]], minutes: list[Any], text: str, kind: str, order: str) -> list[dict[str, Any]]:
    errors = errors_by_pipeline(minutes)
    found = [
        row | {"errors": errors.get(f"{row['type']}:{row['name']}", 0.0)}
        for row in rows
        if text in row["name"] and kind in ("", row["type"])
    ]
    found.sort(key=lambda row: (row["name"], row["type"]))
    if order in ("attached", "errors"):
        found.sort(key=lambda row: -float(row[order]))
    elif order == "updated":
        found.sort(key=lambda row: row["updated"] or "", reverse=True)
    elif order == "type":
        found.sort(key=lambda row: row["type"])
    return found
