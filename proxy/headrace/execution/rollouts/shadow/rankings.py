"""Measures of two rankings: their overlap, and rank-biased overlap.

The latter is by W. Webber, A. Moffat and J. Zobel, "A similarity measure for indefinite rankings", ACM Transactions on
Information Systems 28 (4), 2010: the extrapolated form RBO_EXT of their section 4.3. A page with fewer hits than the
other one has none at the ranks that it lacks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

DEPTH = 10
"""Hits that are compared: the first page."""
PERSISTENCE = 0.9
"""The parameter p of rank-biased overlap: the first ten ranks have 86 % of the weight."""


def overlap(ours: Sequence[Hashable], theirs: Sequence[Hashable]) -> float:
    """The share of hits that both rankings have, of the longer one; 1 for two that are empty."""
    longest = max(len(ours), len(theirs))
    return len(set(ours) & set(theirs)) / longest if longest else 1.0


def rank_biased_overlap(
    ours: Sequence[Hashable], theirs: Sequence[Hashable], persistence: float = PERSISTENCE
) -> float:
    """The extrapolated rank-biased overlap of two rankings without repetitions, from 0 to 1; 1 for two empty ones."""
    depth = max(len(ours), len(theirs))
    if not depth:
        return 1.0
    left: set[Hashable] = set()
    right: set[Hashable] = set()
    total, agreement = 0.0, 0.0
    for rank in range(1, depth + 1):
        left.update(ours[rank - 1 : rank])
        right.update(theirs[rank - 1 : rank])
        agreement = len(left & right) / rank
        total += agreement * persistence**rank
    return (1 - persistence) / persistence * total + agreement * persistence**depth
