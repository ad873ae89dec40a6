"""opensearch-py, sync and async, with its helpers: the same steps direct and through the proxy give the same answers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from opensearchpy import AsyncOpenSearch, NotFoundError, OpenSearch, RequestError, helpers
from opensearchpy.helpers import BulkIndexError

from tests.conftest import Http, native

if TYPE_CHECKING:
    from collections.abc import Callable

VOLATILE = {
    "took",
    "_seq_no",
    "_primary_term",
    "uuid",
    "creation_date",
    "build_date",
    "_scroll_id",
    "cluster_uuid",
    "_shards",
}


def stable(value: Any) -> Any:
    """An answer without what differs from run to run."""
    if isinstance(value, dict):
        return {k: stable(v) for k, v in value.items() if k not in VOLATILE}
    return [stable(v) for v in value] if isinstance(value, list) else value


def story(client: OpenSearch, index: str) -> list[Any]:
    """What an ordinary application does; every answer, in order."""
    out: list[Any] = [client.info()["version"]["number"], client.ping()]
    out.append(client.indices.create(index=index, body={"settings": {"number_of_shards": 1, "number_of_replicas": 0}}))
    out.append(client.indices.exists(index=index))
    out.append(client.index(index=index, id="1", body={"t": "a b", "n": 1}, refresh=True))
    out.append(client.index(index=index, id="ä/b c", body={"t": "ü"}, refresh=True))
    out.append(client.get(index=index, id="ä/b c"))
    out.append(client.create(index=index, id="2", body={"t": "b"}, refresh=True))
    out.append(client.update(index=index, id="1", body={"doc": {"n": 2}}, refresh=True))
    out.append(client.mget(body={"ids": ["1", "2", "3"]}, index=index))
    actions = [{"_op_type": "index", "_id": str(i), "n": i} for i in range(10, 60)] + [
        {"_op_type": "delete", "_id": "none"}
    ]
    out.append(helpers.bulk(client, actions, index=index, chunk_size=20, refresh=True, raise_on_error=False))
    out.append(sorted(ok for ok, _ in helpers.parallel_bulk(client, actions[:50], index=index, chunk_size=7)))
    client.indices.refresh(index=index)
    out.append(client.search(index=index, body={"query": {"range": {"n": {"gte": 20}}}, "sort": ["n"], "size": 3}))
    out.append(client.search(index=index, q="t:b", size=1))
    out.append(sorted(hit["_id"] for hit in helpers.scan(client, index=index, size=11)))
    out.append(client.count(index=index))
    out.append(client.msearch(body=[{"index": index}, {"size": 0}, {"index": "no-such"}, {}]))
    out.append(client.cat.count(index=index, format="json")[0]["count"])
    for call in (
        lambda: client.get(index=index, id="none"),
        lambda: client.search(index=index, body={"query": {"x": {}}}),
    ):
        with pytest.raises((NotFoundError, RequestError)) as caught:
            call()
        out.append((caught.value.status_code, caught.value.error))
    out.append(client.delete(index=index, id="1"))
    out.append(client.indices.delete(index=index))
    return out


async def in_thread(work: Callable[[], Any]) -> Any:
    return await asyncio.to_thread(work)


def run(url: str, index: str) -> list[Any]:
    client = OpenSearch(url, http_compress=True, timeout=30)
    try:
        return story(client, index)
    finally:
        client.close()


async def test_an_application_sees_no_difference(node: str, through: Http, name: str):
    direct = await in_thread(lambda: run(node, name))
    proxied = await in_thread(lambda: run(through.base, name))
    assert stable(proxied) == stable(direct)


async def test_nor_with_a_pipeline_that_changes_nothing(node: str, through: Http, name: str):
    """An identity pipeline is attached by a setting that the client itself sends."""
    await through.pipeline(name, "document", native("keep", "remove", field="no-such-field", ignore_missing=True))
    direct = await in_thread(lambda: run(node, name))

    def piped() -> list[Any]:
        client = OpenSearch(through.base, http_compress=True, timeout=30)
        create = client.indices.create

        def with_pipeline(index: str, body: dict[str, Any]) -> Any:
            settings = {**body["settings"], "index.document.default_pipeline": name}
            return create(index=index, body={**body, "settings": settings})

        client.indices.create = with_pipeline
        try:
            return story(client, name)
        finally:
            client.close()

    assert stable(await in_thread(piped)) == stable(direct)


async def test_the_bulk_helper_blames_the_right_documents(through: Http, name: str):
    """Helpers zip items with actions: drops and failures must keep their places."""
    await through.pipeline(name, "document", native("low", "lowercase", field="level"))
    await through.index(name, document=name)
    actions = [{"_index": name, "_id": str(i), "level": 5 if i % 10 == 3 else "X"} for i in range(100)]

    def send() -> list[str]:
        client = OpenSearch(through.base, timeout=30)
        try:
            with pytest.raises(BulkIndexError) as caught:
                helpers.bulk(client, actions, chunk_size=100)
            return [error["index"]["_id"] for error in caught.value.errors]
        finally:
            client.close()

    assert await in_thread(send) == [str(i) for i in range(100) if i % 10 == 3]


async def test_the_async_client(through: Http, name: str):
    await through.pipeline(name, "document", native("s", "set", field="x", value=1))
    await through.index(name, document=name)
    client = AsyncOpenSearch(through.base)
    try:
        actions = [{"_index": name, "_id": str(i), "n": i} for i in range(50)]
        assert await helpers.async_bulk(client, actions, refresh=True) == (50, [])
        found = await client.search(index=name, body={"query": {"term": {"x": 1}}, "track_total_hits": True})
        assert found["hits"]["total"]["value"] == 50
    finally:
        await client.close()
