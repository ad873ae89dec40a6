"""A request target, read as OpenSearch reads it, and written anew where it says things in an unusual way.

Sources: `RestUtils.decodeQueryString` and `decodeComponent`, `PathTrie` (OpenSearch 3.8): `;` separates parameters as
`&` does, of a parameter that is given twice the last value counts, `=` in front of a name is passed over, literal
segments of a path are compared as they are written and the others decoded, and one that is empty fits no endpoint.
"""

from __future__ import annotations

import re
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from headrace_pipelines.errors import InvalidError

if TYPE_CHECKING:
    from collections.abc import Iterable


MAX_CACHED = 1024
"""Maximum number of targets that are kept parsed: the same ones come again and again."""
MAX_LENGTH = 512
"""Maximum length in characters of a target that is kept: longer ones hold what one request says."""
MAX_WIDENED = 8
"""Maximum number of forms of a target with one more parameter that are kept with it."""
_PLAIN_PATH = re.compile(r'(?:/(?:[^\x00-\x20"#%/?\\\x7f-\U0010ffff]|%[0-9a-fA-F]{2})+)+|/')
_PLAIN_PAIR = re.compile(r'[A-Za-z0-9_.]+(?:=(?:[^\x00-\x20"#%&;\\\x7f-\U0010ffff]|%[0-9a-fA-F]{2})*)?')
_BAD_ESCAPE = re.compile(r"%(?![0-9a-fA-F]{2})")
_SAFE_IN_PATH = "!$'()*+,:@=~-._"
_SAFE_IN_QUERY = "!$'()*,:@~/?-._"


class BadTargetError(InvalidError):
    """A target that OpenSearch refuses."""

    type = "bad_parameter_exception"


class BadEscapeError(BadTargetError):
    """A `%` without two hexadecimal digits in a path: the node finds no method for it."""

    status = 405


def segments_of(raw_path: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The segments of a path as they are written, and decoded; empty ones are left out."""
    parts = tuple(part for part in raw_path.split("/") if part)
    return parts, tuple(map(unquote, parts)) if "%" in raw_path else parts


_segments_once = lru_cache(maxsize=MAX_CACHED)(segments_of)


class Target:
    """`path?query` as it was sent, or as it was written anew. It does not change.

    `segments` are decoded, `raw_segments` as they are written.
    """

    def __init__(self, raw_path: str, raw_query: str = "") -> None:
        self.raw_path = raw_path
        self.raw_query = raw_query
        self.raw = f"{raw_path}?{raw_query}" if raw_query else raw_path
        short = len(raw_path) <= MAX_LENGTH
        self.raw_segments, self.segments = _segments_once(raw_path) if short else segments_of(raw_path)
        self._narrowed: dict[tuple[str, ...], Target] = {}
        self._widened: dict[tuple[str, str], Target] = {}

    @staticmethod
    def parse(raw: str) -> Target:
        """From the target of a request line."""
        return _parsed_once(raw) if len(raw) <= MAX_LENGTH else _parsed(raw)

    @cached_property
    def plain(self) -> bool:
        """Whether every reader takes it for the same: no `;`, no name twice or escaped, no malformed escape."""
        if not _PLAIN_PATH.fullmatch(self.raw_path):
            return False
        if not self.raw_query:
            return True
        pairs = self.raw_query.split("&")
        return len(self.values) == len(pairs) and all(map(_PLAIN_PAIR.fullmatch, pairs))

    @cached_property
    def canonical(self) -> Target:
        """The same target written in the plainest way. Raises BadTargetError for one that OpenSearch refuses."""
        # For the node `//_search` is `/{index}/_search` over an empty name, which stands for all indexes.
        if "//" in self.raw_path.removeprefix("/" if self.raw_path.startswith("//_") else ""):
            raise BadTargetError(f"no handler found for uri [{self.raw_path[:200]}]: it has an empty part")
        for text, error in ((self.raw_path, BadEscapeError), (self.raw_query, BadTargetError)):
            if match := _BAD_ESCAPE.search(text):
                raise error(f"invalid escape sequence at index {match.start()} of: {text[:200]}")
        try:
            path = "/".join(["", *(quote(segment, safe=_SAFE_IN_PATH) for segment in self.segments)])
            return Target(path or "/", encoded(self.values))
        except UnicodeEncodeError:
            raise BadTargetError(
                "a request target is ASCII: write other characters as the escapes of their UTF-8"
            ) from None

    @cached_property
    def _pairs(self) -> list[tuple[str, str, str]]:
        return list(_split_query(self.raw_query))

    @cached_property
    def values(self) -> dict[str, str]:
        """The parameters; of one that is given twice the last value."""
        return {name: value for name, value, _ in self._pairs} if self.raw_query else {}

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

    def at_indexes(self, expression: str, *, instead: bool) -> Target:
        """The same target over these indexes; `instead`: its first segment is the expression so far."""
        rest = self.raw_segments[1:] if instead else self.raw_segments
        path = "/".join(["", quote(expression, safe=_SAFE_IN_PATH), *rest])
        return Target(path, self.without("index").raw_query)

    def with_parameter(self, name: str, value: str) -> Target:
        """The same target with another value of a parameter."""
        cached = self._widened.get((name, value))
        if cached is None:
            cached = Target(self.raw_path, encoded({**self.values, name: value}))
            if len(self._widened) < MAX_WIDENED:
                self._widened[name, value] = cached
        return cached

    def without(self, *names: str) -> Target:
        """The same target with some parameters taken out."""
        if not self.has_any(names):
            return self
        narrowed = self._narrowed.get(names)
        if narrowed is None:
            kept = [raw for name, _, raw in self._pairs if name not in names]
            narrowed = self._narrowed[names] = Target(self.raw_path, "&".join(kept))
        return narrowed


def encoded(values: dict[str, str]) -> str:
    """Parameters as a query string that every reader takes for the same."""
    pairs = ((quote(name, safe=_SAFE_IN_QUERY), quote(value, safe=_SAFE_IN_QUERY)) for name, value in values.items())
    return "&".join(f"{name}={value}" if value else name for name, value in pairs)


def _split_query(query: str) -> Iterable[tuple[str, str, str]]:
    """Name, value and text of each parameter: `&` and `;` end one, `=` before a name is passed over."""
    for raw in re.split("[&;]", query):
        text = raw.lstrip("=")
        if text:
            name, _, value = text.partition("=")
            yield unquote(name.replace("+", " ")), unquote(value.replace("+", " ")), text


def _parsed(raw: str) -> Target:
    path, _, query = raw.partition("?")
    # In a path `#` is a character like others; parameters end at the first one of the target.
    query = "" if "#" in path else query.partition("#")[0]
    return Target(path, query)


_parsed_once = lru_cache(maxsize=MAX_CACHED)(_parsed)
