"""Aggregations, by the name under which the node knows them."""

from __future__ import annotations

from headrace.execution.protection.rules.row import Kind, Row, Rule, data, kinds, values

OWN = "it sees the documents of the query"
SHOWN = "under a mask not over hidden fields (unless `masked_aggregations` is allow), nor by script"
VALUE_SOURCE = {"field": Kind.AGGREGATED_FIELD, "script": Kind.SCRIPT} | values(
    *("missing", "format", "value_type", "valueType", "time_zone", "timeZone"),
)
TERMS = (
    VALUE_SOURCE
    | values("size", "shard_size", "min_doc_count", "shard_min_doc_count", "show_term_doc_count_error")
    | values("execution_hint", "collect_mode")
    | data("order", "include", "exclude")
)
SIGNIFICANT = (
    TERMS
    | {"background_filter": Kind.QUERY, "script_heuristic": Kind.HEURISTIC_SCRIPT}
    | data("jlh", "gnd", "chi_square", "mutual_information", "percentage")
)
DATES = values("interval", "calendar_interval", "fixed_interval", "offset", "keyed", "min_doc_count")
BOUNDS = data("extended_bounds", "hard_bounds", "order", "missing")
GRID = values("precision", "size", "shard_size") | data("bounds", "precision")
COMPUTED = values("format", "gap_policy") | data("buckets_path")
EMPTY_TERMS = "buckets without documents show values of documents that the filter leaves out: no `min_doc_count` of 0"


def _own(*more: dict[str, Kind], **changes: object) -> Row:
    members = dict(VALUE_SOURCE)
    for each in more:
        members |= each
    return Row(why=f"{OWN}; {SHOWN}", members=members, masked=Rule.DEPENDS, **changes)  # type: ignore[arg-type]


def _computed(*more: dict[str, Kind]) -> Row:
    members = dict(COMPUTED)
    for each in more:
        members |= each
    return Row(why="it is made of the values of other aggregations; its scripts see no document", members=members)


METRICS: dict[str, Row] = {
    "avg": _own(),
    "sum": _own(),
    "min": _own(),
    "max": _own(),
    "stats": _own(),
    "extended_stats": _own(values("sigma")),
    "value_count": _own(),
    "multivalue_doc_count": _own(),
    "cardinality": _own(values("precision_threshold", "rehash", "execution_hint")),
    "percentiles": _own(values("percents", "keyed", "compression"), data("tdigest", "hdr")),
    "percentile_ranks": _own(values("values", "keyed", "compression"), data("tdigest", "hdr")),
    "median_absolute_deviation": _own(values("compression")),
    "geo_bounds": _own(values("wrap_longitude")),
    "geo_centroid": _own(),
    "weighted_avg": Row(
        why=f"{OWN}; {SHOWN}",
        members=values("format", "value_type") | kinds(Kind.VALUE_SOURCE, "value", "weight"),
        masked=Rule.DEPENDS,
    ),
    "matrix_stats": Row(
        why=f"{OWN}; {SHOWN}",
        members={"fields": Kind.AGGREGATED_FIELDS} | values("mode", "format", "value_type") | data("missing"),
        masked=Rule.DEPENDS,
    ),
    "scripted_metric": Row(
        why="its scripts see the documents of the query",
        members=kinds(Kind.SCRIPT, "init_script", "map_script", "combine_script", "reduce_script") | data("params"),
        masked=Rule.REFUSE,
    ),
    "top_hits": Row(
        why="a small search of its own over the documents of the query; under a mask it goes without the hidden fields",
        own=Kind.INNER_HITS,
        masked=Rule.REWRITE,
    ),
}

