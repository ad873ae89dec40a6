"""`POST /_proxy/tap`: documents, queries and results as they change, live, for administrators who may read them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec

from headrace.execution.taps import selection as selections
from headrace.execution.taps.bounds import Bucket
from headrace.execution.taps.streams import Gathered
from headrace.handlers.line_stream import POLL_SECONDS, LineStream
from headrace.security import admin, audit, reading
from headrace_pipelines.errors import RefusedError

if TYPE_CHECKING:
    from aiohttp import web

    from headrace.execution.taps.selection import Selection
    from headrace.server.request import RequestContext

RIGHT_SECONDS = 10.0
"""Seconds for which a right of the caller counts within a tap; beyond, `permissions` knows whether to ask again."""


async def tap(context: RequestContext) -> web.StreamResponse:
    """Streams a record for each chosen input, and at the end the counts."""
    await admin.require_admin(context, changes=False)
    if context.components.settings.tap != "on":
        raise RefusedError("taps are switched off here by the setting tap")
    selection = selections.checked(await context.text())
    context.add_audit_facts(
        **{
            name: value
            for name, value in msgspec.to_builtins(selection, str_keys=True).items()
            if isinstance(value, str)
        }
    )
    if selection.index:
        await reading.require_readable(context, selection.index)
    async with Gathered(context.components.taps, context.components.metrics.peers, selection) as records:
        audit.record(context, 200)
        return await _Stream(context, selection, records).run()


class _Stream:
    """One tap, on its way to its reader."""

    def __init__(self, context: RequestContext, selection: Selection, records: Gathered) -> None:
        self._context = context
        self._selection = selection
        self._records = records
        self._client = LineStream(context.request)
        self._rate = Bucket(selection.per_second)
        self._rights: dict[str, tuple[float, bool]] = {}
        self._shown = 0
        self._refused = 0

    async def run(self) -> web.StreamResponse:
        """Sends records until the tap ends. Raises ConnectionResetError when the client goes."""
        await self._client.open()
        return await self._client.complete(self._send())

    async def _send(self) -> bytes:
        """Sends the records; gives the last line."""
        limits, reason = self._context.components.taps.limits, "duration"
        async with limits.within(self._selection.seconds):
            reason = await self._pass_on()
        await self._records.stop()
        counted = self._records.counted
        end = {
            "end": "closed" if limits.closed else reason,
            "seen": counted.seen,
            "shown": self._shown,
            "missed": counted.missed,
            "unexamined": counted.unexamined,
            "refused": self._refused,
        }
        self._context.add_audit_facts(shown=str(self._shown))
        return msgspec.json.encode(end)

    async def _pass_on(self) -> str:
        """Sends records, until its time is over; gives the reason for an earlier end."""
        while True:
            if self._client.gone:
                raise ConnectionResetError("the client is gone")
            shown = await self._records.next(POLL_SECONDS)
            if shown is None:
                if self._records.over:
                    return "closed"
                continue
            if not all([await self._may_read(index) for index in shown.indexes]):
                self._refused += 1
            elif self._rate.grant(1):
                self._shown += 1
                await self._client.send(shown.record)
                if self._shown == self._selection.limit:
                    return "limit"

    async def _may_read(self, index: str) -> bool:
        due, allowed = self._rights.get(index, (0.0, False))
        if due <= time.monotonic():
            allowed = await reading.may_read(self._context, index)
            self._rights[index] = (time.monotonic() + RIGHT_SECONDS, allowed)
        return allowed
