"""Options of a search, of the small searches in it (inner hits, top hits), suggesters, rescorers, sorts, highlights."""

from __future__ import annotations

from headrace.execution.protection.rules.row import Kind, Row, Rule, data, kinds, values

HITS = "it concerns the hits of the query"


def _row(kind: Kind, why: str, filtered: Rule = Rule.OBEYS, masked: Rule = Rule.OBEYS) -> Row:
    return Row(why=why, own=kind, filtered=filtered, masked=masked)


READING = {
    "_source": _row(
        Kind.SOURCE,
        "the result pipeline hides what it shows; where that depends on other fields, hidden ones are left out",
        masked=Rule.DEPENDS,
    ),
    "stored_fields": _row(Kind.STORED_FIELDS, "under a mask not hidden fields", masked=Rule.DEPENDS),
    "docvalue_fields": _row(Kind.READ_FIELDS, "under a mask not hidden fields", masked=Rule.DEPENDS),
    "fields": _row(Kind.READ_FIELDS, "under a mask not hidden fields", masked=Rule.DEPENDS),
    "script_fields": _row(Kind.SCRIPT_FIELDS, "the script sees one document", masked=Rule.REFUSE),
    "sort": _row(Kind.SORT, "under a mask not by hidden fields, nor by script", masked=Rule.DEPENDS),
    "highlight": _row(Kind.HIGHLIGHT, "under a mask not of hidden fields", masked=Rule.DEPENDS),
    "explain": _row(
        Kind.OFF_ONLY,
        "an explanation counts documents that the filter leaves out, and tells values of hidden fields",
        Rule.DEPENDS,
        Rule.DEPENDS,
    ),
}
COUNTING = {name: _row(Kind.VALUE, HITS) for name in ("from", "size", "version", "seq_no_primary_term", "track_scores")}

OPTIONS: dict[str, Row] = {
    "query": _row(Kind.QUERY, "each clause has a row of its own"),
    "post_filter": _row(Kind.QUERY, "each clause has a row of its own"),
    "aggs": _row(Kind.AGGREGATIONS, "each aggregation has a row of its own"),
    "aggregations": _row(Kind.AGGREGATIONS, "each aggregation has a row of its own"),
    **COUNTING,
    **READING,
    "timeout": _row(Kind.VALUE, HITS),
    "terminate_after": _row(Kind.VALUE, HITS),
    "min_score": _row(Kind.VALUE, HITS),
    "include_named_queries_score": _row(Kind.VALUE, HITS),
    "track_total_hits": _row(Kind.VALUE, HITS),
    "stats": _row(Kind.VALUE, "names of groups of statistics"),
    "search_after": _row(Kind.DATA, HITS),
    "slice": _row(Kind.SLICE, "a part of the hits; under a mask not by a hidden field", masked=Rule.DEPENDS),
    "pit": _row(Kind.DATA, "a point in time is opened on indexes that were judged"),
    "indices_boost": _row(Kind.DATA, HITS),
    "rescore": _row(Kind.RESCORE, "only by a query, which is reviewed", Rule.DEPENDS, Rule.DEPENDS),
    "collapse": _row(
        Kind.COLLAPSE,
        "under a mask not by a hidden field; inner hits without the hidden fields",
        masked=Rule.DEPENDS,
    ),
    "suggest": _row(Kind.SUGGEST, "each suggester has a row of its own", Rule.DEPENDS, Rule.DEPENDS),
    "derived": _row(Kind.DERIVED, "as a `script` query, which a query over it is", Rule.DEPENDS, Rule.REFUSE),
    "profile": _row(
        Kind.OFF_ONLY,
        "it shows how the filter is made, and terms of other documents",
        Rule.DEPENDS,
        Rule.DEPENDS,
    ),
    "ext": _row(Kind.EMPTY, "what a plugin's section does is not known", Rule.DEPENDS, Rule.DEPENDS),
    "search_pipeline": _row(
        Kind.SEARCH_PIPELINE,
        "the cluster's processors change the search after the filter, and the answer before the mask: only where "
        "`search_processors` allows it",
        Rule.DEPENDS,
        Rule.DEPENDS,
    ),
    "verbose_pipeline": _row(Kind.OFF_ONLY, "it shows documents as processors took them", Rule.DEPENDS, Rule.DEPENDS),
}
"""Top-level members of the body of a search."""

INNER_OPTIONS: dict[str, Row] = {
    **COUNTING,
    **READING,
    "name": _row(Kind.VALUE, "the name of the inner hits"),
    "ignore_unmapped": _row(Kind.VALUE, HITS),
    "collapse": _row(Kind.INNER_COLLAPSE, "under a mask not by a hidden field", masked=Rule.DEPENDS),
}
"""Members of inner hits of every kind, and of `top_hits`."""

