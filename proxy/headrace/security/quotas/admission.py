"""Buckets of quotas, and what one request has of them."""

from __future__ import annotations

import hashlib
import math
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from headrace.security.quotas.rules import MAX_KEY, MAX_QUOTAS, UNITS
from headrace_pipelines import units
from headrace_pipelines.engine import SharedBuckets
from headrace_pipelines.errors import HeadraceError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from headrace.security.quotas.rules import Limit, Operation, Quota, Rate
    from headrace_pipelines.http1 import RequestHead

NANOSECONDS = 1e9
MAX_COST = 2**62
"""Nanoseconds of the largest charge: a bulk of any size against the lowest rate."""
MAX_KEYS = 1000
"""Keys with refusals that a process keeps by name; those of further ones are counted in their quota alone."""
UNAUTHORIZED = 401
"""The status by which the cluster says that a request was not its user's."""
OPERATIONS: dict[str, Operation] = {
    **dict.fromkeys(("bulk", "document", "by_query"), "write"),
    **dict.fromkeys(("search", "msearch", "scroll", "query_only", "asynchronous"), "search"),
}
"""What a request is, by the surface of its route; all others are `other`."""


class QuotaError(HeadraceError):
    """A request over a quota. `retry_after`: seconds until it may be sent again, at least 1."""

    status = 429
    type = "rejected_execution_exception"

    def __init__(self, reason: str, retry_after: int) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class Refusal(NamedTuple):
    """A limit that was met: `wait` in nanoseconds."""

    quota: Quota
    limit: Limit
    key: str
    wait: int

    @property
    def seconds(self) -> int:
        """Whole seconds for `Retry-After` (RFC 9110, section 10.2.3), at least 1."""
        return max(1, math.ceil(self.wait / NANOSECONDS))

    @property
    def error(self) -> QuotaError:
        """The answer."""
        quota, seconds = self.quota, self.seconds
        what = quota.per.partition(":")[2] or quota.per
        whose = f" of {what} [{self.key[:MAX_KEY]}]" if quota.per else ""
        limit = f"{quota.limits[self.limit]:g} {UNITS[self.limit]}"
        reason = f"quota [{quota.name}]{whose} is used up: {limit}; send it again in {seconds} s"
        return QuotaError(reason, seconds)


class Quotas:
    """The quotas of a proxy, their buckets, and what this process has refused."""

    def __init__(self, rules: tuple[Quota, ...], buckets: SharedBuckets) -> None:
        self.buckets = buckets
        self.refused: dict[str, int] = {}
        """Refusals by `quota|limit`."""
        self.refused_keys: dict[str, int] = {}
        """Refusals by `quota|key`, of the first [`MAX_KEYS`]."""
        self.adopt(rules)

    @classmethod
    def shared(cls, rules: tuple[Quota, ...], workers: int, worker: tuple[int, Path] | None) -> Quotas:
        """Quotas whose buckets all workers share. Raises OSError."""
        if worker is None:
            return cls(rules, SharedBuckets())
        number, folder = worker
        return cls(rules, SharedBuckets(folder / "quotas", workers=workers, worker=number % workers))

    def adopt(self, rules: tuple[Quota, ...]) -> None:
        """Puts other quotas in force; buckets of quotas that keep their names stay as full as they are."""
        self.rules = rules
        for rule in rules:
            for limit in rule.limits:
                self.refused.setdefault(f"{rule.name}|{limit}", 0)

    def concerning(self, head: RequestHead, operation: Operation) -> list[Quota]:
        """The quotas in which a request may count."""
        return [rule for rule in self.rules if rule.concerns(head, operation)]

    def admit_at_once(self, head: RequestHead, surface: str) -> Admission | None:
        """The admission of a request that passes unread; `None` where it is refused, or more has to be read."""
        operation = OPERATIONS.get(surface, "other")
        concerning = self.concerning(head, operation)
        admission = Admission(self)
        if any(q.follows_indexes or (operation == "write" and q.documents_per_second) for q in concerning):
            return None
        searches: Mapping[Rate, int] = {"searches_per_second": int(operation == "search")}
        for quota in concerning:
            if admission.enter(quota, quota.key(head), searches) is not None:
                # The handler refuses it, with an answer of its own.
                admission.cancel()
                return None
        return admission

    def counts(self) -> tuple[dict[str, int], dict[str, int]]:
        """Refusals by `quota|limit`, and by `quota|key`, on any thread."""
        return self.refused.copy(), self.refused_keys.copy()

    def count(self, refusal: Refusal, times: int = 1) -> None:
        """Counts a refusal."""
        for counts, key, bounded in (
            (self.refused, f"{refusal.quota.name}|{refusal.limit}", False),
            (self.refused_keys, f"{refusal.quota.name}|{refusal.key[:MAX_KEY]}", True),
        ):
            if key in counts or not bounded or len(counts) < MAX_KEYS:
                counts[key] = counts.get(key, 0) + times


class Admission:
    """What a request has charged, and where it is in progress."""

    __slots__ = ("_charged", "_quotas", "_slots")

    def __init__(self, quotas: Quotas) -> None:
        self._quotas = quotas
        self._charged: list[tuple[int, int]] = []
        self._slots: list[int] = []

    def enter(self, quota: Quota, key: str, counts: Mapping[Rate, int]) -> Refusal | None:
        """Counts one request more in progress, one request, and what else it is; the limit that it meets, if any."""
        if (most := quota.concurrent_requests) is not None:
            slot = self._quotas.buckets.enter(bucket_of(quota, "concurrent_requests", key), most)
            if slot is None:
                return Refusal(quota, "concurrent_requests", key, int(NANOSECONDS))
            self._slots.append(slot)
        refusal = self.charge(quota, "requests_per_second", key, 1)
        for limit, count in counts.items():
            refusal = refusal or self.charge(quota, limit, key, count)
        return refusal

    def charge(self, quota: Quota, limit: Rate, key: str, count: int) -> Refusal | None:
        """Charges a bucket that has anything left; `None` where there is no such limit, too."""
        rate: float | None = getattr(quota, limit)
        if rate is None or count == 0:
            return None
        unit = int(NANOSECONDS / rate)
        bucket, cost = bucket_of(quota, limit, key), min(int(count * NANOSECONDS / rate), MAX_COST)
        wait = self._quotas.buckets.charge(bucket, cost, unit, max(capacity_of(quota.burst), unit))
        if wait:
            return Refusal(quota, limit, key, wait)
        self._charged.append((bucket, cost))
        return None

    def end(self, status: int) -> None:
        """The request is over. Who only claimed to be a user has used nothing of that user's."""
        if status == UNAUTHORIZED:
            self.cancel()
        else:
            self._leave()

    def cancel(self) -> None:
        """Puts everything back."""
        for bucket, cost in self._charged:
            self._quotas.buckets.refund(bucket, cost)
        self._charged.clear()
        self._leave()

    def _leave(self) -> None:
        """The request is no longer in progress."""
        for slot in self._slots:
            self._quotas.buckets.leave(slot)
        self._slots.clear()


@lru_cache(maxsize=MAX_QUOTAS)
def capacity_of(burst: str) -> int:
    """The capacity of the buckets of a quota in nanoseconds."""
    return int(units.seconds(burst, "burst") * NANOSECONDS)


def bucket_of(quota: Quota, limit: Limit, key: str) -> int:
    """The number of a bucket: 64 bits of a hash, the same in every process."""
    text = f"{quota.name}\0{limit}\0{key}".encode(errors="surrogateescape")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") | 1
