"""The thread that compares: of low priority, for a part of its time, over a bounded queue."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from headrace.execution.rollouts.shadow.batching import Pace
from headrace.execution.rollouts.shadow.comparing import Comparer
from headrace.execution.taps.hub import step_back
from headrace_pipelines.errors import HeadraceError

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace.execution.rollouts.shadow.ends import End
    from headrace.execution.rollouts.shadow.shadow import Shadow
    from headrace.execution.taps.bounds import HeldBytes
    from headrace.execution.taps.samples import Sample
    from headrace_pipelines.udf.catalog import Catalog

log = logging.getLogger("headrace.rollout")

MAX_QUEUED = 10_000
"""Inputs that wait for their comparison, of all shadows of a process: some seconds of work."""
SHARE = 0.25
"""The part of the time of one core that the thread works: the rest it sleeps, after each input."""
GATHER_SECONDS = 0.05
"""Seconds between two looks at an empty queue: a thread that each request woke would take the GIL from it."""
IDLE_SECONDS = 30.0
"""Seconds without an input after which the thread ends, and its sandboxes with it."""


class Worker:
    """The queue and its thread. `compared` is called on the thread, after each comparison."""

    def __init__(self, catalog: Catalog, held: HeldBytes, compared: Callable[[Shadow, Sample, End], None]) -> None:
        self._catalog = catalog
        self._held = held
        self._compared = compared
        self._queue: deque[tuple[Shadow, Sample]] = deque()
        self._lock = threading.Lock()
        self._comparer: Comparer | None = None
        self._closed = False
        self.spent_ns = 0
        """Nanoseconds of the thread's work so far."""

    @property
    def left(self) -> int:
        """The inputs that have room."""
        return 0 if self._held.full else max(0, MAX_QUEUED - len(self._queue))

    def add(self, shadow: Shadow, samples: list[Sample]) -> None:
        """Queues inputs, as many as have room, and starts the thread."""
        room = 0 if self._closed else self.left
        for sample in samples[room:]:
            self._held.add(-sample.nbytes)
        if not (kept := samples[:room]):
            return
        with self._lock:
            shadow.waiting += len(kept)
            self._queue.extend((shadow, sample) for sample in kept)
            if self._comparer is None:
                self._comparer = Comparer(self._catalog)
                threading.Thread(target=self._run, args=(self._comparer,), name="headrace-shadow", daemon=True).start()

    def drop(self, shadow: Shadow) -> None:
        """Drops what waits for a shadow that is over."""
        with self._lock:
            dropped = [sample for owner, sample in self._queue if owner is shadow]
            self._queue = deque(each for each in self._queue if each[0] is not shadow)
            shadow.waiting -= len(dropped)
        self._held.add(-sum(sample.nbytes for sample in dropped))

    def close(self) -> None:
        """Ends the thread, and the run that it is at."""
        with self._lock:
            self._closed = True
            dropped, self._queue = self._queue, deque()
            if self._comparer is not None:
                self._comparer.cancel()
            for shadow, sample in dropped:
                shadow.waiting -= 1
                self._held.add(-sample.nbytes)

    def _run(self, comparer: Comparer) -> None:
        step_back()
        pace = Pace()
        while (found := self._next(pace.size)) is not None:
            started = time.perf_counter_ns()
            self._compare(comparer, *found)
            spent = time.perf_counter_ns() - started
            pace.note(len(found[1]), spent)
            self.spent_ns += spent
            self._rest(spent / 1e9 * (1 / SHARE - 1))

    def _next(self, count: int) -> tuple[Shadow, list[Sample]] | None:
        """The next inputs of one kind; `None`, and the thread is no longer the one, after a while without any."""
        end = time.monotonic() + IDLE_SECONDS
        while not self._queue and not self._closed and time.monotonic() < end:
            time.sleep(GATHER_SECONDS)
        with self._lock:
            if not self._queue:
                self._comparer = None
                return None
            shadow, first = self._queue.popleft()
            samples = [first]
            while self._queue and len(samples) < count:
                owner, sample = self._queue[0]
                if owner is not shadow or sample.options.final != first.options.final:
                    break
                samples.append(self._queue.popleft()[1])
            return shadow, samples

    def _rest(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while not self._closed and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, GATHER_SECONDS))

    def _compare(self, comparer: Comparer, shadow: Shadow, samples: list[Sample]) -> None:
        nbytes, found = sum(sample.nbytes for sample in samples), []
        try:
            found = comparer.compare(shadow, samples)
            shadow.count(judged for _, judged in found)
        except HeadraceError as error:
            log.debug("inputs of rollout %s cannot be compared: %s", shadow.record.key, error.reason)
        except Exception:
            log.exception("the shadow of rollout %s could not compare inputs", shadow.record.key)
        finally:
            with self._lock:
                shadow.waiting -= len(samples)
            self._held.add(-nbytes)
        if shadow.record.spec.execute:
            for sample, judged in found:
                self._compared(shadow, sample, judged.candidate)
