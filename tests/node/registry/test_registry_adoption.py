"""Whoever can write the registry index changes nothing of the registry: junk, forgeries, deletions, old states."""

from __future__ import annotations

import asyncio
import json
from itertools import count
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from headrace.registry.live import LiveRegistry
from headrace.registry.records_codec import Document
from headrace.registry.signatures import Signer
from tests.conftest import Http, native, settings_for, wasm
from tests.support import wat

if TYPE_CHECKING:
    from pathlib import Path

    import aiohttp

    from headrace.settings import Settings
from tests.node.registry.test_registry_tampering import (
    FILTER,
    SECONDS,
    another,
    in_force,
    path_of,
    protected,
    unsigned,
    until,
    whole,
)


async def test_a_registry_of_an_older_version_is_adopted_once(
    through: Http, direct: Http, settings: Settings, tmp_path: Path, name: str
):
    await protected(through, name)
    before = await in_force(through, name)
    old = {id_: unsigned(source) for id_, source in (await whole(direct, settings)).items()}
    older = settings_for(settings.upstream, tmp_path / "new")
    for id_, source in old.items():
        if source is not None:
            assert (await direct.put(path_of(older, id_), source)).status == 201
    await direct.post(f"/{older.registry_index}/_refresh")
    try:
        async with another(older, tmp_path / "one", through.session) as http:
            refused = await http.get(f"/{name}/_search")
            assert refused.status == 503
            assert "registry_adopt_unsigned=true" in refused.error["reason"]
            shown = await http.get("/_proxy/health/ready")
            assert (shown.status, shown.json["registry"]) == (503, "none")
        adopting = {"registry_adopt_unsigned": True}
        async with another(older, tmp_path / "two", through.session, **adopting) as http:
            assert await in_force(http, name) == before
            await until(lambda: sealed(direct, older))
            # The others find it signed, and adopt nothing more.
            stranger = {"kind": "association", "name": "*", "body": json.dumps({"index": f"{name}-1"})}
            await direct.put(f"{path_of(older, 'association:more')}?refresh=true", stranger)
            async with another(older, tmp_path / "three", through.session, **adopting) as third:
                assert await in_force(third, name) == before
                assert (await third.get("/_proxy/health/ready")).json.get("registry_ignored") == 1
        async with another(older, tmp_path / "one", through.session) as http:
            assert await in_force(http, name) == before
            assert (await http.delete(f"/_pipeline/_association/{name}-x*")).status == 200
    finally:
        await direct.delete(f"/{older.registry_index}")


async def sealed(direct: Http, settings: Settings) -> bool:
    there = await whole(direct, settings)
    return "manifest" in there and all("signature" in s for s in there.values() if s["kind"] != "code")


async def test_a_proxy_with_another_secret_says_so_and_changes_nothing(
    through: Http, direct: Http, settings: Settings, tmp_path: Path, name: str
):
    await protected(through, name)
    before = await whole(direct, settings)
    async with another(settings, tmp_path / "other", through.session, registry_secret="a typing error") as http:
        for _ in range(3):
            refused = await http.get(f"/{name}/_search")
            assert refused.status == 503
            assert "signed with another registry_secret; give this proxy the one" in refused.error["reason"]
            change = await http.put(f"/_pipeline/{name}", {"type": "document", "stages": [native("d", "drop")]})
            assert change.status == 503, change.body
            await asyncio.sleep(0.6)
    assert await whole(direct, settings) == before


async def test_two_proxies_with_different_secrets_say_so_and_change_nothing_more(
    session: aiohttp.ClientSession, direct: Http, node: str, tmp_path: Path, name: str
):
    settings = settings_for(node, tmp_path / "own")
    pipeline, number = {"type": "document", "stages": [native("d", "drop")]}, count()
    try:
        async with (
            another(settings, tmp_path / "one", session, registry_secret="one" * 10) as one,
            another(settings, tmp_path / "two", session, registry_secret="two" * 10) as two,
        ):
            for http in (one, two):
                assert (await http.put(f"/_pipeline/{name}", pipeline)).status in (201, 503)
            async with asyncio.timeout(SECONDS):
                for at, http in enumerate((one, two)):
                    while (refused := await http.put(f"/_pipeline/{name}-{at}-{next(number)}", pipeline)).status != 503:
                        await asyncio.sleep(0.3)
                    assert "give both the same secret" in refused.error["reason"]
                    assert (await http.get("/_proxy/health/ready")).json["registry_rival"]
    finally:
        await direct.delete(f"/{settings.registry_index}")


