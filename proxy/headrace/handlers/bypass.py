"""The decision which requests need no handler, valid for one snapshot and one view of the cluster's names.

No pipeline can concern them, or those that do are known and run on the event loop (`inline` of `write` and `search`).

The decision is made once for a method and a target, or for all targets that differ only in a plain document id, so that
it does not cost more for a client that never asks for the same twice.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from aiohttp import hdrs

from headrace.execution.document_run import SHOWS
from headrace.execution.expressions import forwardable
from headrace.execution.protection.lookups import SIGNS
from headrace.execution.rollouts import versions
from headrace.handlers.routes import ROUTER, SEARCHES, UNREAD, is_ours
from headrace.handlers.search import inline as inline_searches
from headrace.handlers.write import inline as inline_writes
from headrace.handlers.write.bulk import UPDATES
from headrace.protocol import endpoints, parameters
from headrace.protocol.indices.expressions import NOTHING
from headrace.protocol.indices.options import expansion
from headrace.protocol.indices.view import View
from headrace.protocol.target import MAX_LENGTH, Target
from headrace.security import registry_guard
from headrace.server.fast_path import BypassRoute
from headrace_pipelines.cache import BoundedCache
from headrace_pipelines.errors import HeadraceError, RegistryError

if TYPE_CHECKING:
    from headrace.server.components import Components
    from headrace.server.router import Match, Route
    from headrace_pipelines import Snapshot
    from headrace_pipelines.registry.association import Slot

MAX_DECISIONS = 1024
"""Maximum number of decisions that are kept."""
_BY_ID = re.compile(r"(/[^/?%<>#;\\]+/(?:_doc|_source|_create|_update|_explain)/)(?!_)[A-Za-z0-9_-]+((?:\?[^#]*)?)")
"""A target with a plain document id: the decision does not depend on the id."""
_ANY_ID = "0"
_NAMES_CLUSTERS = {"bulk": "pipeline", "document": "pipeline", "search": "search_pipeline"}
"""The URL parameter that names pipelines of the cluster, too, by surface."""


class _Decision(NamedTuple):
    """A route, or that there is none.

    `view`: of the cluster's names, if only that one says so; a decision by `_STALE` is not kept.
    """

    route: BypassRoute | None
    view: View | None = None


_NONE = _Decision(None)
_STALE = View()
"""In place of a view that is not there yet."""


class BypassDecisions:
    """Decides for a proxy."""

    def __init__(self, components: Components) -> None:
        self._components = components
        self._decisions: BoundedCache[tuple[str, str], _Decision] = BoundedCache(MAX_DECISIONS)
        # A view may be large: no decision holds one that is no longer at hand.
        self._of_view: BoundedCache[tuple[str, str], _Decision] = BoundedCache(MAX_DECISIONS)

    @classmethod
    def of(cls, components: Components) -> BypassDecisions | None:
        """The decisions for a proxy; none for old clients, whose requests are changed on their way."""
        return None if components.settings.elasticsearch_compat else cls(components)

    def decide(self, method: str, target: str) -> BypassRoute | None:
        """The route of a request without a handler; `None` for one that its handler has to see."""
        try:
            snapshot = self._components.registry.snapshot
        except RegistryError:
            return None
        if versions.waits(self._components.registry, snapshot):
            return None
        self._decisions.valid_for(snapshot)
        plain = _BY_ID.fullmatch(target)
        if plain is not None:
            same = f"{plain[1]}{_ANY_ID}{plain[2]}"
            decision = self._cached(snapshot, method, same) or self._add(snapshot, method, same)
            if decision.route is None or decision.route.target is None:
                return decision.route
        return (self._cached(snapshot, method, target) or self._add(snapshot, method, target)).route

    def _cached(self, snapshot: Snapshot, method: str, target: str) -> _Decision | None:
        decision = self._decisions.get((method, target))
        if decision is None and (view := self._components.resolver.fresh) is not None:
            decision = self._of_view.valid_for(snapshot, view).get((method, target))
            if decision is not None:
                self._components.resolver.read_ahead()
        return decision

    def _add(self, snapshot: Snapshot, method: str, target: str) -> _Decision:
        decision = self._decide(snapshot, method, Target.parse(target))
        if len(target) <= MAX_LENGTH and decision.view is not _STALE:
            view = decision.view
            decisions = self._decisions if view is None else self._of_view.valid_for(snapshot, view)
            decisions.set((method, target), decision)
        return decision

    def created(self) -> None:
        """A request that may make an index has been answered."""
        self._components.resolver.suspect()

    def _decide(self, snapshot: Snapshot, method: str, target: Target) -> _Decision:
        registry = self._components.settings.registry_index
        # Whatever might mean the registry, or reads its target in an unusual way, is for its handler to judge.
        excluded = "pipeline" in target.raw_path or target.has_any(("index", "source")) or method == hdrs.METH_HEAD
        if excluded or not target.plain or registry_guard.may_reach_registry(target, registry):
            return _NONE
        route, params = match = ROUTER.match(method, target.raw_segments)
        passes = _passes(route, method, target.raw_segments, snapshot)
        named = {name: value for name, value in target.values.items() if "pipeline" in name}
        if named and not (passes and not snapshot.protects and _are_clusters(route, named)):
            return self._with_pipelines(snapshot, match, target, named=True)
        if passes:
            creates = snapshot.protects and route.bulk
            if creates and target.has_any(SHOWS):
                return _NONE
            names = registry_guard.spellings(registry) if route.bulk and self._components.registry.holds else ()
            body_markers = UPDATES if creates else ()
            return _Decision(BypassRoute(route.surface, None, route.idempotent, body_markers, names, creates=creates))
        rule = route.bypass
        if rule is None or "index" not in params or target.has_any(rule.not_with) or rule.scope is None:
            return self._with_pipelines(snapshot, match, target) if route.bulk else _NONE
        slots = [s for s in snapshot.bound if s.kind in rule.kinds or (s.final and s.kind in rule.finals)]
        passed = BypassRoute(route.surface, None, route.idempotent, rule.body_markers)
        keeps = rule.scope == "written" and snapshot.associations.has_dead_letters
        if not slots and not snapshot.protects and not keeps:
            return _Decision(passed)
        view = self._components.resolver.fresh
        if view is None:
            # Its handler has the cluster asked.
            return _Decision(None, _STALE)
        over = self._over_indexes(snapshot, match, passed, target, slots)
        return _Decision(over, view) if over is not None else self._with_pipelines(snapshot, match, target)

    def _with_pipelines(self, snapshot: Snapshot, match: Match, target: Target, *, named: bool = False) -> _Decision:
        """The route of a request whose pipelines, named or by the view at hand, run on the event loop, if they may."""
        if match.route.bulk and not inline_writes.may_run(snapshot, target):
            return _NONE
        view = self._components.resolver.fresh
        pipelines = inline_writes.route(self._components, snapshot, view, match, target)
        pipelines = pipelines or inline_searches.route(self._components, snapshot, match, target)
        if pipelines is None:
            # A name that is not ours is none whatever the view says.
            by_view = not named or not snapshot.bound.isdisjoint(inline_searches.DEFAULTS.values())
            return _Decision(None, view or _STALE) if by_view else _NONE
        route = BypassRoute(match.route.surface, None, match.route.idempotent, pipelines=pipelines)
        return _Decision(route, view if pipelines.by_view else None)

    def _over_indexes(
        self, snapshot: Snapshot, match: Match, passed: BypassRoute, target: Target, slots: list[Slot]
    ) -> BypassRoute | None:
        """How a request passes over indexes none of which has a pipeline that concerns it, by the view at hand."""
        route, expression, resolver = match.route, match.params["index"], self._components.resolver
        try:
            if snapshot.protects:
                parameters.check(route.parameters, target)
            if route.bypass is not None and route.bypass.scope == "written":
                view = resolver.fresh
                written = view.written_by(expression) if view is not None else None
                if (
                    written is None
                    or snapshot.associations.dead_letters(written.name) is not None
                    or any(snapshot.associations.find(slot, written) for slot in slots)
                ):
                    return None
                return passed
            reading = resolver.current(expression, expansion(target.values))
        except HeadraceError:
            return None
        if reading is None or reading.registry or (snapshot.protects and reading.remote):
            return None
        if any(snapshot.associations.find(slot, each) for slot in slots for each in reading.targets):
            return None
        if not snapshot.protects:
            return passed
        names = forwardable(reading)
        if names is None or reading.resolution.aliased or reading.resolution.forwarded == NOTHING:
            return None
        sent = None if names == expression else target.at_indexes(names, instead=True).raw
        return passed._replace(target=sent, body_markers=(*passed.body_markers, *SIGNS))


def _are_clusters(route: Route, named: dict[str, str]) -> bool:
    """Whether the pipelines that parameters name are the cluster's where we have none of the type."""
    return {*named} == {_NAMES_CLUSTERS.get(route.surface)} and all(named.values())


def _passes(route: Route, method: str, segments: tuple[str, ...], snapshot: Snapshot) -> bool:
    """Whether a request that names no pipeline of ours only passes, whatever index it is about.

    Writes that pass through are left out: after them the names have to be read anew.
    """
    if route is UNREAD:
        harmless = not snapshot.protects or endpoints.harmless(method, segments)
        return method in endpoints.READS and not is_ours(segments) and harmless
    types = snapshot.types | SEARCHES if snapshot.protects else snapshot.types
    return route.bypass is not None and types.isdisjoint(route.bypass.kinds)
