"""What a pipeline would change: counts by outcome, by path and by reason, and samples. Nothing is written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.backfill.spec import ItemResult, Sample, count_bounded
from headrace.protocol.media.differences import differences

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headrace.backfill.cluster.reading import Hit
    from headrace.protocol.indices.dead_letter_record import Fault
    from headrace_pipelines.local.outcomes import ActionState

_SIGNS = {"added": "+", "removed": "-", "changed": "~", "type": "~"}
MAX_TEXT = 2000
"""Characters of a document in a sample."""


def compare(
    result: ItemResult,
    hits: Sequence[Hit],
    states: Sequence[ActionState],
    after: Sequence[bytes | None],
    faults: Mapping[int, Fault],
) -> None:
    """Counts what becomes of documents. `after`: their new texts, `None` of those that are dropped or fail."""
    counts = result.counts
    for position, (hit, text) in enumerate(zip(hits, after, strict=True)):
        fault = faults.get(position)
        if fault is not None:
            result.add_sample(
                Sample(hit.name, "failed", _shown(hit.text), reason=f"{fault.type}: {fault.reason}"[:500])
            )
        elif text is None:
            result.add_sample(Sample(hit.name, "dropped", _shown(hit.text)))
        elif states[position] == "same" or not (paths := changed_paths(hit.text, text)):
            counts.same += 1
        else:
            counts.changed += 1
            for path in paths:
                count_bounded(result.paths, path)
            result.add_sample(Sample(hit.name, "changed", _shown(hit.text), _shown(text)))


def _shown(text: bytes) -> str:
    return text[: 4 * MAX_TEXT].decode(errors="replace")[:MAX_TEXT]


def changed_paths(before: bytes, after: bytes) -> list[str]:
    """The differences of two texts, such as `+ level` (added), `- host.ip` (removed), `~ tags[]` (changed).

    They are those of [`differences`], which shadows of versions count, too.
    """
    return [f"{_SIGNS[each.kind]} {each.path}" for each in differences(before, after)]
