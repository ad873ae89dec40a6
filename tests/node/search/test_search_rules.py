"""The rules for protected searches against a real node: what is forwarded shows nothing of others, nothing hidden."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from headrace.execution.protection import HiddenFields, Review, Scope, hidden_fields, without_quotes
from headrace_pipelines.errors import HeadraceError
from tests.node.search.hostile_masked import FOR_MASK
from tests.node.search.hostile_searches import FOR_FILTER
from tests.node.security.two_tenants import (
    HIDDEN_NAMES,
    MAPPING,
    OTHERS,
    SECRETS,
    VISIBLE,
    Tenants,
    comparable,
    filtered,
    masked,
)
from tests.node.security.two_tenants import tenants as two_tenants
from tests.unit.headrace.execution.protection.examples import searches
from tests.unit.headrace.execution.protection.test_table import TABLES

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.node
HIDDEN = hidden_fields(HIDDEN_NAMES, [MAPPING])
FILTERED = Scope(filtered=True, hidden=HiddenFields(), errors_withheld=True)
MASKED = Scope(filtered=False, hidden=HIDDEN)
BOTH = Scope(filtered=True, hidden=HIDDEN, errors_withheld=True)
SEARCHES = searches()
NAMES = [f"{table}: {name}" for table, name, _, _ in SEARCHES]
NO_LEAK = frozenset(
    {
        "highlight with children",
        "sort by nested with children",
        "terms of a part of a flat object",
        "fields of nested by object",
        "the stored source",
        "significant text",
        "inner hits with source true",
    }
)
"""Of the hostile searches, those that 3.8.0 answers without what they ask for."""


@pytest.fixture(scope="module")
def tenants(node: str) -> Iterator[Tenants]:
    made = two_tenants(node)
    made.make()
    yield made
    made.drop()


def forwarded(request: dict[str, Any], scope: Scope) -> dict[str, Any] | None:
    """The request as it would be forwarded; None if it is refused."""
    try:
        review = Review.of(request, scope)
        lookups = dict.fromkeys(review.lookups, VISIBLE if scope.filtered else None)
        new = review.rewritten(VISIBLE if scope.filtered else None, lookups)
    except HeadraceError:
        return None
    return filtered(new) if scope.filtered else new


@pytest.mark.parametrize(("table", "name", "plain", "for_mask"), SEARCHES, ids=NAMES)
def test_each_row_is_valid_and_what_is_forwarded_shows_no_other_tenant(
    tenants: Tenants, table: str, name: str, plain: dict[str, Any], for_mask: dict[str, Any]
):
    status, text = tenants.search(tenants.both, plain)
    plugin = TABLES[table][name].plugin
    if plugin:
        assert status == 400, f"{plugin} is there: compare its answers, too"
        assert "unknown query" in text
        return
    if name != "template":
        assert status == 200, text
    new = forwarded(plain, FILTERED)
    if new is None:
        return
    status, text = tenants.search(tenants.both, new)
    assert status == 200, text
    assert not [each for each in OTHERS if each in text], text
    expected = tenants.search(tenants.own, plain)
    assert comparable(json.loads(text)) == comparable(json.loads(expected[1]))


@pytest.mark.parametrize(("table", "name", "plain", "for_mask"), SEARCHES, ids=NAMES)
def test_what_is_forwarded_shows_no_hidden_field(
    tenants: Tenants, table: str, name: str, plain: dict[str, Any], for_mask: dict[str, Any]
):
    if TABLES[table][name].plugin:
        return
    status, text = tenants.search(tenants.both, for_mask)
    assert status == 200 or name == "template", text
    for request in (plain, for_mask):
        for scope in (MASKED, BOTH):
            new = forwarded(request, scope)
            if new is None:
                continue
            status, text = tenants.search(tenants.both, new)
            assert status == 200, text
            assert not [each for each in SECRETS if each in masked(text)], text
            if scope is BOTH:
                assert not [each for each in OTHERS if each in text], text


def leaks(tenants: Tenants, request: dict[str, Any], scope: Scope) -> bool:
    """Whether a search that is forwarded as it is (with the filter) shows what it may not, or the node refuses it."""
    sent = filtered(request) if scope.filtered else request
    status, text = tenants.search(tenants.both, sent)
    if status != 200:
        return True
    if not scope.filtered:
        return any(each in masked(text) for each in SECRETS)
    if any(each in text for each in OTHERS):
        return True
    own = tenants.search(tenants.own, filtered(request))
    if own[0] != 200:
        return True
    return bool(strict(text, scores="rescore" in request) != strict(own[1], scores="rescore" in request))


def strict(text: str, *, scores: bool) -> Any:
    """An answer to be compared with another; scores included where nothing else shows what was read."""
    answer = json.loads(text)
    seen = [hit.get(part) for hit in answer["hits"]["hits"] for part in ("_explanation", "_score" if scores else "")]
    return comparable(answer, background=True), seen, answer.get("profile")


@pytest.mark.parametrize("name", FOR_FILTER)
def test_no_hostile_search_shows_another_tenant(tenants: Tenants, name: str):
    request = FOR_FILTER[name]
    assert name in NO_LEAK or leaks(tenants, request, FILTERED), "it would show nothing as it is: no test"
    new = forwarded(request, FILTERED)
    if new is None:
        return
    status, text = tenants.search(tenants.both, new)
    assert not [each for each in OTHERS if each in text], text
    expected = tenants.search(tenants.own, request)
    assert status == expected[0]
    if status == 200:
        assert comparable(json.loads(text)) == comparable(json.loads(expected[1]))


@pytest.mark.parametrize("name", FOR_MASK)
def test_no_hostile_search_shows_a_hidden_field(tenants: Tenants, name: str):
    request = FOR_MASK[name]
    assert name in NO_LEAK or leaks(tenants, request, MASKED), "it would show nothing as it is: no test"
    new = forwarded(request, MASKED)
    if new is None:
        return
    status, text = tenants.search(tenants.both, new)
    shown = masked(text) if status == 200 else text
    assert not [each for each in SECRETS if each in shown], shown


def test_what_a_failing_script_says_of_another_tenant_is_kept_back(tenants: Tenants):
    source = "if (doc['tenant'].size() > 0 && doc['tenant'].value == 'b') throw new Exception(doc['mark'].value); true"
    request = {"query": {"bool": {"should": [{"script": {"script": source}}, {"term": {"tag": "x"}}]}}}
    visible = {"bool": {"must_not": [{"term": {"tenant": "b"}}]}}
    status, text = tenants.search(tenants.both, filtered(request, visible))
    assert status == 400
    assert "zebra" in text, "the node does not run it there any more"
    assert Review.of(request, FILTERED).scripted
    assert "zebra" not in json.dumps(without_quotes(json.loads(text)))
