"""The one table from method and path to handler; what is not in it passes through.

`{index}` matches a name or an expression, never an endpoint (which begin with `_`, `_all` excepted); other variables
match anything, also ids that begin with `_`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, NamedTuple

from pipelines import PipelineType
from proxy.handlers import (
    association_api,
    asynchronous,
    bulk,
    by_query,
    document,
    elasticsearch,
    health,
    index_settings,
    metrics,
    msearch,
    nodes_info,
    pipeline_api,
    point_in_time,
    query_only,
    reads,
    scroll,
    search,
    templates,
    udf_api,
    unsupported,
)
from proxy.handlers.passthrough import READS, passthrough

if TYPE_CHECKING:
    from aiohttp import web

    from pipelines.association import TemplateKind
    from proxy.handlers.call import Call

Handler = Callable[["Call"], Awaitable["web.StreamResponse"]]

QUERY, RESULT = PipelineType.QUERY, PipelineType.RESULT

_KINDS: tuple[TemplateKind, ...] = ("index", "component", "legacy")
_PUT_TEMPLATE: dict[TemplateKind, Handler] = {kind: templates.put(kind) for kind in _KINDS}
_DELETE_TEMPLATE: dict[TemplateKind, Handler] = {kind: templates.delete(kind) for kind in _KINDS}

TABLE: list[tuple[str, str, Handler]] = [
    ("POST|PUT", "/_bulk", bulk.bulk),
    ("POST|PUT", "/{index}/_bulk", bulk.bulk),
    ("POST|PUT", "/_bulk/stream", unsupported.bulk_stream),
    ("POST|PUT", "/{index}/_bulk/stream", unsupported.bulk_stream),
    ("POST", "/{index}/_doc", document.document),
    ("POST|PUT", "/{index}/_doc/{id}", document.document),
    ("POST|PUT", "/{index}/_create/{id}", document.document),
    ("POST", "/{index}/_update/{id}", document.update),
    ("POST", "/{index}/_update_by_query", by_query.update),
    ("POST", "/{index}/_delete_by_query", by_query.delete),
    ("POST", "/_reindex", by_query.reindex),
    ("GET", "/{index}/_doc/{id}", reads.document),
    ("GET", "/{index}/_source/{id}", reads.document),
    ("GET|POST", "/_mget", reads.mget),
    ("GET|POST", "/{index}/_mget", reads.mget),
    ("GET|POST", "/{index}/_termvectors", reads.term_vectors),
    ("GET|POST", "/{index}/_termvectors/{id}", reads.term_vectors),
    ("GET|POST", "/_mtermvectors", reads.term_vectors),
    ("GET|POST", "/{index}/_mtermvectors", reads.term_vectors),
    ("GET|POST", "/_search", search.search),
    ("GET|POST", "/{index}/_search", search.search),
    ("GET|POST", "/_search/template", search.template),
    ("GET|POST", "/{index}/_search/template", search.template),
    ("GET|POST", "/_msearch", msearch.msearch),
    ("GET|POST", "/{index}/_msearch", msearch.msearch),
    ("GET|POST", "/_msearch/template", msearch.template),
    ("GET|POST", "/{index}/_msearch/template", msearch.template),
    ("GET|POST", "/_search/scroll", scroll.page),
    ("GET|POST", "/_search/scroll/{id}", scroll.page),
    ("DELETE", "/_search/scroll", scroll.clear),
    ("DELETE", "/_search/scroll/{id}", scroll.clear),
    ("POST", "/{index}/_search/point_in_time", point_in_time.create),
    ("DELETE", "/_search/point_in_time", point_in_time.delete),
    ("POST", "/{index}/_pit", point_in_time.create),
    ("DELETE", "/_pit", point_in_time.delete),
    ("GET|POST", "/_count", query_only.query_only),
    ("GET|POST", "/{index}/_count", query_only.query_only),
    ("GET|POST", "/{index}/_explain/{id}", query_only.query_only),
    ("GET|POST", "/_validate/query", query_only.query_only),
    ("GET|POST", "/{index}/_validate/query", query_only.query_only),
    ("GET|POST", "/_rank_eval", query_only.rank_eval),
    ("GET|POST", "/{index}/_rank_eval", query_only.rank_eval),
    ("POST", "/_plugins/_asynchronous_search", asynchronous.submit),
    ("GET", "/_plugins/_asynchronous_search/stats", passthrough),
    ("GET", "/_plugins/_asynchronous_search/{id}", asynchronous.fetch),
    ("DELETE", "/_plugins/_asynchronous_search/{id}", asynchronous.manage),
    ("POST", "/_opendistro/_asynchronous_search", asynchronous.submit),
    ("GET", "/_opendistro/_asynchronous_search/stats", passthrough),
    ("GET", "/_opendistro/_asynchronous_search/{id}", asynchronous.fetch),
    ("DELETE", "/_opendistro/_asynchronous_search/{id}", asynchronous.manage),
    ("POST", "/_async_search", asynchronous.submit),
    ("POST", "/{index}/_async_search", asynchronous.submit),
    ("GET", "/_async_search/status/{id}", asynchronous.manage),
    ("GET", "/_async_search/{id}", asynchronous.fetch),
    ("DELETE", "/_async_search/{id}", asynchronous.manage),
    ("POST", "/_plugins/_sql", unsupported.by_path(QUERY, RESULT)),
    ("POST", "/_plugins/_ppl", unsupported.by_path(QUERY, RESULT)),
    ("GET", "/", elasticsearch.info),
    ("GET", "/_nodes", nodes_info.nodes),
    ("GET", "/_nodes/{what}", nodes_info.nodes),
    ("GET", "/_nodes/{node}/{what}", nodes_info.nodes),
    ("PUT", "/{index}", index_settings.create),
    ("GET", "/{index}", index_settings.show),
    ("DELETE", "/{index}", index_settings.delete),
    ("PUT", "/_settings", index_settings.update),
    ("PUT", "/{index}/_settings", index_settings.update),
    ("GET", "/_settings", index_settings.show),
    ("GET", "/_settings/{name}", index_settings.show),
    ("GET", "/{index}/_settings", index_settings.show),
    ("GET", "/{index}/_settings/{name}", index_settings.show),
    ("PUT|POST", "/_index_template/{name}", _PUT_TEMPLATE["index"]),
    ("GET", "/_index_template", templates.show("index")),
    ("GET", "/_index_template/{name}", templates.show("index")),
    ("DELETE", "/_index_template/{name}", _DELETE_TEMPLATE["index"]),
    ("PUT|POST", "/_component_template/{name}", _PUT_TEMPLATE["component"]),
    ("GET", "/_component_template", templates.show("component")),
    ("GET", "/_component_template/{name}", templates.show("component")),
    ("DELETE", "/_component_template/{name}", _DELETE_TEMPLATE["component"]),
    ("PUT|POST", "/_template/{name}", _PUT_TEMPLATE["legacy"]),
    ("GET", "/_template", templates.show("legacy")),
    ("GET", "/_template/{name}", templates.show("legacy")),
    ("DELETE", "/_template/{name}", _DELETE_TEMPLATE["legacy"]),
    ("GET", "/{index}/_pipeline", association_api.attached),
    ("GET", "/{index}/_pipeline/_resolve", association_api.resolve),
    ("GET", "/_pipeline/_association", association_api.listed),
    ("PUT|POST", "/_pipeline/_association/{pattern}", association_api.put),
    ("GET", "/_pipeline/_association/{pattern}", association_api.get),
    ("DELETE", "/_pipeline/_association/{pattern}", association_api.delete),
    ("GET", "/_pipeline", pipeline_api.listed),
    ("GET", "/_pipeline/_stats", pipeline_api.all_stats),
    ("POST", "/_pipeline/_execute", pipeline_api.execute_unsaved),
    ("POST", "/_pipeline/_import", pipeline_api.import_),
    ("POST|PUT", "/_pipeline/{name}", pipeline_api.put),
    ("GET", "/_pipeline/{name}", pipeline_api.get),
    ("DELETE", "/_pipeline/{name}", pipeline_api.delete),
    ("GET", "/_pipeline/{name}/_versions", pipeline_api.versions),
    ("POST", "/_pipeline/{name}/_activate", pipeline_api.activate),
    ("POST", "/_pipeline/{name}/_execute", pipeline_api.execute),
    ("GET", "/_pipeline/{name}/_stats", pipeline_api.stats),
    ("GET", "/_udf", udf_api.listed),
    ("POST|PUT", "/_udf/{name}", udf_api.put),
    ("GET", "/_udf/{name}", udf_api.get),
    ("DELETE", "/_udf/{name}", udf_api.delete),
    ("GET", "/_udf/{name}/_versions", udf_api.versions),
    ("GET", "/_udf/{name}/_source", udf_api.source),
    ("GET", "/_udf/{name}/_stats", udf_api.stats),
    ("POST", "/_udf/{name}/_test", udf_api.test),
    ("GET", "/_proxy/health/live", health.live),
    ("GET", "/_proxy/health/ready", health.ready),
    ("GET", "/_proxy/metrics", metrics.metrics),
]

OURS = ("_pipeline", "_udf", "_proxy")
"""First path segments that never go to the cluster."""
PASSTHROUGH = passthrough

CHANGES: frozenset[Handler] = frozenset(
    {
        pipeline_api.put,
        pipeline_api.import_,
        pipeline_api.activate,
        pipeline_api.delete,
        udf_api.put,
        udf_api.delete,
        association_api.put,
        association_api.delete,
        index_settings.create,
        index_settings.update,
        index_settings.delete,
        *_PUT_TEMPLATE.values(),
        *_DELETE_TEMPLATE.values(),
    }
)
"""Handlers that may change the registry: they go on to their end when the client hangs up."""


class Concern(NamedTuple):
    """Which pipelines might concern the requests of a handler that name none in their URL: those of types `kinds`.

    `reach`: of these only what is attached to the indexes that `{index}` reads, or those that it writes; `None` where
    that alone does not tell. `word`: unless it is in the body, or the body is compressed. `unless`: nor with any of
    these parameters.
    """

    kinds: frozenset[PipelineType]
    reach: Literal["read", "written"] | None = None
    word: bytes = b""
    unless: frozenset[str] = frozenset()


SEARCHES, DOCUMENTS = frozenset({QUERY, RESULT}), frozenset({PipelineType.DOCUMENT})

CONCERNS: dict[Handler, Concern] = {
    search.search: Concern(SEARCHES, "read", b"search_pipeline", frozenset({"scroll", "source"})),
    query_only.query_only: Concern(SEARCHES, "read"),
    bulk.bulk: Concern(DOCUMENTS),
    document.document: Concern(DOCUMENTS, "written"),
    reads.document: Concern(frozenset({RESULT}), "read"),
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

    def match(self, segments: tuple[str, ...]) -> dict[str, str] | None:
        params: dict[str, str] = {}
        for part, segment in zip(self.parts, segments, strict=True):
            if not part.startswith("{"):
                if part != segment:
                    return None
            elif part == "{index}" and segment.startswith("_") and segment != "_all":
                return None
            else:
                params[part[1:-1]] = segment
        return params


def _rows() -> dict[tuple[int, int, str], list[_Row]]:
    """The rows by their number of segments, and by place and text of their last literal one (-1: they have none)."""
    found: dict[tuple[int, int, str], list[_Row]] = {}
    for order, (methods, path, handler) in enumerate(TABLE):
        parts = tuple(part for part in path.split("/") if part)
        literal = max((i for i, part in enumerate(parts) if not part.startswith("{")), default=-1)
        key = (len(parts), literal, parts[literal] if literal >= 0 else "")
        found.setdefault(key, []).append(_Row(order, frozenset(methods.split("|")), parts, handler))
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
    """Where a request goes; `surface` is the handler's module, for the metrics, and `params` are not to be changed."""

    handler: Handler
    surface: str
    params: dict[str, str]


