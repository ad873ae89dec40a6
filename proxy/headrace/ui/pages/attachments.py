"""What is attached: by patterns, and by index with the reason."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from headrace.ui.inner import ApiError
from headrace.ui.view import sliced

if TYPE_CHECKING:
    from aiohttp import web

    from headrace.ui.view import View

KINDS = ("document", "query", "result")


async def show(view: View) -> web.StreamResponse:
    """The associations, and the pipelines that run on the indexes of an expression."""
    expression = view.query("q")
    listed, (rows, problem) = await asyncio.gather(
        view.api.get("_pipeline", "_association"), _resolved(view, expression)
    )
    return await view.page(
        "attachments.html",
        "attachments",
        "Attachments",
        patterns=sliced([_pattern(each) for each in listed["associations"]], view.page_number),
        table=sliced(rows, view.page_number),
        q=expression,
        problem=problem,
    )


async def _resolved(view: View, expression: str) -> tuple[list[dict[str, Any]], str]:
    """A row for each index and slot, and why there is none."""
    if not expression:
        return [], ""
    try:
        answer = await view.api.get(expression, "_pipeline", "_resolve")
    except ApiError as error:
        if error.status in (401, 403):
            raise
        return [], error.reason
    return await asyncio.to_thread(_rows, answer), ""


def _rows(answer: dict[str, dict[str, dict[str, Any]]]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for index, kinds in sorted(answer.items()):
        slots = [
            {"index": index, "type": kind, "slot": slot, **facts}
            for kind in KINDS
            for slot, facts in kinds.get(kind, {}).items()
        ]
        rows += slots or [{"index": index, "type": "", "slot": "", "pipeline": ""}]
    return rows


def _pattern(association: dict[str, Any]) -> dict[str, Any]:
    """An association with its slots as a list."""
    slots = []
    for kind in KINDS:
        held = association.get(kind)
        if isinstance(held, str):
            held = {"default_pipeline": held}
        for name, pipeline in (held or {}).items():
            if pipeline:
                slots.append({"type": kind, "slot": name.removesuffix("_pipeline"), "pipeline": pipeline})
    return {**association, "slots": slots}
