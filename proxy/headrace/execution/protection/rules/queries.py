"""Query clauses, by the name under which the node knows them."""

from __future__ import annotations

from headrace.execution.protection.rules.row import Kind, Row, Rule, data, kinds, values

BASE = values("boost", "_name")
"""Members of every clause."""
TERM = BASE | values("value", "term", "case_insensitive", "rewrite")
MATCHING = BASE | values(
    *("query", "analyzer", "operator", "minimum_should_match", "fuzziness", "prefix_length", "max_expansions"),
    *("fuzzy_transpositions", "fuzzy_rewrite", "lenient", "zero_terms_query", "cutoff_frequency", "slop"),
    "auto_generate_synonyms_phrase_query",
)
GEO = BASE | values("ignore_unmapped", "validation_method", "type", "strategy")
TEXT_SYNTAX = BASE | values(
    *("default_operator", "analyzer", "quote_analyzer", "allow_leading_wildcard", "max_determinized_states", "flags"),
    *("enable_position_increments", "escape", "fuzziness", "fuzzy_prefix_length", "fuzzy_max_expansions", "locale"),
    *("fuzzy_rewrite", "fuzzy_transpositions", "phrase_slop", "tie_breaker", "analyze_wildcard", "rewrite"),
    *("minimum_should_match", "quote_field_suffix", "lenient", "time_zone", "type", "lowercase_expanded_terms"),
    *("auto_generate_synonyms_phrase_query", "all_fields"),
)
JOIN = BASE | values("type", "parent_type", "score", "score_mode", "min_children", "max_children", "ignore_unmapped")
DECAYS = kinds(Kind.DECAY, "gauss", "exp", "linear")
FUNCTION = DECAYS | {
    "script_score": Kind.SCORE_SCRIPT,
    "field_value_factor": Kind.SCORED_OBJECT,
    "random_score": Kind.SCORED_OBJECT,
    "weight": Kind.VALUE,
}
"""Members of `function_score`, and of each of its functions, that make a score."""

OWN = "it looks at one document at a time"
SCRIPTED = (
    "it sees one document at a time, but the node also runs it on documents that the filter leaves out, and its errors "
    "quote them: only in `_search` and `_msearch`, whose errors are kept back"
)
NO_HIDDEN_SCORE = "under a mask its score may not be made of a hidden field"
PARTS = "the clauses in it are reviewed"
ASKED = "under a mask it may ask about a hidden field, unless `masked_queries` is refuse"


def _leaf(**changes: object) -> Row:
    return Row(why=f"{OWN}; {ASKED}", masked=Rule.DEPENDS, **changes)  # type: ignore[arg-type]


def _per_field(members: dict[str, Kind], top: dict[str, Kind] = BASE) -> Row:
    return _leaf(members=top, others=Kind.PER_FIELD, fields=members)


