"""Searches that try to see what a filter leaves out, over the indexes of two_tenants.py."""

from __future__ import annotations

import base64
import json
from typing import Any

ALL: dict[str, Any] = {"match_all": {}}
OTHERS: dict[str, Any] = {"range": {"n": {"gte": 7777000}}}
"""Only the other tenant's documents."""
ANSWERS: dict[str, Any] = {"has_child": {"type": "answer", "query": OTHERS, "inner_hits": {}}}
QUESTIONS: dict[str, Any] = {"has_parent": {"parent_type": "question", "query": OTHERS, "inner_hits": {}}}
ALL_ANSWERS: dict[str, Any] = {"has_child": {"type": "answer", "query": ALL, "inner_hits": {}}}
ALL_QUESTIONS: dict[str, Any] = {"has_parent": {"parent_type": "question", "query": ALL, "inner_hits": {}}}
MARKS: dict[str, Any] = {"terms": {"field": "mark", "size": 50}}
EVERY: dict[str, Any] = {"global": {}, "aggs": {"m": MARKS}}
EMPTY: dict[str, Any] = {"terms": {"field": "mark", "size": 50, "min_doc_count": 0}}
LOOK_UP: dict[str, Any] = {"terms": {"tag": {"index": "{index}", "id": "b-1", "path": "tag"}}}


def wrapped(query: Any) -> dict[str, Any]:
    return {"wrapper": {"query": base64.b64encode(json.dumps(query).encode()).decode()}}


def in_bool(query: Any, times: int, occurs: str = "must") -> Any:
    for _ in range(times):
        query = {"bool": {occurs: [query]}}
    return query


def aggs(body: Any, **more: Any) -> dict[str, Any]:
    return {"size": 0, "aggs": {"x": body}, **more}


