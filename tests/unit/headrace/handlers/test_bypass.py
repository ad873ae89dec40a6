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
from tests.unit.headrace.execution.test_attachments import ALIASES, snapshot_of


def a_view() -> View:
    return View.of(ALIASES, {"indices": [], "data_streams": []})


def test_a_decision_keeps_no_view_that_another_one_has_replaced():
    settings = Settings(upstream=["http://127.0.0.1:1"])
    components: Any = SimpleNamespace(
        registry=SimpleNamespace(snapshot=snapshot_of(j="a"), holds=False),
        resolver=SimpleNamespace(fresh=a_view()),
        settings=settings,
        attachments=LatestAttachments(settings.registry_index),
    )
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
