"""Pairs of indexes whose requests are short, so that they are served on the event loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from headrace.ops import runner
from headrace.protocol.indices import resolver
from headrace.server.fast_path import FastForwarder
from headrace_pipelines.registry.cost import CostEstimate
from tests.conftest import Http, watch_fast_path
from tests.node.http.inline.pairs import Pair

if TYPE_CHECKING:
    from headrace.ops.body_budget import BodyBudget


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    found: list[str] = []
    watch_fast_path(monkeypatch, lambda _path, target: found.append(target))
    return found


@pytest.fixture
async def pair(through: Http, direct: Http, name: str, taken: list[str], monkeypatch: pytest.MonkeyPatch) -> Pair:
    # However busy the machine is, what is short runs on the loop.
    monkeypatch.setattr(runner, "INLINE_SECONDS", 10.0)
    monkeypatch.setattr(CostEstimate, "predict", lambda _self, _nbytes: 0.0)
    monkeypatch.setattr(resolver, "FRESH_SECONDS", 60.0)
    return Pair(through, direct, name, taken)


@pytest.fixture
def budgets(monkeypatch: pytest.MonkeyPatch) -> set[BodyBudget]:
    """The budgets for bodies of the proxies that have been asked to forward something."""
    found: set[BodyBudget] = set()
    forward = FastForwarder.forward

    def watched(self: FastForwarder, request: Any, client: Any) -> Any:
        found.add(self._budget)
        return forward(self, request, client)

    monkeypatch.setattr(FastForwarder, "forward", watched)
    return found