BUCKETS: dict[str, Row] = {
    "global": Row(
        why="it would count what the filter leaves out: it becomes a filter aggregation where nothing but the filter "
        "restricts the search, and is refused beside a query",
        members={},
        filtered=Rule.REWRITE,
        act="globe",
    ),
    "filter": Row(why=f"{OWN}; its query is reviewed", own=Kind.QUERY),
    "filters": Row(
        why=f"{OWN}; its queries are reviewed",
        members={"filters": Kind.NAMED_QUERIES} | values("other_bucket", "other_bucket_key"),
    ),
    "adjacency_matrix": Row(
        why=f"{OWN}; its queries are reviewed",
        members={"filters": Kind.NAMED_QUERIES} | values("separator", "show_only_intersecting"),
    ),
    "missing": _own(),
    "nested": Row(why="nested objects belong to their document", members=values("path"), act="enter_nested"),
    "reverse_nested": Row(why="nested objects belong to their document", members=values("path")),
    "children": Row(why="it counts children that the filter leaves out", members=values("type"), filtered=Rule.REFUSE),
    "parent": Row(why="it counts parents that the filter leaves out", members=values("type"), filtered=Rule.REFUSE),
    "sampler": Row(why=OWN, members=values("shard_size")),
    "diversified_sampler": _own(values("shard_size", "max_docs_per_value", "execution_hint")),
    "terms": Row(
        why=f"{EMPTY_TERMS}; {SHOWN}",
        members=TERMS,
        filtered=Rule.DEPENDS,
        masked=Rule.DEPENDS,
        act="leave_no_empty_terms",
    ),
    "multi_terms": Row(
        why=f"{EMPTY_TERMS}; {SHOWN}",
        members=TERMS | {"terms": Kind.VALUE_SOURCES},
        filtered=Rule.DEPENDS,
        masked=Rule.DEPENDS,
        act="leave_no_empty_terms",
    ),
    "rare_terms": _own(values("max_doc_count", "precision"), data("include", "exclude")),
    "significant_terms": Row(
        why=f"its background becomes the documents that the filter leaves (not below `nested`); {SHOWN}",
        members=SIGNIFICANT,
        filtered=Rule.REWRITE,
        masked=Rule.DEPENDS,
        act="set_background",
    ),
    "significant_text": Row(
        why=f"its background becomes the documents that the filter leaves (not below `nested`); {SHOWN}",
        members=SIGNIFICANT | {"source_fields": Kind.AGGREGATED_FIELDS} | values("filter_duplicate_text"),
        filtered=Rule.REWRITE,
        masked=Rule.DEPENDS,
        act="set_background",
    ),
    "range": _own(values("keyed"), data("ranges")),
    "date_range": _own(values("keyed"), data("ranges")),
    "ip_range": _own(values("keyed"), data("ranges")),
    "geo_distance": _own(values("keyed", "unit", "distance_type"), data("ranges", "origin", "center", "point", "por")),
    "histogram": _own(values("interval", "offset", "keyed", "min_doc_count"), BOUNDS),
    "date_histogram": _own(DATES, BOUNDS),
    "auto_date_histogram": _own(values("buckets", "minimum_interval")),
    "variable_width_histogram": _own(values("buckets", "initial_buffer", "shard_size")),
    "geohash_grid": _own(GRID),
    "geotile_grid": _own(GRID),
    "composite": Row(
        why=f"{OWN}; {SHOWN}",
        members={"sources": Kind.COMPOSITE_SOURCES} | values("size") | data("after"),
        masked=Rule.DEPENDS,
    ),
}

PIPELINES: dict[str, Row] = {
    "avg_bucket": _computed(),
    "sum_bucket": _computed(),
    "min_bucket": _computed(),
    "max_bucket": _computed(),
    "stats_bucket": _computed(),
    "extended_stats_bucket": _computed(values("sigma")),
    "percentiles_bucket": _computed(values("percents", "keyed")),
    "derivative": _computed(values("unit")),
    "cumulative_sum": _computed(),
    "serial_diff": _computed(values("lag")),
    "moving_avg": _computed(values("model", "window", "predict", "minimize"), data("settings")),
    "moving_fn": _computed(values("window", "shift"), {"script": Kind.VALUE_SCRIPT}),
    "bucket_script": _computed({"script": Kind.VALUE_SCRIPT}),
    "bucket_selector": _computed({"script": Kind.VALUE_SCRIPT}),
    "bucket_sort": _computed(data("sort"), values("from", "size")),
}

AGGREGATIONS = METRICS | BUCKETS | PIPELINES

COMPOSITE_SOURCE = VALUE_SOURCE | values("missing_bucket", "missing_order", "order", "interval", "calendar_interval")
COMPOSITE_SOURCE |= values("fixed_interval", "offset") | GRID
COMPOSITE_SOURCES = dict.fromkeys(("terms", "histogram", "date_histogram", "geotile_grid"), COMPOSITE_SOURCE)
"""Members of each type of source of a composite aggregation."""
VALUE_SOURCE_OF_MANY = VALUE_SOURCE | {"filter": Kind.QUERY}
"""Members of a field or a script where an aggregation has several."""
