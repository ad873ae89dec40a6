from __future__ import annotations

import pytest

from proxy import routes
from proxy.handlers import bulk, document, elasticsearch, index_settings, pipeline_api, reads, search


@pytest.mark.parametrize(
    ("method", "segments", "handler", "params"),
    [
        ("POST", ("_bulk",), bulk.bulk, {}),
        ("PUT", ("i", "_bulk"), bulk.bulk, {"index": "i"}),
        ("GET", ("_bulk",), routes.PASSTHROUGH, {}),
        ("PUT", ("i", "_doc", "_id"), document.document, {"index": "i", "id": "_id"}),
        ("GET", ("i", "_doc", "1"), reads.document, {"index": "i", "id": "1"}),
        ("HEAD", ("i", "_doc", "1"), routes.PASSTHROUGH, {}),
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
    assert f"proxy.handlers.{route.surface}" == handler.__module__


def test_allowed_methods_of_a_path():
    assert routes.allowed(("_pipeline", "x")) == ["DELETE", "GET", "POST", "PUT"]
    assert routes.allowed(("_nothing",)) == []
