"""The differences between two JSON texts by path and kind; no value is in them."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from headrace.protocol.headers.encoding import decode_exact

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAX_PATH = 256
"""Characters of a path: names of members may be data, and a longer one is cut off."""
MAX_DIFFERENCES = 100
"""Differences of one pair of texts; the rest is not looked for: a pair that differs more has no form in common."""
DOCUMENT = ""
"""The path of a text that is no JSON, or is nested too deep, and differs."""
UNREADABLE = (ValueError, ArithmeticError, RecursionError)
"""What readers raise for a text, or a number, that they do not take."""


class Difference(NamedTuple):
    """`kind`: `added`, `removed`, `changed`, or `type` where the types of the values differ."""

    path: str
    kind: str


class Ignored:
    """Paths whose differences do not count, with all that is below them; `[]` in a path says nothing."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._paths = frozenset(_plain(path) for path in paths)

    def __bool__(self) -> bool:
        return bool(self._paths)

    def covers(self, path: str) -> bool:
        """Whether a path, or one above it, is ignored."""
        plain = _plain(path)
        if plain in self._paths:
            return True
        return any(plain[:at] in self._paths for at in range(len(plain) - 1, 0, -1) if plain[at] == ".")


def _plain(path: str) -> str:
    return path.replace("[]", "").strip(".")


def differences(before: bytes, after: bytes, ignored: Ignored | None = None) -> set[Difference]:
    """The differences between two texts, at most `MAX_DIFFERENCES`.

    The order of members says nothing, and of members that are there twice the last one counts. Numbers are compared
    exactly; an integer and a number with a fraction or an exponent are of two types, as in mappings.
    """
    if before == after:
        return set()
    try:
        return found_in(value_differences(*decoded_pair(before, after)), ignored)
    except UNREADABLE:
        return {Difference(DOCUMENT, "changed")}


def found_in(different: Iterator[Difference], ignored: Ignored | None) -> set[Difference]:
    """Differences that are not ignored, at most `MAX_DIFFERENCES`."""
    found: set[Difference] = set()
    for each in different:
        path = each.path if each.path.isascii() else each.path.encode(errors="replace").decode()
        if not ignored or not ignored.covers(path):
            found.add(Difference(path, each.kind))
            if len(found) == MAX_DIFFERENCES:
                break
    return found


def decoded_pair(before: bytes, after: bytes) -> tuple[Any, Any]:
    """The values of two texts. Raises what `UNREADABLE` has."""
    return _decoded(before), _decoded(after)


def _decoded(text: bytes) -> Any:
    try:
        return decode_exact(text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        # Half surrogate pairs are no text for one reader, and are for the cluster.
        return json.loads(text, parse_float=Decimal)


def value_differences(before: Any, after: Any, path: str = "") -> Iterator[Difference]:
    """The differences between two decoded values; one that is found at several positions comes several times."""
    waiting = [(before, after, path)]
    while waiting:
        old, new, where = waiting.pop()
        if old is new:
            continue
        kind = _type(old)
        if kind is not _type(new):
            yield Difference(where, "type")
        elif kind is dict:
            for name in old.keys() - new.keys():
                yield Difference(_below(where, name), "removed")
            for name, value in new.items():
                if name in old:
                    waiting.append((old[name], value, _below(where, name)))
                else:
                    yield Difference(_below(where, name), "added")
        elif kind is list:
            yield from _surplus(old, new, where, waiting)
        elif old != new:
            yield Difference(where, "changed")


def _surplus(old: list[Any], new: list[Any], path: str, waiting: list[tuple[Any, Any, str]]) -> Iterator[Difference]:
    """Equal elements at both ends stay; those between are compared one by one, and the rest is more or less."""
    inner, shortest = f"{path}[]"[:MAX_PATH], min(len(old), len(new))
    start = 0
    while start < shortest and same(old[start], new[start]):
        start += 1
    end = 0
    while end < shortest - start and same(old[-1 - end], new[-1 - end]):
        end += 1
    removed, added = old[start : len(old) - end], new[start : len(new) - end]
    waiting.extend((ours, theirs, inner) for ours, theirs in zip(removed, added, strict=False))
    if len(removed) != len(added):
        yield Difference(inner, "removed" if len(removed) > len(added) else "added")


def same(before: Any, after: Any) -> bool:
    """Whether two decoded values are the same."""
    kind = _type(before)
    if kind is not _type(after):
        return False
    if kind is dict:
        return before.keys() == after.keys() and all(same(value, after[name]) for name, value in before.items())
    if kind is list:
        return len(before) == len(after) and all(map(same, before, after))
    return bool(before == after)


def _type(value: Any) -> type:
    return type(value)


def _below(path: str, name: str) -> str:
    return (f"{path}.{name}" if path else name)[:MAX_PATH]
