"""The review of searches: what it refuses and says, what it rewrites, and what it leaves as it came."""

from __future__ import annotations

import base64
import json
from decimal import Decimal
from typing import Any

import pytest

from headrace.execution.protection import HiddenFields, Review, Scope, without_quotes
from headrace.execution.protection.walk import MAX_DEPTH
from headrace_pipelines.errors import HeadraceError, InvalidError, RefusedError

VISIBLE = {"term": {"tenant": "a"}}
HIDDEN = HiddenFields.of(["secret", "people.ssn"])
FILTERED = Scope(filtered=True, hidden=HiddenFields())
MASKED = Scope(filtered=False, hidden=HIDDEN)
OPEN = Scope(filtered=False, hidden=HiddenFields())
EXCLUDES = {"excludes": ["people.ssn", "people.ssn.*", "secret", "secret.*"]}


def rewritten(request: dict[str, Any], scope: Scope = FILTERED, lookups: Any = None) -> dict[str, Any]:
    return Review.of(request, scope).rewritten(VISIBLE, lookups or {})


def test_a_plain_search_comes_back_itself_with_its_numbers():
    request = {
        "query": {"bool": {"must": [{"match": {"text": "a"}}], "filter": {"range": {"n": {"gte": Decimal("1.10")}}}}},
        "aggs": {"t": {"terms": {"field": "tag"}, "aggs": {"s": {"sum": {"field": "n"}}}}},
        "sort": [{"n": "desc"}, "_score"],
        "_source": ["a", "b.*"],
        "size": 10,
    }
    for scope in (FILTERED, MASKED):
        review = Review.of(request, scope)
        assert not review.needs_filter
        assert not review.lookups
        assert review.rewritten(VISIBLE, {}) is request


def test_a_refusal_names_path_and_rule():
    request = {"aggs": {"a": {"terms": {"field": "x"}, "aggs": {"b": {"children": {"type": "c"}}}}}}
    with pytest.raises(RefusedError) as caught:
        Review.of(request, FILTERED)
    assert caught.value.status == 403
    assert caught.value.reason == (
        "[aggs.a.aggs.b.children] a final pipeline filters this search, and this part may not be in it: "
        "it counts children that the filter leaves out"
    )
    with pytest.raises(RefusedError, match=r"^\[query\.bool\.must\[1\]\.pinned\] final pipelines protect .*not known"):
        Review.of({"query": {"bool": {"must": [{"match_all": {}}, {"pinned": {"ids": []}}]}}}, FILTERED)
    with pytest.raises(
        RefusedError, match=r"^\[docvalue_fields\[1\]\.field\] a final result pipeline hides \[people\.\*\]"
    ):
        Review.of({"docvalue_fields": ["a", {"field": "people.*"}]}, MASKED)


MALFORMED: list[Any] = [
    {"query": []},
    {"query": "match_all"},
    {"query": {}},
    {"query": {"match_all": {}, "match_none": {}}},
    {"query": {"bool": {"must": "x"}}},
    {"query": {"bool": []}},
    {"query": {"wrapper": {"query": 1}}},
    {"query": {"terms": {"a": {"id": "1", "path": "p"}}}},
    {"query": {"terms": {"a": {"index": "i", "path": "p", "id": "1", "query": {"match_all": {}}}}}},
    {"aggs": {"x": []}},
    {"aggs": {"x": {"global": {}, "filter": {"match_all": {}}}}},
    {"aggs": []},
    {"query": {"nested": {"path": "p", "query": {"match_all": {}}, "inner_hits": True}}},
    {"query": {"intervals": {"f": []}}},
    {"query": {"percolate": {"field": "q", "id": "1"}}},
]


@pytest.mark.parametrize("request_", MALFORMED, ids=json.dumps)
def test_what_the_node_does_not_take_either_is_a_400(request_: Any):
    for scope in (FILTERED, MASKED):
        with pytest.raises(InvalidError):
            Review.of(request_, scope)


