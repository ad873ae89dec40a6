"""`/_proxy/metrics`: the counts of all workers, rendered on a thread."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, NamedTuple

from aiohttp import hdrs
from multidict import CIMultiDict
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from headrace.handlers.system.exposition.families import Families, Limits
from headrace.handlers.system.exposition.rollouts import shown_of
from headrace.server.response import send_whole

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiohttp import web
    from prometheus_client import Metric

    from headrace.ops.metrics import ProcessCounts
    from headrace.server.components import Components
    from headrace.server.request import RequestContext


END = b"# EOF\n"
"""The last line of OpenMetrics."""


class Exposition(NamedTuple):
    """A text and its content type."""

    body: bytes
    content_type: str


async def metrics(context: RequestContext) -> web.StreamResponse:
    """All metrics; no index names, no document data."""
    found = await exposition(context.components, context.request.headers.get(hdrs.ACCEPT, ""))
    headers = CIMultiDict({hdrs.CONTENT_TYPE: found.content_type, hdrs.VARY: hdrs.ACCEPT})
    return await send_whole(context.request, 200, "", headers, found.body)


async def exposition(components: Components, accept: str) -> Exposition:
    """All metrics, in the format that an `Accept` header asks for."""
    counts = await components.metrics.gathered(compact=True)
    return await asyncio.to_thread(_rendered, components, counts, accept)


def _rendered(components: Components, counts: ProcessCounts, accept: str) -> Exposition:
    encode, content_type = choose_encoder(accept)
    registry = components.registry
    limits = Limits.of(registry, components.settings.seconds("pipeline_timeout"), counts)
    shown = [] if registry.state == "none" else shown_of(registry.snapshot)
    families = Families(counts, limits, components.settings, registry.state, len(registry.ledger.ignored), shown)
    pieces, name = [], ""
    for part in families.collect():
        text = encode(_Part(part)).removesuffix(END)
        pieces.append(_samples(text) if part.name == name else text)
        name = part.name
        # The other threads first: the loop waits for the interpreter.
        time.sleep(0)
    if content_type.startswith("application/openmetrics-text"):
        pieces.append(END)
    return Exposition(b"".join(pieces), content_type)


class _Part(Collector):
    """What the encoders of prometheus-client take for all that there is."""

    def __init__(self, part: Metric) -> None:
        self._part = part

    def collect(self) -> Iterator[Metric]:
        yield self._part


def _samples(text: bytes) -> bytes:
    """A part of a family without its head, which the first part has."""
    while text.startswith(b"# "):
        text = text.partition(b"\n")[2]
    return text
