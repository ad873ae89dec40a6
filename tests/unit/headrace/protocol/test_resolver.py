from __future__ import annotations

import asyncio
from typing import Any

import pytest

from headrace.protocol.indices import resolver as resolver_module
from headrace.protocol.indices.resolver import IndexResolver
from headrace_pipelines.errors import RegistryError


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
        self.states: dict[str, list[str]] = {".hidden": ["open", "hidden"], ".ds-s-1": ["open", "hidden"]}
        self.streams = [{"name": "s", "backing_indices": [".ds-s-1"]}]
        self.versions = 1

    async def resolve(self) -> tuple[dict[str, Any], dict[str, Any]]:
        self.asked += 1
        if self.down:
            raise RegistryError("down")
        indices = [{"name": name, "attributes": self.states.get(name, ["open"])} for name in self.aliases]
        return self.aliases, {"indices": indices, "data_streams": self.streams}

    async def version(self) -> str:
        return str(self.versions)

    async def expand(self, expression: str) -> list[str]:
        return {"<logs-{now}>": ["logs-2"]}[expression]


EXPRESSIONS: list[tuple[str, set[str]]] = [
    ("logs-1", {"logs-1"}),
    ("logs", {"logs-1", "logs-2"}),
    ("logs-1,other", {"logs-1", "other"}),
    ("log*", {"logs-1", "logs-2"}),
    ("_all", {"logs-1", "logs-2", "other", ".ds-s-1"}),
    ("", {"logs-1", "logs-2", "other", ".ds-s-1"}),
    ("*,-logs-*", {"other", ".ds-s-1"}),
    (".h*", {".hidden"}),
    ("s", {".ds-s-1"}),
    ("nowhere", {"nowhere"}),
    ("remote:logs", {"remote:logs"}),
    ("<logs-{now}>", {"logs-2"}),
]
WRITES = [
    ("logs-1", "logs-1"),
    ("logs", "logs-2"),
    ("two", "logs-2"),
    ("s", "s"),
    ("new", "new"),
    ("<logs-{now}>", "logs-2"),
]
NEED_THE_CLUSTER = {"nowhere", "remote:logs", "new", "<logs-{now}>"}


@pytest.mark.parametrize(("expression", "found"), EXPRESSIONS)
async def test_expressions(expression, found):
    assert set(await IndexResolver(Cluster()).concrete(expression)) == found


@pytest.mark.parametrize(("name", "index"), WRITES)
async def test_writes(name, index):
    assert await IndexResolver(Cluster()).write_index(name) == index


async def test_a_view_at_hand_says_the_same_or_nothing():
    resolver = IndexResolver(Cluster())
    view = await resolver.view()
    for expression, _ in EXPRESSIONS * 2:
        asked = view.owners_of(await resolver.concrete(expression))
        known = resolver.current(expression)
        assert (known and known.targets) == (None if expression in NEED_THE_CLUSTER else asked)
        assert await resolver.targets(expression) == asked
    for name, _ in WRITES * 2:
        written = view.owner(await resolver.write_index(name))
        assert view.written_by(name) == (None if name in NEED_THE_CLUSTER else written)
        assert await resolver.write_target(name) == written


async def test_a_view_is_fresh_while_it_is_young_and_complete(monkeypatch):
    wants: list[bool] = []
    cluster = Cluster()
    resolver = IndexResolver(cluster, lambda: bool(wants))
    assert resolver.fresh is None
    view = await resolver.view()
    assert resolver.fresh is view
    wants.append(True)
    assert resolver.fresh is None, "it was read without templates"
    wants.clear()
    resolver.forget()
    assert resolver.fresh is None
    assert await resolver.view() is resolver.fresh is view, "it says the same as before"
    assert cluster.asked == 2
    cluster.aliases["other"]["aliases"]["new"] = {}
    resolver.forget()
    assert await resolver.view() is resolver.fresh is not view
    monkeypatch.setattr("headrace.protocol.indices.resolver.FRESH_SECONDS", -1)
    assert resolver.fresh is None


