"""The table of routes: one row has all that is known of a route. A request that no row matches is passed on unread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headrace.handlers import unread, unsupported
from headrace.handlers.admin import (
    associations,
    cat,
    copies,
    index_settings,
    pipelines,
    templates,
    udfs,
)
from headrace.handlers.admin.sets import endpoints
from headrace.handlers.admin.trials import fit, scan
from headrace.handlers.admin.versions import deletion, rollouts
from headrace.handlers.described import document as description
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
from headrace.handlers.system import (
    elasticsearch,
    exposition,
    health,
    history,
    info,
    nodes_info,
    quotas,
    reload,
    tap,
    udf_logs,
)
from headrace.handlers.write import bulk, by_query, dead_letters, document
from headrace.server.router import BypassRule, Route, Router
from headrace_pipelines import PipelineType

if TYPE_CHECKING:
    from headrace.server.router import Handler
    from headrace_pipelines.registry.association import TemplateKind

QUERY, RESULT, DOCUMENT = PipelineType.QUERY, PipelineType.RESULT, PipelineType.DOCUMENT
SEARCHES, DOCUMENTS, RESULTS = frozenset({QUERY, RESULT}), frozenset({DOCUMENT}), frozenset({RESULT})


def _rows(handler: Handler, surface: str, methods: str, *paths: str, **facts: Any) -> list[Route]:
    """Routes that differ in their path alone."""
    return [Route(methods, path, handler, surface, **facts) for path in paths]


_WRITES: list[Route] = [
    *_rows(
        bulk.bulk,
        "bulk",
        "POST|PUT",
        "/_bulk",
        "/{index}/_bulk",
        parameters="bulk",
        bypass=BypassRule(DOCUMENTS),
        bulk=True,
    ),
    *_rows(unsupported.bulk_stream, "unsupported", "POST|PUT", "/_bulk/stream", "/{index}/_bulk/stream"),
    *(
        Route(methods, path, document.document, "document", "index", bypass=BypassRule(DOCUMENTS, "written"))
        for methods, path in (
            ("POST", "/{index}/_doc"),
            ("POST|PUT", "/{index}/_doc/{id}"),
            ("POST|PUT", "/{index}/_create/{id}"),
        )
    ),
    Route("POST", "/{index}/_update/{id}", document.update, "document", "update"),
    Route("POST", "/{index}/_update_by_query", by_query.update, "by_query", "by_query"),
    Route("POST", "/{index}/_delete_by_query", by_query.delete, "by_query", "by_query"),
    Route("POST", "/_reindex", by_query.reindex, "by_query", "reindex"),
]


def _reads(handler: Handler, parameters: str, methods: str, *paths: str, **facts: Any) -> list[Route]:
    return _rows(handler, "reads", methods, *paths, parameters=parameters, idempotent=True, **facts)


_BY_ID = BypassRule(RESULTS, "read", finals=frozenset({QUERY}))
_READS: list[Route] = [
    *_reads(document_reads.document, "get", "GET|HEAD", "/{index}/_doc/{id}", bypass=_BY_ID),
    *_reads(document_reads.document, "get_source", "GET|HEAD", "/{index}/_source/{id}", bypass=_BY_ID),
    *_reads(document_reads.mget, "mget", "GET|POST", "/_mget", "/{index}/_mget"),
    *_reads(
        document_reads.term_vectors,
        "termvectors",
        "GET|POST",
        "/{index}/_termvectors",
        "/{index}/_termvectors/{id}",
        "/_mtermvectors",
        "/{index}/_mtermvectors",
    ),
]


def _searches(handler: Handler, surface: str, parameters: str, *paths: str, **facts: Any) -> list[Route]:
    return _rows(handler, surface, "GET|POST", *paths, parameters=parameters, idempotent=True, **facts)


_SEARCH = BypassRule(SEARCHES, "read", (b"search_pipeline",), frozenset({"scroll", "source"}))
_QUERY_ONLY = BypassRule(SEARCHES, "read")
_SCROLL = BypassRule(RESULTS)
_ASYNCHRONOUS: list[Route] = [
    *(
        route
        for path in ("/_plugins/_asynchronous_search", "/_opendistro/_asynchronous_search")
        for route in (
            Route("POST", path, async_search.submit, "asynchronous", "async_search"),
            Route("GET", f"{path}/stats", passthrough, "passthrough"),
            Route("GET", f"{path}/{{id}}", async_search.fetch, "asynchronous"),
            Route("DELETE", f"{path}/{{id}}", async_search.manage, "asynchronous"),
        )
    ),
    *_rows(
        async_search.submit,
        "asynchronous",
        "POST",
        "/_async_search",
        "/{index}/_async_search",
        parameters="async_search",
    ),
    Route("GET", "/_async_search/status/{id}", async_search.manage, "asynchronous"),
    Route("GET", "/_async_search/{id}", async_search.fetch, "asynchronous"),
    Route("DELETE", "/_async_search/{id}", async_search.manage, "asynchronous"),
]
_SEARCHING: list[Route] = [
    *_searches(search.search, "search", "search", "/_search", "/{index}/_search", bypass=_SEARCH),
    *_searches(search.template, "search", "search", "/_search/template", "/{index}/_search/template"),
    *_searches(msearch.msearch, "msearch", "msearch", "/_msearch", "/{index}/_msearch"),
    *_searches(msearch.template, "msearch", "msearch_template", "/_msearch/template", "/{index}/_msearch/template"),
    *_rows(
        scroll.page,
        "scroll",
        "GET|POST",
        "/_search/scroll",
        "/_search/scroll/{id}",
        parameters="scroll",
        bypass=_SCROLL,
    ),
    *_rows(
        scroll.clear,
        "scroll",
        "DELETE",
        "/_search/scroll",
        "/_search/scroll/{id}",
        parameters="clear_scroll",
        bypass=_SCROLL,
    ),
    Route("POST", "/{index}/_search/point_in_time", point_in_time.create, "point_in_time", "point_in_time"),
    Route("DELETE", "/_search/point_in_time", point_in_time.delete, "point_in_time", "delete_point_in_time"),
    Route("GET|DELETE", "/_search/point_in_time/_all", point_in_time.every, "point_in_time"),
    Route("POST", "/{index}/_pit", point_in_time.create, "point_in_time"),
    Route("DELETE", "/_pit", point_in_time.delete, "point_in_time"),
    *_searches(query_only.query_only, "query_only", "count", "/_count", "/{index}/_count", bypass=_QUERY_ONLY),
    *_searches(query_only.query_only, "query_only", "explain", "/{index}/_explain/{id}", bypass=_QUERY_ONLY),
    *_searches(
        query_only.query_only,
        "query_only",
        "validate_query",
        "/_validate/query",
        "/{index}/_validate/query",
        bypass=_QUERY_ONLY,
    ),
    *_searches(query_only.rank_eval, "query_only", "rank_eval", "/_rank_eval", "/{index}/_rank_eval"),
    *_ASYNCHRONOUS,
    *_rows(
        unread.field_capabilities,
        "passthrough",
        "GET|POST",
        "/_field_caps",
        "/{index}/_field_caps",
        parameters="field_caps",
    ),
    *_rows(unread.count, "passthrough", "GET", "/_cat/count", "/_cat/count/{index}"),
    *_rows(unsupported.by_path(QUERY, RESULT), "unsupported", "POST", "/_plugins/_sql", "/_plugins/_ppl"),
]
_SYSTEM: list[Route] = [
    Route("GET", "/", elasticsearch.info, "elasticsearch"),
    *_rows(nodes_info.nodes, "nodes_info", "GET", "/_nodes", "/_nodes/{what}", "/_nodes/{node}/{what}"),
    Route("GET", "/_proxy/health/live", health.live, "health"),
    Route("GET", "/_proxy/health/ready", health.ready, "health"),
    Route("GET", "/_proxy/openapi.json", description.description, "health"),
    Route("GET", "/_proxy/info", info.info, "health"),
    Route("POST", "/_proxy/reload", reload.reload, "reload", changes_registry=True),
    Route("POST", "/_proxy/tap", tap.tap, "tap", idempotent=True),
    Route("GET", "/_proxy/quotas", quotas.quotas, "stats"),
    Route("GET", "/_proxy/metrics", exposition.metrics, "metrics", shows_registry=True),
    Route("GET", "/_proxy/stats", history.totals, "stats", shows_registry=True),
    Route("GET", "/_proxy/stats/history", history.history, "stats", shows_registry=True),
]


def _attaching(handler: Handler, surface: str, methods: str, *paths: str) -> list[Route]:
    """Routes that create, copy, change or delete indexes and templates, and with them what is attached."""
    return _rows(handler, surface, methods, *paths, changes_registry=True, may_rename=True)


def _templates(kind: TemplateKind, path: str) -> list[Route]:
    return [
        *_attaching(templates.put(kind), "templates", "PUT|POST", f"{path}/{{name}}"),
        *_rows(templates.show(kind), "templates", "GET", path, f"{path}/{{name}}"),
        *_attaching(templates.delete(kind), "templates", "DELETE", f"{path}/{{name}}"),
    ]


_INDEXES: list[Route] = [
    *_attaching(copies.restore, "copies", "POST", "/_snapshot/{repository}/{snapshot}/_restore"),
    *_attaching(copies.rollover, "copies", "POST", "/{index}/_rollover", "/{index}/_rollover/{target}"),
    *_attaching(
        copies.copy,
        "copies",
        "PUT|POST",
        "/{index}/_clone/{target}",
        "/{index}/_shrink/{target}",
        "/{index}/_split/{target}",
    ),
    *_attaching(index_settings.create, "index_settings", "PUT", "/{index}"),
    *_attaching(index_settings.delete, "index_settings", "DELETE", "/{index}"),
    *_attaching(index_settings.update, "index_settings", "PUT", "/_settings", "/{index}/_settings"),
    *_rows(
        index_settings.show,
        "index_settings",
        "GET",
        "/{index}",
        "/_settings",
        "/_settings/{name}",
        "/{index}/_settings",
        "/{index}/_settings/{name}",
    ),
    *_rows(
        templates.simulate,
        "templates",
        "POST",
        "/_index_template/_simulate",
        "/_index_template/_simulate/{name}",
        "/_index_template/_simulate_index/{index}",
    ),
    *_templates("index", "/_index_template"),
    *_templates("component", "/_component_template"),
    *_templates("legacy", "/_template"),
]


def _shown(handler: Handler, surface: str, path: str) -> Route:
    return Route("GET", path, handler, surface, shows_registry=True)


def _changed(handler: Handler, surface: str, methods: str, path: str) -> Route:
    return Route(methods, path, handler, surface, changes_registry=True)


_REGISTRY: list[Route] = [
    _shown(associations.attached, "association_api", "/{index}/_pipeline"),
    _shown(associations.resolve, "association_api", "/{index}/_pipeline/_resolve"),
    Route("POST", "/{index}/_pipeline/_scan", scan.scan, "pipeline_api"),
    Route("POST", "/{index}/_pipeline/_fit", fit.fit, "pipeline_api"),
    Route("GET", "/{index}/_pipeline/_unfit", fit.unfit, "pipeline_api", shows_registry=True),
    _shown(associations.listed, "association_api", "/_pipeline/_association"),
    _changed(associations.put, "association_api", "PUT|POST", "/_pipeline/_association/{pattern}"),
    _shown(associations.get, "association_api", "/_pipeline/_association/{pattern}"),
    _changed(associations.delete, "association_api", "DELETE", "/_pipeline/_association/{pattern}"),
    _shown(pipelines.listed, "pipeline_api", "/_pipeline"),
    _shown(pipelines.all_stats, "pipeline_api", "/_pipeline/_stats"),
    Route("POST", "/_pipeline/_execute", pipelines.execute_unsaved, "pipeline_api"),
    _changed(pipelines.import_, "pipeline_api", "POST", "/_pipeline/_import"),
    _changed(pipelines.put, "pipeline_api", "POST|PUT", "/_pipeline/{name}"),
    _shown(pipelines.get, "pipeline_api", "/_pipeline/{name}"),
    _changed(deletion.delete, "pipeline_api", "DELETE", "/_pipeline/{name}"),
    _shown(pipelines.versions, "pipeline_api", "/_pipeline/{name}/_versions"),
    _changed(pipelines.activate, "pipeline_api", "POST", "/_pipeline/{name}/_activate"),
    _changed(rollouts.put, "pipeline_api", "PUT", "/_pipeline/{name}/_rollout"),
    _shown(rollouts.get, "pipeline_api", "/_pipeline/{name}/_rollout"),
    _changed(rollouts.promote, "pipeline_api", "POST", "/_pipeline/{name}/_promote"),
    _changed(rollouts.abort, "pipeline_api", "POST", "/_pipeline/{name}/_abort"),
    _changed(rollouts.pause, "pipeline_api", "POST", "/_pipeline/{name}/_pause"),
    _changed(rollouts.resume, "pipeline_api", "POST", "/_pipeline/{name}/_resume"),
    Route("POST", "/_pipeline/{name}/_execute", pipelines.execute, "pipeline_api"),
    _shown(pipelines.stats, "pipeline_api", "/_pipeline/{name}/_stats"),
    _shown(udfs.listed, "udf_api", "/_udf"),
    _changed(udfs.put, "udf_api", "POST|PUT", "/_udf/{name}"),
    _shown(udfs.get, "udf_api", "/_udf/{name}"),
    _changed(udfs.delete, "udf_api", "DELETE", "/_udf/{name}"),
    _shown(udfs.versions, "udf_api", "/_udf/{name}/_versions"),
    _shown(udfs.source, "udf_api", "/_udf/{name}/_source"),
    _shown(udfs.stats, "udf_api", "/_udf/{name}/_stats"),
    _shown(udf_logs.logs, "udf_api", "/_udf/{name}/_logs"),
    Route("POST", "/_udf/{name}/_test", udfs.test, "udf_api"),
    Route("POST", "/_registry/_diff", endpoints.diff, "registry_api"),
    _changed(endpoints.apply, "registry_api", "POST", "/_registry/_apply"),
    _changed(endpoints.rollback, "registry_api", "POST", "/_registry/_rollback"),
    _shown(endpoints.revisions, "registry_api", "/_registry/_revisions"),
    _shown(endpoints.export, "registry_api", "/_registry/_export"),
    Route("GET", "/_dead_letters", dead_letters.groups, "dead_letter_api"),
    _changed(dead_letters.delete, "dead_letter_api", "DELETE", "/_dead_letters"),
    _changed(dead_letters.redrive, "dead_letter_api", "POST", "/_dead_letters/_redrive"),
    Route("GET", "/_dead_letters/_redrive/{task}", dead_letters.show, "dead_letter_api"),
    Route("GET", "/_dead_letters/{id}", dead_letters.records, "dead_letter_api"),
    _shown(cat.pipelines, "pipeline_api", "/_cat/pipelines"),
    _shown(cat.udfs, "udf_api", "/_cat/udfs"),
]

TABLE: list[Route] = [*_WRITES, *_READS, *_SEARCHING, *_SYSTEM, *_INDEXES, *_REGISTRY]
UNREAD = Route("", "", unread.unread, "passthrough", may_rename=True)
"""The route of requests that are in no row."""
ROUTER = Router(TABLE, UNREAD)

_OURS = ("_pipeline", "_udf", "_registry", "_dead_letters", "_proxy")
"""First path segments that never go to the cluster."""


def is_ours(segments: tuple[str, ...]) -> bool:
    """Whether a path is one of those that never go to the cluster."""
    return bool(segments) and segments[0] in _OURS
