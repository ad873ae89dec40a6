"""Decisions which requests need no handler: what they hold of earlier views."""

from __future__ import annotations

import gc
import weakref
from types import SimpleNamespace
from typing import Any

from headrace.execution.choice import LatestAttachments
from headrace.handlers.bypass import BypassDecisions
from headrace.protocol.indices.view import View
from headrace.settings import Settings
from headrace_pipelines import PipelineType
from tests.unit.headrace.execution.test_attachments import ALIASES, snapshot_of


def a_view() -> View:
    return View.of(ALIASES, {"indices": [], "data_streams": []})


class Resolver:
    """A view at hand, and how often it was asked for ahead of its age."""

    def __init__(self, fresh: View | None) -> None:
        self.fresh = fresh
        self.ahead = 0

    def read_ahead(self) -> None:
        self.ahead += 1

    def current(self, _expression: str, _options: Any) -> None:
        return None


def components_of(view: View | None, **attached: str) -> Any:
    settings = Settings(upstream=["http://127.0.0.1:1"])
    return SimpleNamespace(
        registry=SimpleNamespace(snapshot=snapshot_of(**attached), holds=False),
        resolver=Resolver(view),
        settings=settings,
        attachments=LatestAttachments(settings.registry_index),
    )


def test_a_decision_keeps_no_view_that_another_one_has_replaced():
    components = components_of(a_view(), j="a")
    decisions = BypassDecisions(components)
    made = []
    for target in ("/j/_doc", "/j/_doc?refresh=true", "/_bulk"):
        route = decisions.decide("POST", target)
        assert route is not None
        assert decisions.decide("POST", target) is route
        made.append(weakref.ref(route.pipelines))
    attachments = weakref.ref(components.attachments.of(components.registry.snapshot, components.resolver.fresh))
    del route
    view, components.resolver.fresh = components.resolver.fresh, None
    assert decisions.decide("POST", "/j/_doc") is None
    components.resolver.fresh = view
    assert decisions.decide("POST", "/j/_doc").pipelines is made[0](), "a view that is old for a while is the same"
    del view
    components.resolver.fresh = a_view()
    assert decisions.decide("POST", "/j/_doc") is not None
    gc.collect()
    assert [each() for each in made] == [None] * 3
    assert attachments() is None


NAMED = (
    "/j/_doc?pipeline=a",
    "/_bulk?pipeline=a",
    "/_bulk?document_pipeline=a&refresh=true",
    "/j/_create/1?pipeline=a",
)


def test_a_decision_by_names_needs_and_keeps_no_view():
    components = components_of(None, j="a")
    decisions = BypassDecisions(components)
    routes = []
    for view in (None, a_view()):
        components.resolver.fresh = view
        routes.append([decisions.decide("POST", target) for target in NAMED])
        assert None not in routes[-1]
    assert all(one is same for one, same in zip(*routes, strict=True))
    old = weakref.ref(components.resolver.fresh)
    components.resolver.fresh = a_view()
    assert decisions.decide("POST", "/_bulk?pipeline=a&timeout=1s") is not None
    del view
    gc.collect()
    assert (old(), components.resolver.ahead) == (None, 0)


def test_names_that_do_not_run_on_the_loop_are_told_once():
    components = components_of(None)
    decisions = BypassDecisions(components)
    for parameters in ("pipeline=absent", "pipeline=fits", "pipeline=_none", "pipeline=a&document_pipeline=a"):
        for target in (f"/_bulk?{parameters}", f"/j/_doc?{parameters}"):
            assert decisions.decide("POST", target) is None
            assert decisions._cached(components.registry.snapshot, "POST", target) is not None


def snapshot_without(**facts: Any) -> Any:
    """A snapshot in which no name is found and nothing is attached."""
    none = {"bound": frozenset(), "has_rollouts": False, "has_dead_letters": False}
    return SimpleNamespace(active=lambda _kind, _name: None, **none, **facts)


def test_names_of_the_cluster_pass_where_we_have_no_pipeline_of_the_type():
    components = components_of(None)
    decisions = BypassDecisions(components)
    searches = ("/j/_search?search_pipeline=x", "/_search?search_pipeline=_none&size=1")
    for target in searches:
        route = decisions.decide("POST", target)
        assert (route.pipelines, route.target) == (None, None), target
    for target in (
        "/j/_doc?pipeline=x",
        "/_bulk?pipeline=x",
        "/j/_search?search_pipeline=",
        "/j/_search?search_pipeline",
        "/j/_search?query_pipeline=x",
        "/j/_search?result_pipeline=x",
        "/j/_search?pipeline=x",
        "/j/_search?%73earch_pipeline=x",
        "/j/_search?search_pipeline=x&search_pipeline=y",
        "/j/_search?search_pipeline=x;search_pipeline=y",
        "/j/_search?search_pipeline=x&explain_pipelines=true",
        "/j/_search/template?search_pipeline=x",
        "/j/_count?search_pipeline=x",
        "/_msearch?search_pipeline=x",
    ):
        assert decisions.decide("POST", target) is None, target
    components.registry.snapshot = snapshot_without(types=frozenset({*PipelineType}), protects=False)
    assert [decisions.decide("POST", target) for target in searches] == [None] * 2, "there may be one of ours"


def test_names_of_the_cluster_do_not_pass_a_protection():
    components = components_of(None)
    components.registry.snapshot = snapshot_without(types=frozenset(), protects=True)
    for target in ("/j/_search?search_pipeline=x", "/j/_doc?pipeline=x", "/_bulk?pipeline=x"):
        assert BypassDecisions(components).decide("POST", target) is None


def test_a_view_is_read_ahead_for_decisions_that_follow_from_it():
    components = components_of(a_view(), j="a")
    decisions = BypassDecisions(components)
    for number in range(3):
        assert decisions.decide("GET", f"/j/_doc/{number}") is not None
    assert components.resolver.ahead == 0
    for _ in range(3):
        assert decisions.decide("POST", "/j/_doc") is not None
    assert components.resolver.ahead == 2