async def test_the_view_is_read_anew_for_unknown_names_and_after_changes(monkeypatch):
    cluster = Cluster()
    resolver = IndexResolver(cluster)
    for _ in range(5):
        await resolver.concrete("logs")
    assert cluster.asked == 1
    monkeypatch.setattr("headrace.protocol.indices.resolver.AGAIN_SECONDS", 0)
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


async def test_a_wildcard_is_resolved_anew_after_a_write_that_may_have_made_an_index():
    cluster = Cluster()
    resolver = IndexResolver(cluster)
    assert "logs-9" not in await resolver.concrete("log*")
    for n, name in enumerate(["logs-8", "logs-9"]):
        cluster.aliases[name] = {"aliases": {}}
        cluster.versions += 1
        assert await resolver.concrete("logs-1") == ["logs-1"]
        resolver.suspect()
        assert await resolver.concrete("logs-1") == ["logs-1"]
        asked = cluster.asked
        assert name in await resolver.concrete("log*")
        assert name in await resolver.concrete("log*")
        resolver.suspect()
        assert name in await resolver.concrete("log*")
        assert cluster.asked == asked + 1, (n, "a version that is the same says that nothing is new")


async def test_a_change_while_the_view_is_read_has_it_read_again():
    cluster = Cluster()
    resolver = IndexResolver(cluster)
    answer = cluster.resolve

    async def changed_meanwhile() -> Any:
        told = await answer()
        cluster.resolve = answer
        resolver.forget()
        return told

    cluster.resolve = changed_meanwhile
    await resolver.concrete("logs")
    assert resolver.fresh is None


class Slow(Cluster):
    """A cluster whose names are read before they are told: `told` lets an answer go."""

    def __init__(self) -> None:
        super().__init__()
        self.told = asyncio.Event()

    async def resolve(self) -> tuple[dict[str, Any], dict[str, Any]]:
        self.aliases = dict(self.aliases)
        found = await super().resolve()
        await self.told.wait()
        return found


async def test_a_name_is_not_told_from_a_read_that_was_under_way():
    cluster = Slow()
    cluster.told.set()
    resolver = IndexResolver(cluster)
    await resolver.view()
    resolver._read_at -= resolver_module.AHEAD_SECONDS
    cluster.told.clear()
    resolver.read_ahead()
    await asyncio.sleep(0)
    cluster.aliases["real"] = {"aliases": {"new": {}}}
    found = asyncio.ensure_future(resolver.write_index("new"))
    await asyncio.sleep(0)
    cluster.told.set()
    assert (await found, cluster.asked) == ("real", 3)


async def test_all_who_wait_for_a_view_wait_for_one_read():
    cluster = Slow()
    resolver = IndexResolver(cluster)
    waiting = [asyncio.ensure_future(resolver.view()) for _ in range(5)]
    await asyncio.sleep(0)
    cluster.told.set()
    views = await asyncio.gather(*waiting)
    assert (cluster.asked, len(set(map(id, views)))) == (1, 1)


async def test_a_view_is_read_ahead_once_while_it_is_good():
    cluster = Cluster()
    resolver = IndexResolver(cluster)
    await resolver.view()
    resolver.read_ahead()
    await asyncio.sleep(0)
    assert cluster.asked == 1
    resolver._read_at -= resolver_module.AHEAD_SECONDS
    assert resolver.fresh is not None
    resolver.read_ahead()
    resolver.read_ahead()
    assert resolver.fresh is not None
    await asyncio.sleep(0.01)
    assert cluster.asked == 2
    cluster.down = True
    resolver._read_at -= resolver_module.AHEAD_SECONDS
    resolver.read_ahead()
    await asyncio.sleep(0.01)
    assert (cluster.asked, resolver.fresh is not None) == (3, True)
    resolver.close()
