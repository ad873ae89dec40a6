"""A valid request for each row of the table, over the index of tests/node/search/test_search_rules.py.

`MASKED` replaces the example where the plain one reads a hidden field (`secret`, `people.ssn`) or needs another form.
"""

from __future__ import annotations

from typing import Any

from headrace.execution.protection.rules.aggregations import BUCKETS as BUCKET_RULES

POINT = {"lat": 10.0, "lon": 10.0}
BOX = {"top_left": {"lat": 60, "lon": -60}, "bottom_right": {"lat": -60, "lon": 60}}
TRIANGLE = [{"lat": 60, "lon": -60}, {"lat": 60, "lon": 60}, {"lat": -60, "lon": 0}]
ENVELOPE = {"type": "envelope", "coordinates": [[-60, 60], [60, -60]]}
ALL: dict[str, Any] = {"match_all": {}}
WORD = {"span_term": {"text": "common"}}
OTHER_WORD = {"span_term": {"text": "words"}}
SCRIPT = {"source": "doc['n'].value > params.least", "params": {"least": 0}}

QUERIES: dict[str, Any] = {
    "match_all": {"boost": 1.5, "_name": "all"},
    "match_none": {},
    "bool": {
        "must": [{"match": {"text": "common"}}],
        "should": {"term": {"tag": "x"}},
        "filter": [{"exists": {"field": "n"}}],
        "must_not": [{"ids": {"values": ["none"]}}],
        "minimum_should_match": 0,
    },
    "boosting": {"positive": ALL, "negative": {"term": {"tag": "x"}}, "negative_boost": 0.5},
    "constant_score": {"filter": {"term": {"tag": "x"}}, "boost": 2},
    "dis_max": {"queries": [{"match": {"text": "common"}}, {"term": {"tag": "x"}}], "tie_breaker": 0.3},
    "nested": {"path": "people", "query": {"match": {"people.name": "common"}}, "inner_hits": {"size": 5}},
    "function_score": {
        "query": ALL,
        "functions": [
            {"filter": {"term": {"tag": "x"}}, "weight": 2},
            {"field_value_factor": {"field": "n", "missing": 1}},
            {"gauss": {"n": {"origin": 10, "scale": 5}}},
            {"random_score": {"seed": 1, "field": "n"}},
        ],
        "score_mode": "sum",
        "boost_mode": "replace",
    },
    "script_score": {"query": ALL, "script": {"source": "doc['n'].value"}},
    "script": {"script": SCRIPT},
    "wrapper": {"query": "eyJtYXRjaCI6eyJ0ZXh0IjoiY29tbW9uIn19"},
    "template": {"match": {"text": "common"}},
    "term": {"tag": {"value": "x", "boost": 2, "case_insensitive": True}},
    "fuzzy": {"tag": {"value": "xy", "fuzziness": 1}},
    "prefix": {"tag": {"value": "x"}},
    "wildcard": {"tag": {"value": "x*", "rewrite": "constant_score"}},
    "regexp": {"tag": {"value": "[x-z]", "flags": "ALL"}},
    "range": {"n": {"gte": 1, "lt": 1000000, "boost": 2}},
    "terms": {"tag": {"index": "{index}", "id": "a-1", "path": "tag"}},
    "terms_set": {"tag": {"terms": ["x", "y"], "minimum_should_match_field": "one"}},
    "exists": {"field": "text"},
    "ids": {"values": ["a-1", "b-1"]},
    "match": {"text": {"query": "common words", "operator": "and", "fuzziness": "AUTO"}},
    "match_phrase": {"text": "common words"},
    "match_phrase_prefix": {"text": {"query": "common wor", "max_expansions": 10}},
    "match_bool_prefix": {"text": "common wor"},
    "common": {"text": {"query": "common words", "cutoff_frequency": 0.1, "minimum_should_match": {"low_freq": 1}}},
    "multi_match": {"query": "common", "fields": ["text^2", "tex*"], "type": "best_fields"},
    "combined_fields": {"query": "common words", "fields": ["text", "title"]},
    "query_string": {"query": "text:common OR tag:x", "default_field": "text"},
    "simple_query_string": {"query": "common | words", "fields": ["text"], "flags": "ALL"},
    "intervals": {
        "text": {
            "all_of": {
                "ordered": True,
                "intervals": [
                    {"match": {"query": "common", "filter": {"script": {"source": "interval.start >= 0"}}}},
                    {"any_of": {"intervals": [{"prefix": {"prefix": "wor"}}, {"wildcard": {"pattern": "w*"}}]}},
                ],
            }
        }
    },
    "span_term": {"text": {"value": "common"}},
    "span_multi": {"match": {"prefix": {"text": {"value": "comm"}}}},
    "span_first": {"match": WORD, "end": 5},
    "span_near": {"clauses": [WORD, OTHER_WORD], "slop": 3, "in_order": True},
    "span_gap": None,
    "span_or": {"clauses": [WORD, OTHER_WORD]},
    "span_not": {"include": WORD, "exclude": {"span_term": {"text": "absent"}}},
    "span_containing": {"big": {"span_near": {"clauses": [WORD, OTHER_WORD], "slop": 5}}, "little": WORD},
    "span_within": {"big": {"span_near": {"clauses": [WORD, OTHER_WORD], "slop": 5}}, "little": WORD},
    "span_field_masking": None,
    "field_masking_span": None,
    "more_like_this": {"fields": ["text"], "like": "common words", "min_term_freq": 1, "min_doc_freq": 1},
    "geo_bounding_box": {"place": BOX},
    "geo_distance": {"distance": "9000km", "place": POINT},
    "geo_polygon": {"place": {"points": TRIANGLE}},
    "geo_shape": {"area": {"shape": ENVELOPE, "relation": "intersects"}},
    "distance_feature": {"field": "day", "origin": "2024-01-01", "pivot": "7d"},
    "rank_feature": {"field": "rank", "saturation": {"pivot": 8}},
    "has_child": {"type": "answer", "query": {"match": {"text": "common"}}, "inner_hits": {}, "score_mode": "max"},
    "has_parent": {"parent_type": "question", "query": {"match": {"text": "common"}}, "inner_hits": {}, "score": True},
    "parent_id": {"type": "answer", "id": "a-1"},
    "percolate": {"field": "query", "document": {"text": "common words"}},
    "knn": {"vector": {"vector": [1, 2], "k": 3, "filter": ALL}},
    "hybrid": {"queries": [ALL, {"term": {"tag": "x"}}]},
    "neural": {"vector": {"query_text": "common", "model_id": "m", "k": 3, "filter": ALL}},
    "neural_sparse": {"rank": {"query_text": "common", "model_id": "m"}},
}
WHOLE_QUERIES: dict[str, Any] = {
    "span_gap": {"span_near": {"clauses": [WORD, {"span_gap": {"text": 1}}], "slop": 3, "in_order": True}},
    "span_field_masking": {
        "span_near": {
            "clauses": [WORD, {"span_field_masking": {"query": {"span_term": {"title": "words"}}, "field": "text"}}],
            "slop": 9,
            "in_order": False,
        }
    },
    "field_masking_span": {
        "span_near": {
            "clauses": [WORD, {"field_masking_span": {"query": {"span_term": {"title": "words"}}, "field": "text"}}],
            "slop": 9,
            "in_order": False,
        }
    },
}
"""Where a clause is only valid in another."""
MASKED_QUERIES: dict[str, Any] = {
    "nested": {"path": "people", "query": ALL, "inner_hits": {"_source": "people.*", "size": 5}},
    "terms": {"tag": ["x", "y"]},
}

