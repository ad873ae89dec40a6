"""`GET /_udf/{name}/_logs`: the last lines of a UDF from all workers, and on request those to come."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from headrace.execution.taps.selection import MAX_SECONDS, LogsMessage
from headrace.execution.taps.streams import GatheredLogs
from headrace.handlers.line_stream import POLL_SECONDS, LineStream
from headrace.security import admin
from headrace.server.reply import reply_json
from headrace_pipelines.errors import InvalidError
from headrace_pipelines.udf.lines import MAX_LINES

if TYPE_CHECKING:
    from aiohttp import web

    from headrace.execution.taps.bounds import StreamLimits
    from headrace.server.request import RequestContext
    from headrace_pipelines.udf.lines import Line

MAX_DIGITS = 9
"""Digits of a number of lines that are read: reading takes longer than their number."""


async def logs(context: RequestContext) -> web.StreamResponse:
    """Answers with the last lines, or streams them and what follows. Lines may quote documents."""
    await admin.require_admin(context, changes=False)
    name = context.snapshot.udf(context.params["name"]).manifest.name
    follow, count = context.target.flag("follow"), _count(context.target.get("lines"))
    components = context.components
    catalog, peers = components.registry.catalog, components.metrics.peers
    async with GatheredLogs(catalog, peers, LogsMessage(name, count, follow)) as gathered:
        if not follow:
            return await reply_json(context, 200, {"name": name, "lines": [shown(line) for line in gathered.last()]})
        client = LineStream(context.request)
        await client.open()
        return await client.complete(_follow(client, gathered, components.taps.limits))


def _count(text: str | None) -> int:
    if text is None:
        return MAX_LINES
    if not text.isascii() or not text.isdigit() or len(text) > MAX_DIGITS or int(text) > MAX_LINES:
        raise InvalidError(f"[{text[:20]}] is no number from 0 to {MAX_LINES}", "lines")
    return int(text)


async def _follow(client: LineStream, gathered: GatheredLogs, limits: StreamLimits) -> bytes:
    """Sends lines until the client goes, or their time is over; there is no last one."""
    async with limits.within(MAX_SECONDS):
        await _pass_on(client, gathered)
    return b""


async def _pass_on(client: LineStream, gathered: GatheredLogs) -> None:
    """Sends lines without an end. Raises ConnectionResetError when the client is gone."""
    lines = gathered.last()
    while True:
        for line in lines:
            await client.send(msgspec.json.encode(shown(line)))
        if client.gone:
            raise ConnectionResetError("the client is gone")
        lines = await gathered.next(POLL_SECONDS)


def shown(line: Line) -> dict[str, Any]:
    """A line as it is shown."""
    _, _, version = line.udf.partition("@")
    return {
        "ts": datetime.fromtimestamp(line.ts, UTC).isoformat(timespec="milliseconds"),
        "level": line.level,
        "version": version,
        "pipeline": line.pipeline,
        "stage": line.stage,
        "document": line.document,
        "text": line.text,
    }