UNKNOWN: list[Any] = [
    {"Query": {"match_all": {}}},
    {"query": {"BOOL": {}}},
    {"query": {"bool": {"MUST": []}}},
    {"query": {"bool": {"must": [{"term": {"a": {"value": "x", "query": {"match_all": {}}}}}]}}},
    {"query": {"term": {"a": [{"match_all": {}}]}}},
    {"query": {"range": {"a": {"gte": {"index": "x", "id": "1"}}}}},
    {"query": {"match": {"a": {"query": {"match_all": {}}}}}},
    {"query": {"ids": {"values": {"index": "x"}}}},
    {"query": {"terms": {"a": ["x", {"index": "y"}]}}},
    {"query": {"terms": {"a": {"index": "x", "id": "1", "path": "p", "other": 1}}}},
    {"query": {"geo_shape": {"a": {"indexed": {"id": "1"}}}}},
    {"query": {"intervals": {"a": {"unknown": {}}}}},
    {"query": {"intervals": {"a": {"match": {"query": "x", "filter": {"like": {}}}}}}},
    {"query": {"function_score": {"filter": {"match_all": {}}}}},
    {"query": {"function_score": {"functions": [{"sltr": {}}]}}},
    {"query": {"nested": {"path": "p", "query": {"match_all": {}}, "inner_hits": {"suggest": {}}}}},
    {"query": {"template": {"match_all": {}}}},
    {"query": {"wrapper": {"query": "bm90IGpzb24="}}},
    {"query": {"wrapper": {"query": "%%%"}}},
    {"query": {"script": {"script": {"source": "1", "lang": "mvel"}}}},
    {"aggs": {"x": {"top_metrics": {}}}},
    {"aggs": {"x": {"terms": {"field": "a", "background_filter": {"match_all": {}}}}}},
    {"aggs": {"x": {"composite": {"sources": [{"a": {"geohash_grid": {"field": "a"}}}]}}}},
    {"aggs": {"x": {"filter": {"unknown": {}}}}},
    {"aggs": {"x": {"filters": {"filters": {"a": {"unknown": {}}}}}}},
    {"aggs": {"x": {"top_hits": {"query": {"match_all": {}}}}}},
    {"aggs": {"x": {"top_hits": {"inner_hits": {}}}}},
    {"rescore": {"window_size": 5, "learning_to_rank": {}}},
    {"rescore": [{"query": {"rescore_query": {"unknown": {}}}}]},
    {"highlight": {"type": "semantic", "fields": {"a": {}}}},
    {"highlight": {"fields": {"a": {"type": "experimental"}}}},
    {"highlight": {"fields": {"a": {"options": {}}}}},
    {"collapse": {"field": "a", "inner_hits": {"name": "i", "query": {}}}},
    {"sort": [{"a": {"order": "asc", "nested": {"path": "p", "filter": {"unknown": {}}}}}]},
    {"sort": [{"_geo_distance": {"a": [1, 2], "nested": {"query": {}}}}]},
    {"suggest": {"x": {"text": "a", "own": {}}}},
    {"suggest": {"x": {"text": "a", "phrase": {"field": "a", "collate": {"query": {"source": {}}}}}}},
    {"ext": {"personalize": {}}},
    {"search_pipeline": "mine"},
    {"search_pipeline": {}},
    {"verbose_pipeline": True},
    {"profile": True},
    {"profile": "yes"},
    {"explain": 1},
    {"runtime_mappings": {}},
    {"knn": {"field": "v"}},
    {"retriever": {}},
]


@pytest.mark.parametrize("request_", UNKNOWN, ids=json.dumps)
def test_what_is_not_known_is_refused(request_: Any):
    for scope in (FILTERED, MASKED):
        with pytest.raises(RefusedError):
            Review.of(request_, scope)


