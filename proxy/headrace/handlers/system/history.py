"""`/_proxy/stats` and `/_proxy/stats/history`: what pipelines and surfaces did since the start, and in each minute."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from headrace.ops.metrics.history import MINUTE, MINUTES, Wanted
from headrace.server.reply import reply_json
from headrace_pipelines.errors import InvalidError

if TYPE_CHECKING:
    from aiohttp import web

    from headrace.ops.metrics.activity import Activity, PipelineActivity, SurfaceActivity
    from headrace.ops.metrics.history import ProxyHistory
    from headrace.server.request import RequestContext

MAX_NAME = 1000
"""Characters of `type:name@version` that are looked for: other workers get it in a line of bounded length."""


async def history(context: RequestContext) -> web.StreamResponse:
    """What was done in each of the last minutes; with `?pipeline=` of one pipeline, with its stages and errors."""
    pipeline = _checked(context.target.get("pipeline"))
    wanted = Wanted(pipeline, _minutes(context.target.get("minutes")), stages=bool(pipeline))
    found = await context.components.metrics.history.gathered(wanted)
    return await reply_json(context, 200, await asyncio.to_thread(_shown_history, found))


async def totals(context: RequestContext) -> web.StreamResponse:
    """What was done since the start, with durations in buckets: the difference of two answers is what came between."""
    wanted = Wanted(_checked(context.target.get("pipeline")), minutes=0, totals=True)
    found = await context.components.metrics.history.gathered(wanted)
    return await reply_json(context, 200, await asyncio.to_thread(_shown_totals, found))


def _checked(name: str | None) -> str:
    if name is not None and len(name) > MAX_NAME:
        raise InvalidError(f"no pipeline has a name of more than {MAX_NAME} characters", "pipeline")
    return name or ""


def _minutes(text: str | None) -> int:
    if text is None:
        return MINUTES
    if not text.isdecimal() or not 1 <= int(text) <= MINUTES:
        raise InvalidError(f"must be a whole number from 1 to {MINUTES}", "minutes")
    return int(text)


def _shown_history(found: ProxyHistory) -> dict[str, Any]:
    return {
        "interval_seconds": MINUTE,
        "workers": len(found.processes),
        "minutes": [
            {
                "start": datetime.fromtimestamp(minute.start, UTC).isoformat(timespec="seconds"),
                "seconds": minute.seconds,
                "pipelines": {key: _pipeline(activity) for key, activity in minute.pipelines.items()},
                "surfaces": {surface: _surface(activity) for surface, activity in minute.surfaces.items()},
            }
            for minute in found.minutes
        ],
    }


def _shown_totals(found: ProxyHistory) -> dict[str, Any]:
    return {
        "processes": found.processes,
        "pipelines": {key: _cumulative(activity) for key, activity in found.totals.pipelines.items()},
        "surfaces": {
            surface: {"statuses": activity.statuses, "durations": activity.durations}
            for surface, activity in found.totals.surfaces.items()
        },
    }


def _counts(activity: Activity) -> dict[str, Any]:
    return {
        "runs": activity.runs,
        "documents": activity.documents,
        "failures": activity.failures,
        "dropped": activity.dropped,
        "fuel": activity.fuel,
    }


def _timed(activity: Activity) -> dict[str, Any]:
    return {**_counts(activity), "p50_ms": activity.quantile_ms(0.5), "p99_ms": activity.quantile_ms(0.99)}


def _pipeline(activity: PipelineActivity) -> dict[str, Any]:
    return {
        **_timed(activity),
        "stages": [{"name": name, **_timed(stage)} for name, stage in activity.stages.items()],
        "errors": [
            {"stage": stage, "type": kind, "count": count}
            for stage, types in activity.errors.items()
            for kind, count in types.items()
        ],
    }


def _surface(activity: SurfaceActivity) -> dict[str, Any]:
    return {
        "requests": activity.requests,
        "errors": activity.errors,
        "p50_ms": activity.quantile_ms(0.5),
        "p99_ms": activity.quantile_ms(0.99),
    }


def _cumulative(activity: PipelineActivity) -> dict[str, Any]:
    return {
        **_counts(activity),
        "durations": activity.durations,
        "stages": [
            {"name": name, **_counts(stage), "durations": stage.durations} for name, stage in activity.stages.items()
        ],
    }
