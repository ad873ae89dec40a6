"""A window: what the two versions of a rollout did beside each other, and whether the candidate exceeds a limit."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace_pipelines.registry.rollouts.record import AbortLimits

MAX_TIMES = 5000
"""Maximum number of times that a side of a window keeps, the newest ones: 40 KB, and a percentile to 0.5 %."""
MIN_RUNS = 20
"""Runs of each version below which times say nothing."""
DEVIATIONS = 3.0
"""Standard deviations by which a rank may be off by chance: one window of 700 is further off in one direction."""
QUANTILES = (0.99, 0.5)
"""What is compared of times: a version that is slower throughout shows at the median, whatever the noise at the end."""


@dataclass
class Side:
    """What one version did: documents (searches count as one), failed and dropped ones, times per document in ns."""

    documents: int = 0
    failures: int = 0
    dropped: int = 0
    times: deque[float] = field(default_factory=lambda: deque(maxlen=MAX_TIMES))

    def add(self, documents: int, failures: int, dropped: int, duration_ns: int | None) -> None:
        """Adds a run; `duration_ns`: `None` for one whose time is not compared."""
        self.documents += documents
        self.failures += failures
        self.dropped += dropped
        if duration_ns is not None and documents:
            self.times.append(duration_ns / documents)

    def rate(self, count: int) -> float:
        """A count as a share of the documents."""
        return count / self.documents if self.documents else 0.0


@dataclass
class Window:
    """Both versions since a moment, and how many documents were compared (shadow)."""

    candidate: Side = field(default_factory=Side)
    stable: Side = field(default_factory=Side)
    same: int = 0
    different: int = 0

    def following(self) -> Window:
        """The next window: it counts anew, and keeps the newest times, of which it takes many to judge their end."""
        return Window(Side(times=self.candidate.times), Side(times=self.stable.times))

    def add_compared(self, same: int, different: int) -> None:
        """Adds documents whose ends were compared."""
        self.same += same
        self.different += different

    def is_judged(self, min_samples: int) -> bool:
        """Whether the window has enough of the candidate to be judged; else it goes on."""
        return max(self.candidate.documents, self.same + self.different) >= min_samples

    def excess(self, limits: AbortLimits, min_samples: int) -> tuple[str, str] | None:
        """The limit that the candidate exceeds, and that in words; `None` for none."""
        candidate, stable = self.candidate, self.stable
        if candidate.documents >= min_samples:
            for limit, what, count, beside in (
                ("error_rate", "failed", candidate.failures, stable.rate(stable.failures)),
                ("dropped_rate", "were dropped", candidate.dropped, stable.rate(stable.dropped)),
            ):
                most, rate = getattr(limits, limit), candidate.rate(count)
                if most is not None and rate > most:
                    of = f"{count} of {candidate.documents} documents {what}"
                    rates = f"{rate:.2%}; in the stable version {beside:.2%}"
                    return limit, f"{of} ({rates}), more than {limit} {most}"
        compared = self.same + self.different
        if limits.diff_rate is not None and compared >= min_samples and self.different > limits.diff_rate * compared:
            share = self.different / compared
            of = f"{self.different} of {compared} documents differ ({share:.2%})"
            return "diff_rate", f"{of}, more than diff_rate {limits.diff_rate}"
        return self._slower(limits.p99_ratio, min_samples)

    def _slower(self, most: float | None, min_samples: int) -> tuple[str, str] | None:
        if most is None or min(self.candidate.documents, self.stable.documents) < min_samples:
            return None
        found = slower(self.candidate.times, self.stable.times)
        if found is None or found[1] <= most:
            return None
        quantile, ratio = found
        name = "the median" if quantile == 0.5 else f"percentile {quantile:.0%}".rstrip("%")
        reason = f"a document takes at least {ratio:.2f} times as long as in the stable version at {name}"
        return "p99_ratio", f"{reason}, more than p99_ratio {most:g}"


def slower(candidate: Sequence[float], stable: Sequence[float]) -> tuple[float, float] | None:
    """By how much the candidate is surely slower: the quantile where that shows most, and the ratio of times.

    Of each quantile the least that the candidate's may be, and the most that the stable one's may be, by chance; with
    fewer than 900 times the most of the 99th percentile cannot be told, and the median alone is compared. `None` with
    fewer than `MIN_RUNS` times.
    """
    if min(len(candidate), len(stable)) < MIN_RUNS:
        return None
    ours, theirs = sorted(candidate), sorted(stable)
    ratios = [
        (ours[least] / max(theirs[most], 1.0), quantile)
        for quantile in QUANTILES
        if (least := max(_rank(len(ours), quantile, -DEVIATIONS), 0)) < len(ours)
        if (most := _rank(len(theirs), quantile, DEVIATIONS)) < len(theirs)
    ]
    ratio, quantile = max(ratios)
    return quantile, ratio


def _rank(count: int, quantile: float, deviations: float) -> int:
    """The position of a quantile in sorted values, so many standard deviations further on; it may be none of them."""
    return int(quantile * count + deviations * math.sqrt(count * quantile * (1 - quantile)))