def nested(times: int) -> dict[str, Any]:
    query: dict[str, Any] = {"match_all": {}}
    for _ in range(times):
        query = {"bool": {"must": [query]}}
    return {"query": query}


def test_depth_is_bounded():
    assert rewritten(nested(MAX_DEPTH - 1))
    for make in (nested(MAX_DEPTH), nested(250)):
        with pytest.raises(RefusedError, match="nest"):
            Review.of(make, FILTERED)
    deep: dict[str, Any] = {"match": {"query": "x"}}
    for _ in range(150):
        deep = {"all_of": {"intervals": [deep]}}
    aggs: dict[str, Any] = {"terms": {"field": "a"}}
    for _ in range(150):
        aggs = {"terms": {"field": "a"}, "aggs": {"x": aggs}}
    wrapped: dict[str, Any] = {"match_all": {}}
    for _ in range(12):
        wrapped = {"wrapper": {"query": base64.b64encode(json.dumps(wrapped).encode()).decode()}}
    for request in ({"query": {"intervals": {"f": deep}}}, {"aggs": {"x": aggs}}):
        with pytest.raises(RefusedError, match="nest"):
            Review.of(request, FILTERED)
    assert rewritten({"query": wrapped}) == {"query": {"match_all": {}}}


def test_a_join_reads_what_is_visible():
    query = {"has_child": {"type": "c", "query": {"term": {"a": 1}}, "inner_hits": {}}}
    review = Review.of({"query": query}, FILTERED)
    assert review.needs_filter
    assert review.rewritten(VISIBLE, {}) == {
        "query": {
            "has_child": {
                "type": "c",
                "query": {"bool": {"must": [{"term": {"a": 1}}], "filter": [VISIBLE]}},
                "inner_hits": {},
            }
        }
    }
    with pytest.raises(RefusedError, match="more than a filter"):
        review.rewritten(None, {})
    assert rewritten({"query": query}, OPEN) == {"query": query}


def test_global_becomes_a_filter_where_nothing_else_restricts_the_search():
    every = {"x": {"global": {}, "aggs": {"n": {"sum": {"field": "n"}}}, "meta": {"a": 1}}}
    expected = {"x": {"filter": VISIBLE, "aggs": {"n": {"sum": {"field": "n"}}}, "meta": {"a": 1}}}
    assert rewritten({"aggs": every}) == {"aggs": expected}
    assert rewritten({"aggs": every, "query": {"match_all": {"boost": 2}}})["aggs"] == expected
    assert rewritten({"aggregations": every, "aggs": every}) == {"aggregations": expected, "aggs": expected}
    below = {"y": {"terms": {"field": "a"}, "aggs": every}}
    for request in (
        {"aggs": every, "query": {"term": {"a": 1}}},
        {"aggs": every, "min_score": 1},
        {"aggs": every, "slice": {"id": 0, "max": 2}},
        {"aggs": every, "terminate_after": 1},
        {"aggs": below},
    ):
        with pytest.raises(RefusedError, match="does not match"):
            Review.of(request, FILTERED)


def test_backgrounds_are_what_is_visible():
    given = {"significant_terms": {"field": "a", "background_filter": {"term": {"b": 1}}}}
    made = rewritten({"aggs": {"x": given}})["aggs"]["x"]["significant_terms"]["background_filter"]
    assert made == {"bool": {"must": [{"term": {"b": 1}}], "filter": [VISIBLE]}}
    below = {"n": {"nested": {"path": "p"}, "aggs": {"x": given}}}
    other_way = {"n": {"aggs": {"x": given}, "nested": {"path": "p"}}}
    for aggs in (below, other_way):
        with pytest.raises(RefusedError, match="nested"):
            Review.of({"aggs": aggs}, FILTERED)