BY_N = {"terms": {"field": "tag"}}
DAYS = {"date_histogram": {"field": "day", "calendar_interval": "month", "min_doc_count": 0}}
SUM = {"s": {"sum": {"field": "n"}}}

AGGREGATIONS: dict[str, Any] = {
    "avg": {"field": "n"},
    "sum": {"field": "n", "missing": 0},
    "min": {"field": "n"},
    "max": {"script": {"source": "doc['n'].value * 2"}},
    "stats": {"field": "n"},
    "extended_stats": {"field": "n", "sigma": 3},
    "value_count": {"field": "n"},
    "multivalue_doc_count": {"field": "n"},
    "cardinality": {"field": "mark", "precision_threshold": 100},
    "percentiles": {
        "field": "n",
        "percents": [0, 50, 100],
        "keyed": False,
        "hdr": {"number_of_significant_value_digits": 3},
    },
    "percentile_ranks": {"field": "n", "values": [10, 1000000]},
    "median_absolute_deviation": {"field": "n"},
    "geo_bounds": {"field": "place"},
    "geo_centroid": {"field": "place"},
    "weighted_avg": {"value": {"field": "n"}, "weight": {"field": "one", "missing": 1}},
    "matrix_stats": {"fields": ["n", "one"]},
    "scripted_metric": {
        "init_script": "state.all = []",
        "map_script": "state.all.add(doc['mark'].value)",
        "combine_script": "return state.all",
        "reduce_script": "def all = []; for (s in states) { all.addAll(s) } Collections.sort(all); return all",
    },
    "top_hits": {"size": 20, "sort": [{"n": "asc"}], "docvalue_fields": ["mark"]},
    "global": {},
    "filter": {"term": {"tag": "x"}},
    "filters": {"filters": {"x": {"term": {"tag": "x"}}, "all": ALL}, "other_bucket": True},
    "adjacency_matrix": {"filters": {"x": {"term": {"tag": "x"}}, "all": ALL}},
    "missing": {"field": "absent"},
    "nested": {"path": "people"},
    "reverse_nested": None,
    "children": {"type": "answer"},
    "parent": {"type": "answer"},
    "sampler": {"shard_size": 100},
    "diversified_sampler": {"field": "mark", "shard_size": 100, "max_docs_per_value": 10},
    "terms": {"field": "mark", "size": 50, "order": {"_key": "asc"}},
    "multi_terms": {"terms": [{"field": "tag"}, {"field": "mark"}], "size": 50, "order": {"_key": "asc"}},
    "rare_terms": {"field": "mark", "max_doc_count": 5},
    "significant_terms": {"field": "mark", "min_doc_count": 1, "percentage": {}},
    "significant_text": {"field": "text", "min_doc_count": 1, "filter_duplicate_text": False, "percentage": {}},
    "range": {"field": "n", "ranges": [{"to": 100}, {"from": 100, "key": "rest"}]},
    "date_range": {"field": "day", "ranges": [{"to": "2024-06-01"}, {"from": "2024-06-01"}], "time_zone": "UTC"},
    "ip_range": {"field": "ip", "ranges": [{"mask": "10.0.0.0/8"}, {"from": "11.0.0.0"}]},
    "geo_distance": {"field": "place", "origin": POINT, "unit": "km", "ranges": [{"to": 500}, {"from": 500}]},
    "histogram": {"field": "one", "interval": 1, "min_doc_count": 0},
    "date_histogram": {"field": "day", "calendar_interval": "year", "min_doc_count": 0},
    "auto_date_histogram": {"field": "day", "buckets": 5},
    "variable_width_histogram": {"field": "n", "buckets": 3},
    "geohash_grid": {"field": "place", "precision": 3},
    "geotile_grid": {"field": "place", "precision": 5},
    "composite": {
        "size": 50,
        "sources": [
            {"mark": {"terms": {"field": "mark"}}},
            {"n": {"histogram": {"field": "n", "interval": 10}}},
            {"day": {"date_histogram": {"field": "day", "calendar_interval": "year"}}},
        ],
    },
}
OVER_BUCKETS: dict[str, Any] = {
    "avg_bucket": {"buckets_path": "b>s"},
    "sum_bucket": {"buckets_path": "b>s", "gap_policy": "skip"},
    "min_bucket": {"buckets_path": "b>s"},
    "max_bucket": {"buckets_path": "b>s"},
    "stats_bucket": {"buckets_path": "b>s"},
    "extended_stats_bucket": {"buckets_path": "b>s", "sigma": 2},
    "percentiles_bucket": {"buckets_path": "b>s", "percents": [50]},
}
"""Beside an aggregation `b` of buckets with a sum `s`."""
IN_BUCKETS: dict[str, Any] = {
    "derivative": {"buckets_path": "s"},
    "cumulative_sum": {"buckets_path": "s"},
    "serial_diff": {"buckets_path": "s", "lag": 1},
    "moving_avg": {"buckets_path": "s", "window": 3, "model": "simple"},
    "moving_fn": {"buckets_path": "s", "window": 3, "script": "MovingFunctions.max(values)"},
    "bucket_script": {"buckets_path": {"s": "s"}, "script": {"source": "params.s * 2"}},
    "bucket_selector": {"buckets_path": {"s": "s"}, "script": "params.s > 0"},
    "bucket_sort": {"sort": [{"s": {"order": "desc"}}], "size": 5},
}
"""In the buckets of a histogram, beside a sum `s`."""
WHOLE_AGGREGATIONS: dict[str, Any] = {
    "reverse_nested": {
        "x": {"nested": {"path": "people"}, "aggs": {"back": {"reverse_nested": {}, "aggs": {"t": BY_N}}}}
    },
    **{name: {"b": {**BY_N, "aggs": SUM}, "x": {name: body}} for name, body in OVER_BUCKETS.items()},
    **{name: {"b": {**DAYS, "aggs": {**SUM, "x": {name: body}}}} for name, body in IN_BUCKETS.items()},
}
MASKED_AGGREGATIONS: dict[str, Any] = {"max": {"field": "n"}}

