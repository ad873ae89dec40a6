"""A part of the searches, sent once more with the queries of both versions: what is compared is which hits come back.

Only indexes and ids of hits are read, and nothing of them is kept: the measures are sums.
"""

from __future__ import annotations

import asyncio
import logging
import random
import threading
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import msgspec

from headrace.execution.rollouts.shadow.rankings import DEPTH, overlap, rank_biased_overlap
from headrace.ops.metrics.shadows import SearchCounts
from headrace_pipelines import PipelineType
from headrace_pipelines.errors import HeadraceError

if TYPE_CHECKING:
    from headrace.execution.rollouts.shadow.ends import End
    from headrace.execution.rollouts.shadow.shadow import Shadow
    from headrace.execution.taps.samples import Sample
    from headrace.server.request import RequestContext
    from headrace_pipelines.registry.rollouts.record import Rollout

Resend = Callable[[bytes], Awaitable[bytes | None]]
"""Sends the search with a text in place of what the pipeline made of it, and gives the answer's body; `None`: the
cluster answered with an error. Raises HeadraceError."""
Probe = Callable[["RequestContext", "Rollout"], Resend | None]
"""Keeps of a request what sends it once more; `None` where that is no plain search."""

log = logging.getLogger("headrace.rollout")

AT_ONCE = 2
"""Searches that a process sends again at the same time."""
MAX_WAITING = 64
"""Searches that wait for their comparison: each holds its request, of some kB."""
SECONDS = 10.0
"""Seconds for both answers to a search."""


class _Total(msgspec.Struct):
    value: int = 0


class _Hit(msgspec.Struct):
    index: str = msgspec.field(name="_index", default="")
    id: str | None = msgspec.field(name="_id", default=None)


class _Hits(msgspec.Struct):
    total: _Total | int | None = None
    hits: list[_Hit] = []


class _Response(msgspec.Struct):
    hits: _Hits = msgspec.field(default_factory=_Hits)


_RESPONSE = msgspec.json.Decoder(_Response)


class Searches:
    """The searches of one process that are sent again."""

    def __init__(self, probe: Probe) -> None:
        self._probe = probe
        self._lock = threading.Lock()
        self._chosen: WeakKeyDictionary[Sample, tuple[asyncio.AbstractEventLoop, Resend]] = WeakKeyDictionary()
        self._running: set[asyncio.Task[None]] = set()
        self._closed = False

    def choose(self, context: RequestContext, shadow: Shadow, samples: list[Sample]) -> None:
        """Chooses a search by chance, and keeps what sends it again. Called on the loop."""
        share = shadow.record.spec.execute
        if not share or shadow.record.type is not PipelineType.QUERY or context.surface != "search":
            return
        sample = samples[0]
        if len(samples) != 1 or sample.text is None or sample.failure is not None or b'"pit"' in sample.text:
            return
        if random.random() >= share:  # noqa: S311 - a sample, no secret
            return
        with self._lock:
            full = len(self._chosen) >= MAX_WAITING
        if full:
            shadow.count_search(SearchCounts(missed=1))
        elif (resend := self._probe(context, shadow.record)) is not None:
            with self._lock:
                self._chosen[sample] = (asyncio.get_running_loop(), resend)

    def compared(self, shadow: Shadow, sample: Sample, candidate: End) -> None:
        """Has a chosen search sent in both forms. Called on the thread that compares."""
        with self._lock:
            found = self._chosen.pop(sample, None)
        if found is None or not sample.outputs or not candidate.outputs:
            return
        loop, resend = found
        try:
            loop.call_soon_threadsafe(self._start, shadow, resend, sample.outputs[0], candidate.outputs[0])
        except RuntimeError:
            log.debug("the loop has ended before a search could be sent again")

    def _start(self, shadow: Shadow, resend: Resend, stable: bytes, candidate: bytes) -> None:
        if self._closed:
            return
        if len(self._running) >= AT_ONCE:
            shadow.count_search(SearchCounts(missed=1))
            return
        task = asyncio.get_running_loop().create_task(self._send(shadow, resend, stable, candidate))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _send(self, shadow: Shadow, resend: Resend, stable: bytes, candidate: bytes) -> None:
        found = SearchCounts(failed=1)
        try:
            async with asyncio.timeout(SECONDS):
                answers = [await resend(stable), await resend(candidate)]
            if answers[0] is not None and answers[1] is not None:
                found = measured(answers[0], answers[1])
        except (HeadraceError, TimeoutError, OSError, msgspec.MsgspecError) as error:
            log.debug("a search could not be sent again: %s", type(error).__name__)
        except Exception:
            log.exception("a search could not be sent again")
        shadow.count_search(found)

    def close(self) -> None:
        """Ends the searches under way."""
        self._closed = True
        for task in self._running:
            task.cancel()


def measured(stable: bytes, candidate: bytes) -> SearchCounts:
    """The measures of two answers to one search. Raises MsgspecError for what is no response of a search."""
    ours, theirs = _RESPONSE.decode(stable).hits, _RESPONSE.decode(candidate).hits
    left, right = _keys(ours), _keys(theirs)
    return SearchCounts(
        compared=1,
        overlap=overlap(left, right),
        rbo=rank_biased_overlap(left, right),
        same_hits=int(left == right),
        same_total=int(_total(ours) == _total(theirs)),
        stable_total=_total(ours),
        candidate_total=_total(theirs),
    )


def _keys(hits: _Hits) -> list[tuple[str, str | None]]:
    """The first hits, each once."""
    return list(dict.fromkeys((hit.index, hit.id) for hit in hits.hits[:DEPTH]))


def _total(hits: _Hits) -> int:
    return hits.total.value if isinstance(hits.total, _Total) else hits.total or 0
