"""The one table from method and path to handler; what is not in it passes through.

`{index}` matches a name or an expression, never an endpoint (which begin with `_`, `_all` excepted); other variables
match anything, also ids that begin with `_`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, NamedTuple
from urllib.parse import unquote

from headrace.execution import document_run
from headrace.handlers import unread, unsupported
from headrace.handlers.admin import associations, copies, index_settings, templates, udfs
from headrace.handlers.admin import pipelines as pipeline_api
from headrace.handlers.passthrough import passthrough
from headrace.handlers.search import (
    async_search,
    document_reads,
    msearch,
    point_in_time,
    query_only,
    scroll,
    search,
)
from headrace.handlers.system import elasticsearch, health, metrics, nodes_info
from headrace.handlers.write import bulk, by_query, document
from headrace.protocol import endpoints
from headrace.protocol.target import MAX_CACHED, MAX_LENGTH
from headrace_pipelines import PipelineType

if TYPE_CHECKING:
    from aiohttp import web

    from headrace.protocol.target import Target
    from headrace.server.request import RequestContext
    from headrace_pipelines import Snapshot
    from headrace_pipelines.registry.association import TemplateKind

Handler = Callable[["RequestContext"], Awaitable["web.StreamResponse"]]

QUERY, RESULT = PipelineType.QUERY, PipelineType.RESULT

_KINDS: tuple[TemplateKind, ...] = ("index", "component", "legacy")
_PUT_TEMPLATE: dict[TemplateKind, Handler] = {kind: templates.put(kind) for kind in _KINDS}
_DELETE_TEMPLATE: dict[TemplateKind, Handler] = {kind: templates.delete(kind) for kind in _KINDS}


class Row(NamedTuple):
    """A row of the table: methods, path, handler; and the surface whose parameters it takes where it is protected."""

    methods: str
    path: str
    handler: Handler
    parameters: str = ""


TABLE: list[Row] = [
    Row("POST|PUT", "/_bulk", bulk.bulk, "bulk"),
    Row("POST|PUT", "/{index}/_bulk", bulk.bulk, "bulk"),
    Row("POST|PUT", "/_bulk/stream", unsupported.bulk_stream),
    Row("POST|PUT", "/{index}/_bulk/stream", unsupported.bulk_stream),
    Row("POST", "/{index}/_doc", document.document, "index"),
    Row("POST|PUT", "/{index}/_doc/{id}", document.document, "index"),
    Row("POST|PUT", "/{index}/_create/{id}", document.document, "index"),
    Row("POST", "/{index}/_update/{id}", document.update, "update"),
    Row("POST", "/{index}/_update_by_query", by_query.update, "by_query"),
    Row("POST", "/{index}/_delete_by_query", by_query.delete, "by_query"),
    Row("POST", "/_reindex", by_query.reindex, "reindex"),
    Row("GET|HEAD", "/{index}/_doc/{id}", document_reads.document, "get"),
    Row("GET|HEAD", "/{index}/_source/{id}", document_reads.document, "get_source"),
    Row("GET|POST", "/_mget", document_reads.mget, "mget"),
    Row("GET|POST", "/{index}/_mget", document_reads.mget, "mget"),
    Row("GET|POST", "/{index}/_termvectors", document_reads.term_vectors, "termvectors"),
    Row("GET|POST", "/{index}/_termvectors/{id}", document_reads.term_vectors, "termvectors"),
    Row("GET|POST", "/_mtermvectors", document_reads.term_vectors, "termvectors"),
    Row("GET|POST", "/{index}/_mtermvectors", document_reads.term_vectors, "termvectors"),
    Row("GET|POST", "/_search", search.search, "search"),
    Row("GET|POST", "/{index}/_search", search.search, "search"),
    Row("GET|POST", "/_search/template", search.template, "search"),
    Row("GET|POST", "/{index}/_search/template", search.template, "search"),
    Row("GET|POST", "/_msearch", msearch.msearch, "msearch"),
    Row("GET|POST", "/{index}/_msearch", msearch.msearch, "msearch"),
    Row("GET|POST", "/_msearch/template", msearch.template, "msearch_template"),
    Row("GET|POST", "/{index}/_msearch/template", msearch.template, "msearch_template"),
    Row("GET|POST", "/_search/scroll", scroll.page, "scroll"),
    Row("GET|POST", "/_search/scroll/{id}", scroll.page, "scroll"),
    Row("DELETE", "/_search/scroll", scroll.clear, "clear_scroll"),
    Row("DELETE", "/_search/scroll/{id}", scroll.clear, "clear_scroll"),
    Row("POST", "/{index}/_search/point_in_time", point_in_time.create, "point_in_time"),
    Row("DELETE", "/_search/point_in_time", point_in_time.delete, "delete_point_in_time"),
    Row("GET|DELETE", "/_search/point_in_time/_all", point_in_time.every),
    Row("POST", "/{index}/_pit", point_in_time.create),
    Row("DELETE", "/_pit", point_in_time.delete),
    Row("GET|POST", "/_count", query_only.query_only, "count"),
    Row("GET|POST", "/{index}/_count", query_only.query_only, "count"),
    Row("GET|POST", "/{index}/_explain/{id}", query_only.query_only, "explain"),
    Row("GET|POST", "/_validate/query", query_only.query_only, "validate_query"),
    Row("GET|POST", "/{index}/_validate/query", query_only.query_only, "validate_query"),
    Row("GET|POST", "/_rank_eval", query_only.rank_eval, "rank_eval"),
    Row("GET|POST", "/{index}/_rank_eval", query_only.rank_eval, "rank_eval"),
    Row("POST", "/_plugins/_asynchronous_search", async_search.submit, "async_search"),
    Row("GET", "/_plugins/_asynchronous_search/stats", passthrough),
    Row("GET", "/_plugins/_asynchronous_search/{id}", async_search.fetch),
    Row("DELETE", "/_plugins/_asynchronous_search/{id}", async_search.manage),
    Row("POST", "/_opendistro/_asynchronous_search", async_search.submit, "async_search"),
    Row("GET", "/_opendistro/_asynchronous_search/stats", passthrough),
    Row("GET", "/_opendistro/_asynchronous_search/{id}", async_search.fetch),
    Row("DELETE", "/_opendistro/_asynchronous_search/{id}", async_search.manage),
    Row("POST", "/_async_search", async_search.submit, "async_search"),
    Row("POST", "/{index}/_async_search", async_search.submit, "async_search"),
    Row("GET", "/_async_search/status/{id}", async_search.manage),
    Row("GET", "/_async_search/{id}", async_search.fetch),
    Row("DELETE", "/_async_search/{id}", async_search.manage),
    Row("POST", "/_snapshot/{repository}/{snapshot}/_restore", copies.restore),
    Row("POST", "/{index}/_rollover", copies.rollover),
    Row("POST", "/{index}/_rollover/{target}", copies.rollover),
    *(Row("PUT|POST", f"/{{index}}/{verb}/{{target}}", copies.copy) for verb in ("_clone", "_shrink", "_split")),
    Row("GET|POST", "/_field_caps", unread.field_capabilities, "field_caps"),
    Row("GET|POST", "/{index}/_field_caps", unread.field_capabilities, "field_caps"),
    Row("GET", "/_cat/count", unread.count),
    Row("GET", "/_cat/count/{index}", unread.count),
    Row("POST", "/_plugins/_sql", unsupported.by_path(QUERY, RESULT)),
    Row("POST", "/_plugins/_ppl", unsupported.by_path(QUERY, RESULT)),
    Row("GET", "/", elasticsearch.info),
    Row("GET", "/_nodes", nodes_info.nodes),
    Row("GET", "/_nodes/{what}", nodes_info.nodes),
    Row("GET", "/_nodes/{node}/{what}", nodes_info.nodes),
    Row("PUT", "/{index}", index_settings.create),
    Row("GET", "/{index}", index_settings.show),
    Row("DELETE", "/{index}", index_settings.delete),
    Row("PUT", "/_settings", index_settings.update),
    Row("PUT", "/{index}/_settings", index_settings.update),
    Row("GET", "/_settings", index_settings.show),
    Row("GET", "/_settings/{name}", index_settings.show),
    Row("GET", "/{index}/_settings", index_settings.show),
    Row("GET", "/{index}/_settings/{name}", index_settings.show),
    Row("POST", "/_index_template/_simulate", templates.simulate),
    Row("PUT|POST", "/_index_template/{name}", _PUT_TEMPLATE["index"]),
    Row("POST", "/_index_template/_simulate/{name}", templates.simulate),
    Row("POST", "/_index_template/_simulate_index/{index}", templates.simulate),
    Row("GET", "/_index_template", templates.show("index")),
    Row("GET", "/_index_template/{name}", templates.show("index")),
    Row("DELETE", "/_index_template/{name}", _DELETE_TEMPLATE["index"]),
    Row("PUT|POST", "/_component_template/{name}", _PUT_TEMPLATE["component"]),
    Row("GET", "/_component_template", templates.show("component")),
    Row("GET", "/_component_template/{name}", templates.show("component")),
    Row("DELETE", "/_component_template/{name}", _DELETE_TEMPLATE["component"]),
    Row("PUT|POST", "/_template/{name}", _PUT_TEMPLATE["legacy"]),
    Row("GET", "/_template", templates.show("legacy")),
    Row("GET", "/_template/{name}", templates.show("legacy")),
    Row("DELETE", "/_template/{name}", _DELETE_TEMPLATE["legacy"]),
    Row("GET", "/{index}/_pipeline", associations.attached),
    Row("GET", "/{index}/_pipeline/_resolve", associations.resolve),
    Row("GET", "/_pipeline/_association", associations.listed),
    Row("PUT|POST", "/_pipeline/_association/{pattern}", associations.put),
    Row("GET", "/_pipeline/_association/{pattern}", associations.get),
    Row("DELETE", "/_pipeline/_association/{pattern}", associations.delete),
    Row("GET", "/_pipeline", pipeline_api.listed),
    Row("GET", "/_pipeline/_stats", pipeline_api.all_stats),
    Row("POST", "/_pipeline/_execute", pipeline_api.execute_unsaved),
    Row("POST", "/_pipeline/_import", pipeline_api.import_),
    Row("POST|PUT", "/_pipeline/{name}", pipeline_api.put),
    Row("GET", "/_pipeline/{name}", pipeline_api.get),
    Row("DELETE", "/_pipeline/{name}", pipeline_api.delete),
    Row("GET", "/_pipeline/{name}/_versions", pipeline_api.versions),
    Row("POST", "/_pipeline/{name}/_activate", pipeline_api.activate),
    Row("POST", "/_pipeline/{name}/_execute", pipeline_api.execute),
    Row("GET", "/_pipeline/{name}/_stats", pipeline_api.stats),
    Row("GET", "/_udf", udfs.listed),
    Row("POST|PUT", "/_udf/{name}", udfs.put),
    Row("GET", "/_udf/{name}", udfs.get),
    Row("DELETE", "/_udf/{name}", udfs.delete),
    Row("GET", "/_udf/{name}/_versions", udfs.versions),
    Row("GET", "/_udf/{name}/_source", udfs.source),
    Row("GET", "/_udf/{name}/_stats", udfs.stats),
    Row("POST", "/_udf/{name}/_test", udfs.test),
    Row("GET", "/_proxy/health/live", health.live),
    Row("GET", "/_proxy/health/ready", health.ready),
    Row("GET", "/_proxy/metrics", metrics.metrics),
]

OURS = ("_pipeline", "_udf", "_proxy")
"""First path segments that never go to the cluster."""
PASSTHROUGH = unread.unread
BULK, UPDATES = bulk.bulk, bulk.UPDATES
SHOWS = document_run.SHOWS

READERS: frozenset[Handler] = frozenset(
    {
        associations.attached,
        associations.resolve,
        associations.listed,
        associations.get,
        pipeline_api.listed,
        pipeline_api.get,
        pipeline_api.versions,
        pipeline_api.stats,
        pipeline_api.all_stats,
        udfs.listed,
        udfs.get,
        udfs.versions,
        udfs.source,
        udfs.stats,
        metrics.metrics,
    }
)
"""Handlers that show what is in the registry, or what was counted: for those who may read the cluster's pipelines."""

