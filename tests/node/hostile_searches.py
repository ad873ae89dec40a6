"""Searches that try to see what a filter leaves out, and what a mask hides, over the indexes of two_tenants.py."""

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

PEOPLE: dict[str, Any] = {"path": "people", "query": ALL}
SECRET_BY = {"field_value_factor": {"field": "people.ssn", "missing": 1}}


def nested(**inner: Any) -> dict[str, Any]:
    return {"_source": False, "query": {"nested": {**PEOPLE, "inner_hits": {"size": 5, **inner}}}}


def nested_aggs(body: Any) -> dict[str, Any]:
    return aggs({"nested": {"path": "people"}, "aggs": {"y": body}})


FOR_MASK: dict[str, dict[str, Any]] = {
    "docvalue fields": {"docvalue_fields": ["secret.raw"]},
    "docvalue fields by pattern": {"docvalue_fields": ["sec*"]},
    "docvalue fields by a pattern of the end": {"docvalue_fields": ["*.raw"]},
    "docvalue fields with a format": {"docvalue_fields": [{"field": "secret_alias", "format": "use_field_mapping"}]},
    "docvalue fields of a copy": {"docvalue_fields": ["numbers"]},
    "all docvalue fields": {"docvalue_fields": ["*"]},
    "docvalue fields of a flat object": {"docvalue_fields": ["flat"]},
    "fields": {"fields": ["secret"]},
    "fields by pattern": {"fields": ["s*t"]},
    "fields by alias": {"fields": ["secret_alias"]},
    "fields of nested": {"fields": ["people.*"]},
    "fields of nested by object": {"fields": ["people"]},
    "fields of a flat object": {"fields": ["flat.inner"]},
    "a whole flat object": {"fields": ["flat"]},
    "all fields": {"fields": [{"field": "*"}]},
    "stored fields": {"stored_fields": ["secret"]},
    "stored fields of a copy": {"stored_fields": "everything"},
    "stored fields by pattern": {"stored_fields": ["every*"]},
    "all stored fields": {"stored_fields": "*"},
    "the stored source": {"stored_fields": ["_sourc*"]},
    "sort": {"sort": ["secret.raw"]},
    "sort by text": {"sort": "secret.raw"},
    "sort by object": {"sort": {"secret_alias": "asc"}},
    "sort by nested": {"sort": [{"people.ssn": {"order": "asc", "nested": {"path": "people"}}}]},
    "sort by fielddata": {"sort": [{"secret": "desc"}]},
    "sort by script": {"sort": {"_script": {"type": "string", "script": "doc['secret.raw'].value"}}},
    "sort by a copy": {"sort": ["numbers"]},
    "collapse": {"collapse": {"field": "secret.raw"}},
    "inner collapse": {
        "_source": False,
        "collapse": {
            "field": "tenant",
            "inner_hits": {"name": "i", "_source": False, "collapse": {"field": "secret.raw"}},
        },
    },
    "collapsed hits": {"_source": False, "collapse": {"field": "tenant", "inner_hits": {"name": "i", "size": 50}}},
    "collapsed hits in a list": {
        "_source": False,
        "collapse": {"field": "mark", "inner_hits": [{"name": "i"}, {"name": "j"}]},
    },
    "highlight": {
        "query": {"match": {"secret": "common"}},
        "highlight": {"fields": {"secret": {"number_of_fragments": 0}}},
    },
    "highlight all": {
        "query": {"match": {"secret": "common"}},
        "highlight": {"require_field_match": False, "fields": {"*": {"number_of_fragments": 0}}},
    },
    "highlight a copy": {
        "query": {"match": {"everything": "common"}},
        "highlight": {"fields": [{"everything": {"number_of_fragments": 0}}]},
    },
    "highlight without a match": {
        "query": {"match": {"text": "common"}},
        "highlight": {"require_field_match": False, "fields": {"secret": {"no_match_size": 100}}},
    },
    "highlight by matched fields": {
        "query": {"match": {"secret": "common"}},
        "highlight": {"type": "fvh", "fields": {"secret": {"matched_fields": ["secret", "text"]}}},
    },
    "explain": {
        "explain": True,
        "query": {"function_score": {"query": ALL, "linear": {"numbers": {"origin": 0, "scale": 9}}}},
    },
    "terms": aggs({"terms": {"field": "secret.raw", "size": 50}}),
    "terms by alias": aggs({"terms": {"field": "secret_alias", "size": 50}}),
    "terms by fielddata": aggs({"terms": {"field": "secret", "size": 50}}),
    "terms of a copy": aggs({"terms": {"field": "everything", "size": 90}}),
    "terms of a flat object": aggs({"terms": {"field": "flat.inner", "size": 90}}),
    "terms of a part of a flat object": aggs({"terms": {"field": "flat._value", "size": 90}}),
    "terms of all of a flat object": aggs({"terms": {"field": "flat", "size": 90}}),
    "terms by script": aggs({"terms": {"script": "doc['secret.raw'].value", "size": 50}}),
    "terms of nested": nested_aggs({"terms": {"field": "people.ssn", "size": 50}}),
    "terms of a nested alias": nested_aggs({"terms": {"field": "people.number", "size": 50}}),
    "maximum of nested": nested_aggs({"max": {"field": "people.ssn"}}),
    "percentiles": nested_aggs({"percentiles": {"field": "people.ssn", "percents": [0, 50, 100]}}),
    "histogram": nested_aggs({"histogram": {"field": "people.ssn", "interval": 1}}),
    "multi terms": aggs({"multi_terms": {"terms": [{"field": "mark"}, {"field": "secret.raw"}], "size": 50}}),
    "composite": aggs({"composite": {"sources": [{"s": {"terms": {"field": "secret.raw"}}}], "size": 50}}),
    "composite by script": aggs({"composite": {"sources": [{"s": {"terms": {"script": "doc['secret.raw'].value"}}}]}}),
    "rare terms": aggs({"rare_terms": {"field": "secret.raw"}}),
    "significant terms": aggs(
        {"significant_terms": {"field": "secret.raw", "min_doc_count": 1, "percentage": {}}},
        query={"term": {"tag": "y"}},
    ),
    "significant text": aggs(
        {"significant_text": {"field": "text", "source_fields": ["secret"], "min_doc_count": 1, "percentage": {}}},
        query={"term": {"tag": "y"}},
    ),
    "weighted average": nested_aggs(
        {"weighted_avg": {"value": {"field": "people.ssn"}, "weight": {"field": "people.age"}}}
    ),
    "matrix": nested_aggs({"matrix_stats": {"fields": ["people.age", "people.ssn"]}}),
    "diversified": aggs({"diversified_sampler": {"field": "mark"}, "aggs": {"y": {"terms": {"field": "secret.raw"}}}}),
    "scripted metric": aggs(
        {
            "scripted_metric": {
                "init_script": "state.all = []",
                "map_script": "state.all.add(doc['secret.raw'].value)",
                "combine_script": "return state.all",
                "reduce_script": "return states",
            }
        }
    ),
    "top hits": aggs({"top_hits": {"size": 50}}),
    "top hits of a field": aggs({"top_hits": {"size": 50, "_source": "secret"}}),
    "top hits of nested": nested_aggs({"top_hits": {"size": 50}}),
    "top hits of nested by name": nested_aggs({"top_hits": {"size": 50, "_source": {"includes": ["people.ssn"]}}}),
    "top hits of nested by field": nested_aggs({"top_hits": {"size": 50, "_source": ["ssn", "*"]}}),
    "top hits with docvalues": aggs({"top_hits": {"size": 50, "_source": False, "docvalue_fields": ["secret.raw"]}}),
    "top hits by sort": aggs({"top_hits": {"size": 50, "_source": False, "sort": ["secret.raw"]}}),
    "top hits with scripts": aggs(
        {"top_hits": {"_source": False, "script_fields": {"s": {"script": "params._source.secret"}}}}
    ),
    "top hits with highlights": aggs(
        {"top_hits": {"_source": False, "highlight": {"fields": {"secret": {}}}}}, query={"match": {"secret": "common"}}
    ),
    "top hits deep": aggs({**MARKS, "aggs": {"t": {"top_hits": {}}}}),
    "inner hits": nested(),
    "inner hits by name": nested(_source="people.ssn"),
    "inner hits by names": nested(_source=["people.*", "ssn"]),
    "inner hits by includes": nested(_source={"includes": ["*"], "excludes": ["people.name"]}),
    "inner hits by include": nested(_source={"include": "people.s*", "exclude": ["x"]}),
    "inner hits with source true": nested(_source="true"),
    "inner hits with docvalues": nested(docvalue_fields=["people.ssn"]),
    "inner hits with docvalues by pattern": nested(docvalue_fields=["people.*"]),
    "inner hits with fields": nested(fields=["people.ssn"]),
    "inner hits by sort": nested(sort=[{"people.ssn": "asc"}]),
    "inner hits with scripts": nested(script_fields={"s": {"script": "doc['people.ssn'].value"}}),
    "inner hits of children": {"_source": False, "query": ALL_ANSWERS},
    "inner hits of parents": {"_source": False, "query": ALL_QUESTIONS},
    "inner hits of children in nested inner hits": {
        "_source": False,
        "query": {"has_child": {"type": "answer", "inner_hits": {}, "query": {"nested": {**PEOPLE, "inner_hits": {}}}}},
    },
    "inner hits in a wrapper": {"_source": False, "query": wrapped({"nested": {**PEOPLE, "inner_hits": {}}})},
    "inner hits in a function": {
        "_source": False,
        "query": {"function_score": {"query": {"nested": {**PEOPLE, "inner_hits": {}}}}},
    },
    "script fields": {"script_fields": {"s": {"script": {"source": "doc['secret.raw'].value"}}}},
    "script fields of the source": {"script_fields": {"s": {"script": "params._source.people[0].ssn"}}},
    "derived field": {
        "derived": {"d": {"type": "keyword", "script": "emit(params._source['secret'])"}},
        "fields": ["d"],
    },
    "a score": {
        "query": {
            "nested": {**PEOPLE, "query": {"function_score": {"query": ALL, "boost_mode": "replace", **SECRET_BY}}}
        }
    },
    "a score by script": {
        "query": {"nested": {**PEOPLE, "query": {"script_score": {"query": ALL, "script": "doc['people.ssn'].value"}}}}
    },
    "a score of a copy": {
        "query": {
            "function_score": {
                "query": ALL,
                "boost_mode": "replace",
                "field_value_factor": {"field": "numbers", "missing": 1},
            }
        }
    },
    "a rescore": {
        "rescore": {
            "window_size": 50,
            "query": {
                "query_weight": 0,
                "rescore_query": {
                    "function_score": {
                        "boost_mode": "replace",
                        "field_value_factor": {"field": "numbers", "missing": 1},
                    }
                },
            },
        }
    },
    "a decay": {
        "query": {"function_score": {"query": ALL, "linear": {"numbers": {"origin": 0, "scale": 10000000000}}}},
        "explain": True,
    },
    "completion": {
        "_source": True,
        "suggest": {"s": {"prefix": "com", "completion": {"field": "complete", "size": 50}}},
    },
    "term suggester": {"suggest": {"s": {"text": "quaggaa", "term": {"field": "secret", "size": 50}}}},
    "term suggester of a copy": {"suggest": {"s": {"text": "quaggaa", "term": {"field": "everything", "size": 50}}}},
    "phrase suggester": {
        "suggest": {"s": {"text": "quaggaa common", "phrase": {"field": "secret", "confidence": 0, "max_errors": 2}}}
    },
    "phrase suggester by a generator": {
        "suggest": {
            "s": {
                "text": "quaggaa",
                "phrase": {
                    "field": "text",
                    "confidence": 0,
                    "max_errors": 2,
                    "direct_generator": [{"field": "secret"}],
                },
            }
        }
    },
    "a processor that renames": {
        "search_pipeline": {"response_processors": [{"rename_field": {"field": "secret", "target_field": "open"}}]}
    },
    "a processor that is shown": {
        "search_pipeline": {"response_processors": [{"rename_field": {"field": "text", "target_field": "open"}}]},
        "verbose_pipeline": True,
    },
    "profile": {"profile": True, "query": {"match": {"secret": "quaggaa1"}}},
    "slice": {"slice": {"field": "secret.raw", "id": 0, "max": 2}, "pit": {"id": "{pit}"}},
}