@lru_cache(maxsize=1024)
def match(method: str, segments: tuple[str, ...]) -> Route:
    """The handler for a request and the variables of its path; the last row is passthrough."""
    for row in _candidates(segments):
        if method in row.methods:
            params = row.match(segments)
            if params is not None:
                return _route(row.handler, params)
    return _route(passthrough, {})


def _route(handler: Handler, params: dict[str, str]) -> Route:
    return Route(handler, handler.__module__.rpartition(".")[2], params)


def allowed(segments: tuple[str, ...]) -> list[str]:
    """The methods that a path of ours has; empty for a path that is none."""
    rows = (row for row in _candidates(segments) if row.match(segments) is not None)
    return sorted({method for row in rows for method in row.methods})


def is_ours(segments: tuple[str, ...]) -> bool:
    """Whether a path is one of those that never go to the cluster."""
    return bool(segments) and segments[0] in OURS


def passes(route: Route, method: str, segments: tuple[str, ...], types: frozenset[PipelineType]) -> bool:
    """Whether a request that names no pipeline only passes, where there are pipelines of these types.

    Writes that pass through are left out: after them the resolver has to look again.
    """
    if route.handler is PASSTHROUGH:
        return method in READS and not is_ours(segments)
    concern = CONCERNS.get(route.handler)
    return concern is not None and types.isdisjoint(concern.kinds)
