"""The review of searches that read documents of other indexes."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from headrace.execution.protection import Refuse, Review, may_have_lookups
from headrace_pipelines.errors import RefusedError
from tests.unit.headrace.execution.protection.test_review import FILTERED, MASKED, OPEN, VISIBLE, rewritten


def test_a_look_up_of_terms_gets_the_filter_of_its_index():
    request = {"query": {"terms": {"f": {"index": "other", "id": "1", "path": "p", "routing": "r"}, "boost": 2}}}
    for scope in (FILTERED, MASKED, OPEN):
        review = Review.of(request, scope)
        assert review.lookups == {"other"}
        assert not review.needs_filter
        assert review.rewritten(None, {"other": None}) == request
        made = review.rewritten(None, {"other": {"term": {"t": 1}}})["query"]["terms"]
        query = {"bool": {"filter": [{"ids": {"values": ["1"]}}, {"term": {"t": 1}}]}}
        assert made == {"f": {"index": "other", "path": "p", "routing": "r", "query": query}, "boost": 2}
        for answers in ({"other": Refuse("it is masked")}, {}):
            with pytest.raises(RefusedError, match=r"\[query\.terms\.f\] this reads a document of \[other\]"):
                review.rewritten(None, answers)


def test_a_query_in_a_look_up_obeys_that_index():
    inner = {"has_child": {"type": "c", "query": {"match_all": {}}}}
    request = {"query": {"terms": {"f": {"index": "other", "path": "p", "query": inner}}}}
    own = {"term": {"t": 1}}
    for scope in (FILTERED, OPEN):
        made = Review.of(request, scope).rewritten(VISIBLE, {"other": own})["query"]["terms"]["f"]["query"]
        joined = {"bool": {"must": [{"match_all": {}}], "filter": [own]}}
        assert made == {"bool": {"filter": [{"has_child": {"type": "c", "query": joined}}, own]}}
        assert Review.of(request, scope).rewritten(VISIBLE, {"other": None}) == request


WHOLE: list[tuple[str, dict[str, Any]]] = [
    ("other", {"more_like_this": {"like": [{"_index": "other", "_id": "1"}]}}),
    ("other", {"more_like_this": {"like": "x", "unlike": {"_index": "other", "_id": "1"}}}),
    ("other", {"geo_shape": {"a": {"indexed_shape": {"index": "other", "id": "1", "path": "p"}}}}),
    ("shapes", {"geo_shape": {"a": {"indexed_shape": {"id": "1"}}}}),
    ("other", {"percolate": {"field": "q", "index": "other", "id": "1"}}),
    (
        "other",
        {"bool": {"filter": [{"nested": {"path": "p", "query": {"percolate": {"field": "q", "index": "other"}}}}]}},
    ),
]


@pytest.mark.parametrize(("index", "query"), WHOLE)
def test_documents_that_are_read_whole_are_of_unprotected_indexes(index: str, query: dict[str, Any]):
    for scope in (FILTERED, MASKED, OPEN):
        review = Review.of({"query": query}, scope)
        assert review.lookups == {index}
        assert review.rewritten(VISIBLE, {index: None}) == {"query": query}
        for answer in (VISIBLE, Refuse()):
            with pytest.raises(RefusedError, match=rf"of \[{index}\]"):
                review.rewritten(VISIBLE, {index: answer})


def test_bodies_that_may_look_up_are_seen_before_they_are_read():
    for _, query in WHOLE:
        assert may_have_lookups(json.dumps({"query": query}).encode())
    wrapped = base64.b64encode(json.dumps(WHOLE[0][1]).encode()).decode()
    assert may_have_lookups(json.dumps({"query": {"wrapper": {"query": wrapped}}}).encode())
    for body in (rb'{"terms":{"f":{"\u0069ndex":"o"}}}', b"{terms:{f:{index:o}}}", '{"index":1}'.encode("utf-16")):
        assert may_have_lookups(body)
    assert not may_have_lookups(b'{"query":{"bool":{"filter":[{"term":{"tag":"x"}}]}},"size":5}')


def test_documents_of_the_index_itself_are_not_read_whole():
    like = {"more_like_this": {"like": [{"_id": "1"}]}}
    for scope in (FILTERED, MASKED):
        with pytest.raises(RefusedError):
            Review.of({"query": like}, scope)
    named = {"more_like_this": {"fields": ["text"], "like": [{"_id": "1"}]}}
    assert rewritten({"query": named}, MASKED) == {"query": named}
    for fields in (["text", "secret"], ["*"]):
        with pytest.raises(RefusedError):
            Review.of({"query": {"more_like_this": {"fields": fields, "like": {"_id": "1"}}}}, MASKED)
    assert rewritten({"query": like}, OPEN)


def test_where_nothing_is_protected_only_look_ups_matter():
    unknown = {"query": {"plugin": {"query": {"terms": {"f": {"index": "other", "id": "1"}}}}}, "newer": {"a": [1]}}
    review = Review.of(unknown, OPEN)
    assert review.lookups == {"other"}
    assert review.rewritten(None, {"other": None}) == unknown
    with pytest.raises(RefusedError):
        review.rewritten(None, {"other": VISIBLE})
    for request in (
        {"explain": True, "profile": True, "ext": {"a": {}}, "suggest": {"s": {"completion": {"field": "c"}}}},
    ):
        assert rewritten(request, OPEN) is request
