"""Measures of two rankings: their overlap, and rank-biased overlap.

The latter is by W. Webber, A. Moffat and J. Zobel, "A similarity measure for indefinite rankings", ACM Transactions on
Information Systems 28 (4), 2010: the extrapolated form for lists of different lengths, their equation 32.
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
    short, long = sorted((ours, theirs), key=len)
    s, n = len(short), len(long)
    if not s:
        return 0.0 if n else 1.0
    p = persistence
    seen_short: set[Hashable] = set()
    seen_long: set[Hashable] = set()
    total, common, common_short = 0.0, 0, 0
    for depth in range(1, n + 1):
        seen_long.add(long[depth - 1])
        if depth <= s:
            seen_short.add(short[depth - 1])
        common = len(seen_short & seen_long)
        if depth == s:
            common_short = common
        total += common / depth * p**depth
        if depth > s:
            total += common_short * (depth - s) / (s * depth) * p**depth
    return (1 - p) / p * total + ((common - common_short) / n + common_short / s) * p**n
