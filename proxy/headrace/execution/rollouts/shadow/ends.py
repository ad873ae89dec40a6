"""The ends of two runs over one input: what each made of it, and whether that is the same."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from headrace.execution.rollouts.shadow.hits import response_differences
from headrace.protocol.media.differences import (
    Difference,
    Ignored,
    differences,
    found_in,
)
from headrace_pipelines import PipelineType

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from headrace.execution.taps.samples import Sample
    from headrace_pipelines import Batch

State = Literal["kept", "dropped", "failed"]
Verdict = Literal[
    "same",
    "different",
    "only_stable_failed",
    "only_candidate_failed",
    "only_stable_dropped",
    "only_candidate_dropped",
    "unstable",
]
ERROR = "_error"
"""The path of two failures whose types differ."""
DOCUMENTS = "[]"
"""The path of documents that only one of two runs made of an input."""

Destination = tuple[str | None, str | None, str | None]
"""Index, id and routing."""
_METADATA = ("_index", "_id", "_routing")


@dataclass(frozen=True)
class End:
    """What a run made of one input: its outputs and where they go, or the type of its error."""

    state: State
    outputs: tuple[bytes, ...] = ()
    destinations: tuple[Destination, ...] = ()
    error: str = ""

    @classmethod
    def of_sample(cls, sample: Sample) -> End:
        """What became of a kept input."""
        if sample.failure is not None:
            return cls("failed", error=sample.failure[1])
        if not sample.outputs:
            return cls("dropped")
        return cls("kept", tuple(sample.outputs), tuple(sample.destinations))

    @classmethod
    def of_batch(cls, sample: Sample, batch: Batch) -> End:
        """What a run over a batch of one kept input made of it."""
        return cls.at(sample, batch, range(len(batch)))

    @classmethod
    def at(cls, sample: Sample, batch: Batch, positions: Iterable[int]) -> End:
        """What a run made of an input whose outputs are at these positions of a batch."""
        outputs: list[bytes] = []
        destinations: list[Destination] = []
        for at in positions:
            state, failure = batch.outcome(at)
            if failure is not None:
                return cls("failed", error=failure[1])
            if state != "dropped":
                outputs.append(batch.document(at))
                index, id_, routing = batch.metadata(at)
                destinations.append((index or sample.index, id_, routing))
        return cls("kept", tuple(outputs), tuple(destinations)) if outputs else cls("dropped")


@dataclass(frozen=True)
class Comparison:
    """A verdict, and where two ends differ that are otherwise alike."""

    verdict: Verdict
    found: set[Difference] = field(default_factory=set)


@dataclass(frozen=True)
class Judged:
    """One input: the comparison, and both ends."""

    comparison: Comparison
    stable: End
    candidate: End


def compared(kind: PipelineType, stable: End, candidate: End, ignored: Ignored | None = None) -> Comparison:
    """The end of the candidate against the one of stable. Two failures of one type are the same."""
    if "failed" in (stable.state, candidate.state):
        if stable.state != candidate.state:
            return Comparison("only_stable_failed" if stable.state == "failed" else "only_candidate_failed")
        if stable.error == candidate.error:
            return Comparison("same")
        return Comparison("different", {Difference(ERROR, "changed")})
    if stable.state != candidate.state:
        return Comparison("only_stable_dropped" if stable.state == "dropped" else "only_candidate_dropped")
    if stable.outputs == candidate.outputs and stable.destinations == candidate.destinations:
        return Comparison("same")
    found = found_in(_differences(kind, stable, candidate, ignored), ignored)
    return Comparison("different" if found else "same", found)


def _differences(kind: PipelineType, stable: End, candidate: End, ignored: Ignored | None) -> Iterator[Difference]:
    if len(stable.outputs) != len(candidate.outputs):
        yield Difference(DOCUMENTS, "removed" if len(stable.outputs) > len(candidate.outputs) else "added")
    for before, after in zip(stable.outputs, candidate.outputs, strict=False):
        if kind is PipelineType.RESULT:
            yield from response_differences(before, after, ignored)
        else:
            yield from differences(before, after, ignored)
    for ours, theirs in zip(stable.destinations, candidate.destinations, strict=False):
        for name, old, new in zip(_METADATA, ours, theirs, strict=True):
            if old != new:
                yield Difference(name, "added" if old is None else "removed" if new is None else "changed")
