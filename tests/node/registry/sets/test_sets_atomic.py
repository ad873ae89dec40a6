"""A set is in force as a whole, whoever dies, races or tampers.

`HEADRACE_KILLS=50` runs the long form of the sample.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from headrace.registry import sets
from headrace.registry.live import LiveRegistry
from headrace.registry.sets import HEADS
from headrace.registry.store import Store
from headrace_pipelines.errors import RegistryError
from tests.conftest import Http, ProxyProcess
from tests.node.registry.sets.test_sets import applied, body, pipeline, python, setting, shout
from tests.node.registry.test_registry_tampering import another, path_of, until, whole
from tests.node.security.test_workers import free_port, on_new_connection, ready

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from headrace.settings import Settings

KILLS = int(os.environ.get("HEADRACE_KILLS", "6"))


def generation(n: int, size: int = 12) -> dict[str, Any]:
    """A set whose objects all say `n`."""
    pipelines = [pipeline(f"p{i}", python(), setting(n), description=f"g{n}") for i in range(size)]
    udf = shout(description=f"g{n}", source=f"def process(document, parameters):\n    return document  # {n}\n")
    return body(
        "app",
        *pipelines,
        udfs=[udf],
        associations={f"p{i}-*": {"priority": n, "document": f"p{i}"} for i in range(size)},
    )


def told(export: dict[str, Any]) -> int:
    """The generation that everything of an export says; one that mixes two is an error."""
    found = {p["description"] for p in export["pipelines"]} | {u["description"] for u in export["udfs"]}
    found |= {f"g{a['priority']}" for a in export["associations"].values()}
    assert len(found) == 1, f"a mix: {found}"
    assert len(export["pipelines"]) == len(export["associations"]) == 12
    return int(found.pop()[1:])


async def seen(http: Http) -> int:
    answer = await http.get("/_registry/_export?set=app")
    assert answer.status == 200, answer.json
    return told(answer.json)


@pytest.mark.timeout(60 + 10 * KILLS)
async def test_whoever_is_killed_while_applying_leaves_the_old_set_or_the_new(
    serve: Callable[..., Any], node: str, session: aiohttp.ClientSession, tmp_path: Path
):
    process, http = serve()
    await process.ready(http)
    await applied(http, generation(1))
    started = asyncio.get_running_loop().time()
    await applied(http, generation(2))
    usual = asyncio.get_running_loop().time() - started
    (tmp_path / "watcher").mkdir()
    watcher, watching = serve(**{"state-dir": str(tmp_path / "watcher"), "registry-poll": "100ms"})
    await watcher.ready(watching)
    outcomes: set[int] = set()
    stop = asyncio.Event()

    async def watch() -> None:
        while not stop.is_set():
            outcomes.add(await seen(watching))

    task = asyncio.create_task(watch())
    present, chance = 2, random.Random(5)
    ends = {"old": 0, "new": 0}
    for number in range(KILLS):
        attempt = asyncio.create_task(http.post("/_registry/_apply", generation(present + 1)))
        await asyncio.sleep(chance.uniform(0, 1.1 * usual))
        process.end(signal.SIGKILL)
        await asyncio.gather(attempt, return_exceptions=True)
        # Every second time a proxy that has never seen the registry.
        folder = tmp_path / f"fresh-{number}" if number % 2 else tmp_path
        folder.mkdir(exist_ok=True)
        process, http = serve(**{"state-dir": str(folder)})
        await process.ready(http)
        after = await seen(http)
        assert after in (present, present + 1)
        # The next one dies nearer to the moment that decides.
        usual *= 0.8 if after > present else 1.25
        ends["new" if after > present else "old"] += 1
        async with asyncio.timeout(10):
            while await seen(watching) != after:
                await asyncio.sleep(0.05)
        present = after
        assert not task.done(), task.exception()
    stop.set()
    await task
    assert outcomes <= set(range(2, present + 1))
    assert (await applied(http, generation(present)))["revision"] == present
    print(f"\nkilled {KILLS} times: {ends}")


@pytest.mark.parametrize("expected", [True, False])
async def test_of_two_applies_at_once_one_wins(
    through: Http, settings: Settings, tmp_path: Path, session: aiohttp.ClientSession, expected: bool
):
    async with another(settings, tmp_path / "other", session) as other:
        await applied(through, generation(1))
        for n in range(2, 6):
            fields = {"expected": n - 1} if expected else {}
            answers = await asyncio.gather(
                through.post("/_registry/_apply", {**generation(10 * n), **fields}),
                other.post("/_registry/_apply", {**generation(10 * n + 1), **fields, "source": {"by": "bob"}}),
            )
            assert sorted(answer.status for answer in answers) == [200, 409], [a.json for a in answers]
            winner, loser = sorted(answers, key=lambda answer: answer.status)
            assert winner.json["revision"] == n
            assert f"is at revision {n}, not {n - 1}" in loser.error["reason"]
            assert "Since then: revision" in loser.error["reason"]
            found = {await seen(through), 10 * n + answers.index(winner)}
            assert len(found) == 1


async def test_two_sets_at_once_are_both_in_force(
    through: Http, settings: Settings, tmp_path: Path, session: aiohttp.ClientSession
):
    async with another(settings, tmp_path / "other", session) as other:
        for n in range(1, 5):
            await asyncio.gather(
                applied(through, body("one", pipeline("a", setting(n)))),
                applied(other, body("two", pipeline("b", setting(n)))),
            )

        async def both() -> bool:
            sets = (await through.get("/_registry/_revisions")).json["sets"]
            return [(each["set"], each["revision"]) for each in sets] == [("one", 4), ("two", 4)]

        await until(both)
        same = body("one", pipeline("c", setting(1))), body("two", pipeline("c", setting(2)))
        answers = await asyncio.gather(
            through.post("/_registry/_apply", same[0]), other.post("/_registry/_apply", same[1])
        )
        assert sorted(answer.status for answer in answers) == [200, 409]


async def test_what_is_stored_by_hand_while_a_set_comes_to_have_it(
    through: Http, settings: Settings, tmp_path: Path, session: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
):
    async with another(settings, tmp_path / "other", session) as other:
        add = Store.add_pipeline

        async def late(self: Store, record: Any) -> bool:
            monkeypatch.setattr(Store, "add_pipeline", add)
            await applied(other, body("app", pipeline("p", setting(1))))
            return await add(self, record)

        monkeypatch.setattr(Store, "add_pipeline", late)
        lost = await through.put("/_pipeline/p", {"type": "document", "stages": [setting(2)]})
        assert lost.status == 409
        assert "set [app] was applied at the same time" in lost.error["reason"]
        assert (await through.post("/_pipeline/p/_execute", {"input": {}})).json["output"] == {"x": 1}
        await applied(other, body("app", prune=True))
        async with asyncio.timeout(10):
            while (await through.get("/_pipeline")).json["total"]:
                await asyncio.sleep(0.05)


async def test_deletions_and_activations_by_hand_while_a_set_comes_to_have_it(
    through: Http, settings: Settings, tmp_path: Path, session: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
):
    """Answers of changes that are not in force as they say: each is a conflict that names the set."""
    async with another(settings, tmp_path / "other", session) as other:
        for n in (1, 2):
            made = await through.put("/_pipeline/p", {"type": "document", "stages": [setting(n)]})
            assert made.status == 201
        assert (await through.put("/_udf/shout", shout())).status == 201
        assert (await through.put("/_pipeline/_association/p-*", {"document": "p"})).status == 201
        changed = LiveRegistry.changed
        for name, (call, path, sent, content) in enumerate(
            (
                (through.put, "/_udf/shout", shout("title"), {"udfs": [shout()]}),
                (through.post, "/_pipeline/p/_activate?version=1", None, {"pipelines": [pipeline("p", setting(2))]}),
                (
                    through.delete,
                    "/_pipeline/_association/p-*",
                    None,
                    {"associations": {"p-*": {"priority": 1, "document": "p"}}},
                ),
            )
        ):

            async def late(self: LiveRegistry, name: int = name, content: dict[str, Any] = content) -> None:
                monkeypatch.setattr(LiveRegistry, "changed", changed)
                await applied(other, {"set": f"s{name}", **content})
                await changed(self)

            monkeypatch.setattr(LiveRegistry, "changed", late)
            lost = await (call(path, sent) if sent is not None else call(path))
            assert lost.status == 409, lost.json
            assert f"the set [s{name}] was applied at the same time" in lost.error["reason"]


async def test_a_set_that_begins_anew_while_its_history_goes_keeps_what_it_stages(
    through: Http, settings: Settings, tmp_path: Path, session: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sets, "MOST_SETS", 2)
    async with another(settings, tmp_path / "other", session) as other:
        old = body("old", pipeline("p", setting(1)))
        for sent in (old, body("old", prune=True), body("spare", pipeline("q", setting(1))), body("spare", prune=True)):
            await applied(through, sent)
        save, staged, free = Store.save, asyncio.Event(), asyncio.Event()

        async def held(self: Store, before: Any, document: Any) -> None:
            if before.id == HEADS and '"old":{"revision":1,' in document.body:
                staged.set()
                await free.wait()
            await save(self, before, document)

        changed, anew = LiveRegistry.changed, []

        async def late(self: LiveRegistry) -> None:
            monkeypatch.setattr(LiveRegistry, "changed", changed)
            anew.append(asyncio.create_task(applied(other, old)))
            await staged.wait()
            await changed(self)

        monkeypatch.setattr(Store, "save", held)
        monkeypatch.setattr(LiveRegistry, "changed", late)
        await applied(through, body("new", pipeline("r", setting(1))))
        free.set()
        assert (await anew[0])["revision"] == 1
        assert (await other.post("/_pipeline/p/_execute", {"input": {}})).json["output"] == {"x": 1}

        async def followed() -> bool:
            return (await through.get("/_registry/_revisions?set=old")).json.get("revision") == 1

        await until(followed)


@pytest.mark.parametrize("forced", [False, True])
async def test_a_late_release_leaves_what_was_made_by_hand_since(
    through: Http,
    settings: Settings,
    tmp_path: Path,
    session: aiohttp.ClientSession,
    monkeypatch: pytest.MonkeyPatch,
    forced: bool,
):
    async with another(settings, tmp_path / "other", session) as other:
        made = await through.put("/_pipeline/p", {"type": "document", "stages": [setting(1)]})
        assert made.status == 201
        finals = {"document": {"final_pipeline": "p"}}
        assert (await through.put("/_pipeline/_association/p-*", finals)).status == 201
        await applied(through, body("app", pipeline("p", setting(1)), associations={"p-*": finals}))
        ensure = Store.ensure_index

        async def late(self: Store) -> None:
            monkeypatch.setattr(Store, "ensure_index", ensure)
            await applied(other, body("app", prune=True))
            made = await other.put("/_pipeline/p", {"type": "document", "stages": [setting(2)]})
            assert (made.status, made.json["version"]) == (201, "2")
            assert (await other.put("/_pipeline/_association/p-*", finals)).status == 201
            await ensure(self)

        monkeypatch.setattr(Store, "ensure_index", late)
        if forced:
            lost = await through.delete("/_pipeline/_association/p-*?force=true")
        else:
            lost = await through.post("/_registry/_apply", body("app", prune=True))
        assert lost.status == 409, lost.json
        for http in (other, through):
            assert (await http.get("/_pipeline/_association/p-*")).json["document"] == finals["document"]
            assert (await http.get("/_pipeline/p")).json["version"] == "2"
            assert (await http.post("/_pipeline/p/_execute", {"input": {}})).json["output"] == {"x": 2}


async def test_a_forced_change_does_not_bring_back_what_left_the_set(
    through: Http, settings: Settings, tmp_path: Path, session: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
):
    async with another(settings, tmp_path / "other", session) as other:
        await applied(
            through, body("app", pipeline("p", setting(1)), udfs=[shout()], associations={"p-*": {"document": "p"}})
        )
        opened = sets.opened

        async def late(*args: Any) -> Any:
            monkeypatch.setattr(sets, "opened", opened)
            await applied(other, body("app", pipeline("q", setting(1)), prune=True))
            return await opened(*args)

        for method, path, sent in (
            (through.put, "/_pipeline/p", {"type": "document", "stages": [setting(2)]}),
            (through.put, "/_udf/shout", shout("title")),
            (through.put, "/_pipeline/_association/p-*", {"priority": 2, "document": "p"}),
        ):
            monkeypatch.setattr(sets, "opened", late)
            lost = await method(f"{path}?force=true", sent)
            assert lost.status == 409, lost.json
            assert "left the set [app]" in lost.error["reason"]
            await until_total(through, 1)
            found = (await through.get("/_registry/_export?set=app")).json
            assert ([p["name"] for p in found["pipelines"]], found["udfs"], found["associations"]) == (["q"], [], {})
            assert (await through.get("/_udf")).json["total"] == 0
            again = await through.post("/_registry/_rollback?set=app&revision=1")
            assert again.status == 200, again.json


async def until_total(http: Http, wanted: int) -> None:
    async def found() -> bool:
        return (await http.get("/_pipeline")).json["total"] == wanted

    await until(found)


async def test_other_workers_never_see_a_mix(node: str, direct: Http, name: str, tmp_path: Path):
    registry = f".headrace-test-{name}"
    proxy = ProxyProcess(node, registry, tmp_path, free_port(), workers="2")
    try:
        await ready(proxy.url, 2)
        status, first = await on_new_connection(proxy.url, "POST", "/_registry/_apply", generation(1))
        assert status == 200, first
        stop, counts = asyncio.Event(), {"reads": 0}

        async def watch() -> None:
            while not stop.is_set():
                status, export = await on_new_connection(proxy.url, "GET", "/_registry/_export?set=app")
                assert status == 200, export
                told(export)
                counts["reads"] += 1

        task = asyncio.create_task(watch())
        for n in range(2, 7):
            status, answer = await on_new_connection(proxy.url, "POST", "/_registry/_apply", generation(n))
            assert (status, answer.get("revision")) == (200, n), answer
            shown = (await on_new_connection(proxy.url, "GET", "/_registry/_revisions?set=app"))[1]
            assert [worker["revision"] for worker in shown["workers"]] == [n, n]
            assert len({worker["process"] for worker in shown["workers"]}) == shown["expected_workers"] == 2
        stop.set()
        await task
        assert counts["reads"] > 10

        async def reported() -> bool:
            shown = (await on_new_connection(proxy.url, "GET", "/_registry/_revisions?set=app"))[1]
            return [each["revision"] for each in shown["proxies"]] == [6, 6]

        await until(reported)
    finally:
        proxy.end()
        await direct.delete(f"/{registry}")


async def test_an_attempt_that_was_cut_off_is_used_by_the_next(
    through: Http, direct: Http, settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    await applied(through, generation(1))
    save = Store.save

    async def cut(self: Store, before: Any, document: Any) -> None:
        if before.id == HEADS:
            raise RegistryError("cut off")
        await save(self, before, document)

    monkeypatch.setattr(Store, "save", cut)
    for n in (2, 3):
        assert (await through.post("/_registry/_apply", generation(n))).status == 503
        assert await seen(through) == 1
    monkeypatch.setattr(Store, "save", save)
    assert (await through.get("/_udf/shout")).json["version"] == "1"
    assert len((await through.get("/_pipeline/p0/_versions")).json["versions"]) == 1
    made = await applied(through, generation(2))
    assert made["revision"] == 2
    assert {c["to"] for c in made["changes"] if c["kind"] != "association"} == {"2"}, (
        "the versions of the first attempt"
    )
    held = await whole(direct, settings)
    live = {id_ for id_, source in held.items() if source["kind"] in ("pipeline", "udf", "revision")}
    assert not [id_ for id_ in live if "@3#" in id_], "what the second attempt left is gone"
    assert sum(id_.startswith("udf:") for id_ in live) == 2


async def test_tampering_with_sets_changes_nothing(
    through: Http, direct: Http, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("headrace.registry.ledger.LONGEST_PAUSE", 0.2)
    await applied(through, generation(1))
    old = await whole(direct, settings)
    await applied(through, generation(2))
    now = await whole(direct, settings)
    revision = next(id_ for id_ in now if id_.startswith("revision:app@2#"))
    version = next(id_ for id_ in now if id_.startswith("pipeline:document:p3@2#"))
    for id_, source in (
        (HEADS, None),
        (HEADS, old[HEADS]),
        (HEADS, {**now[HEADS], "body": "{}"}),
        (HEADS, {**now[HEADS], "kind": "deleted", "body": "null"}),
        (revision, None),
        (revision, {**now[revision], "body": old[next(i for i in old if i.startswith("revision:app@1#"))]["body"]}),
        (version, None),
        (version, {**now[version], "body": now[version]["body"].replace("g2", "g1")}),
    ):
        path = path_of(settings, id_)
        answer = await (direct.delete(path) if source is None else direct.put(path, source))
        assert answer.status == 200
        await direct.post(f"/{settings.registry_index}/_refresh")

        async def mended(id_: str = id_) -> bool:
            assert await seen(through) == 2
            return (await whole(direct, settings)).get(id_) == now[id_]

        await until(mended)
    async with another(settings, tmp_path / "other", through.session) as http:
        assert await seen(http) == 2