@pytest.mark.parametrize("least", [0, "0", "1", -1, Decimal("0.0"), Decimal(1), None, True, [1]])
def test_terms_without_documents_are_refused(least: Any):
    for kind in ("terms", "multi_terms", "significant_terms"):
        with pytest.raises(HeadraceError):
            Review.of({"aggs": {"x": {kind: {"field": "a", "min_doc_count": least}}}}, FILTERED)
    assert rewritten({"aggs": {"x": {"histogram": {"field": "a", "interval": 1, "min_doc_count": 0}}}})


SOURCES: list[tuple[Any, Any]] = [
    (None, EXCLUDES),
    (True, EXCLUDES),
    (False, False),
    ("secret", {"includes": ["secret"], **EXCLUDES}),
    ("true", {"includes": ["true"], **EXCLUDES}),
    (["a", "people.*"], {"includes": ["a", "people.*"], **EXCLUDES}),
    ({"include": "a"}, {"include": "a", **EXCLUDES}),
    ({"includes": ["a"], "excludes": "b"}, {"includes": ["a"], "excludes": ["b", *EXCLUDES["excludes"]]}),
    ({"exclude": ["c"], "excludes": ["b"]}, {"excludes": ["b", "c", *EXCLUDES["excludes"]]}),
    ({}, EXCLUDES),
]


@pytest.mark.parametrize(("source", "expected"), SOURCES)
def test_small_searches_go_without_hidden_fields(source: Any, expected: Any):
    given = {} if source is None else {"_source": source}
    made = {"_source": expected}
    people = {"path": "people", "query": {"match_all": {}}}
    assert (
        rewritten({"query": {"nested": {**people, "inner_hits": given}}}, MASKED)["query"]["nested"]["inner_hits"]
        == made
    )
    assert rewritten({"aggs": {"x": {"top_hits": given}}}, MASKED)["aggs"]["x"]["top_hits"] == made
    collapse = {"collapse": {"field": "tag", "inner_hits": [{"name": "i", **given}]}}
    assert rewritten(collapse, MASKED)["collapse"]["inner_hits"] == [{"name": "i", **made}]


def test_stored_fields_switch_the_document_off():
    assert rewritten({"aggs": {"x": {"top_hits": {"stored_fields": ["kept"]}}}}, MASKED)["aggs"]["x"]["top_hits"] == {
        "stored_fields": ["kept"]
    }
    made = rewritten({"aggs": {"x": {"top_hits": {"stored_fields": ["kept", "_source"]}}}}, MASKED)
    assert made["aggs"]["x"]["top_hits"]["_source"] == EXCLUDES


def test_a_conditional_mask_sees_whole_documents_or_no_hidden_field():
    scope = Scope(filtered=False, hidden=HIDDEN, conditional=True)
    assert rewritten({"_source": ["secret"]}, scope) == {"_source": {"includes": ["secret"], **EXCLUDES}}
    for whole in ({}, {"_source": True}, {"_source": False}):
        assert rewritten(whole, scope) is whole


def test_aggregations_over_hidden_fields_by_setting():
    aggs = {
        "x": {"terms": {"field": "secret.raw"}},
        "n": {"nested": {"path": "people"}, "aggs": {"m": {"max": {"field": "people.ssn"}}}},
    }
    with pytest.raises(RefusedError, match=r"\[aggs\.x\.terms\.field\]"):
        Review.of({"aggs": aggs}, MASKED)
    allowed = Scope(filtered=False, hidden=HIDDEN, masked_aggregations="allow")
    assert rewritten({"aggs": aggs}, allowed) == {"aggs": aggs}
    for strict in ({"top_hits": {"docvalue_fields": ["secret"]}}, {"terms": {"script": "1"}}):
        with pytest.raises(RefusedError):
            Review.of({"aggs": {"x": strict}}, allowed)


