"""The statistics of a pipeline: the last two hours as charts, stages by their time, failures by kind."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from headrace.ui.definitions import fields_of, find
from headrace.ui.rates.history import Minute, minutes_of, rates_of, stage_rates

if TYPE_CHECKING:
    from aiohttp import web

    from headrace.ui.rates.history import Rates
    from headrace.ui.view import View

MINUTES = 120
"""Minutes of the charts."""


async def show(view: View) -> web.StreamResponse:
    """Statistics of the active version, over all workers."""
    kind, name = view.request.match_info["type"], view.request.match_info["name"]
    found, counts, minutes = await asyncio.gather(
        find(view, kind, name),
        view.api.get("_pipeline", name, "_stats", type=kind),
        minutes_of(view.api, MINUTES, f"{kind}:{name}"),
    )
    rates, stages = await asyncio.to_thread(_charts, minutes, f"{kind}:{name}@", counts["stage_stats"])
    return await view.page(
        "pipelines/statistics.html",
        "pipelines",
        name,
        pipeline=found,
        counts=counts,
        rates=rates,
        minutes=len(minutes),
        stages=stages,
        errors=_grouped(counts["last_errors"], fields_of(found.get("stages"))),
        tab="statistics",
    )


def _charts(
    minutes: list[Minute], prefix: str, stages: list[dict[str, Any]]
) -> tuple[Rates | None, list[tuple[dict[str, Any], Rates | None]]]:
    """The charts of the pipeline, and the stages with theirs, the one with the most time first."""
    slowest = sorted(stages, key=lambda each: -each["average_duration_ms"] * each["executions"])
    return rates_of(minutes, prefix), [(each, stage_rates(minutes, prefix, each["name"])) for each in slowest]


def _grouped(errors: list[dict[str, Any]], fields: dict[str, str]) -> list[dict[str, Any]]:
    """The last failures by stage, type and field, the most frequent first. Reasons are for administrators."""
    groups: dict[tuple[str, str, str], dict[str, Any]] = {}
    for error in errors:
        field = error.get("field") or fields.get(error["stage"], "")
        at = (error["stage"], error["type"], field)
        group = groups.setdefault(
            at, {"stage": at[0], "type": at[1], "field": field, "count": 0, "latest": "", "reason": "", "document": ""}
        )
        group["count"] += 1
        if error["time"] >= group["latest"]:
            group |= {"latest": error["time"], "reason": error.get("reason", ""), "document": error["document"]}
    return sorted(groups.values(), key=lambda group: (-group["count"], group["stage"]))
