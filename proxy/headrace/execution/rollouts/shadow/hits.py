"""The differences between two responses of searches: hits are compared by what they are, then by their order."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from headrace.protocol.media.differences import (
    UNREADABLE,
    Difference,
    Ignored,
    decoded_pair,
    differences,
    found_in,
    value_differences,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

HITS = "hits.hits[]"
"""The path of a hit that only one of two responses has."""
ORDER = "hits.hits"
"""The path of hits that are the same in another order."""


def response_differences(before: bytes, after: bytes, ignored: Ignored | None = None) -> set[Difference]:
    """The differences between two responses; hits that both have are compared with each other, wherever they stand."""
    try:
        old, new = decoded_pair(before, after)
        found = found_in(_of_responses(old, new), ignored)
    except UNREADABLE:
        return differences(before, after, ignored)
    return found


def _of_responses(old: Any, new: Any) -> Iterator[Difference]:
    ours, theirs = _popped_hits(old), _popped_hits(new)
    yield from value_differences(old, new)
    if ours is None or theirs is None:
        if ours is not theirs:
            yield Difference(ORDER, "removed" if theirs is None else "added")
        return
    by_key, others = _by_key(ours), _by_key(theirs)
    if any(key not in others for key in by_key):
        yield Difference(HITS, "removed")
    if any(key not in by_key for key in others):
        yield Difference(HITS, "added")
    for key, hit in by_key.items():
        if key in others:
            yield from value_differences(hit, others[key], HITS)
    if [key for key in by_key if key in others] != [key for key in others if key in by_key]:
        yield Difference(ORDER, "changed")


def _popped_hits(response: Any) -> list[Any] | None:
    """The hits of a response, taken out of it; `None` where there are none."""
    inner = response.get("hits") if isinstance(response, dict) else None
    if not isinstance(inner, dict) or not isinstance(inner.get("hits"), list):
        return None
    hits: list[Any] = inner.pop("hits")
    return hits


def _by_key(hits: list[Any]) -> dict[tuple[Any, ...], Any]:
    """Hits by index and id, and by their number among those that share these, as inner parts of a document may."""
    found: dict[tuple[Any, ...], Any] = {}
    counts: Counter[tuple[str, str]] = Counter()
    for hit in hits:
        key = (str(hit.get("_index")), str(hit.get("_id"))) if isinstance(hit, dict) else ("", "")
        found[*key, counts[key]] = hit
        counts[key] += 1
    return found
