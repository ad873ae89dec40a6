"""Searches composed at random of the table's examples: what is forwarded shows no other tenant and no hidden field."""

from __future__ import annotations

import json
import os
import random
from typing import TYPE_CHECKING, Any

import pytest

from headrace.execution.protection.rules.aggregations import BUCKETS
from headrace.execution.protection.rules.queries import QUERIES
from tests.node.search.hostile_searches import (
    ALL_ANSWERS,
    ALL_QUESTIONS,
    ANSWERS,
    EMPTY,
    EVERY,
    LOOK_UP,
    MARKS,
    QUESTIONS,
    wrapped,
)
from tests.node.search.test_search_rules import BOTH, FILTERED, forwarded
from tests.node.security.two_tenants import OTHERS, SECRETS, Tenants, masked
from tests.node.security.two_tenants import tenants as two_tenants
from tests.unit.headrace.execution.protection import examples

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.node
LEAVES = [{name: body} for name, body in examples.QUERIES.items() if body is not None and not QUERIES[name].plugin]
LEAVES += [ANSWERS, QUESTIONS, ALL_ANSWERS, ALL_QUESTIONS, LOOK_UP] * 3
AGGREGATIONS = {name: body for name, body in examples.AGGREGATIONS.items() if body is not None}
SEARCHES = 60
"""A seed."""
FORWARDED = 20
"""At least so many of them are not refused."""


class Composer:
    """Makes searches."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.named = 0

    def query(self, depth: int) -> Any:
        if depth <= 0 or self.random.random() < 0.3:
            return self.random.choice(LEAVES)
        one, other = self.query(depth - 1), self.query(depth - 1)
        return self.random.choice(
            [
                {"bool": {self.random.choice(["should", "filter", "must_not"]): [one], "must": [other]}},
                {"bool": {"should": [one, other], "must_not": [{"bool": {"must_not": [one]}}]}},
                {"dis_max": {"queries": [one, other]}},
                {"constant_score": {"filter": one}},
                {"function_score": {"query": one, "functions": [{"filter": other, "weight": 2}]}},
                {"boosting": {"positive": one, "negative": other, "negative_boost": 0.5}},
                {"has_child": {"type": "answer", "query": one, "inner_hits": {"size": 5}}},
                {"has_parent": {"parent_type": "question", "query": one, "inner_hits": {"size": 5}}},
                wrapped(one),
            ]
        )

    def aggregation(self, depth: int) -> dict[str, Any]:
        name = self.random.choice([*AGGREGATIONS, "filter", "filter"])
        made = {name: self.query(2) if name == "filter" else AGGREGATIONS[name]}
        if depth > 0 and name in BUCKETS and name != "significant_text":
            made["aggs"] = {"s": self.aggregation(depth - 1), "m": self.random.choice([MARKS, MARKS, MARKS, EMPTY])}
        return made

    def search(self) -> dict[str, Any]:
        body: dict[str, Any] = {"query": self.query(3), "size": 50, "sort": [{"n": "asc"}]}
        more = {
            "aggs": {"x": self.aggregation(2), "y": self.random.choice([self.aggregation(1), EVERY])},
            "post_filter": self.query(1),
            "highlight": {"fields": {"text": {}, "mark": {}}, "highlight_query": self.query(1)},
            "collapse": {"field": "mark", "inner_hits": {"name": "same"}},
            "rescore": {"window_size": 9, "query": {"rescore_query": self.query(1)}},
        }
        body |= {name: each for name, each in more.items() if self.random.random() < 0.25}
        if "rescore" in body:
            del body["sort"]
        return self.distinct(json.loads(json.dumps(body)))

    def distinct(self, value: Any) -> Any:
        """Each inner hits with a name of its own, which the node asks for."""
        for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            self.distinct(each)
        if isinstance(value, dict) and isinstance(value.get("inner_hits"), dict):
            self.named += 1
            value["inner_hits"]["name"] = f"inner{self.named}"
        return value


@pytest.fixture(scope="module")
def tenants(node: str) -> Iterator[Tenants]:
    made = two_tenants(node)
    made.make()
    yield made
    made.drop()


@pytest.mark.parametrize("seed", range(4) if "CI" in os.environ else random.sample(range(10**6), 4))
def test_composed_searches_show_nothing_protected(tenants: Tenants, seed: int):
    composer, answered = Composer(seed), 0
    for _ in range(SEARCHES):
        request = composer.search()
        for scope in (FILTERED, BOTH):
            new = forwarded(request, scope)
            if new is None:
                continue
            status, text = tenants.search(tenants.both, new)
            answered += status == 200
            shown = text if scope is FILTERED or status != 200 else masked(text)
            marks = OTHERS if scope is FILTERED else OTHERS + SECRETS
            assert not [each for each in marks if each in shown], json.dumps(request)
    assert answered >= FORWARDED