OPTIONS: dict[str, Any] = {
    "query": ALL,
    "post_filter": {"term": {"tag": "x"}},
    "aggs": {"t": BY_N},
    "aggregations": {"t": BY_N},
    "from": 0,
    "size": 50,
    "version": True,
    "seq_no_primary_term": True,
    "track_scores": True,
    "_source": {"includes": ["mark", "people.*"], "excludes": ["text"]},
    "stored_fields": ["kept", "_source"],
    "docvalue_fields": ["mark", {"field": "day", "format": "yyyy"}],
    "fields": ["mark", "tag", {"field": "day", "format": "yyyy"}],
    "script_fields": {"twice": {"script": {"source": "doc['n'].value * 2"}}},
    "sort": [{"n": {"order": "asc", "missing": "_last"}}, "_score", "tag"],
    "highlight": {"fields": {"text": {}}, "highlight_query": {"match": {"text": "common"}}},
    "explain": True,
    "timeout": "10s",
    "terminate_after": 1000,
    "min_score": 0.1,
    "include_named_queries_score": True,
    "track_total_hits": True,
    "stats": ["group"],
    "search_after": None,
    "slice": None,
    "pit": None,
    "indices_boost": [{"{index}": 1.3}],
    "rescore": {"window_size": 10, "query": {"rescore_query": {"match": {"text": "common"}}, "query_weight": 0.5}},
    "collapse": {"field": "mark", "inner_hits": [{"name": "same", "size": 5, "sort": [{"n": "asc"}]}]},
    "suggest": {"s": {"text": "comon", "term": {"field": "text"}}},
    "derived": None,
    "profile": True,
    "ext": None,
    "search_pipeline": {"request_processors": [{"filter_query": {"query": ALL}}]},
    "verbose_pipeline": None,
}
WHOLE_OPTIONS: dict[str, Any] = {
    "search_after": {"sort": [{"n": "asc"}], "search_after": [0]},
    "slice": {"slice": {"id": 0, "max": 2, "field": "n"}, "pit": {"id": "{pit}"}},
    "pit": {"pit": {"id": "{pit}", "keep_alive": "1m"}},
    "derived": {
        "derived": {"twice": {"type": "keyword", "script": {"source": "emit(doc['mark'].value)"}}},
        "fields": ["twice"],
        "query": {"exists": {"field": "mark"}},
    },
    "ext": {"ext": {}},
    "verbose_pipeline": {
        "search_pipeline": {"response_processors": [{"rename_field": {"field": "text", "target_field": "other"}}]},
        "verbose_pipeline": True,
    },
}

