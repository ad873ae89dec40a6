from __future__ import annotations

import pytest

from proxy import routes
from proxy.handlers import bulk, document, elasticsearch, index_settings, pipeline_api, reads, search
from proxy.protocol.target import Target


@pytest.mark.parametrize(
    ("method", "segments", "handler", "params"),
    [
        ("POST", ("_bulk",), bulk.bulk, {}),
        ("PUT", ("i", "_bulk"), bulk.bulk, {"index": "i"}),
        ("GET", ("_bulk",), routes.PASSTHROUGH, {}),
        ("PUT", ("i", "_doc", "_id"), document.document, {"index": "i", "id": "_id"}),
        ("GET", ("i", "_doc", "1"), reads.document, {"index": "i", "id": "1"}),
        ("HEAD", ("i", "_doc", "1"), reads.document, {"index": "i", "id": "1"}),
        ("GET", ("i%2Cj", "_doc", "%5F1"), reads.document, {"index": "i,j", "id": "_1"}),
        ("GET", ("i", "%5Fsearch"), routes.PASSTHROUGH, {}),
        ("GET", ("_all", "_search"), search.search, {"index": "_all"}),
        ("GET", ("_cat", "_search"), routes.PASSTHROUGH, {}),
        ("PUT", ("i",), index_settings.create, {"index": "i"}),
        ("PUT", ("_x",), routes.PASSTHROUGH, {}),
        ("GET", ("_pipeline", "_stats"), pipeline_api.all_stats, {}),
        ("GET", ("_pipeline", "x"), pipeline_api.get, {"name": "x"}),
        ("GET", (), elasticsearch.info, {}),
        ("HEAD", (), routes.PASSTHROUGH, {}),
        ("GET", ("a", "b", "c", "d", "e"), routes.PASSTHROUGH, {}),
    ],
)
def test_the_table(method, segments, handler, params):
    route = routes.match(method, segments)
    assert (route.handler, route.params) == (handler, params)
    surface = "passthrough" if handler is routes.PASSTHROUGH else handler.__module__.removeprefix("proxy.handlers.")
    assert route.surface == surface


def test_allowed_methods_of_a_path():
    assert routes.allowed(("_pipeline", "x")) == ["DELETE", "GET", "POST", "PUT"]
    assert routes.allowed(("_nothing",)) == []


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
    route, target = routes.match_target(method, Target.parse(sent))
    assert target.raw == path
    assert "index" not in target.values or "index" not in route.params
