"""What a pipeline would change: counts by outcome, by path and by reason, and samples. Nothing is written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from headrace.backfill.spec import ItemResult, Sample, count_bounded

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from headrace.backfill.cluster.reading import Hit
    from headrace.protocol.indices.dead_letter_record import Fault
    from headrace_pipelines.local.outcomes import ActionState

MAX_DIFFERENCES = 100
"""Paths of one document that are counted."""
MAX_PATH = 256
"""Characters of a path: names of members may be data."""
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

    The order of members says nothing. An integer and a number with a fraction differ, as in mappings.
    """
    try:
        old, new = msgspec.json.decode(before), msgspec.json.decode(after)
    except (msgspec.DecodeError, RecursionError):
        return ["~ "]
    found: dict[str, None] = {}
    for difference in _differences(old, new):
        found[difference] = None
        if len(found) == MAX_DIFFERENCES:
            break
    return list(found)


def _differences(before: Any, after: Any) -> Iterator[str]:
    waiting: list[tuple[Any, Any, str]] = [(before, after, "")]
    while waiting:
        old, new, path = waiting.pop()
        if type(old) is not type(new):
            yield f"~ {path}"
        elif isinstance(old, dict):
            for name in old.keys() - new.keys():
                yield f"- {_below(path, name)}"
            for name, value in new.items():
                if name in old:
                    waiting.append((old[name], value, _below(path, name)))
                else:
                    yield f"+ {_below(path, name)}"
        elif isinstance(old, list):
            inner = f"{path}[]"[:MAX_PATH]
            waiting += [(left, right, inner) for left, right in zip(old, new, strict=False)]
            if len(old) != len(new):
                yield f"{'-' if len(old) > len(new) else '+'} {inner}"
        elif old != new:
            yield f"~ {path}"


def _below(path: str, name: str) -> str:
    return (f"{path}.{name}" if path else name)[:MAX_PATH]
