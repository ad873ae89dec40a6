"""The quotas of an operator, out of a YAML file (docs/howto/share-a-cluster.md)."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from headrace.protocol.headers.credentials import identity_of
from headrace_pipelines import units
from headrace_pipelines.engine import json_from
from headrace_pipelines.errors import InvalidError
from headrace_pipelines.errors.validation import explained

if TYPE_CHECKING:
    from headrace_pipelines.http1 import RequestHead

MAX_BYTES = 1 << 20
"""Bytes of the longest file of quotas."""
MAX_QUOTAS = 100
"""Maximum of quotas: each request is compared with all of them."""
MIN_RATE = 1e-6
"""Minimum of a rate per second, about thirty a year: a bucket has 64 bits for nanoseconds."""
MAX_RATE = 1e9
"""Maximum of a rate per second: a bucket counts nanoseconds."""
MAX_KEY = 200
"""Characters of a key in errors and answers: clients choose headers and users."""
NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
HEADER = re.compile(r"header:([!#$%&'*+.^_`|~0-9A-Za-z-]{1,100})")
"""`per` by a header: a field name of RFC 9110, section 5.1."""
SECRET_HEADERS = frozenset({"authorization", "proxy-authorization", "cookie"})
"""Fields whose values are credentials: keys are shown in errors and answers."""

Operation = Literal["search", "write", "other"]
Limit = Literal["documents_per_second", "searches_per_second", "requests_per_second", "concurrent_requests"]
Rate = Literal["documents_per_second", "searches_per_second", "requests_per_second"]
UNITS: dict[str, str] = {
    "documents_per_second": "documents a second",
    "searches_per_second": "searches a second",
    "requests_per_second": "requests a second",
    "concurrent_requests": "requests at once",
}
"""The limits, in the words of errors."""


class QuotaMatch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The requests that a quota is about: those that meet everything that is said. `*` stands for any characters."""

    users: tuple[str, ...] = ()
    indexes: tuple[str, ...] = ()
    headers: dict[str, str] = {}
    operations: tuple[Operation, ...] = ()


class Quota(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One quota. `per`: each value of it has a bucket of its own; empty: all requests share one."""

    name: str
    match: QuotaMatch = QuotaMatch()
    per: str = ""
    documents_per_second: float | None = None
    searches_per_second: float | None = None
    requests_per_second: float | None = None
    concurrent_requests: int | None = None
    burst: str = "1s"

    @property
    def follows_indexes(self) -> bool:
        """Whether the indexes of a request say whether, or as what, it counts."""
        return self.per == "index" or bool(self.match.indexes)

    @property
    def limits(self) -> dict[Limit, float]:
        """The limits that are set."""
        found: dict[Limit, float | None] = {
            "documents_per_second": self.documents_per_second,
            "searches_per_second": self.searches_per_second,
            "requests_per_second": self.requests_per_second,
            "concurrent_requests": self.concurrent_requests,
        }
        return {name: limit for name, limit in found.items() if limit is not None}

    def concerns(self, head: RequestHead, operation: Operation) -> bool:
        """Whether a request may count, whatever its indexes are."""
        match = self.match
        if match.operations and operation not in match.operations:
            return False
        if match.users and not _fits(requester_of(head), match.users):
            return False
        return all(_fits(header_of(head, name), (pattern,)) for name, pattern in match.headers.items())

    def matches_index(self, name: str) -> bool:
        """Whether a request to this index counts."""
        return not self.match.indexes or _fits(name, self.match.indexes)

    def key(self, head: RequestHead) -> str:
        """The value of `per` of a request; empty where all share one bucket, or by index."""
        if self.per == "user":
            return requester_of(head)
        named = HEADER.fullmatch(self.per)
        return header_of(head, named[1]) if named else ""


class _File(msgspec.Struct, forbid_unknown_fields=True):
    quotas: list[Quota]


def requester_of(head: RequestHead) -> str:
    """The user that a request claims to be; only the cluster knows whether it is."""
    return identity_of((head.header(b"authorization") or b"").decode("latin-1"))


def header_of(head: RequestHead, name: str) -> str:
    """The value of a header; of several lines all, as RFC 9110 joins them (section 5.3)."""
    wanted = name.lower().encode("latin-1")
    found = [value for field, value in head.raw_headers if field.lower() == wanted]
    return b", ".join(found).decode("latin-1")


def _fits(text: str, patterns: tuple[str, ...]) -> bool:
    return bool(text) and any(
        fnmatchcase(text, pattern.replace("[", "[[]").replace("?", "[?]")) for pattern in patterns
    )


def read_quotas(path: str) -> tuple[Quota, ...]:
    """The quotas of a file; none without a file. Raises InvalidError that names the file and the field."""
    if not path:
        return ()
    try:
        with Path(path).open("rb") as file:
            text = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InvalidError(f"cannot read {path}: {error.strerror}", "quotas") from None
    if len(text) > MAX_BYTES:
        raise InvalidError(f"{path} has more than {MAX_BYTES} bytes", "quotas")
    try:
        value = json_from("yaml", text, MAX_BYTES, strict=True)
    except ValueError as error:
        raise InvalidError(f"{path} is not YAML: {error}", "quotas") from None
    try:
        found = msgspec.json.decode(value, type=_File).quotas
    except msgspec.ValidationError as error:
        raise InvalidError(f"{path}: {explained(error, _File, value).reason}", "quotas") from None
    for number, quota in enumerate(found):
        _check(quota, f"{path}: quotas[{number}]")
    _check_names(path, found)
    return tuple(found)


def _check_names(path: str, quotas: list[Quota]) -> None:
    names = [quota.name for quota in quotas]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InvalidError(f"{path}: two quotas are called [{twice[0]}]", "quotas")
    if len(quotas) > MAX_QUOTAS:
        raise InvalidError(f"{path}: has {len(quotas)} quotas, the limit is {MAX_QUOTAS}", "quotas")


def _check(quota: Quota, where: str) -> None:
    def wrong(field: str, reason: str) -> InvalidError:
        return InvalidError(f"{where}.{field}: {reason}", "quotas")

    if not NAME.fullmatch(quota.name):
        raise wrong("name", f"[{quota.name[:100]}] must be small letters, digits, dots, dashes and underscores")
    if quota.per not in ("", "user", "index") and not HEADER.fullmatch(quota.per):
        raise wrong("per", f"[{quota.per[:100]}] must be user, index or header:NAME")
    if quota.per.removeprefix("header:").lower() in SECRET_HEADERS:
        raise wrong("per", f"[{quota.per}] has credentials, and keys are shown: write [user]")
    if not quota.limits:
        raise wrong("name", f"[{quota.name}] has no limit: set one of {', '.join(UNITS)}")
    for name, limit in quota.limits.items():
        if not MIN_RATE <= limit <= MAX_RATE:
            raise wrong(name, f"must be more than 0, at least {MIN_RATE:g} and at most {MAX_RATE:.0f}")
    for pattern in quota.match.indexes:
        if pattern.startswith(("-", "+", "<")) or "," in pattern:
            raise wrong("match.indexes", f"[{pattern[:100]}] must be a name of an index, with * for any characters")
    try:
        if not 0 < units.seconds(quota.burst, "burst") <= 3600:
            raise wrong("burst", "must be at most an hour")
    except InvalidError as error:
        raise error if "burst:" in error.reason else wrong("burst", error.reason) from None