CHANGES: frozenset[Handler] = frozenset(
    {
        pipeline_api.put,
        pipeline_api.import_,
        pipeline_api.activate,
        pipeline_api.delete,
        udfs.put,
        udfs.delete,
        associations.put,
        associations.delete,
        index_settings.create,
        index_settings.update,
        index_settings.delete,
        copies.restore,
        copies.rollover,
        copies.copy,
        *_PUT_TEMPLATE.values(),
        *_DELETE_TEMPLATE.values(),
    }
)
"""Handlers that may change the registry: they go on to their end when the client hangs up."""


READ_ONLY: frozenset[Handler] = frozenset(
    {
        search.search,
        search.template,
        msearch.msearch,
        msearch.template,
        query_only.query_only,
        query_only.rank_eval,
        document_reads.document,
        document_reads.mget,
        document_reads.term_vectors,
    }
)
"""Handlers whose requests change nothing in the cluster, whatever the method: they may be sent twice."""

RENAMES: frozenset[Handler] = frozenset(
    {
        PASSTHROUGH,
        copies.restore,
        copies.rollover,
        copies.copy,
        index_settings.create,
        index_settings.update,
        index_settings.delete,
        *_PUT_TEMPLATE.values(),
        *_DELETE_TEMPLATE.values(),
    }
)
"""Handlers whose requests may make, rename or delete indexes, aliases and templates."""


