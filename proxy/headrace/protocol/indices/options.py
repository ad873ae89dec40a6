"""How the cluster expands an index expression (OpenSearch's `IndicesOptions`).

Source: `IndicesOptions.fromParameters` and `fromMap` of OpenSearch 3.8.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from headrace_pipelines.errors import InvalidError

if TYPE_CHECKING:
    from collections.abc import Mapping

PARAMETERS = frozenset({"expand_wildcards", "ignore_unavailable", "allow_no_indices", "ignore_throttled"})
"""URL parameters that decide the expansion; `ignore_throttled` does nothing on OpenSearch 3."""
_OLD_NAMES = {
    "expand_wildcards": "expandWildcards",
    "ignore_unavailable": "ignoreUnavailable",
    "allow_no_indices": "allowNoIndices",
}
"""The second spelling of the same options in a header line of `_msearch`."""
_STATES = frozenset({"open", "closed", "hidden"})


@dataclass(frozen=True)
class IndicesOptions:
    """Which indexes a wildcard stands for, and whether a name or wildcard without an index is an error."""

    states: frozenset[str] = frozenset({"open"})
    """The states that wildcards expand to: `open`, `closed`, `hidden`."""
    ignore_unavailable: bool = False
    allow_no_indices: bool = True

    @property
    def expands(self) -> bool:
        """Whether wildcards are expanded at all."""
        return "open" in self.states or "closed" in self.states

    def with_parameters(self, given: Mapping[str, object]) -> IndicesOptions:
        """These options with what a request says of them. Raises InvalidError, in the cluster's words.

        `given`: texts of URL parameters, or JSON values of a header line.
        """
        if not given:
            return self
        states, ignore, allow = (given.get(name, given.get(old)) for name, old in _OLD_NAMES.items())
        return replace(
            self,
            states=self.states if states is None else _parse_states(states),
            ignore_unavailable=_parse_flag("ignore_unavailable", ignore, default=self.ignore_unavailable),
            allow_no_indices=_parse_flag("allow_no_indices", allow, default=self.allow_no_indices),
        )


READ = IndicesOptions()
"""The options of searches, counts and by-query writes: open and visible indexes, an unknown name is an error."""

MANAGED = IndicesOptions(frozenset({"open", "closed"}))
"""The options of requests that delete indexes or change their settings: closed indexes, too."""


def split_expression(expression: str) -> list[str]:
    """An expression at its commas; empty parts at the end do not count, as with Java's `split`."""
    parts = expression.split(",")
    while parts and not parts[-1]:
        parts.pop()
    return parts


def _parse_states(value: object) -> frozenset[str]:
    words = [str(each) for each in value] if isinstance(value, list) else split_expression(str(value))
    states: set[str] = set()
    for word in words:
        if word in _STATES:
            states.add(word)
        elif word == "all":
            states |= _STATES
        elif word == "none":
            states.clear()
        else:
            raise InvalidError(f"No valid expand wildcard value [{word}]")
    return frozenset(states)


def _parse_flag(name: str, value: object, *, default: bool) -> bool:
    if isinstance(value, bool):
        return value
    if value is None or value == "":
        return default
    if value in ("true", "false"):
        return value == "true"
    raise InvalidError(f"Could not convert [{name}] to boolean")


def expansion(given: Mapping[str, object], defaults: IndicesOptions = READ) -> IndicesOptions:
    """The options in URL parameters, or in the members of a header line, over `defaults`. Raises InvalidError."""
    return defaults if not given or given.keys().isdisjoint(_NAMES) else defaults.with_parameters(given)


_NAMES = PARAMETERS | set(_OLD_NAMES.values())
