"""How fast a worker goes: at most at its rate, and slower while searches of the cluster are slow."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from headrace.backfill.cluster.link import Link
    from headrace.backfill.spec import JobSpec

PROBE_SECONDS = 0.5
"""Seconds between two probes of a worker, at least: their load must not show."""
SHORTEST, LONGEST = 0.05, 10.0
"""Seconds of the first wait for a cluster that is slow, and of the longest one."""
SHARE = 99
"""Probes in time that undo a slow one: the wait settles where one of a hundred is slow, the 99th percentile."""
RECOVERY = 0.8
"""What a wait shrinks by with each probe in time, once a hundred in a row have been."""
PROBE = {"size": 1, "sort": ["_doc"], "_source": False, "track_total_hits": False}
"""A search that costs next to nothing, on each shard: it is slow where others wait."""


class Latency:
    """A wait after each page, which holds the 99th percentile of the time of searches at a limit.

    A slow probe doubles the wait; one in time makes it shorter by the 99th root of two.
    """

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._in_time = 0
        self._probed = -PROBE_SECONDS
        self.delay = 0.0

    @classmethod
    def shared(cls, job: JobSpec) -> Latency:
        """That of this thread for a job: the wait goes on from item to item."""
        held: tuple[str, Latency] | None = getattr(_HELD, "latency", None)
        if held is None or held[0] != job.job:
            held = _HELD.latency = (job.job, cls(job.latency))
        return held[1]

    def learn(self, milliseconds: float) -> None:
        """Adapts the wait to the time that a search has needed."""
        if milliseconds > self._limit:
            self._in_time = 0
            self.delay = min(LONGEST, max(SHORTEST, 2 * self.delay))
            return
        self._in_time += 1
        self.delay *= RECOVERY if self._in_time > SHARE else 2 ** (-1 / SHARE)
        if self.delay < SHORTEST / 4:
            self.delay = 0.0

    def wait(self, link: Link, index: str) -> float:
        """Probes the index, at most so often, and waits; gives the seconds. Raises ClientError, UnreachableError."""
        slept = 0.0
        while True:
            if time.monotonic() - self._probed >= PROBE_SECONDS:
                self._probe(link, index)
            left = self.delay - slept
            if left <= 0:
                return slept
            # In a long wait, too, the cluster is asked: it may have recovered.
            seconds = min(left, PROBE_SECONDS)
            time.sleep(seconds)
            slept += seconds

    def _probe(self, link: Link, index: str) -> None:
        params = {"request_cache": "false", "filter_path": "took"}
        found = link.json("POST", f"/{quote(index, safe='*,-_.')}/_search", params, PROBE)
        self._probed = time.monotonic()
        self.learn(float(found["took"]))


class Pace:
    """The pace of an item. `slept`: seconds of waiting."""

    def __init__(self, job: JobSpec, link: Link, index: str) -> None:
        self._rate = job.rate
        self._link = link
        self._index = index
        # A diff of files asks the cluster for nothing.
        self._latency = Latency.shared(job) if job.latency and index else None
        self._started = time.monotonic()
        self._documents = 0
        self.slept = 0.0

    def after(self, documents: int) -> None:
        """Waits after a page of so many documents. Raises ClientError, UnreachableError."""
        self._documents += documents
        if self._latency is not None:
            self.slept += self._latency.wait(self._link, self._index)
        ahead = self._documents / self._rate - (time.monotonic() - self._started) if self._rate else 0.0
        if ahead > 0:
            time.sleep(ahead)
            self.slept += ahead


_HELD = threading.local()
