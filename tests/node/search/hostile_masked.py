"""Searches that try to see what a mask hides, over the indexes of two_tenants.py."""

from __future__ import annotations

from typing import Any

from tests.node.search.hostile_searches import ALL, ALL_ANSWERS, ALL_QUESTIONS, MARKS, aggs, wrapped

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
