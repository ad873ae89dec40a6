"""What the shadow of a rollout counts in one process, and the sum over several."""

from __future__ import annotations

from typing import Any

import msgspec

MAX_PATHS = 200
"""Paths, each with a kind, that are counted apart; differences at more of them are counted together."""
VERDICTS = (
    "same",
    "different",
    "only_stable_failed",
    "only_candidate_failed",
    "only_stable_dropped",
    "only_candidate_dropped",
    "unstable",
)
ALIKE = frozenset({"same", "unstable"})
"""Verdicts that are no difference between the two versions."""


class SearchCounts(msgspec.Struct):
    """Searches that were sent with the queries of both versions; sums of measures from 0 to 1 and of hits."""

    compared: int = 0
    failed: int = 0
    missed: int = 0
    overlap: float = 0.0
    rbo: float = 0.0
    same_hits: int = 0
    same_total: int = 0
    stable_total: int = 0
    candidate_total: int = 0

    def add(self, more: SearchCounts) -> None:
        """Adds the counts of another process."""
        for name in self.__struct_fields__:
            setattr(self, name, getattr(self, name) + getattr(more, name))

    @property
    def shown(self) -> dict[str, Any]:
        """As an answer shows them: means, with the number of searches that they are of."""
        count = self.compared
        means: dict[str, Any] = {}
        if count:
            means = {
                "overlap@10": round(self.overlap / count, 4),
                "rbo": round(self.rbo / count, 4),
                "same_hits": round(self.same_hits / count, 4),
                "same_total": round(self.same_total / count, 4),
                "total": {
                    "stable": round(self.stable_total / count, 2),
                    "candidate": round(self.candidate_total / count, 2),
                },
            }
        return {"n": count, "failed": self.failed, "missed": self.missed, **means}


class ShadowCounts(msgspec.Struct):
    """Inputs by what the comparison of both ends said; those of `seen` that are neither are missed or waiting.

    `failed`, `dropped`: those that the candidate failed on, or dropped, whatever stable did. `paths`: the inputs that
    differ at a path, by path and kind (`path|kind`); `more_paths`: differences at others.
    """

    type: str = ""
    name: str = ""
    stable: str = ""
    candidate: str = ""
    seen: int = 0
    waiting: int = 0
    failed: int = 0
    dropped: int = 0
    verdicts: dict[str, int] = {}
    paths: dict[str, int] = {}
    more_paths: int = 0
    searches: SearchCounts = msgspec.field(default_factory=SearchCounts)

    def count(self, verdict: str, state: str, found: list[tuple[str, str]]) -> None:
        """Counts one input: the verdict, the state in which the candidate ended, and where the ends differ."""
        self.failed += state == "failed"
        self.dropped += state == "dropped"
        self.verdicts[verdict] = self.verdicts.get(verdict, 0) + 1
        for path, kind in found:
            self._count_path(f"{path}|{kind}", 1)

    def _count_path(self, key: str, count: int) -> None:
        if key in self.paths or len(self.paths) < MAX_PATHS:
            self.paths[key] = self.paths.get(key, 0) + count
        else:
            self.more_paths += count

    def add(self, more: ShadowCounts) -> None:
        """Adds the counts of another process."""
        self.seen += more.seen
        self.waiting += more.waiting
        self.failed += more.failed
        self.dropped += more.dropped
        self.type, self.name = more.type, more.name
        self.stable, self.candidate = more.stable, more.candidate
        self.more_paths += more.more_paths
        for verdict, count in more.verdicts.items():
            self.verdicts[verdict] = self.verdicts.get(verdict, 0) + count
        for key, count in sorted(more.paths.items(), key=lambda item: -item[1]):
            self._count_path(key, count)
        self.searches.add(more.searches)

    def copy(self) -> ShadowCounts:
        """The counts now, which do not change any more."""
        return msgspec.msgpack.decode(msgspec.msgpack.encode(self), type=ShadowCounts)

    @property
    def compared(self) -> int:
        """Inputs that were compared."""
        return sum(self.verdicts.values())

    @property
    def differing(self) -> int:
        """Inputs whose two ends differ by what the versions do."""
        return sum(count for verdict, count in self.verdicts.items() if verdict not in ALIKE)

    @property
    def missed(self) -> int:
        """Inputs that are not compared: they were too many or too long, or their run ended early."""
        return max(0, self.seen - self.compared - self.waiting)

    @property
    def shown(self) -> dict[str, Any]:
        """As the rollout's answer shows them; the most frequent differences come first."""
        found = [(*_parts(key), count) for key, count in self.paths.items()]
        found.sort(key=lambda each: (-each[2], each[0], each[1]))
        return {
            **{verdict: self.verdicts.get(verdict, 0) for verdict in VERDICTS},
            "paths": [{"path": path, "kind": kind, "count": count} for path, kind, count in found],
            "more_paths": self.more_paths,
            "candidate_failed": self.failed,
            "candidate_dropped": self.dropped,
            "seen": self.seen,
            "missed": self.missed,
            "waiting": self.waiting,
            "sampled": round(self.compared / self.seen, 4) if self.seen else 0.0,
            "searches": self.searches.shown,
        }


def _parts(key: str) -> tuple[str, str]:
    path, _, kind = key.rpartition("|")
    return path, kind
