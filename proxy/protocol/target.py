"""A request target: path segments as OpenSearch decodes them, a query string narrowed without re-quoting."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import unquote, unquote_plus

if TYPE_CHECKING:
    from collections.abc import Iterable


_KNOWN = 1024
"""So many targets are remembered, which are the same again and again."""
_LONGEST = 512
"""Longer ones are not: they hold what one request says."""


@lru_cache(maxsize=_KNOWN)
def segments_of(raw_path: str) -> tuple[str, ...]:
    """Decoded segments of a path, empty ones left out (`//_bulk/` is `_bulk`); nothing else is normalised."""
    parts = [part for part in raw_path.split("/") if part]
    return tuple(map(unquote, parts) if "%" in raw_path else parts)


class Target:
    """`path?query` as it was sent; what is forwarded keeps its percent-encoding. It does not change."""

    __slots__ = ("_known", "_narrowed", "_values", "raw", "raw_path", "raw_query", "segments")

    def __init__(self, raw_path: str, raw_query: str = "") -> None:
        self.raw_path = raw_path
        self.raw_query = raw_query
        self.raw = f"{raw_path}?{raw_query}" if raw_query else raw_path
        """The target as it is sent on."""
        self.segments = segments_of(raw_path)
        self._known: list[tuple[str, str, str]] | None = None
        self._values: dict[str, str] | None = None if raw_query else {}
        self._narrowed: dict[tuple[str, ...], Target] = {}

    @staticmethod
    def parse(raw: str) -> Target:
        """From the target of a request line."""
        return _parsed_once(raw) if len(raw) <= _LONGEST else _parsed(raw)

    @property
    def _pairs(self) -> list[tuple[str, str, str]]:
        if self._known is None:
            self._known = []
            for raw in self.raw_query.split("&"):
                if raw:
                    name, _, value = raw.partition("=")
                    self._known.append((unquote_plus(name), unquote_plus(value), raw))
        return self._known

    @property
    def values(self) -> dict[str, str]:
        """The parameters; of one that is given twice the last value."""
        if self._values is None:
            self._values = {name: value for name, value, _ in self._pairs}
        return self._values

    def get(self, name: str) -> str | None:
        """The value of a parameter, the last one where it is given twice; `None` if it is not given."""
        return self.values.get(name)

    def has_any(self, names: Iterable[str]) -> bool:
        """Whether one of these parameters is given."""
        return not self.values.keys().isdisjoint(names)

    def flag(self, name: str) -> bool:
        """Whether a boolean parameter is on: given, and not `false`."""
        value = self.get(name)
        return value is not None and value != "false"

    def at(self, raw_path: str) -> Target:
        """The same parameters on another path."""
        return Target(raw_path, self.raw_query)

    def without(self, *names: str) -> Target:
        """The same target with some parameters taken out."""
        if not self.has_any(names):
            return self
        narrowed = self._narrowed.get(names)
        if narrowed is None:
            kept = [raw for name, _, raw in self._pairs if name not in names]
            narrowed = self._narrowed[names] = Target(self.raw_path, "&".join(kept))
        return narrowed


def _parsed(raw: str) -> Target:
    path, _, query = raw.partition("?")
    return Target(path, query.partition("#")[0])


_parsed_once = lru_cache(maxsize=_KNOWN)(_parsed)