QUERIES: dict[str, Row] = {
    "match_all": Row(why="every document that the filter leaves", members=BASE),
    "match_none": Row(why="no document", members=BASE),
    "bool": Row(
        why=PARTS,
        members=BASE
        | kinds(Kind.QUERIES, "must", "must_not", "mustNot", "filter", "should")
        | values("minimum_should_match", "adjust_pure_negative"),
    ),
    "boosting": Row(why=PARTS, members=BASE | kinds(Kind.QUERY, "positive", "negative") | values("negative_boost")),
    "constant_score": Row(why=PARTS, members=BASE | kinds(Kind.QUERY, "filter")),
    "dis_max": Row(why=PARTS, members=BASE | kinds(Kind.QUERIES, "queries") | values("tie_breaker")),
    "nested": Row(
        why="nested objects belong to the document; under a mask, inner hits go without the hidden fields",
        members=BASE
        | {"query": Kind.QUERY, "inner_hits": Kind.INNER_HITS}
        | values("path", "score_mode", "ignore_unmapped"),
        masked=Rule.REWRITE,
    ),
    "function_score": Row(
        why=f"as a clause its scripts are those of `script_score`; {NO_HIDDEN_SCORE}",
        members=BASE
        | FUNCTION
        | {"query": Kind.QUERY, "functions": Kind.FUNCTIONS}
        | values("score_mode", "boost_mode", "max_boost", "min_score"),
        filtered=Rule.DEPENDS,
        masked=Rule.DEPENDS,
    ),
    "script_score": Row(
        why=f"{SCRIPTED}; it may not ask for statistics of terms, which count every document",
        members=BASE | {"query": Kind.QUERY, "script": Kind.SCORE_SCRIPT, "min_score": Kind.VALUE},
        filtered=Rule.DEPENDS,
        masked=Rule.REFUSE,
    ),
    "script": Row(
        why=SCRIPTED, members=BASE | {"script": Kind.QUERY_SCRIPT}, filtered=Rule.DEPENDS, masked=Rule.REFUSE
    ),
    "wrapper": Row(
        why="the query in it is decoded, reviewed, and forwarded decoded",
        members={"query": Kind.WRAPPED},
        filtered=Rule.REWRITE,
        masked=Rule.REWRITE,
        act="unwrap",
    ),
    "template": Row(
        why="its query is made by the cluster, after the review",
        filtered=Rule.REFUSE,
        masked=Rule.REFUSE,
        own=Kind.DATA,
    ),
    "term": _per_field(TERM),
    "fuzzy": _per_field(TERM | values("fuzziness", "prefix_length", "max_expansions", "transpositions")),
    "prefix": _per_field(TERM | values("prefix")),
    "wildcard": _per_field(TERM | values("wildcard")),
    "regexp": _per_field(TERM | values("flags", "flags_value", "max_determinized_states")),
    "range": _per_field(
        BASE
        | values("gt", "gte", "lt", "lte", "from", "to", "include_lower", "include_upper")
        | values("time_zone", "format", "relation")
    ),
    "terms": Row(
        why="a look-up of terms in another document reads only what the filter of that index leaves",
        members=BASE | values("value_type"),
        others=Kind.PER_FIELD,
        fields=values("index", "id", "path", "routing", "store") | {"query": Kind.FOREIGN_QUERY},
        filtered=Rule.REWRITE,
        masked=Rule.DEPENDS,
        act="terms_lookup",
    ),
    "terms_set": Row(
        why=f"with a script: {SCRIPTED}; under a mask neither that nor a hidden field as the minimum",
        members=BASE,
        others=Kind.PER_FIELD,
        fields=BASE
        | values("terms", "minimum_should_match")
        | {"minimum_should_match_field": Kind.SCORED_FIELD, "minimum_should_match_script": Kind.QUERY_SCRIPT},
        filtered=Rule.DEPENDS,
        masked=Rule.DEPENDS,
    ),
    "exists": _leaf(members=BASE | {"field": Kind.FIELD}),
    "ids": Row(why=OWN, members=BASE | values("values", "type")),
    "match": _per_field(MATCHING),
    "match_phrase": _per_field(MATCHING),
    "match_phrase_prefix": _per_field(MATCHING),
    "match_bool_prefix": _per_field(MATCHING),
    "common": _per_field(
        MATCHING | values("low_freq_operator", "high_freq_operator", "disable_coord") | data("minimum_should_match")
    ),
    "multi_match": _leaf(
        members=MATCHING | values("type", "tie_breaker") | {"fields": Kind.FIELDS}, act="name_the_fields"
    ),
    "combined_fields": _leaf(
        members=BASE | values("query", "operator", "minimum_should_match") | {"fields": Kind.FIELDS},
        act="name_the_fields",
    ),
    "query_string": _leaf(
        members=TEXT_SYNTAX | {"query": Kind.QUERY_TEXT, "fields": Kind.FIELDS, "default_field": Kind.FIELD},
        act="name_the_fields",
    ),
    "simple_query_string": _leaf(
        members=TEXT_SYNTAX | {"query": Kind.VALUE, "fields": Kind.FIELDS}, act="name_the_fields"
    ),
    "intervals": Row(
        why="it looks at one document at a time; its scripts see positions only",
        members=BASE,
        others=Kind.INTERVALS,
        masked=Rule.DEPENDS,
    ),
    "span_term": _per_field(TERM),
    "span_multi": Row(why=PARTS, members=BASE | kinds(Kind.QUERY, "match")),
    "span_first": Row(why=PARTS, members=BASE | kinds(Kind.QUERY, "match") | values("end")),
    "span_near": Row(why=PARTS, members=BASE | kinds(Kind.QUERIES, "clauses") | values("slop", "in_order")),
    "span_gap": _per_field({}),
    "span_or": Row(why=PARTS, members=BASE | kinds(Kind.QUERIES, "clauses")),
    "span_not": Row(why=PARTS, members=BASE | kinds(Kind.QUERY, "include", "exclude") | values("pre", "post", "dist")),
    "span_containing": Row(why=PARTS, members=BASE | kinds(Kind.QUERY, "big", "little")),
    "span_within": Row(why=PARTS, members=BASE | kinds(Kind.QUERY, "big", "little")),
    "span_field_masking": _leaf(members=BASE | {"query": Kind.QUERY, "field": Kind.FIELD}),
    "field_masking_span": _leaf(members=BASE | {"query": Kind.QUERY, "field": Kind.FIELD}),
    "more_like_this": Row(
        why="documents to be like are read whole: only ones of indexes without a final pipeline",
        members=BASE
        | kinds(Kind.LIKE, "like", "unlike")
        | {"fields": Kind.FIELDS}
        | values("max_query_terms", "min_term_freq", "min_doc_freq", "max_doc_freq", "min_word_length")
        | values("max_word_length", "stop_words", "analyzer", "minimum_should_match", "boost_terms", "include")
        | values("fail_on_unsupported_field"),
        filtered=Rule.DEPENDS,
        masked=Rule.DEPENDS,
        act="like_what_may_be_read",
    ),
    "geo_bounding_box": _leaf(members=GEO, others=Kind.DATA),
    "geo_distance": _leaf(members=GEO | values("distance", "distance_type", "unit"), others=Kind.DATA),
    "geo_polygon": _leaf(members=GEO, others=Kind.DATA),
    "geo_shape": Row(
        why="a shape of another document is read whole: only ones of indexes without a final pipeline",
        members=GEO,
        others=Kind.PER_FIELD,
        fields=data("shape") | values("relation", "strategy") | {"indexed_shape": Kind.INDEXED_SHAPE},
        filtered=Rule.DEPENDS,
        masked=Rule.DEPENDS,
    ),
    "distance_feature": Row(
        why=f"{OWN}; {NO_HIDDEN_SCORE}",
        members=BASE | values("origin", "pivot") | data("origin") | {"field": Kind.SCORED_FIELD},
        masked=Rule.DEPENDS,
    ),
    "rank_feature": Row(
        why=f"{OWN}; {NO_HIDDEN_SCORE}",
        members=BASE | data("log", "saturation", "sigmoid", "linear") | {"field": Kind.SCORED_FIELD},
        masked=Rule.DEPENDS,
    ),
    "has_child": Row(
        why="the query over the children gets the filter, too, and so do their inner hits",
        members=JOIN | {"query": Kind.QUERY, "inner_hits": Kind.INNER_HITS},
        filtered=Rule.REWRITE,
        masked=Rule.REWRITE,
        act="join",
    ),
    "has_parent": Row(
        why="the query over the parents gets the filter, too, and so do their inner hits",
        members=JOIN | {"query": Kind.QUERY, "inner_hits": Kind.INNER_HITS},
        filtered=Rule.REWRITE,
        masked=Rule.REWRITE,
        act="join",
    ),
    "parent_id": Row(why="it reads the child's own join field", members=JOIN | values("id")),
    "percolate": Row(
        why="a document of an index is read whole: only ones of indexes without a final pipeline",
        members=BASE
        | {"field": Kind.FIELD}
        | data("document", "documents")
        | values("name", "index", "id", "routing", "preference", "version", "document_type"),
        filtered=Rule.DEPENDS,
        masked=Rule.DEPENDS,
        act="percolate",
    ),
    "knn": Row(
        why=f"{OWN}; {NO_HIDDEN_SCORE}",
        members=BASE,
        others=Kind.PER_FIELD,
        fields=BASE
        | values("vector", "k", "min_score", "max_distance", "expand_nested_docs")
        | data("method_parameters", "rescore")
        | {"filter": Kind.QUERY},
        masked=Rule.DEPENDS,
        act="score_by_field",
        plugin="k-NN",
    ),
    "hybrid": Row(
        why=PARTS,
        members=BASE | {"queries": Kind.QUERIES, "filter": Kind.QUERY} | values("pagination_depth"),
        plugin="neural-search",
    ),
    "neural": Row(
        why=f"{OWN}; {NO_HIDDEN_SCORE}",
        members=BASE,
        others=Kind.PER_FIELD,
        fields=BASE
        | values("query_text", "query_image", "model_id", "k", "min_score", "max_distance", "expand_nested_docs")
        | data("method_parameters", "rescore")
        | {"filter": Kind.QUERY},
        masked=Rule.DEPENDS,
        act="score_by_field",
        plugin="neural-search",
    ),
    "neural_sparse": Row(
        why=f"{OWN}; {NO_HIDDEN_SCORE}",
        members=BASE,
        others=Kind.PER_FIELD,
        fields=BASE
        | values("query_text", "model_id", "analyzer", "max_token_score")
        | data("query_tokens", "method_parameters"),
        masked=Rule.DEPENDS,
        act="score_by_field",
        plugin="neural-search",
    ),
}