INNER_OPTIONS: dict[str, Any] = {
    **{name: OPTIONS[name] for name in ("from", "version", "seq_no_primary_term", "track_scores", "explain")},
    "size": 20,
    "_source": {"includes": ["people.*"]},
    "stored_fields": ["kept", "_source"],
    "docvalue_fields": ["people.name.raw", {"field": "people.age"}],
    "fields": ["people.name"],
    "script_fields": {"age": {"script": {"source": "doc['people.age'].value"}}},
    "sort": [{"people.age": "asc"}],
    "highlight": {"fields": {"people.name": {}}},
    "name": "inner",
    "ignore_unmapped": True,
    "collapse": None,
}
WHOLE_INNER_OPTIONS: dict[str, Any] = {
    "seq_no_primary_term": {
        "collapse": {"field": "mark", "inner_hits": {"name": "same", "seq_no_primary_term": True}},
    },
    "collapse": {
        "collapse": {"field": "mark", "inner_hits": {"name": "same", "collapse": {"field": "n"}, "size": 5}},
    },
}

SUGGESTERS: dict[str, Any] = {
    "term": {"text": "comon", "term": {"field": "text", "suggest_mode": "always"}},
    "phrase": {"text": "comon wrds", "phrase": {"field": "text", "direct_generator": [{"field": "text"}]}},
    "completion": {"prefix": "com", "completion": {"field": "complete", "size": 20}},
}
SORTS: dict[str, Any] = {
    "_score": {"order": "desc"},
    "_doc": {"order": "asc"},
    "_shard_doc": {"order": "asc"},
    "_script": {"type": "number", "script": {"source": "doc['n'].value"}, "order": "asc"},
    "_geo_distance": {"place": [POINT], "order": "asc", "unit": "km"},
    "_geoDistance": {"place": POINT, "order": "asc", "unit": "km"},
}


