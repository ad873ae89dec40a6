"""One comparison: the candidate, and where its end differs stable once more, run on a kept input."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.execution.rollouts.shadow.ends import Comparison, End, Judged, compared
from headrace.execution.taps.rerun import SECONDS, Rerunner
from headrace_pipelines import Deadline

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

    def compare(self, shadow: Shadow, sample: Sample) -> Judged | None:
        """The comparison of an input; `None` for an input that cannot be compared.

        Raises HeadraceError where a version cannot be compiled any more.
        """
        if sample.text is None:
            return None
        stable = End.of_sample(sample)
        candidate = self._end(sample, shadow.candidate)
        found = compared(sample.kind, stable, candidate, shadow.ignored)
        for _ in range(STABLE_RUNS):
            if found.verdict in ("same", "unstable"):
                break
            again = self._end(sample, sample.pipeline)
            found = without(found, compared(sample.kind, stable, again, shadow.ignored))
        return None if self._over else Judged(found, stable, candidate)

    def _end(self, sample: Sample, pipeline: Pipeline) -> End:
        self._deadline = deadline = Deadline(SECONDS)
        if self._over:
            deadline.cancel()
        batch, _ = self._rerunner.ended(sample, pipeline, deadline)
        return End.of_batch(sample, batch)


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