def renames(handler: Handler, method: str, segments: tuple[str, ...]) -> bool:
    """Whether a request may change which indexes a name stands for. `segments` as they are written."""
    return handler in RENAMES and not endpoints.keeps_names(method, segments)


class Concern(NamedTuple):
    """Which pipelines might concern the requests of a handler that name none in their URL: those of types `kinds`.

    `reach`: of these only what is attached to the indexes that `{index}` reads, or those that it writes; `None` where
    that alone does not tell. `words`: unless one of them is in the body, or the body is compressed. `unless`: nor with
    any of these parameters.
    """

    kinds: frozenset[PipelineType]
    reach: Literal["read", "written"] | None = None
    words: tuple[bytes, ...] = ()
    unless: frozenset[str] = frozenset()
    finals: frozenset[PipelineType] = frozenset()
    """Types of which only final pipelines might."""


SEARCHES, DOCUMENTS = frozenset({QUERY, RESULT}), frozenset({PipelineType.DOCUMENT})

CONCERNS: dict[Handler, Concern] = {
    search.search: Concern(SEARCHES, "read", (b"search_pipeline",), frozenset({"scroll", "source"})),
    query_only.query_only: Concern(SEARCHES, "read"),
    bulk.bulk: Concern(DOCUMENTS),
    document.document: Concern(DOCUMENTS, "written"),
    document_reads.document: Concern(frozenset({RESULT}), "read", finals=frozenset({QUERY})),
    scroll.page: Concern(frozenset({RESULT})),
    scroll.clear: Concern(frozenset({RESULT})),
}
"""Handlers that stream every request on that no pipeline concerns."""


