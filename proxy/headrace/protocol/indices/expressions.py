"""Resolves an index expression as the cluster does: wildcards, exclusions, aliases, data streams, hidden indexes.

Source: `IndexNameExpressionResolver` of OpenSearch 3.8 (`concreteIndices`, `WildcardExpressionResolver`,
`filteringAliases`). Date math is replaced before; names of remote clusters are refused before.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from headrace.protocol.indices.options import IndicesOptions
from headrace_pipelines.errors import MissingIndexError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from headrace.protocol.indices.names import Names

_LENIENT = IndicesOptions()
"""The options by which the cluster finds the aliases whose filters hold, whatever the request's own are."""
NOTHING = ("*", "-*")
"""An expression that stands for no index."""


@dataclass(frozen=True)
class Resolution:
    """The meaning of an expression: `indexes` are read, and `forwarded` is an expression for exactly these.

    `forwarded` has names only: of indexes, of aliases that filter or route, and unknown ones as they came. It is `None`
    where names cannot say the same: an alias found by a wildcard filters an index that is hidden or closed.
    """

    indexes: tuple[str, ...]
    forwarded: tuple[str, ...] | None
    unknown: tuple[str, ...] = ()
    """Names that are no index, alias or data stream."""
    aliased: bool = False
    """Whether an alias is among the names to forward, which may stand for other indexes by the time it is read."""


def resolve(view: Names, parts: Sequence[str], options: IndicesOptions) -> Resolution:
    """The indexes behind the parts of an expression, none of which is date math. Raises MissingIndexError."""
    found = _expand(view, parts, options, keep_aliases=False)
    if not found:
        if not options.allow_no_indices:
            raise MissingIndexError(",".join(parts))
        return Resolution((), NOTHING)
    indexes: dict[str, None] = {}
    forwarded: dict[str, None] = {}
    unknown: list[str] = []
    for name in found:
        if name in view.aliases:
            indexes.update(dict.fromkeys(view.aliases[name]))
            forwarded.update(dict.fromkeys([name] if name in view.narrowing else view.aliases[name]))
        elif name in view.streams:
            indexes.update(dict.fromkeys(view.streams[name]))
            forwarded[name] = None
        else:
            indexes[name] = forwarded[name] = None
            if name not in view.indexes:
                unknown.append(name)
    if view.narrowing and not _narrows_alike(view, parts, forwarded, indexes):
        return Resolution(tuple(indexes), None, tuple(unknown))
    names = tuple(forwarded)
    # One name that is missing is an error by `allow_no_indices`, one of several by `ignore_unavailable`.
    names = names * 2 if len(names) == 1 < len(parts) else names
    return Resolution(tuple(indexes), names, tuple(unknown), not view.narrowing.isdisjoint(names))


def _narrows_alike(view: Names, parts: Sequence[str], forwarded: dict[str, None], indexes: dict[str, None]) -> bool:
    """Whether aliases filter and route searches by `forwarded` as they do searches by the expression."""
    kept = _expand(view, parts, _LENIENT, keep_aliases=True, strict=False)
    if any(_filters(view, index, kept) != _filters(view, index, forwarded) for index in indexes):
        return False
    routed = _expand(view, parts, _LENIENT, keep_aliases=False, strict=False)
    return view.narrowing & routed.keys() == view.narrowing & forwarded.keys()


def _filters(view: Names, index: str, names: dict[str, None]) -> frozenset[str]:
    """The aliases whose filters hold for an index, where these names are searched; empty where none filters."""
    aliases = frozenset() if index in names else frozenset(a for a in view.aliases_of(index) if a in names)
    return aliases if all(view.aliases[alias][index].filter is not None for alias in aliases) else frozenset()


def _expand(
    view: Names, parts: Sequence[str], options: IndicesOptions, *, keep_aliases: bool, strict: bool = True
) -> dict[str, None]:
    """The parts with wildcards replaced by names and exclusions taken out. Raises MissingIndexError if `strict`."""
    if not options.expands:
        # The cluster takes a wildcard for a name then, and no index has such a name.
        return dict.fromkeys(parts)
    if not parts or (len(parts) == 1 and parts[0] in ("_all", "*")):
        return dict.fromkeys(_all(view, options))
    found: dict[str, None] = {}
    wildcard_seen = False
    for part in parts:
        if not part:
            raise MissingIndexError(part)
        if view.knows(part):
            found[part] = None
            continue
        excludes = part.startswith("-") and wildcard_seen
        expression = part[1:] if excludes else part
        if strict:
            _check_found(view, expression, options, excludes=excludes)
        wildcard_seen = wildcard_seen or "*" in expression
        for name in _matching(view, expression, options, keep_aliases=keep_aliases):
            if excludes:
                found.pop(name, None)
            else:
                found[name] = None
    return found


def _check_found(view: Names, expression: str, options: IndicesOptions, *, excludes: bool) -> None:
    """Raises MissingIndexError for a wildcard without names, and an exclusion of none, where these must be there."""
    if "*" in expression:
        missing = not options.allow_no_indices and not any(map(matcher(expression), view.names))
    else:
        missing = excludes and not options.ignore_unavailable and not view.knows(expression)
    if missing:
        raise MissingIndexError(expression)


def _all(view: Names, options: IndicesOptions) -> Iterable[str]:
    """The names behind `_all`, `*` and an empty expression: no index that only an alias shows."""
    for name, index in view.indexes.items():
        if index.state in options.states and ("hidden" in options.states or not index.hidden):
            yield name
    for backing in view.streams.values():
        for name in backing:
            if name in view.indexes and view.indexes[name].state in options.states:
                yield name


def _matching(view: Names, pattern: str, options: IndicesOptions, *, keep_aliases: bool) -> list[str]:
    """The names that a wildcard stands for; an alias or data stream that matches brings its indexes, hidden too.

    A name without one stands for itself.
    """
    if "*" not in pattern:
        return [pattern]
    matches = matcher(pattern)
    found: list[str] = []
    for name in view.names:
        if not matches(name):
            continue
        dotted = name.startswith(".") and pattern.startswith(".")
        if view.hidden(name) and "hidden" not in options.states and not dotted:
            continue
        if keep_aliases and name in view.aliases:
            found.append(name)
        else:
            behind = (index for index in view.behind(name) if index in view.indexes)
            found += [index for index in behind if view.indexes[index].state in options.states]
    return found


@lru_cache(maxsize=1024)
def matcher(pattern: str) -> Callable[[str], object]:
    """Whether a name matches a pattern in which only `*` has a meaning (OpenSearch's `Regex.simpleMatch`)."""
    return re.compile(".*".join(map(re.escape, pattern.split("*"))), re.DOTALL).fullmatch
