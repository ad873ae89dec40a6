"""From method and path to a route, and what is known of a route: one row of the table in `handlers.routes`.

`{index}` matches a name or an expression, never an endpoint (which begin with `_`, `_all` excepted); other variables
match anything, also ids that begin with `_`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, NamedTuple
from urllib.parse import unquote

from headrace.protocol.target import MAX_CACHED, MAX_LENGTH

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiohttp import web

    from headrace.protocol.target import Target
    from headrace.server.request import RequestContext
    from headrace_pipelines import PipelineType

Handler = Callable[["RequestContext"], Awaitable["web.StreamResponse"]]


class BypassRule(NamedTuple):
    """When requests that name no pipeline of ours go past their handler: while there is none of the types `kinds`.

    `scope`: of these only what is attached to the indexes that `{index}` reads, or those that it writes; `None` where
    that alone does not tell. `body_markers`: unless one of them is in the body, or the body is compressed.
    `not_with`: nor with any of these URL parameters. `finals`: types of which only final pipelines count.
    """

    kinds: frozenset[PipelineType]
    scope: Literal["read", "written"] | None = None
    body_markers: tuple[bytes, ...] = ()
    not_with: frozenset[str] = frozenset()
    finals: frozenset[PipelineType] = frozenset()


@dataclass(frozen=True, slots=True)
class Route:
    """A row of the table of routes. `methods` are separated by `|`."""

    methods: str
    path: str
    handler: Handler
    surface: str
    """The label of its requests in the metrics; a published name."""
    parameters: str = ""
    """The list of URL parameters that it takes where something is protected (`protocol.parameters`)."""
    idempotent: bool = False
    """Whether its requests change nothing in the cluster, whatever the method: they may be sent twice."""
    shows_registry: bool = False
    """Whether it shows the registry, or what was counted: for those who may read the cluster's pipelines."""
    changes_registry: bool = False
    """Whether it may change the registry: it goes on to its end when the client hangs up."""
    may_rename: bool = False
    """Whether it may create, rename or delete indexes, aliases and templates: other workers are told."""
    bypass: BypassRule | None = None
    """When its requests are forwarded past the handler; `None` for never."""
    bulk: bool = False
    """Whether its body has action lines, which name indexes."""


class Match(NamedTuple):
    """The route of a request, and the variables of its path, which are not to be changed."""

    route: Route
    params: dict[str, str]


class _Row(NamedTuple):
    order: int
    methods: frozenset[str]
    segments: tuple[str, ...]
    route: Route

    def match(self, segments: tuple[str, ...]) -> dict[str, str] | None:
        """The variables of a path; literal segments are compared as they are written, as the node does."""
        params: dict[str, str] = {}
        for expected, segment in zip(self.segments, segments, strict=True):
            if not expected.startswith("{"):
                if expected != segment:
                    return None
                continue
            text = unquote(segment) if "%" in segment else segment
            if expected == "{index}" and text.startswith("_") and text != "_all":
                return None
            params[expected[1:-1]] = text
        return params


class Router:
    """Finds the route of a request; `fallback` is that of all others."""

    def __init__(self, routes: Sequence[Route], fallback: Route) -> None:
        self._rows = _indexed(routes)
        self._fallback = Match(fallback, {})
        self._cached = lru_cache(maxsize=MAX_CACHED)(self._match)

    def match(self, method: str, segments: tuple[str, ...]) -> Match:
        """The route of a method and a path; `segments` as they are written."""
        short = sum(map(len, segments)) <= MAX_LENGTH
        return self._cached(method, segments) if short else self._match(method, segments)

    def _match(self, method: str, segments: tuple[str, ...]) -> Match:
        for row in self._candidates(segments):
            if method in row.methods:
                params = row.match(segments)
                if params is not None:
                    return Match(row.route, params)
        return self._fallback

    def match_target(self, method: str, target: Target) -> tuple[Match, Target]:
        """The route of a target, and the target with its indexes in the path.

        The node takes `?index=` for the indexes of a path that has none, and ignores it beside those of a path.
        """
        match = self.match(method, target.raw_segments)
        index = target.get("index")
        if index is None or match is self._fallback:
            return match, target
        if "index" in match.params:
            return match, target.without("index")
        wider = self.match(method, ("any", *target.raw_segments))
        if wider.route.handler is not match.route.handler or "index" not in wider.params:
            return match, target
        target = target.at_indexes(index, instead=False)
        return self.match(method, target.raw_segments), target

    def allowed(self, segments: tuple[str, ...]) -> list[str]:
        """The methods of a path, sorted; empty for a path that is not in the table."""
        rows = (row for row in self._candidates(segments) if row.match(segments) is not None)
        return sorted({method for row in rows for method in row.methods})

    def _candidates(self, segments: tuple[str, ...]) -> list[_Row]:
        """The rows that may match, in the order of the table."""
        count = len(segments)
        found = list(self._rows.get((count, -1, ""), ()))
        for position, segment in enumerate(segments):
            found += self._rows.get((count, position, segment), ())
        if len(found) > 1:
            found.sort(key=lambda row: row.order)
        return found


def _indexed(routes: Sequence[Route]) -> dict[tuple[int, int, str], list[_Row]]:
    """The rows by their number of segments, and by position and text of their last literal one (-1: they have none)."""
    found: dict[tuple[int, int, str], list[_Row]] = {}
    for order, route in enumerate(routes):
        segments = tuple(segment for segment in route.path.split("/") if segment)
        literal = max((i for i, segment in enumerate(segments) if not segment.startswith("{")), default=-1)
        key = (len(segments), literal, segments[literal] if literal >= 0 else "")
        found.setdefault(key, []).append(_Row(order, frozenset(route.methods.split("|")), segments, route))
    return found