async def test_the_secret_is_changed_in_three_steps(
    session: aiohttp.ClientSession, direct: Http, node: str, tmp_path: Path, name: str
):
    settings = settings_for(node, tmp_path / "own")
    one, two = tmp_path / "one", tmp_path / "two"
    try:
        async with another(settings, one, session, registry_secret="old") as http:
            await protected(http, name)
            before = await in_force(http, name)
        for pair in (("old,new", "old"), ("old,new", "old,new"), ("old,new", "new,old"), ("new,old", "new,old")):
            async with (
                another(settings, one, session, registry_secret=pair[0]) as first,
                another(settings, two, session, registry_secret=pair[1]) as second,
            ):
                await asyncio.sleep(1.2)
                for http in (first, second):
                    assert await in_force(http, name) == before, pair
                    assert "registry_ignored" not in (await http.get("/_proxy/health/ready")).json, pair
        async with another(settings, tmp_path / "three", session, registry_secret="new") as http:
            assert await in_force(http, name) == before
    finally:
        await direct.delete(f"/{settings.registry_index}")


async def test_a_registry_set_back_while_no_proxy_runs(
    session: aiohttp.ClientSession, direct: Http, node: str, tmp_path: Path, name: str
):
    settings = settings_for(node, tmp_path / "own")
    try:
        async with another(settings, tmp_path / "own", session) as http:
            await http.pipeline(f"{name}-q", "query", FILTER)
            old = await whole(direct, settings)
            await protected(http, name)
            before = await in_force(http, name)
        await direct.delete(f"/{settings.registry_index}")
        for id_, source in old.items():
            await direct.put(path_of(settings, id_), source)
        await direct.post(f"/{settings.registry_index}/_refresh")
        async with another(settings, tmp_path / "own", session) as http:
            assert await in_force(http, name) == before
        async with another(settings, tmp_path / "fresh", session) as http:
            assert await in_force(http, name) == before
    finally:
        await direct.delete(f"/{settings.registry_index}")


async def test_code_that_could_not_be_fetched_is_fetched_at_the_next_poll(
    through: Http, direct: Http, settings: Settings, tmp_path: Path, name: str
):
    """Nobody changes the registry meanwhile: that the code is back is all."""
    made = await through.udf(name, wat.answering('{"v":1}'))
    await through.pipeline(name, "document", wasm("u", name))
    index = settings.registry_index
    chunk = f"code:{made.json['digest']}:0"
    source = (await whole(direct, settings))[chunk]
    registry = settings_for(settings.upstream, tmp_path / "x").registry_index
    try:
        there = await whole(direct, settings)
        for id_, each in there.items():
            moved = Signer([settings.registry_secret.encode()], registry)
            if each["kind"] != "code":
                document = Document(kind=each["kind"], name=each["name"], body=each["body"])
                each = moved.sign(id_, document, each["revision"]).source
                await direct.put(f"/{registry}/_doc/{quote(id_, safe='')}", each)
        await direct.post(f"/{registry}/_refresh")
        own = settings_for(settings.upstream, tmp_path / "y", registry_index=registry)
        async with another(own, tmp_path / "z", through.session) as http:
            assert "not at hand" in (await http.get(f"/_pipeline/{name}")).json["fault"]
            # Without a refresh: the index's fingerprint stays as it was.
            await direct.put(f"/{registry}/_settings", {"index.refresh_interval": "-1"})
            await direct.put(f"/{registry}/_doc/{quote(chunk, safe='')}", source)

            async def runs() -> bool:
                return "fault" not in (await http.get(f"/_pipeline/{name}")).json

            await until(runs, 5)
            tried = await http.post(f"/_pipeline/{name}/_execute", {"input": {}})
            assert tried.json["output"] == {"v": 1}
    finally:
        await direct.delete(f"/{registry}")
    assert index != registry


async def test_a_snapshot_that_could_not_be_installed_is_installed_at_the_next_poll(
    through: Http, settings: Settings, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
):
    """The state of the index is taken for current only with the snapshot that follows from it."""
    async with another(settings, tmp_path / "other", through.session) as http:
        install, failed = LiveRegistry._install, asyncio.Event()

        async def fails_once(self: LiveRegistry, *args: Any) -> None:
            if self.store.index == settings.registry_index and not failed.is_set():
                failed.set()
                raise RuntimeError("for once")
            await install(self, *args)

        monkeypatch.setattr(LiveRegistry, "_install", fails_once)
        body = {"type": "document", "stages": [native("s", "set", field="x", value=1)]}
        await asyncio.gather(through.put(f"/_pipeline/{name}", body), failed.wait())

        async def both() -> bool:
            return all([(await one.get(f"/_pipeline/{name}")).status == 200 for one in (through, http)])

        await until(both, 5)
