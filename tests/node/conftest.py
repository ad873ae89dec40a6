"""Two tenants behind a final filter and a final mask."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import Http, native

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

OTHERS = "zzother"
"""In every value of the other tenant's documents."""
HIDDEN = "hushed"
"""In every value of hidden fields."""
MAPPING = {
    "properties": {
        "tenant": {"type": "keyword"},
        "text": {"type": "text", "fields": {"raw": {"type": "keyword"}}, "copy_to": "all"},
        "all": {"type": "text", "store": True},
        "n": {"type": "long"},
        "secret": {"type": "keyword", "copy_to": "shadow", "fields": {"part": {"type": "text", "fielddata": True}}},
        "shadow": {"type": "keyword", "store": True},
        "other_name": {"type": "alias", "path": "secret"},
        "suggest": {"type": "completion"},
        "people": {"type": "nested", "properties": {"ssn": {"type": "keyword"}, "name": {"type": "keyword"}}},
    }
}


def document(tenant: str, n: int) -> dict[str, Any]:
    mark = OTHERS if tenant == "b" else "own"
    return {
        "tenant": OTHERS if tenant == "b" else tenant,
        "text": f"{mark}word{n} common",
        "n": 7000 + n if tenant == "b" else n,
        "secret": f"{HIDDEN}{tenant}{n}",
        "suggest": [f"{mark}sug{n}"],
        "people": [{"ssn": f"{HIDDEN}ssn{n}", "name": f"{mark}person{n}"}],
    }


@pytest.fixture
async def tenants(through: Http, direct: Http, name: str) -> AsyncIterator[str]:
    """`{name}`: two tenants, of which the final filter shows `a`; `{name}-open` is not protected."""
    settings = {"number_of_shards": 1, "number_of_replicas": 0}
    await direct.put(f"/{name}", {"settings": settings, "mappings": MAPPING})
    await direct.put(f"/{name}-open", {"settings": settings, "mappings": MAPPING})
    await direct.put(f"/{name}-hid", {"settings": {**settings, "index.hidden": True}, "mappings": MAPPING})
    lines: list[Any] = []
    for index in (name, f"{name}-hid"):
        for tenant in ("a", "b"):
            for n in range(3):
                lines += [{"index": {"_index": index, "_id": f"{tenant}{n}"}}, document(tenant, n)]
    lines += [{"index": {"_index": f"{name}-open", "_id": "o"}}, {"tenant": "a", "text": "open"}]
    await direct.bulk(*lines)
    actions = [
        {"add": {"index": name, "alias": f"{name}-alias"}},
        {"add": {"index": name, "alias": f"{name}-bs", "filter": {"term": {"tenant": OTHERS}}}},
        {"add": {"index": f"{name}-hid", "alias": f"{name}-tomb"}},
    ]
    await direct.post("/_aliases", {"actions": actions})
    await through.pipeline(f"{name}-f", "query", native("f", "filter_query", query={"term": {"tenant": "a"}}))
    await through.pipeline(f"{name}-m", "result", native("m", "mask", fields=["secret", "people.ssn"]))
    for index in (name, f"{name}-hid"):
        body = {"index.query.final_pipeline": f"{name}-f", "index.result.final_pipeline": f"{name}-m"}
        assert (await through.put(f"/{index}/_settings", body)).status == 200
    yield name
    await direct.delete(f"/{name}-hid")