@dataclass(frozen=True)
class _Row:
    order: int
    methods: frozenset[str]
    parts: tuple[str, ...]
    handler: Handler
    parameters: str

    def match(self, segments: tuple[str, ...]) -> dict[str, str] | None:
        """The variables of a path; literal segments are compared as they are written, as the node does."""
        params: dict[str, str] = {}
        for part, segment in zip(self.parts, segments, strict=True):
            if not part.startswith("{"):
                if part != segment:
                    return None
                continue
            text = unquote(segment) if "%" in segment else segment
            if part == "{index}" and text.startswith("_") and text != "_all":
                return None
            params[part[1:-1]] = text
        return params


def _rows() -> dict[tuple[int, int, str], list[_Row]]:
    """The rows by their number of segments, and by place and text of their last literal one (-1: they have none)."""
    found: dict[tuple[int, int, str], list[_Row]] = {}
    for order, row in enumerate(TABLE):
        parts = tuple(part for part in row.path.split("/") if part)
        literal = max((i for i, part in enumerate(parts) if not part.startswith("{")), default=-1)
        key = (len(parts), literal, parts[literal] if literal >= 0 else "")
        made = _Row(order, frozenset(row.methods.split("|")), parts, row.handler, row.parameters)
        found.setdefault(key, []).append(made)
    return found


