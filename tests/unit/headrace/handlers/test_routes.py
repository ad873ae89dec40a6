from __future__ import annotations

import pytest

from headrace.handlers import routes, unread
from headrace.handlers.admin import index_settings, pipelines
from headrace.handlers.search import document_reads, search
from headrace.handlers.system import elasticsearch
from headrace.handlers.write import bulk, document
from headrace.protocol.target import Target


@pytest.mark.parametrize(
    ("method", "segments", "handler", "params", "surface"),
    [
        ("POST", ("_bulk",), bulk.bulk, {}, "bulk"),
        ("PUT", ("i", "_bulk"), bulk.bulk, {"index": "i"}, "bulk"),
        ("GET", ("_bulk",), unread.unread, {}, "passthrough"),
        ("PUT", ("i", "_doc", "_id"), document.document, {"index": "i", "id": "_id"}, "document"),
        ("GET", ("i", "_doc", "1"), document_reads.document, {"index": "i", "id": "1"}, "reads"),
        ("HEAD", ("i", "_doc", "1"), document_reads.document, {"index": "i", "id": "1"}, "reads"),
        ("GET", ("i%2Cj", "_doc", "%5F1"), document_reads.document, {"index": "i,j", "id": "_1"}, "reads"),
        ("GET", ("i", "%5Fsearch"), unread.unread, {}, "passthrough"),
        ("GET", ("_all", "_search"), search.search, {"index": "_all"}, "search"),
        ("GET", ("_cat", "_search"), unread.unread, {}, "passthrough"),
        ("PUT", ("i",), index_settings.create, {"index": "i"}, "index_settings"),
        ("PUT", ("_x",), unread.unread, {}, "passthrough"),
        ("GET", ("_pipeline", "_stats"), pipelines.all_stats, {}, "pipeline_api"),
        ("GET", ("_pipeline", "x"), pipelines.get, {"name": "x"}, "pipeline_api"),
        ("GET", (), elasticsearch.info, {}, "elasticsearch"),
        ("HEAD", (), unread.unread, {}, "passthrough"),
        ("GET", ("a", "b", "c", "d", "e"), unread.unread, {}, "passthrough"),
    ],
)
def test_the_table(method, segments, handler, params, surface):
    match = routes.ROUTER.match(method, segments)
    assert (match.route.handler, match.params, match.route.surface) == (handler, params, surface)


def test_allowed_methods_of_a_path():
    assert routes.ROUTER.allowed(("_pipeline", "x")) == ["DELETE", "GET", "POST", "PUT"]
    assert routes.ROUTER.allowed(("_nothing",)) == []


@pytest.mark.parametrize(
    ("method", "sent", "path"),
    [
        ("GET", "/_search?index=a&size=1", "/a/_search?size=1"),
        ("GET", "/a/_search?index=b&size=1", "/a/_search?size=1"),
        ("POST", "/_bulk?index=a%2Cb", "/a,b/_bulk"),
        ("GET", "/_cat/indices?index=a", "/_cat/indices?index=a"),
        ("GET", "/_search/scroll?index=a", "/_search/scroll?index=a"),
    ],
)
def test_indexes_stand_in_the_path(method, sent, path):
    match, target = routes.ROUTER.match_target(method, Target.parse(sent))
    assert target.raw == path
    assert "index" not in target.values or "index" not in match.params
