"""Observers of pipeline runs: what traces and taps see of the work that a request causes.

An observer changes nothing and never waits; the fault of one is logged, and neither the request nor the observers
beside it know of it. A request without observers pays one comparison for each run.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ParamSpec, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from headrace.ops.runner import Runner
    from headrace_pipelines import Batch, Execution, RunOptions
    from headrace_pipelines.registry import Pipeline

P = ParamSpec("P")
T = TypeVar("T")

log = logging.getLogger("headrace.observers")


@dataclass(frozen=True, slots=True)
class RunOrigin:
    """What a run of a search is about (`RunOptions.origin`).

    `expression`: its indexes as the request names them, empty where it does not; `indexes`: those that the search plan
    resolved, where it did. `came`: the text before the first pipeline; `derived`: whether a pipeline has run on it.
    """

    expression: str
    indexes: tuple[str, ...]
    came: bytes
    derived: bool


class RunObservation(Protocol):
    """One run of a pipeline, seen by one observer."""

    def read(self, batch: Batch) -> None:
        """Sees the batch after the run, before it is merged into the request. Called on the thread of the run."""
        ...

    def finish(self, execution: Execution | None) -> None:
        """The run has ended; `None`: by an exception, or because the request was cancelled. Called on the loop."""
        ...


class RunObserver(Protocol):
    """Observes the runs of one request."""

    def skip(self, pipeline: Pipeline, documents: int, make: Callable[[], Batch]) -> None:
        """No document of a batch, which `make` gives, meets a condition of the pipeline: there is no run."""
        ...

    def start(
        self, pipeline: Pipeline, batch: Batch, again: Callable[[], Batch], options: RunOptions
    ) -> RunObservation | None:
        """A run is about to start over `batch`; `None`: this run is not observed. Called on the loop.

        `again` makes the same batch once more, until [`RunObservation.read`] has returned.
        """
        ...


async def run_observed(
    runner: Runner,
    observers: tuple[RunObserver, ...],
    pipeline: Pipeline,
    batch: Batch,
    again: Callable[[], Batch],
    options: RunOptions,
    then: Callable[[Batch], object] | None = None,
) -> Execution:
    """[`Runner.run`] under observers; where one of them observes it, the report has the times of the stages."""
    started = [guarded(observer.start, pipeline, batch, again, options) for observer in observers]
    observations = [observation for observation in started if observation is not None]
    if not observations:
        return await runner.run(pipeline, batch, again, options, then)
    options = replace(options, timed=True)

    def ended(done: Batch) -> None:
        for observation in observations:
            guarded(observation.read, done)
        if then is not None:
            then(done)

    execution: Execution | None = None
    try:
        execution = await runner.run(pipeline, batch, again, options, ended)
    finally:
        for observation in observations:
            guarded(observation.finish, execution)
    return execution


def skip_observed(
    observers: Iterable[RunObserver], pipeline: Pipeline, documents: int, make: Callable[[], Batch]
) -> None:
    """Tells all observers of a batch that needs no run."""
    for observer in observers:
        guarded(observer.skip, pipeline, documents, make)


def guarded(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
    """What an observer returns; `None` where it fails, which is logged: what it observes goes on."""
    try:
        return call(*args, **kwargs)
    except Exception:
        log.exception("an observer of pipelines failed")
        return None
