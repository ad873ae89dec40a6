"""The URL parameters of each surface: where something is protected, no other is sent on.

Measured on OpenSearch 3.8.0: each name was sent to each surface beside an unknown one, and those are listed that the
node did not call unrecognized. A parameter that a later version adds is refused until it is understood here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace_pipelines.errors import InvalidError

if TYPE_CHECKING:
    from headrace.protocol.target import Target

COMMON = frozenset({"error_trace", "filter_path", "format", "human", "pretty"})
"""Parameters of every surface: they shape the answer, never what it is made of."""
OURS = frozenset({"document_pipeline", "query_pipeline", "result_pipeline"})
_EXPANSION = {"allow_no_indices", "expand_wildcards", "ignore_throttled", "ignore_unavailable"}
_QUERY_STRING = {"q", "df", "analyzer", "analyze_wildcard", "default_operator", "lenient"}
_SOURCE = {"_source", "_source_excludes", "_source_includes"}
_BODY = {"source", "source_content_type"}
_SEARCH = {
    *(_EXPANSION | _QUERY_STRING | _SOURCE | _BODY),
    *("allow_partial_search_results", "batched_reduce_size", "cancel_after_time_interval", "ccs_minimize_roundtrips"),
    *("docvalue_fields", "explain", "format", "from", "include_named_queries_score", "max_concurrent_shard_requests"),
    *("phase_took", "pre_filter_shard_size", "preference", "request_cache", "rest_total_hits_as_int", "routing"),
    *("scroll", "search_pipeline", "search_type", "seq_no_primary_term", "size", "sort", "stats", "stored_fields"),
    *("terminate_after", "timeout", "track_scores", "track_total_hits", "typed_keys", "verbose_pipeline", "version"),
}
_BY_QUERY = {
    *(_EXPANSION | _QUERY_STRING | _BODY),
    *("allow_partial_search_results", "batched_reduce_size", "cancel_after_time_interval", "conflicts", "from"),
    *("max_docs", "pipeline", "preference", "refresh", "request_cache", "requests_per_second", "routing", "scroll"),
    *("scroll_size", "search_timeout", "search_type", "size", "slices", "sort", "stats", "terminate_after", "timeout"),
    *("version", "wait_for_active_shards", "wait_for_completion"),
}
_MSEARCH = {
    *("ccs_minimize_roundtrips", "max_concurrent_searches", "rest_total_hits_as_int", "routing", "search_type"),
    *("typed_keys", "search_pipeline"),
}
_WRITE = {
    *("id", "if_primary_term", "if_seq_no", "op_type", "pipeline", "refresh", "require_alias", "routing", "timeout"),
    *("version", "version_type", "wait_for_active_shards"),
}
_GET = {"fields", "preference", "realtime", "refresh", "routing", "stored_fields", "version", "version_type", *_SOURCE}
_VECTORS = {
    *("field_statistics", "fields", "ids", "offsets", "payloads", "positions", "preference", "realtime", "routing"),
    *("term_statistics", "version", "version_type", *_BODY),
}

SURFACES: dict[str, frozenset[str]] = {
    "search": frozenset(_SEARCH),
    "async_search": frozenset({*_SEARCH, "keep_alive", "keep_on_completion", "wait_for_completion_timeout"}),
    "msearch": frozenset(
        {
            *_MSEARCH,
            *_EXPANSION,
            *("cancel_after_time_interval", "max_concurrent_shard_requests", "pre_filter_shard_size"),
        }
    ),
    "msearch_template": frozenset(_MSEARCH),
    "count": frozenset({*_EXPANSION, *_QUERY_STRING, *_BODY, "min_score", "preference", "routing", "terminate_after"}),
    "explain": frozenset({*_QUERY_STRING, *_SOURCE, *_BODY, "preference", "routing", "stored_fields"}),
    "validate_query": frozenset({*_EXPANSION, *_QUERY_STRING, *_BODY, "all_shards", "explain", "rewrite"}),
    "rank_eval": frozenset({*_EXPANSION, *_BODY, "search_type", "search_pipeline"}),
    "field_caps": frozenset({*_EXPANSION, *_BODY, "fields", "include_unmapped"}),
    "scroll": frozenset({"rest_total_hits_as_int", "scroll", "scroll_id", *_BODY}),
    "clear_scroll": frozenset({"scroll_id", *_BODY}),
    "point_in_time": frozenset({*_EXPANSION, "allow_partial_pit_creation", "keep_alive", "preference", "routing"}),
    "delete_point_in_time": frozenset(_BODY),
    "get": frozenset(_GET),
    "get_source": frozenset(_GET - {"fields", "stored_fields", "version", "version_type"}),
    "mget": frozenset({*_SOURCE, *_BODY, "fields", "preference", "realtime", "refresh", "routing", "stored_fields"}),
    "termvectors": frozenset(_VECTORS),
    "index": frozenset(_WRITE),
    "update": frozenset(
        {*(_WRITE - {"op_type", "pipeline"}), *_SOURCE, "doc_as_upsert", "retry_on_conflict"},
    ),
    "bulk": frozenset(
        {*_SOURCE, "pipeline", "refresh", "require_alias", "routing", "timeout", "wait_for_active_shards"}
    ),
    "by_query": frozenset(_BY_QUERY),
    "reindex": frozenset(
        {
            *_BODY,
            *("max_docs", "refresh", "requests_per_second", "require_alias", "scroll", "slices", "timeout"),
            *("wait_for_active_shards", "wait_for_completion"),
        }
    ),
}
"""The parameters of each surface, those of every surface aside."""


def check(surface: str, target: Target) -> None:
    """Raises InvalidError, in the node's words, for a parameter that this surface does not have."""
    unknown = target.values.keys() - SURFACES[surface] - COMMON - OURS - {"index"}
    if unknown:
        names = ", ".join(f"[{name}]" for name in sorted(unknown))
        plural = "s" if len(unknown) > 1 else ""
        raise InvalidError(f"request [{target.raw_path}] contains unrecognized parameter{plural}: {names}")