ASKING: list[dict[str, Any]] = [
    {"term": {"secret": "x"}},
    {"bool": {"must_not": [{"prefix": {"secret.raw": {"value": "x"}}}]}},
    {"range": {"people.ssn": {"gte": 5}}},
    {"exists": {"field": "secret"}},
    {"terms": {"secret": ["x"]}},
    {"multi_match": {"query": "x", "fields": ["text", "secr*^2"]}},
    {"multi_match": {"query": "x"}},
    {"query_string": {"query": "x"}},
    {"query_string": {"query": "secret:x", "fields": ["text"]}},
    {"query_string": {"query": "x", "default_field": "*"}},
    {"simple_query_string": {"query": "x"}},
    {"intervals": {"secret": {"match": {"query": "x"}}}},
    {"intervals": {"text": {"match": {"query": "x", "use_field": "secret"}}}},
    {"geo_distance": {"distance": "1km", "secret": [1, 2]}},
    {"span_near": {"clauses": [{"span_term": {"secret": "x"}}]}},
    {"more_like_this": {"like": "x"}},
]


@pytest.mark.parametrize("query", ASKING, ids=json.dumps)
def test_queries_about_hidden_fields_by_setting(query: dict[str, Any]):
    assert rewritten({"query": query}, MASKED) == {"query": query}
    refusing = Scope(filtered=False, hidden=HIDDEN, masked_queries="refuse")
    for request in ({"query": query}, {"post_filter": query}, {"aggs": {"x": {"filter": query}}}):
        with pytest.raises(RefusedError, match="masked_queries"):
            Review.of(request, refusing)


def test_scripts_of_queries_need_errors_to_be_kept_back():
    withheld = Scope(filtered=True, hidden=HiddenFields(), errors_withheld=True)
    score = {"script_score": {"query": {"match_all": {}}, "script": {"source": "1"}}}
    for request in (
        {"query": {"script": {"script": "true"}}},
        {"query": {"terms_set": {"a": {"terms": ["x"], "minimum_should_match_script": {"source": "1"}}}}},
        {"query": score},
        {"query": {"function_score": {"script_score": {"script": {"source": "1"}}}}},
        {"aggs": {"x": {"filter": {"script": {"script": "true"}}}}},
        {"derived": {"d": {"type": "keyword", "script": "emit('a')"}}},
    ):
        with pytest.raises(RefusedError, match="errors quote"):
            Review.of(request, FILTERED)
        review = Review.of(request, withheld)
        assert review.scripted
        assert review.rewritten(VISIBLE, {}) is request
    assert not Review.of({"script_fields": {"s": {"script": "doc['n'].value"}}}, FILTERED).scripted
    for script in ({"id": "stored"}, {"source": "totalTermFreq('a', 'b')"}, {"source": "sumTotalTermFreq('a')"}):
        with pytest.raises(RefusedError):
            Review.of({"query": {"script_score": {"query": {"match_all": {}}, "script": script}}}, withheld)


def test_what_scripts_say_is_kept_back():
    cause = {"type": "script_exception", "reason": "runtime error", "caused_by": {"type": "x", "reason": "zebra"}}
    error = {"type": "search_phase_execution_exception", "reason": "zebra", "failed_shards": [{"reason": cause}]}
    failed = {"error": {**error, "root_cause": [cause]}, "status": 400}
    some = {"_shards": {"failures": [{"shard": 1, "reason": cause}]}, "hits": {"hits": [{"_source": cause}]}}
    made = without_quotes({"responses": [failed, some]})
    assert "zebra" not in json.dumps(made["responses"][0])
    assert made["responses"][0]["error"]["type"] == "script_exception"
    assert made["responses"][1]["_shards"]["failures"][0]["shard"] == 1
    assert made["responses"][1]["hits"] is some["hits"]
    compiling = {"error": {"type": "script_exception", "reason": "compile error", "script": "x +"}}
    for answer in (compiling, {"hits": {}}, {"error": "text"}, {"error": {"type": "parsing_exception", "reason": "x"}}):
        assert without_quotes(answer) is answer