def searches() -> list[tuple[str, str, dict[str, Any], dict[str, Any]]]:
    """For each row: its table, its name, a whole search, and the one for a mask."""
    found: list[tuple[str, str, dict[str, Any], dict[str, Any]]] = []

    def add(table: str, name: str, plain: Any, masked: Any = None) -> None:
        found.append((table, name, plain, plain if masked is None else masked))

    for name, body in QUERIES.items():
        whole = {"query": WHOLE_QUERIES.get(name, {name: body})}
        add("queries", name, whole, {"query": {name: MASKED_QUERIES[name]}} if name in MASKED_QUERIES else None)
    for name in {**AGGREGATIONS, **OVER_BUCKETS, **IN_BUCKETS}:
        whole = {
            "size": 0,
            "aggs": WHOLE_AGGREGATIONS.get(name) or {"x": {name: AGGREGATIONS[name], "aggs": {"t": BY_N}}},
        }
        if name not in WHOLE_AGGREGATIONS and name not in BUCKETS:
            whole = {"size": 0, "aggs": {"x": {name: AGGREGATIONS[name]}}}
        if name.startswith("significant"):
            whole["query"] = {"term": {"tag": "y"}}
        masked = {"size": 0, "aggs": {"x": {name: MASKED_AGGREGATIONS[name]}}} if name in MASKED_AGGREGATIONS else None
        add("aggregations", name, whole, masked)
    for name, body in OPTIONS.items():
        add("options", name, WHOLE_OPTIONS.get(name, {name: body}))
    for name, body in INNER_OPTIONS.items():
        inner = {
            "nested": {"path": "people", "query": {"match": {"people.name": "common"}}, "inner_hits": {name: body}}
        }
        add("inner options", name, WHOLE_INNER_OPTIONS.get(name, {"query": inner}))
    for name, body in SUGGESTERS.items():
        add("suggesters", name, {"size": 0, "suggest": {"s": body}})
    for name, body in SORTS.items():
        whole = {"sort": [{name: body}]}
        add("sorts", name, {**whole, "pit": {"id": "{pit}"}} if name == "_shard_doc" else whole)
    return found


BUCKETS = frozenset(BUCKET_RULES) - {"reverse_nested", "significant_text"}
"""Aggregations that take others in them."""
