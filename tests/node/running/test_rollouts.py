"""Rollouts on a real node: who meets which version, what is refused while one runs, and how it ends."""

from __future__ import annotations

import asyncio
import base64
from typing import TYPE_CHECKING, Any

import pytest

from headrace.registry.live import LiveRegistry
from tests.conftest import NDJSON, Http, native, ndjson
from tests.node.registry.test_registry_tampering import another, until

if TYPE_CHECKING:
    from pathlib import Path

    from headrace.settings import Settings

HALF = [{"percent": 50}]
FAILS = native("n", "convert", field="bad", type="long", ignore_missing=True)


def basic(user: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:x".encode()).decode()}


async def versions(through: Http, name: str, kind: str, *stages: dict[str, Any], mark: str = "v") -> None:
    """Version 1 is active, version 2 stored beside it; each marks what it sees."""
    for number in (1, 2):
        body = {
            "type": kind,
            "version": str(number),
            "stages": [*stages, native("mark", "set", field=mark, value=number)],
        }
        target = f"/_pipeline/{name}" + ("?activate=false" if number == 2 else "")
        made = await through.put(target, body)
        assert made.status == 201, made.body


async def start(through: Http, name: str, **changes: Any) -> Any:
    spec = {"candidate": "2", "mode": "canary", "steps": HALF} | changes
    made = await through.put(f"/_pipeline/{name}/_rollout", spec)
    assert made.status == 201, made.body
    assert made.json["percent"] == 0, "other proxies have to read it first"
    for _ in range(100):
        shown = (await through.get(f"/_pipeline/{name}/_rollout")).json
        if shown["percent"]:
            return shown
        await asyncio.sleep(0.05)
    raise AssertionError("the first step does not begin")


async def marks(through: Http, direct: Http, index: str, ids: list[str], **kw: Any) -> dict[str, int]:
    """The version that each document met, written in one bulk."""
    lines = [line for id_ in ids for line in ({"index": {"_index": index, "_id": id_}}, {"a": id_})]
    answer = await through.post("/_bulk?refresh=true", ndjson(*lines), headers={**NDJSON, **kw.get("headers", {})})
    assert answer.json["errors"] is False
    assert [item["index"]["_id"] for item in answer.json["items"]] == ids
    got = (await direct.post(f"/{index}/_mget", {"ids": ids})).json["docs"]
    return {doc["_id"]: doc["_source"]["v"] for doc in got}


async def test_a_document_meets_the_same_version_however_it_comes(through: Http, direct: Http, name: str):
    await versions(through, name, "document")
    await through.index(name, document=name)
    shown = await start(through, name, steps=[{"percent": 30, "for": "1h"}, {"percent": 60}])
    assert (shown["state"], shown["percent"], shown["stable"], shown["key"]) == ("running", 30, "1", "_id")
    ids = [f"k{n}" for n in range(300)]
    first = await marks(through, direct, name, ids)
    assert 50 < sum(v == 2 for v in first.values()) < 130
    again = await marks(through, direct, name, ids[::-1][:100])
    assert again == {id_: first[id_] for id_ in again}
    for id_ in ids[:30]:
        written = await through.put(f"/{name}/_doc/{id_}?refresh=true", {"a": 1})
        label = f"document={name}@{first[id_]}" + (f";canary={name}@2" if first[id_] == 2 else "")
        assert written.headers["X-Pipeline"] == label
        assert (await direct.get(f"/{name}/_doc/{id_}")).json["_source"]["v"] == first[id_]
    found = (await through.get(f"/_pipeline/{name}/_rollout")).json["versions"]
    assert found["stable"]["documents"] + found["candidate"]["documents"] == 430
    assert found["candidate"]["failed"] == 0
    for version in ("1", "2"):
        stats = (await through.get(f"/_pipeline/{name}/_stats?version={version}")).json
        role = "stable" if version == "1" else "candidate"
        assert stats["documents_in"] == found[role]["documents"]


async def test_a_final_pipeline_and_one_that_is_named_have_canaries_too(through: Http, direct: Http, name: str):
    await versions(through, name, "document")
    await versions(through, f"{name}-f", "document", mark="w")
    settings = {"index.document.final_pipeline": f"{name}-f", "number_of_replicas": 0}
    assert (await through.put(f"/{name}", {"settings": settings})).status == 200
    await start(through, name)
    await start(through, f"{name}-f")
    ids = [f"k{n}" for n in range(200)]
    lines = [line for id_ in ids for line in ({"index": {"_index": name, "_id": id_, "pipeline": name}}, {"a": 1})]
    answer = await through.bulk(*lines)
    assert answer.json["errors"] is False
    assert answer.headers["X-Pipeline"].endswith(f";canary={name}@2+{name}-f@2")
    got = (await direct.post(f"/{name}/_mget", {"ids": ids})).json["docs"]
    pairs = [(doc["_source"]["v"], doc["_source"]["w"]) for doc in got]
    # Each rollout has its own seed: all four pairs are there.
    assert set(pairs) == {(1, 1), (1, 2), (2, 1), (2, 2)}


async def test_what_the_candidate_fails_on_is_an_error_or_goes_to_the_stable_version(
    through: Http, direct: Http, name: str
):
    await versions(through, name, "document")
    bad = {"type": "document", "version": "3", "stages": [FAILS, native("mark", "set", field="v", value=3)]}
    assert (await through.put(f"/_pipeline/{name}?activate=false", bad)).status == 201
    await through.index(name, document=name)
    ids = [f"k{n}" for n in range(100)]
    lines = [line for id_ in ids for line in ({"index": {"_index": name, "_id": id_}}, {"bad": "x"})]
    await start(through, name, candidate="3")
    items = (await through.bulk(*lines)).json["items"]
    failed = {item["index"]["_id"] for item in items if "error" in item["index"]}
    assert 20 < len(failed) < 80
    shown = (await through.post(f"/_pipeline/{name}/_abort")).json
    assert (shown["state"], shown["percent"], shown["reason"]) == ("aborted", 0, "by hand")
    assert shown["versions"]["candidate"]["failed"] == len(failed) == shown["versions"]["candidate"]["documents"]
    assert (await through.bulk(*lines)).json["errors"] is False
    await start(through, name, candidate="3", fallback="stable")
    assert (await through.bulk(*lines)).json["errors"] is False
    got = (await direct.post(f"/{name}/_mget", {"ids": ids})).json["docs"]
    assert {doc["_source"]["v"] for doc in got} == {1}
    found = (await through.get(f"/_pipeline/{name}/_rollout")).json["versions"]["candidate"]
    assert found["failed"] == found["documents"] > 20


async def test_searches_meet_a_version_by_who_asks(through: Http, direct: Http, name: str):
    await versions(through, name, "query", mark="size")
    await versions(through, f"{name}-r", "result", mark="v")
    await through.index(name, query=name, result=f"{name}-r")
    lines = [line for n in range(4) for line in ({"index": {"_index": name, "_id": str(n)}}, {"n": n})]
    assert (await direct.bulk(*lines)).json["errors"] is False
    await start(through, name, key="user")
    await start(through, f"{name}-r", key='ctx.headers["x-team"]')

    async def ask(user: str, team: str, target: str = f"/{name}/_search", body: Any = None) -> Any:
        answer = await through.post(target, body or {}, headers={**basic(user), "X-Team": team})
        assert answer.status == 200, answer.body
        return answer.json

    def met(answer: Any) -> tuple[int, int]:
        return len(answer["hits"]["hits"]), answer["v"]

    by_user: dict[str, set[int]] = {}
    by_team: dict[str, set[int]] = {}
    for n in range(40):
        user, team = f"u{n % 20}", f"t{n % 8}"
        size, v = met(await ask(user, team))
        by_user.setdefault(user, set()).add(size)
        by_team.setdefault(team, set()).add(v)
    assert all(len(found) == 1 for found in (*by_user.values(), *by_team.values()))
    assert set().union(*by_user.values()) == set().union(*by_team.values()) == {1, 2}
    anonymous = (await through.post(f"/{name}/_search", {})).json
    assert met(anonymous) == (1, 1)
    user = next(user for user, found in by_user.items() if found == {2})
    team = next(team for team, found in by_team.items() if found == {2})
    two = f'{{"index":"{name}"}}\n{{}}\n{{"index":"{name}"}}\n{{}}\n'
    answers = (await through.post("/_msearch", two, headers={**basic(user), "X-Team": team, **NDJSON})).json
    assert [met(each) for each in answers["responses"]] == [(2, 2), (2, 2)]
    await _cursors_keep_their_version(through, name, user, team)


async def _cursors_keep_their_version(through: Http, name: str, user: str, team: str) -> None:
    """A point in time and a scroll of a user of the candidate, and of one who is not, until an abort."""
    headers = {**basic(user), "X-Team": team}
    pit = (await through.post(f"/{name}/_search/point_in_time?keep_alive=1m", headers=headers)).json["pit_id"]
    old = (await through.post(f"/{name}/_search/point_in_time?keep_alive=1m")).json["pit_id"]
    scroll = (await through.post(f"/{name}/_search?scroll=1m", {}, headers=headers)).json
    assert scroll["v"] == 2

    async def over(id_: str) -> tuple[int, int]:
        # Without the key of the request: the cursor alone says it.
        answer = (await through.post("/_search", {"pit": {"id": id_}})).json
        return len(answer["hits"]["hits"]), answer["v"]

    assert (await over(pit), await over(old)) == ((2, 2), (1, 1))
    body = {"scroll_id": scroll["_scroll_id"], "scroll": "1m"}
    assert (await through.post("/_search/scroll", body)).json["v"] == 2
    for pipeline in (name, f"{name}-r"):
        assert (await through.post(f"/_pipeline/{pipeline}/_abort")).status == 200
    assert (await over(pit), await over(old)) == ((1, 1), (1, 1))
    assert (await through.post("/_search/scroll", body)).json["v"] == 1


async def test_promoting_makes_the_candidate_active_at_once(through: Http, direct: Http, name: str):
    await versions(through, name, "document")
    await through.index(name, document=name)
    await start(through, name, steps=[{"percent": 1}])
    shown = (await through.post(f"/_pipeline/{name}/_promote")).json
    assert (shown["state"], shown["percent"], shown["stable"], shown["candidate"]) == ("promoted", 100, "1", "2")
    assert (await through.get(f"/_pipeline/{name}")).json["version"] == "2"
    assert set((await marks(through, direct, name, [f"k{n}" for n in range(50)])).values()) == {2}
    again = await through.post(f"/_pipeline/{name}/_promote")
    assert (again.status, again.error["type"]) == (409, "version_conflict_engine_exception")
    assert (await through.post(f"/_pipeline/{name}/_abort")).status == 409
    # Going back does not bring the rollout back.
    assert (await through.post(f"/_pipeline/{name}/_activate?version=1")).status == 200
    assert set((await marks(through, direct, name, [f"k{n}" for n in range(50)])).values()) == {1}


async def test_what_a_rollout_needs_is_not_changed_under_it(through: Http, name: str):
    await versions(through, name, "document")
    assert (await through.get(f"/_pipeline/{name}/_rollout")).status == 404
    await start(through, name)
    third = {"type": "document", "version": "3", "stages": [native("mark", "set", field="v", value=3)]}
    refused = [
        await through.put(f"/_pipeline/{name}", third),
        await through.post(f"/_pipeline/{name}/_activate?version=2"),
        await through.delete(f"/_pipeline/{name}?version=2"),
        await through.delete(f"/_pipeline/{name}"),
        await through.put(f"/_pipeline/{name}/_rollout", {"candidate": "2", "mode": "canary", "steps": HALF}),
        await through.post("/_registry/_apply", {"set": name, "pipelines": [{"name": name, **third}]}),
    ]
    assert [(each.status, "promote or abort it first" in str(each.json)) for each in refused] == [(409, True)] * 6
    assert (await through.put(f"/_pipeline/{name}?activate=false", third)).status == 201
    assert (await through.delete(f"/_pipeline/{name}?version=3")).status == 200
    assert (await through.put(f"/_pipeline/{name}?force=true", third)).status == 201
    shown = (await through.get(f"/_pipeline/{name}/_rollout")).json
    assert (shown["state"], shown["reason"]) == ("aborted", "another version became active: [3]")
    assert (await through.post(f"/_pipeline/{name}/_pause")).status == 409


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"candidate": "1"}, "candidate"),
        ({"candidate": "9"}, "candidate"),
        ({"key": "doc.tenant +"}, "key"),
        ({"key": "body.x"}, "key"),
        ({"steps": []}, "steps"),
        ({"percent": 5}, "percent"),
    ],
)
async def test_a_wrong_rollout_is_refused_by_field(through: Http, name: str, changes: dict[str, Any], field: str):
    await versions(through, name, "document")
    answer = await through.put(
        f"/_pipeline/{name}/_rollout", {"candidate": "2", "mode": "canary", "steps": HALF} | changes
    )
    assert (answer.status, answer.error["field"]) == (400, field)


