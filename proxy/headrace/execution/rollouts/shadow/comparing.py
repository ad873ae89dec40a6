"""Comparisons: the candidate, and where its end differs stable once more, run on kept inputs."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from headrace.execution.rollouts.shadow.batching import batch_of, ends_of, fits
from headrace.execution.rollouts.shadow.ends import Comparison, End, Judged, compared
from headrace.execution.taps.rerun import SECONDS, Rerunner
from headrace_pipelines import BulkError, Deadline

if TYPE_CHECKING:
    from headrace.execution.rollouts.shadow.shadow import Shadow
    from headrace.execution.taps.samples import Sample
    from headrace_pipelines.registry import Pipeline
    from headrace_pipelines.udf.catalog import Catalog

STABLE_RUNS = 2
"""Runs of stable over an input that differs: one that depends on chance may be the same once."""


class Comparer:
    """Compares with sandboxes of its own; used by one thread, and ended by [`cancel`] from any."""

    def __init__(self, catalog: Catalog) -> None:
        self._rerunner = Rerunner(catalog)
        self._deadline = Deadline(SECONDS)
        self._over = False

    def cancel(self) -> None:
        """Ends the run under way, and those to come at once."""
        self._over = True
        self._deadline.cancel()

    def compare(self, shadow: Shadow, samples: list[Sample]) -> list[tuple[Sample, Judged]]:
        """The comparisons of inputs; those that cannot be compared are left out.

        Raises HeadraceError where a version cannot be compiled any more.
        """
        found: list[tuple[Sample, Judged]] = []
        for sample, candidate in self._ends(shadow, [sample for sample in samples if sample.text is not None]):
            stable = End.of_sample(sample)
            comparison = compared(sample.kind, stable, candidate, shadow.ignored)
            for _ in range(STABLE_RUNS):
                if comparison.verdict in ("same", "unstable"):
                    break
                again = self._end(sample, sample.pipeline)
                comparison = without(comparison, compared(sample.kind, stable, again, shadow.ignored))
            if self._over:
                break
            found.append((sample, Judged(comparison, stable, candidate)))
        return found

    def _ends(self, shadow: Shadow, samples: list[Sample]) -> list[tuple[Sample, End]]:
        """The ends of the candidate: in one batch where all fit and have time, else one by one."""
        if len(samples) > 1 and all(map(fits, samples)):
            with contextlib.suppress(BulkError):
                batch, deadline = batch_of(samples), self._deadline_now()
                self._rerunner.execute(samples[0], shadow.candidate, batch, deadline)
                if not deadline.over:
                    return list(zip(samples, ends_of(samples, batch), strict=True))
        return [(sample, self._end(sample, shadow.candidate)) for sample in samples]

    def _end(self, sample: Sample, pipeline: Pipeline) -> End:
        batch, _ = self._rerunner.ended(sample, pipeline, self._deadline_now())
        return End.of_batch(sample, batch)

    def _deadline_now(self) -> Deadline:
        self._deadline = deadline = Deadline(SECONDS)
        if self._over:
            deadline.cancel()
        return deadline


def without(found: Comparison, own: Comparison) -> Comparison:
    """A comparison without what stable does not do alike twice: the candidate is not blamed for that."""
    if own.verdict == "same":
        return found
    if own.verdict != "different":
        return Comparison("unstable")
    if found.verdict != "different":
        return found
    paths = {each.path for each in own.found}
    left = {each for each in found.found if each.path not in paths}
    return Comparison("different", left) if left else Comparison("unstable")
