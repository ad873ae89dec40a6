from __future__ import annotations

from typing import Any

import pytest

from pipelines.errors import RegistryError
from proxy.index_resolver import IndexResolver


class Cluster:
    """Names of a cluster at the network's edge: counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.down = False
        self.aliases: dict[str, Any] = {
            "logs-1": {"aliases": {"logs": {}}},
            "logs-2": {"aliases": {"logs": {"is_write_index": True}, "two": {}}},
            "other": {"aliases": {}},
            ".hidden": {"aliases": {}},
            ".ds-s-1": {"aliases": {}},
        }
        self.streams = [{"name": "s", "indices": [{"index_name": ".ds-s-1"}]}]

    async def resolve(self) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        self.asked += 1
        if self.down:
            raise RegistryError("down")
        return self.aliases, self.streams

    async def expand(self, expression: str) -> list[str]:
        return {"<logs-{now}>": ["logs-2"]}[expression]


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("logs-1", {"logs-1"}),
        ("logs", {"logs-1", "logs-2"}),
        ("logs-1,other", {"logs-1", "other"}),
        ("log*", {"logs-1", "logs-2"}),
        ("_all", {"logs-1", "logs-2", "other", "s", ".ds-s-1"}),
        ("", {"logs-1", "logs-2", "other", "s", ".ds-s-1"}),
        ("*,-logs-*", {"other", "s", ".ds-s-1"}),
        (".h*", {".hidden"}),
        ("s", {"s", ".ds-s-1"}),
        ("nowhere", {"nowhere"}),
        ("remote:logs", set()),
        ("<logs-{now}>", {"logs-2"}),
        ("*,-<logs-{now}>", {"logs-1", "other", "s", ".ds-s-1"}),
    ],
)
async def test_expressions(expression, found):
    assert set(await IndexResolver(Cluster()).concrete(expression)) == found


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("logs-1", "logs-1"),
        ("logs", "logs-2"),
        ("two", "logs-2"),
        ("s", "s"),
        ("new", "new"),
        ("<logs-{now}>", "logs-2"),
    ],
)
async def test_writes(name, index):
    assert await IndexResolver(Cluster()).write_index(name) == index


async def test_the_view_is_read_anew_for_unknown_names_and_after_changes(monkeypatch):
    cluster = Cluster()
    resolver = IndexResolver(cluster)
    for _ in range(5):
        await resolver.concrete("logs")
    assert cluster.asked == 1
    monkeypatch.setattr("proxy.index_resolver.AGAIN_SECONDS", 0)
    cluster.aliases["other"]["aliases"]["fresh"] = {}
    assert await resolver.concrete("fresh") == ["other"]
    cluster.aliases["other"]["aliases"].clear()
    resolver.forget()
    assert await resolver.concrete("fresh") == ["fresh"]


async def test_with_the_cluster_away_the_last_view_stays_and_none_is_an_error():
    cluster = Cluster()
    cluster.down = True
    resolver = IndexResolver(cluster)
    with pytest.raises(RegistryError):
        await resolver.concrete("logs")
    cluster.down = False
    await resolver.concrete("logs")
    cluster.down = True
    resolver.forget()
    assert set(await resolver.concrete("logs")) == {"logs-1", "logs-2"}
