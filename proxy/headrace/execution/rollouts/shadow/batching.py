"""Kept documents as one batch: they run without the GIL, all in one call."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from headrace.execution.rollouts.shadow.ends import End
from headrace_pipelines import Batch, Bulk, PipelineType

if TYPE_CHECKING:
    from headrace.execution.taps.samples import Sample

MAX_BATCH = 32
"""Inputs of one batch: what Python does for them holds the GIL for some hundred microseconds."""
TARGET_NS = 5_000_000
"""Nanoseconds that a batch should take: slow candidates run over few inputs at a time."""


def fits(sample: Sample) -> bool:
    """Whether an input can be a part of a batch: a document that is a line of its own, without a context."""
    text = sample.text
    return (
        sample.kind is PipelineType.DOCUMENT
        and text is not None
        and sample.context is None
        and b"\n" not in text
        and b"\r" not in text
    )


def batch_of(samples: list[Sample]) -> Batch:
    """A batch of documents that fit, in their order. Raises BulkError for one that is no object."""
    lines: list[bytes] = []
    for sample in samples:
        facts = {"_index": sample.index, "_id": sample.id, "routing": sample.routing}
        action = {name: value for name, value in facts.items() if value is not None}
        lines += (msgspec.json.encode({"index": action}), sample.text or b"{}")
    bulk = Bulk(b"\n".join([*lines, b""]))
    return bulk.batch(list(range(len(bulk.targets()))))


def ends_of(samples: list[Sample], batch: Batch) -> list[End]:
    """What a run over [`batch_of`] these made of each."""
    if len(batch) == len(samples):
        return [End.at(sample, batch, (at,)) for at, sample in enumerate(samples)]
    positions: dict[int, list[int]] = {}
    for at in range(len(batch)):
        positions.setdefault(batch.slot(at), []).append(at)
    return [End.at(sample, batch, positions.get(slot, ())) for slot, sample in enumerate(samples)]


class Pace:
    """How many inputs a batch has, by the time that the ones before took."""

    def __init__(self) -> None:
        self._size = 1

    @property
    def size(self) -> int:
        """The inputs of the next batch."""
        return self._size

    def note(self, count: int, spent_ns: int) -> None:
        """Takes in a batch: a slow one makes the next one small, fast ones let it grow twofold."""
        fitting = TARGET_NS * count // max(spent_ns, 1)
        self._size = max(1, min(fitting, 2 * self._size, MAX_BATCH))