_ROWS = _rows()


def _candidates(segments: tuple[str, ...]) -> list[_Row]:
    """The rows that may match, in the order of the table."""
    count = len(segments)
    found = list(_ROWS.get((count, -1, ""), ()))
    for place, segment in enumerate(segments):
        found += _ROWS.get((count, place, segment), ())
    if len(found) > 1:
        found.sort(key=lambda row: row.order)
    return found


class Route(NamedTuple):
    """Where a request goes; `surface` is the handler's module, for the metrics, and `params` are not to be changed.

    `parameters`: the surface whose URL parameters it takes where something is protected. `reads`: it only reads,
    whatever the method.
    """

    handler: Handler
    surface: str
    params: dict[str, str]
    parameters: str = ""
    reads: bool = False


def match(method: str, segments: tuple[str, ...]) -> Route:
    """The handler for a request and the variables of its path; the last row is passthrough.

    `segments` as they are written.
    """
    short = sum(map(len, segments)) <= MAX_LENGTH
    return _matched_once(method, segments) if short else _matched(method, segments)


def _matched(method: str, segments: tuple[str, ...]) -> Route:
    for row in _candidates(segments):
        if method in row.methods:
            params = row.match(segments)
            if params is not None:
                return _route(row.handler, params, row.parameters)
    return _route(PASSTHROUGH, {})


_matched_once = lru_cache(maxsize=MAX_CACHED)(_matched)


def match_target(method: str, target: Target) -> tuple[Route, Target]:
    """The route of a target, and the target with its indexes in the path.

    The node takes `?index=` for the indexes of a path that has none, and passes it by beside those of a path.
    """
    route = match(method, target.raw_segments)
    index = target.get("index")
    if index is None or route.handler is PASSTHROUGH:
        return route, target
    if "index" in route.params:
        return route, target.without("index")
    wider = match(method, ("any", *target.raw_segments))
    if wider.handler is not route.handler or "index" not in wider.params:
        return route, target
    target = target.at_indexes(index, instead=False)
    return match(method, target.raw_segments), target


_SURFACES = {
    "associations": "association_api",
    "async_search": "asynchronous",
    "document_reads": "reads",
    "pipelines": "pipeline_api",
    "udfs": "udf_api",
    "unread": "passthrough",
}
"""Label values of the metrics that are not the name of the handler's module."""


def _route(handler: Handler, params: dict[str, str], parameters: str = "") -> Route:
    module = handler.__module__.rpartition(".")[2]
    surface = _SURFACES.get(module, module)
    return Route(handler, surface, params, parameters, handler in READ_ONLY)


def allowed(segments: tuple[str, ...]) -> list[str]:
    """The methods that a path of ours has; empty for a path that is none."""
    rows = (row for row in _candidates(segments) if row.match(segments) is not None)
    return sorted({method for row in rows for method in row.methods})


def is_ours(segments: tuple[str, ...]) -> bool:
    """Whether a path is one of those that never go to the cluster."""
    return bool(segments) and segments[0] in OURS


def passes(route: Route, method: str, segments: tuple[str, ...], snapshot: Snapshot) -> bool:
    """Whether a request that names no pipeline only passes, whatever index it is about.

    Writes that pass through are left out: after them the resolver has to look again.
    """
    if route.handler is PASSTHROUGH:
        known = not snapshot.protects or endpoints.harmless(method, segments)
        return method in endpoints.READS and not is_ours(segments) and known
    types = snapshot.types | SEARCHES if snapshot.protects else snapshot.types
    concern = CONCERNS.get(route.handler)
    return concern is not None and types.isdisjoint(concern.kinds)