def join_queries(query: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """One query in every place where a query may be."""
    score = {"query": ALL, "functions": [{"filter": query, "weight": 7}], "boost_mode": "replace"}
    return {
        "query": {"query": query},
        "deep": {"query": in_bool(query, 20)},
        "object": {"query": {"bool": {"must": query}}},
        "should": {"query": {"bool": {"should": [query]}}},
        "must_not": {"query": {"bool": {"must_not": [{"bool": {"must_not": [query]}}]}}},
        "filter": {"query": {"bool": {"filter": query}}},
        "mustNot": {"query": {"bool": {"mustNot": [{"bool": {"mustNot": query}}]}}},
        "constant_score": {"query": {"constant_score": {"filter": query}}},
        "boosting": {"query": {"boosting": {"positive": query, "negative": {"match_none": {}}, "negative_boost": 0.1}}},
        "dis_max": {"query": {"dis_max": {"queries": [query]}}},
        "function_score": {"query": {"function_score": {"query": query}}},
        "function": {"query": {"function_score": score}, "min_score": 5},
        "script_score": {"query": {"script_score": {"query": query, "script": {"source": "1"}}}},
        "wrapper": {"query": wrapped(query)},
        "wrapper in wrapper": {"query": wrapped({"bool": {"must": [wrapped(query)]}})},
        "post_filter": {"post_filter": query},
        "rescore": {"rescore": [{"window_size": 50, "query": {"rescore_query": query, "rescore_query_weight": 9}}]},
        "one rescore": {"rescore": {"window_size": 50, "query": {"rescore_query": query}}},
        "filter aggregation": aggs({"filter": query, "aggs": {"m": MARKS}}),
        "filters aggregation": aggs({"filters": {"filters": [query]}, "aggs": {"m": MARKS}}),
        "named filters": aggs({"filters": {"filters": {"f": query}}, "aggs": {"m": MARKS}}),
        "adjacency matrix": aggs({"adjacency_matrix": {"filters": {"f": query}}, "aggs": {"m": MARKS}}),
        "deep aggregation": aggs({**MARKS, "aggs": {"y": {"filter": query, "aggs": {"m": MARKS}}}}),
    }


FOR_FILTER: dict[str, dict[str, Any]] = {
    **{f"children: {name}": body for name, body in join_queries(ANSWERS).items()},
    **{f"parents: {name}": body for name, body in join_queries(QUESTIONS).items()},
    **{f"look-up: {name}": body for name, body in join_queries(LOOK_UP).items()},
    "global": aggs(EVERY),
    "global with meta": aggs({**EVERY, "meta": {"a": 1}}),
    "global, meta first": aggs({"meta": {}, **EVERY}),
    "global beside a query": aggs(EVERY, query={"term": {"mark": "mark-1"}}),
    "global by aggregations": {"size": 0, "aggregations": {"x": {"aggregations": {"m": MARKS}, "global": {}}}},
    "both spellings": {"size": 0, "aggs": {"m": MARKS}, "aggregations": {"x": EVERY}},
    "both spellings, the other way": {"size": 0, "aggregations": {"m": MARKS}, "aggs": {"x": EVERY}},
    "global beside min_score": aggs(EVERY, min_score=0.5),
    "GLOBAL": aggs({"GLOBAL": {}, "aggs": {"m": MARKS}}),
    "global with a member": aggs({"global": {"x": 1}, "aggs": {"m": MARKS}}),
    "children aggregation": aggs({"children": {"type": "answer"}, "aggs": {"m": MARKS}}),
    "parent aggregation": aggs({"parent": {"type": "answer"}, "aggs": {"m": MARKS}}),
    "children of children": aggs(
        {"children": {"type": "answer"}, "aggs": {"y": {"parent": {"type": "answer"}, "aggs": {"m": MARKS}}}}
    ),
    "top hits of children": aggs({"children": {"type": "answer"}, "aggs": {"t": {"top_hits": {"size": 50}}}}),
    "empty terms": aggs(EMPTY),
    "empty terms as text": aggs({"terms": {"field": "mark", "size": 50, "min_doc_count": "0"}}),
    "empty terms as decimal": aggs({"terms": {"field": "mark", "size": 50, "min_doc_count": 0.0}}),
    "empty terms in a filter": aggs({"filter": ALL, "aggs": {"y": EMPTY}}),
    "empty terms of texts": aggs(
        {"terms": {"field": "text.raw", "size": 50, "min_doc_count": 0, "order": {"_key": "desc"}}}
    ),
    "empty terms by include": aggs({"terms": {"field": "mark", "include": "zebra.*", "min_doc_count": 0}}),
    "empty significant terms": aggs(
        {"significant_terms": {"field": "mark", "size": 50, "min_doc_count": 0, "percentage": {}}}
    ),
    "background": aggs(
        {"significant_terms": {"field": "tag", "min_doc_count": 1, "percentage": {}}}, query={"term": {"tag": "x"}}
    ),
    "background, all of it": aggs(
        {"significant_terms": {"field": "tag", "min_doc_count": 1, "percentage": {}, "background_filter": ALL}},
        query={"term": {"tag": "x"}},
    ),
    "background of texts": aggs(
        {"significant_text": {"field": "text", "min_doc_count": 1, "percentage": {}}}, query={"term": {"tag": "x"}}
    ),
    "completion": {"suggest": {"s": {"prefix": "com", "completion": {"field": "complete", "size": 50}}}},
    "completion by regex": {"suggest": {"s": {"regex": "c.*", "completion": {"field": "complete", "size": 50}}}},
    "completion, fuzzy": {
        "suggest": {"s": {"prefix": "cmm", "completion": {"field": "complete", "fuzzy": {}, "size": 50}}}
    },
    "term suggester": {"suggest": {"s": {"text": "zebratex1", "term": {"field": "text", "size": 50}}}},
    "phrase suggester": {
        "suggest": {"s": {"text": "common zebratex1", "phrase": {"field": "text", "confidence": 0, "max_errors": 2}}}
    },
    "suggester with a text for all": {"suggest": {"text": "zebratex1", "s": {"term": {"field": "text"}}}},
    "profile": {"profile": True},
    "profile as text": {"profile": "true"},
    "explain": {"explain": True, "query": {"match": {"text": "common"}}},
    "explain as text": {"explain": "true", "query": {"match": {"text": "common"}}},
    "explain in inner hits": {
        "query": {
            "nested": {"path": "people", "query": {"match": {"people.name": "common"}}, "inner_hits": {"explain": True}}
        }
    },
    "explain in top hits": aggs({"top_hits": {"explain": True, "size": 50}}, query={"match": {"text": "common"}}),
    "like a document": {
        "query": {"more_like_this": {"fields": ["text"], "like": {"_id": "b-1"}, "min_term_freq": 1, "min_doc_freq": 1}}
    },
    "like a document of an index": {
        "query": {
            "more_like_this": {"like": [{"_index": "{index}", "_id": "b-1"}], "min_term_freq": 1, "min_doc_freq": 1}
        }
    },
    "unlike a document": {
        "query": {
            "more_like_this": {"like": "common", "unlike": [{"_id": "b-1"}], "min_term_freq": 1, "min_doc_freq": 1}
        }
    },
    "shape of a document": {
        "query": {
            "geo_shape": {
                "area": {"indexed_shape": {"index": "{index}", "id": "b-1", "path": "area"}, "relation": "disjoint"}
            }
        }
    },
    "percolate a document": {
        "query": {"percolate": {"field": "query", "index": "{index}", "id": "b-1"}},
        "highlight": {"fields": {"text": {}}},
    },
    "terms of a document by query": {
        "query": {"terms": {"tag": {"index": "{index}", "path": "tag", "query": {"term": {"tenant": "b"}}}}},
    },
    "terms of a document by query and children": {
        "query": {"terms": {"tag": {"index": "{index}", "path": "tag", "query": ANSWERS}}},
    },
    "children without a query that matches": {
        "query": {"bool": {"must_not": [{"has_child": {"type": "answer", "query": {"term": {"tenant": "b"}}}}]}}
    },
    "how many children": {"query": {"has_child": {"type": "answer", "query": ALL, "min_children": 2}}},
    "scores of children": {
        "query": {
            "has_child": {
                "type": "answer",
                "score_mode": "sum",
                "query": {
                    "function_score": {"query": ALL, "field_value_factor": {"field": "n"}, "boost_mode": "replace"}
                },
            }
        },
        "min_score": 7000000,
    },
    "children of parents": {
        "query": {"has_parent": {"parent_type": "question", "query": ANSWERS, "inner_hits": {"name": "parents"}}},
    },
    "sort by nested with children": {
        "sort": [{"people.age": {"nested": {"path": "people", "filter": {"bool": {"must": [ANSWERS]}}}}}],
    },
    "highlight with children": {
        "highlight": {
            "fields": {"text": {"highlight_query": {"bool": {"must": [ANSWERS, {"match": {"text": "common"}}]}}}}
        },
    },
    "highlight with a look-up": {"highlight": {"fields": {"tag": {}}, "highlight_query": LOOK_UP}},
    "statistics of terms": {
        "query": {"script_score": {"query": ALL, "script": {"source": "totalTermFreq('mark', 'zebra-1')"}}},
        "min_score": 0.5,
    },
    "statistics of terms in a function": {
        "query": {
            "function_score": {
                "query": ALL,
                "boost_mode": "replace",
                "functions": [{"script_score": {"script": {"source": "sumTotalTermFreq('tag')"}}}],
            }
        },
        "min_score": 14,
    },
    "pipeline in the body": {
        "explain": False,
        "search_pipeline": {
            "request_processors": [{"script": {"lang": "painless", "source": "ctx._source['explain'] = true"}}]
        },
        "query": {"match": {"text": "common"}},
    },
    "template": {"query": {"template": ANSWERS}},
    "two clauses": {"query": {"match_all": {}, "match_none": {}}},
    "no clause": {"post_filter": {}},
    "unknown clause": {"query": {"BOOL": {"must": [ANSWERS]}}},
    "unknown option": {"Aggs": {"x": EVERY}},
    "unknown member": {"query": {"bool": {"MUST": [ANSWERS]}}},
    "query as text": {"query": json.dumps(ANSWERS)},
    "too deep": {"query": in_bool(ANSWERS, 110)},
}