async def test_steps_go_on_by_themselves_and_a_pause_holds_them(through: Http, name: str):
    await versions(through, name, "document")
    steps = [{"percent": 1, "for": "1s"}, {"percent": 2, "for": "1h"}, {"percent": 3}]
    await start(through, name, steps=steps)

    async def shown() -> Any:
        return (await through.get(f"/_pipeline/{name}/_rollout")).json

    for _ in range(80):
        if (await shown())["percent"] == 2:
            break
        await asyncio.sleep(0.1)
    now = await shown()
    assert (now["step"], now["percent"]) == (1, 2)
    assert 3500 < now["next_step_in_seconds"] <= 3600
    held = (await through.post(f"/_pipeline/{name}/_pause")).json
    assert (held["state"], held["percent"], held["next_step_in_seconds"]) == ("paused", 2, None)
    resumed = (await through.post(f"/_pipeline/{name}/_resume")).json
    assert (resumed["state"], resumed["step"]) == ("running", 1)
    assert resumed["next_step_in_seconds"] <= now["next_step_in_seconds"]


async def test_a_proxy_whose_polls_are_late_reads_the_step_before_it_serves(
    through: Http, settings: Settings, tmp_path: Path, direct: Http, name: str, monkeypatch: pytest.MonkeyPatch
):
    """Else a key that has met the candidate through one proxy would go back at another."""
    await versions(through, name, "document")
    await through.index(name, document=name)
    await start(through, name, steps=[{"percent": 1, "for": "1s"}, {"percent": 100}])
    keep_current = LiveRegistry._keep_current

    async def never(_: LiveRegistry) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(LiveRegistry, "_keep_current", never)
    async with another(settings, tmp_path / "other", through.session) as late:
        monkeypatch.setattr(LiveRegistry, "_keep_current", keep_current)
        assert (await late.get(f"/_pipeline/{name}/_rollout")).json["percent"] == 1

        async def at_last_step() -> bool:
            return (await through.get(f"/_pipeline/{name}/_rollout")).json["percent"] == 100

        await until(at_last_step, 15)
        met = [await marks(http, direct, name, [f"k{n}" for n in range(50)]) for http in (through, late)]
        assert met == [{f"k{n}": 2 for n in range(50)}] * 2