SUGGESTION = {"field": Kind.READ_FIELD} | values("text", "analyzer", "size", "shard_size")
TERM_SUGGESTION = SUGGESTION | values(
    *("suggest_mode", "accuracy", "sort", "string_distance", "max_edits", "max_inspections", "max_term_freq"),
    *("prefix_length", "min_word_length", "min_doc_freq"),
)
GENERATOR = TERM_SUGGESTION | values("pre_filter", "post_filter")
ALL_TERMS = "it suggests terms of every document of the index"
SUGGESTERS: dict[str, Row] = {
    "term": Row(
        why=f"{ALL_TERMS}; under a mask not of a hidden field",
        members=TERM_SUGGESTION,
        filtered=Rule.REFUSE,
        masked=Rule.DEPENDS,
    ),
    "phrase": Row(
        why=f"{ALL_TERMS}; under a mask not of a hidden field",
        members=SUGGESTION
        | values("max_errors", "real_word_error_likelihood", "separator", "confidence", "gram_size")
        | values("force_unigrams", "token_limit")
        | data("smoothing", "highlight")
        | {"direct_generator": Kind.GENERATORS, "collate": Kind.COLLATE},
        filtered=Rule.REFUSE,
        masked=Rule.DEPENDS,
    ),
    "completion": Row(
        why="it answers whole documents of the index, past filter and mask",
        own=Kind.DATA,
        filtered=Rule.REFUSE,
        masked=Rule.REFUSE,
    ),
}
SUGGESTION_TEXTS = values("text", "prefix", "regex")
"""Members beside the suggester."""

HIGHLIGHT_OPTIONS = (
    values("pre_tags", "post_tags", "order", "highlight_filter", "fragment_size", "fragment_offset", "encoder")
    | values("number_of_fragments", "require_field_match", "boundary_scanner", "boundary_max_scan", "boundary_chars")
    | values("boundary_scanner_locale", "fragmenter", "no_match_size", "force_source", "phrase_limit", "tags_schema")
    | values("max_analyzer_offset")
    | {"type": Kind.HIGHLIGHTER, "highlight_query": Kind.QUERY, "matched_fields": Kind.READ_FIELDS}
)
HIGHLIGHT = HIGHLIGHT_OPTIONS | {"fields": Kind.HIGHLIGHT_FIELDS}
HIGHLIGHTERS = frozenset({"unified", "plain", "fvh"})

RESCORE = {"window_size": Kind.VALUE, "query": Kind.RESCORE_QUERY}
RESCORE_QUERY = {"rescore_query": Kind.QUERY} | values("query_weight", "rescore_query_weight", "score_mode")

COLLAPSE = {"field": Kind.READ_FIELD, "inner_hits": Kind.INNER_SEARCHES} | values("max_concurrent_group_searches")
INNER_COLLAPSE = {"field": Kind.READ_FIELD}

NESTED_SORT = {"path": Kind.VALUE, "filter": Kind.QUERY, "max_children": Kind.VALUE, "nested": Kind.NESTED_SORT}
SORT_OPTIONS = {"nested": Kind.NESTED_SORT, "nested_filter": Kind.QUERY} | values(
    *("order", "missing", "mode", "unmapped_type", "numeric_type", "nested_path", "reverse"),
)
SORTS: dict[str, Row] = {
    "_score": Row(why=HITS, members=SORT_OPTIONS),
    "_doc": Row(why=HITS, members=SORT_OPTIONS),
    "_shard_doc": Row(why=HITS, members=SORT_OPTIONS),
    "_script": Row(
        why="the script sees one document",
        members=SORT_OPTIONS | {"script": Kind.SCRIPT, "type": Kind.VALUE},
        masked=Rule.REFUSE,
    ),
}
DISTANCE_SORT = Row(
    why="under a mask not from a hidden field",
    members=SORT_OPTIONS | values("unit", "distance_type", "validation_method", "sort_mode", "ignore_unmapped"),
    others=Kind.DATA,
    masked=Rule.DEPENDS,
)
SORTS |= {"_geo_distance": DISTANCE_SORT, "_geoDistance": DISTANCE_SORT}
"""Sorts that are not by a field's name."""

SLICE = {"field": Kind.READ_FIELD} | values("id", "max")
SCRIPT_FIELD = {"script": Kind.SCRIPT, "ignore_failure": Kind.VALUE}
SCRIPT = values("source", "inline", "id", "stored", "lang") | data("params", "options")
SCORED_OBJECT = {"field": Kind.SCORED_FIELD} | values("seed", "factor", "missing", "modifier")
LIKE = values("_index", "_id", "routing", "_routing", "version", "version_type", "_version", "_version_type") | data(
    "doc", "per_field_analyzer", "fields"
)
INDEXED_SHAPE = values("index", "id", "path", "routing")
INTERVALS: dict[str, dict[str, Kind]] = {
    "match": values("query", "max_gaps", "mode", "analyzer", "ordered"),
    "prefix": values("prefix", "analyzer"),
    "wildcard": values("pattern", "analyzer", "max_expansions"),
    "regexp": values("pattern", "flags_value", "max_expansions", "case_insensitive", "flags"),
    "fuzzy": values("term", "prefix_length", "transpositions", "analyzer", "fuzziness"),
    "all_of": values("mode", "max_gaps", "ordered") | kinds(Kind.INTERVALS_LIST, "intervals"),
    "any_of": kinds(Kind.INTERVALS_LIST, "intervals"),
}
"""Sources of intervals; each may have a filter and another field."""
INTERVALS_COMMON = {"filter": Kind.INTERVALS_FILTER, "use_field": Kind.FIELD}
INTERVALS_FILTERS = frozenset(
    {
        *("containing", "contained_by", "not_containing", "not_contained_by"),
        *("overlapping", "not_overlapping", "before", "after"),
    }
)
