"""Endpoints that show and write no document: only these are passed on unread where something is protected.

A pattern is a path in which `{}` is any segment, `{i}` an index expression and `*` any rest. `|` lists the methods. An
endpoint that is not here (one of a plugin, of a later version) might read or write documents past final pipelines, and
is refused unless the setting `unknown_requests` allows it.
"""

from __future__ import annotations

from functools import lru_cache

READS = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing in the cluster."""
_READ, _ANY = "GET|HEAD", "GET|HEAD|POST|PUT|DELETE|OPTIONS"

KEEPS_NAMES: tuple[tuple[str, str], ...] = (
    (_READ, "/"),
    # the cluster, its nodes and tasks
    (_ANY, "/_cluster/*"),
    (_ANY, "/_nodes/*"),
    (_ANY, "/_nodes"),
    (_ANY, "/_tasks/*"),
    (_ANY, "/_tasks"),
    (_READ, "/_remote/*"),
    *(("POST", f"/{name}/{{}}/_rethrottle") for name in ("_reindex", "_update_by_query", "_delete_by_query")),
    (_ANY, "/_wlm/*"),
    (_ANY, "/_dangling/*"),
    (_ANY, "/_dangling"),
    *(
        (_READ, f"/_cat/{name}{rest}")
        for name in (
            *("aliases", "allocation", "cluster_manager", "fielddata", "health", "indices", "master", "nodeattrs"),
            *("nodes", "pending_tasks", "plugins", "recovery", "repositories", "segments", "segment_replication"),
            *("shards", "snapshots", "tasks", "templates", "thread_pool", "pit_segments"),
        )
        for rest in ("", "/*")
    ),
    (_READ, "/_cat"),
    (_READ, "/_list/*"),
    # stored scripts, and pipelines of the cluster
    ("GET|PUT|POST|DELETE", "/_scripts/{}"),
    ("PUT|POST", "/_scripts/{}/{}"),
    (_READ, "/_script_context"),
    (_READ, "/_script_language"),
    ("GET|PUT|DELETE", "/_ingest/pipeline/{}"),
    (_READ, "/_ingest/pipeline"),
    ("GET|POST", "/_ingest/pipeline/_simulate"),
    ("GET|POST", "/_ingest/pipeline/{}/_simulate"),
    (_READ, "/_ingest/processor/grok"),
    ("GET|PUT|DELETE", "/_search/pipeline/{}"),
    (_READ, "/_search/pipeline"),
    ("GET|POST", "/_render/template"),
    ("GET|POST", "/_render/template/{}"),
    # snapshots; what a restore makes is judged apart
    (_READ, "/_snapshot"),
    (_READ, "/_snapshot/*"),
    ("PUT|POST|DELETE", "/_snapshot/{}"),
    ("PUT|POST|DELETE", "/_snapshot/{}/{}"),
    ("POST", "/_snapshot/{}/_verify"),
    ("POST", "/_snapshot/{}/_cleanup"),
    ("PUT", "/_snapshot/{}/{}/_clone/{}"),
    # indexes, without their documents
    *(
        ("GET|POST", f"{prefix}/{name}")
        for prefix in ("", "/{i}")
        for name in ("_analyze", "_flush", "_forcemerge", "_refresh", "_search_shards", "_cache/clear", "_upgrade")
    ),
    ("GET|POST", "/_resolve/index/{}"),
    ("DELETE", "/{i}/_doc/{}"),
    (_READ, "/_search/point_in_time/_all"),
    ("DELETE", "/_search/point_in_time/_all"),
    # users and roles
    (_ANY, "/_plugins/_security/*"),
    (_ANY, "/_opendistro/_security/*"),
)
"""Endpoints that show and write no document, and that make, rename and delete no index, alias or template."""
NAMES: tuple[tuple[str, str], ...] = (
    ("GET|HEAD|DELETE|PUT", "/{i}"),
    *(
        (_ANY, f"{prefix}/{name}{rest}")
        for prefix in ("", "/{i}")
        for name in ("_alias", "_aliases", "_mapping", "_mappings", "_settings")
        for rest in ("", "/*")
    ),
    *(
        (_READ, f"{prefix}/{name}{rest}")
        for prefix in ("", "/{i}")
        for name in ("_segments", "_recovery", "_shard_stores", "_stats", "_upgrade", "_segment_replication")
        for rest in ("", "/*")
    ),
    *(("POST", f"{prefix}/{name}") for prefix in ("", "/{i}") for name in ("_open", "_close")),
    ("POST|PUT", "/{i}/_block/{}"),
    (_ANY, "/_data_stream"),
    (_ANY, "/_data_stream/*"),
    *(
        (_ANY, f"/{name}{rest}")
        for name in ("_index_template", "_component_template", "_template")
        for rest in ("", "/*")
    ),
)
"""Endpoints that show and write no document; what is not a read may change which indexes a name stands for."""
HARMLESS = KEEPS_NAMES + NAMES


@lru_cache(maxsize=1024)
def harmless(method: str, segments: tuple[str, ...]) -> bool:
    """Whether a request shows and writes no document. `segments` as they are written."""
    return _listed(HARMLESS, method, segments)


@lru_cache(maxsize=1024)
def keeps_names(method: str, segments: tuple[str, ...]) -> bool:
    """Whether every name stands for the same indexes after a request. `segments` as they are written."""
    return method in READS or _listed(KEEPS_NAMES, method, segments)


def _listed(rows: tuple[tuple[str, str], ...], method: str, segments: tuple[str, ...]) -> bool:
    return any(method in methods.split("|") and _fits(pattern, segments) for methods, pattern in rows)


def _fits(pattern: str, segments: tuple[str, ...]) -> bool:
    parts = [part for part in pattern.split("/") if part]
    if parts and parts[-1] == "*":
        parts = parts[:-1]
        if len(segments) <= len(parts):
            return False
        segments = segments[: len(parts)]
    return len(parts) == len(segments) and all(map(_is, parts, segments))


def _is(part: str, segment: str) -> bool:
    if part == "{i}":
        return not segment.startswith("_") or segment == "_all"
    return part == "{}" or part == segment
