"""`/_registry`: sets of pipelines, UDFs and associations that are applied as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from headrace.handlers.admin.sets import request as set_request
from headrace.registry.store import Store
from headrace.upstream.permissions import Permissions
from headrace_pipelines.errors import RefusedError, RegistryError
from tests.conftest import NDJSON, Http, native, ndjson
from tests.node.registry.test_registry_tampering import until

if TYPE_CHECKING:
    from headrace.settings import Settings

SHOUT = """def process(document, parameters):
    document["level"] = document["level"].{}()
    return document
"""


def shout(method: str = "upper", **fields: Any) -> dict[str, Any]:
    return {"name": "shout", "language": "python", "source": SHOUT.format(method), **fields}


def pipeline(name: str, *stages: dict[str, Any], kind: str = "document", **fields: Any) -> dict[str, Any]:
    return {"name": name, "type": kind, "stages": list(stages), **fields}


def python(name: str = "shout", **config: Any) -> dict[str, Any]:
    return {"name": name, "type": "python", "config": {"udf_name": name, **config}}


def setting(value: Any) -> dict[str, Any]:
    return native("s", "set", field="x", value=value)


def body(
    name: str, *pipelines: dict[str, Any], udfs: Any = (), associations: Any = None, **fields: Any
) -> dict[str, Any]:
    return {"set": name, "pipelines": list(pipelines), "udfs": list(udfs), "associations": associations or {}, **fields}


async def applied(through: Http, sent: dict[str, Any]) -> dict[str, Any]:
    answer = await through.post("/_registry/_apply", sent)
    assert answer.status == 200, answer.json
    return answer.json


def actions(answer: dict[str, Any]) -> dict[str, str]:
    return {f"{c['kind']} {c['name']}": c["action"] for c in answer["changes"]}


async def test_a_set_from_nothing_to_nothing(through: Http, name: str):
    logs, guard = f"{name}-logs", f"{name}-guard"
    sent = body(
        "app",
        pipeline(logs, python(), native("outer", "pipeline", name=guard)),
        pipeline(guard, setting(1)),
        udfs=[shout()],
        associations={f"{name}-*": {"priority": 3, "document": logs}},
        source={"commit": "abc", "url": "https://example.org/repo", "by": "ann"},
    )
    wanted = await through.post("/_registry/_diff", sent)
    assert (wanted.status, wanted.json["revision"]) == (200, 0)
    assert set(actions(wanted.json).values()) == {"create"}
    assert (await through.get("/_pipeline")).json["total"] == 0, "nothing was written"
    made = await applied(through, {**sent, "expected": 0})
    assert made["revision"] == 1
    assert made["changes"] == wanted.json["changes"]
    assert next(c for c in made["changes"] if c["kind"] == "pipeline")["type"] == "document"
    assert (await through.put(f"/{name}-1/_doc/1?refresh=true", {"level": "a"})).status == 201
    found = (await through.get(f"/{name}-1/_doc/1")).json["_source"]
    assert found == {"level": "A", "x": 1}
    shown = (await through.get(f"/_pipeline/{logs}")).json
    assert (shown["version"], shown["managed_by"], shown["active"]) == ("1", "app", True)
    assert shown["stages"][0]["config"]["udf_version"] == "1", "pinned"
    again = await applied(through, sent)
    assert (again["revision"], set(actions(again).values())) == (1, {"unchanged"})

    changed = await applied(through, {**sent, "udfs": [shout("title")], "expected": 1})
    assert actions(changed) == {
        "udf shout": "update",
        f"pipeline {guard}": "unchanged",
        f"pipeline {logs}": "update",
        f"association {name}-*": "unchanged",
    }
    udf, stage = [c for c in changed["changes"] if c["action"] == "update"]
    assert (udf["from"], udf["to"]) == ("1", "2")
    assert {"op": "replace", "path": "/source", "value": SHOUT.format("title")} in udf["patch"]
    assert stage["patch"] == [{"op": "replace", "path": "/stages/0/config/udf_version", "value": "2"}]
    back = await applied(through, sent)
    assert actions(back)["udf shout"] == "activate", "the content of version 1 is version 1"
    assert (await through.get("/_udf/shout")).json["version"] == "1"

    listed = (await through.get("/_registry/_revisions?set=app")).json
    assert [r["revision"] for r in listed["revisions"]] == [3, 2, 1]
    assert listed["revisions"][0]["source"] == {"commit": "abc", "url": "https://example.org/repo", "by": "ann"}
    assert listed["workers"] == [{"process": listed["workers"][0]["process"], "registry": "current", "revision": 3}]
    assert (await through.get("/_registry/_revisions")).json["sets"][0]["objects"] == 4

    rolled = await through.post("/_registry/_rollback?set=app&revision=2")
    assert (rolled.status, rolled.json["revision"]) == (200, 4)
    assert (await through.get("/_udf/shout")).json["version"] == "2"
    none = await through.post("/_registry/_rollback?set=app&revision=9")
    assert none.status == 404
    assert "kept are: 1, 2, 3, 4" in none.error["reason"]

    gone = await applied(through, body("app", prune=True))
    assert set(actions(gone).values()) == {"delete", "detach"}
    assert (await through.get("/_pipeline")).json["total"] == 0
    assert (await through.get("/_udf")).json["total"] == 0
    assert (await through.get("/_pipeline/_association")).json["total"] == 0
    assert (await through.get(f"/_pipeline/{logs}")).status == 404
    restored = await through.post("/_registry/_rollback?set=app&revision=1")
    assert (restored.status, restored.json["revision"]) == (200, 6)
    assert (await through.get(f"/_pipeline/{logs}")).json["version"] == "1"
    await through.put(f"/{name}-2/_doc/1?refresh=true", {"level": "a"})
    assert (await through.get(f"/{name}-2/_doc/1")).json["_source"] == {"level": "A", "x": 1}


async def test_everything_that_is_wrong_is_said_at_once(through: Http, name: str):
    await through.pipeline(f"{name}-q", "query", native("q", "filter_query", query={"match_all": {}}))
    answer = await through.post(
        "/_registry/_apply",
        body(
            "app",
            pipeline(f"{name}-a", native("s", "set", field="x")),
            pipeline(f"{name}-b", python("nowhere")),
            pipeline(f"{name}-c", setting(1), nam=1),
            {"type": "document", "stages": [setting(1)]},
            pipeline(f"{name}-d", setting(1)),
            pipeline(f"{name}-d", setting(2)),
            pipeline(f"{name}-e", python("bad")),
            udfs=[shout(source="def process(:"), {"name": "bad", "language": "wat", "source": "(module"}],
            associations={
                f"{name}-*": {"document": f"{name}-q"},
                f"{name}-2": {"query": {"final": "nowhere"}},
                "_x": {},
            },
        ),
    )
    assert (answer.status, answer.error["type"]) == (400, "illegal_argument_exception")
    found = [(e["kind"], e["name"].removeprefix(name), e.get("field")) for e in answer.error["errors"]]
    assert sorted(found, key=str) == sorted(
        [
            ("pipeline", "-c", "nam"),
            ("pipeline", "pipelines[3]", "name"),
            ("pipeline", "-d", "name"),
            ("pipeline", "-a", "stages[0].config.parameters"),
            ("pipeline", "-b", "stages[0].config.udf_name"),
            ("association", "_x", "pattern"),
            ("association", "-*", "document.default_pipeline"),
            ("association", "-2", "query.final_pipeline"),
            ("udf", "shout", "source"),
            ("udf", "bad", "wasm"),
        ],
        key=str,
    )
    assert "nothing was changed" in answer.error["reason"]
    words = {e["name"]: e["reason"] for e in answer.error["errors"]}
    assert "there are" in words[f"{name}-c"]
    assert "is of type query" in words[f"{name}-*"]
    assert (await through.get("/_pipeline")).json["total"] == 1
    assert (await through.get("/_registry/_revisions")).json["total"] == 0


async def test_bodies_that_are_no_set(through: Http, monkeypatch):
    for sent, words in (
        ({"set": "a", "tables": []}, "not supported"),
        ({"set": "a", "pipeline": []}, "there are associations, expected, pipelines, prune, set, source, udfs"),
        ({"set": "A b"}, "does not match"),
        ({}, "[set] is missing"),
        ({"set": "a", "source": {"commit": 1}}, "Expected `str`"),
        ({"set": "a", "expected": "1"}, "Expected `int"),
    ):
        answer = await through.post("/_registry/_apply", sent)
        assert answer.status == 400, sent
        assert words in answer.error["reason"]
    assert (await through.post("/_registry/_rollback?set=a&revision=1")).status == 404
    assert (await through.post("/_registry/_rollback?set=a&revision=x")).status == 400
    assert (await through.get("/_registry/_export?set=a")).status == 404
    assert (await through.get("/_registry/_revisions?set=a")).status == 404
    assert (await through.get("/_registry/_apply")).status == 405
    assert (await through.get("/_registry")).status == 404
    monkeypatch.setattr(set_request, "MOST_OBJECTS", 2)
    many = await through.post("/_registry/_apply", body("a", *(pipeline(f"p{n}", setting(n)) for n in range(3))))
    assert many.status == 413
    monkeypatch.setattr(set_request, "MOST_BYTES", 100)
    assert (await through.post("/_registry/_apply", body("a", pipeline("p", setting("x" * 100))))).status == 413


async def test_what_a_set_has_is_not_changed_by_hand(through: Http, name: str):
    sent = body("app", pipeline(name, python()), udfs=[shout()], associations={f"{name}-*": {"document": name}})
    await applied(through, sent)
    changes: list[tuple[str, str, Any]] = [
        ("put", f"/_pipeline/{name}", {"type": "document", "stages": [setting(2)]}),
        ("put", "/_udf/shout", shout("lower")),
        ("put", f"/_pipeline/_association/{name}-*", {"document": name, "priority": 7}),
        ("post", f"/_pipeline/{name}/_activate?version=1", None),
        ("delete", f"/_pipeline/_association/{name}-*", None),
        ("delete", f"/_pipeline/{name}", None),
        ("delete", "/_udf/shout", None),
    ]
    for method, path, what in changes:
        answer = await getattr(through, method)(path, what)
        assert answer.status == 409, (method, path)
        assert "is managed by the set [app]" in answer.error["reason"]
        assert "force=true" in answer.error["reason"]
    revision = 1
    for method, path, what in changes:
        mark = "&" if "?" in path else "?"
        answer = await getattr(through, method)(f"{path}{mark}force=true", what)
        assert answer.status in (200, 201), (path, answer.json)
        revision += 1
        drift = (await through.post("/_registry/_diff", sent)).json
        assert drift["revision"] == revision
        if "_activate" not in path:
            assert any(c.get("drift", {}).get("revision") == revision for c in drift["changes"]), drift
    assert (await through.get("/_pipeline")).json["total"] == 0
    stale = await through.post("/_registry/_apply", {**sent, "expected": 1})
    assert stale.status == 409
    assert f"is at revision {revision}, not 1" in stale.error["reason"]
    assert "by hand" in stale.error["reason"]
    assert "delete udf [shout]" in stale.error["reason"]
    again = await applied(through, {**sent, "expected": revision})
    assert all(c["action"] == "create" and c["drift"] for c in again["changes"])
    clean = (await through.post("/_registry/_diff", sent)).json
    assert set(actions(clean).values()) == {"unchanged"}


async def test_what_is_there_by_hand_comes_into_a_set_and_goes_with_it(through: Http, name: str):
    await through.pipeline(name, "document", setting(1))
    await through.pipeline(name, "document", setting(2))
    await through.put(f"/_pipeline/_association/{name}-*", {"document": name})
    sent = body("app", pipeline(name, setting(2)), associations={f"{name}-*": {"document": name}})
    first = await applied(through, sent)
    assert [(c["action"], c["from"], c["to"], c["adopted"]) for c in first["changes"]] == [
        ("update", "2", "2", True),
        ("update", None, None, True),
    ]
    versions = (await through.get(f"/_pipeline/{name}/_versions")).json["versions"]
    assert [(v["version"], v["active"]) for v in versions] == [("1", False), ("2", True)]
    assert (await applied(through, body("app", pipeline(name, setting(1)))))["changes"][0]["action"] == "activate"
    await applied(through, body("app", prune=True))
    assert (await through.get("/_pipeline")).json["total"] == 0
    assert (await through.get(f"/_pipeline/{name}")).status == 404
    assert (await through.get("/_pipeline/_association")).json["total"] == 0
    by_hand = await through.put(f"/_pipeline/{name}", {"type": "document", "stages": [setting(3)]})
    assert (by_hand.status, by_hand.json["version"]) == (201, "3"), "1 and 2 are in the history of the set"
    assert (await through.get(f"/_pipeline/{name}")).json.get("managed_by") is None


async def test_prune_goes_no_further_than_the_set(through: Http, name: str):
    await applied(
        through, body("one", pipeline(f"{name}-a", setting(1)), pipeline(f"{name}-b", python()), udfs=[shout()])
    )
    await applied(through, body("two", pipeline(f"{name}-c", setting(1))))
    await through.pipeline(f"{name}-hand", "document", setting(1))
    taken = await through.post("/_registry/_apply", body("two", pipeline(f"{name}-a", setting(5))))
    assert taken.status == 409
    assert "is managed by the set [one]" in taken.error["reason"]
    await through.put(f"/_pipeline/_association/{name}-*", {"document": f"{name}-a"})
    await through.pipeline(f"{name}-user", "document", python())
    kept = await applied(through, body("one", pipeline(f"{name}-a", setting(2))))
    assert actions(kept) == {
        "udf shout": "unchanged",
        f"pipeline {name}-a": "update",
        f"pipeline {name}-b": "unchanged",
    }
    used = await through.post("/_registry/_apply", body("one", prune=True))
    assert used.status == 409
    assert [(e["name"], e["reason"]) for e in used.error["errors"]] == [
        (f"{name}-a", f"is used by pattern [{name}-*]; detach or change that first"),
        ("shout", f"is used by pipeline [{name}-user@1]; detach or change that first"),
    ]
    assert (await through.get("/_pipeline")).json["total"] == 5
    await through.delete(f"/_pipeline/_association/{name}-*")
    await through.delete(f"/_pipeline/{name}-user")
    await applied(through, body("one", prune=True))
    left = [p["name"] for p in (await through.get("/_pipeline")).json["pipelines"]]
    assert left == [f"{name}-c", f"{name}-hand"]


async def test_a_version_in_the_code_is_kept_by_an_export(through: Http):
    source = "# @udf: version=7\n" + SHOUT.format("upper")
    await applied(through, body("app", udfs=[shout(source=source)]))
    await through.put("/_udf/other", {"language": "python", "source": source, "version": "3"})
    await applied(
        through, body("app", udfs=[{"name": "other", "language": "python", "source": source, "version": "3"}])
    )
    found = (await through.get("/_registry/_export?set=app")).json
    assert [(u["name"], u["version"]) for u in found["udfs"]] == [("other", "3"), ("shout", "7")]
    del found["revision"]
    assert set(actions(await applied(through, found)).values()) == {"unchanged"}


async def test_a_final_association_goes_only_with_the_right_to_it(
    through: Http, name: str, monkeypatch: pytest.MonkeyPatch
):
    tenants = pipeline(f"{name}-f", native("q", "filter_query", query={"term": {"tenant": "a"}}), kind="query")
    finals = {f"{name}-*": {"query": {"final_pipeline": f"{name}-f"}}}
    await applied(through, body("app", tenants))
    await applied(through, body("app", tenants, associations=finals))
    asked = []

    async def attach(self: Permissions, caller: object, index: str) -> None:
        asked.append(index)
        raise RefusedError(f"not to [{index}]")

    monkeypatch.setattr(Permissions, "attach", attach)
    weaker = {f"{name}-*": {"query": {"default_pipeline": f"{name}-f"}}}
    for path, sent in (
        ("/_registry/_rollback?set=app&revision=1", {}),
        ("/_registry/_apply", body("app", tenants, prune=True)),
        ("/_registry/_apply", body("app", tenants, associations=weaker)),
        ("/_registry/_apply", body("app", tenants, pipeline("new", setting(1)), associations=weaker)),
    ):
        assert (await through.post(path, sent)).status == 403
    assert asked == [f"{name}-*"] * 4
    assert (await through.get("/_registry/_revisions?set=app")).json["revision"] == 2
    shown = (await through.get(f"/{name}-1/_pipeline/_resolve")).json[f"{name}-1"]
    assert shown["query"]["final"]["pipeline"] == f"{name}-f"
    same = await applied(through, body("app", {**tenants, "description": "d"}, associations=finals))
    assert same["revision"] == 3, "what does not change is not asked about"


async def test_an_association_goes_by_hand_only_with_the_right_to_its_indexes(
    through: Http, name: str, monkeypatch: pytest.MonkeyPatch
):
    guard = pipeline(f"{name}-f", setting(1))
    await applied(through, body("app", guard, associations={f"{name}-a-*": {"document": f"{name}-f"}}))
    assert (await through.put(f"/_pipeline/_association/{name}-b-*", {"document": f"{name}-f"})).status == 201
    allowed = Permissions.attach
    asked = []

    async def attach(self: Permissions, caller: object, index: str) -> None:
        asked.append(index)
        raise RefusedError(f"not to [{index}]")

    monkeypatch.setattr(Permissions, "attach", attach)
    for path in (f"{name}-a-*?force=true", f"{name}-b-*"):
        assert (await through.delete(f"/_pipeline/_association/{path}")).status == 403
    assert asked == [f"{name}-a-*", f"{name}-b-*"]
    assert (await through.get("/_pipeline/_association")).json["total"] == 2
    monkeypatch.setattr(Permissions, "attach", allowed)
    assert (await through.delete(f"/_pipeline/_association/{name}-b-*")).status == 200


async def test_a_source_has_an_end(through: Http):
    await applied(through, body("app", source={"commit": "c" * 256, "url": "u" * 256, "by": "ü" * 256}))
    await applied(through, body("app", pipeline("p", setting(1))))
    for field in ("commit", "url", "by"):
        source = {field: "x" * 257}
        for path, sent in (
            ("/_registry/_diff", body("app", source=source)),
            ("/_registry/_apply", body("app", source=source)),
            ("/_registry/_rollback?set=app&revision=1", {"source": source}),
        ):
            answer = await through.post(path, sent)
            assert answer.status == 400
            assert f"[source.{field}] has 257 characters" in answer.error["reason"]


async def test_reports_are_found_behind_junk_and_a_failed_search_is_an_error(
    through: Http, direct: Http, settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    await applied(through, body("app", pipeline("p", setting(1))))
    lines = [part for i in range(1100) for part in ({"index": {"_id": f"seen:{i}"}}, {"kind": "seen", "name": "x"})]
    junk = await direct.post(f"/{settings.registry_index}/_bulk?refresh=true", ndjson(*lines), headers=NDJSON)
    assert junk.json["errors"] is False
    await applied(through, body("app", pipeline("p", setting(2))))

    async def reported() -> bool:
        answer = await through.get("/_registry/_revisions?set=app")
        assert answer.status == 200
        return [each["revision"] for each in answer.json["proxies"]] == [2]

    await until(reported)

    async def fails(*_: Any, **__: Any) -> Any:
        raise RegistryError("the search failed")

    monkeypatch.setattr(Store, "_page", fails)
    answer = await through.get("/_registry/_revisions?set=app")
    assert (answer.status, answer.error["reason"]) == (503, "the search failed")


async def test_an_emptied_set_makes_room_for_a_new_one(through: Http, name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("headrace.registry.sets.MOST_SETS", 2)
    for each in ("one", "two"):
        await applied(through, body(f"{name}-{each}", pipeline(f"{name}-{each}", setting(1))))
    third = body(f"{name}-three", pipeline(f"{name}-three", setting(1)))
    refused = await through.post("/_registry/_apply", third)
    assert (refused.status, "or empty one" in refused.json["error"]["reason"]) == (400, True)
    await applied(through, body(f"{name}-one", prune=True))
    await applied(through, third)
    found = await through.get(f"/_registry/_revisions?set={name}-one")
    assert not found.json.get("revisions")
    assert (await through.get(f"/_pipeline/{name}-two")).status == 200
    again = await applied(through, body(f"{name}-two", prune=True))
    assert again["revision"] == 2
    assert (await applied(through, body(f"{name}-one", pipeline(f"{name}-one", setting(2)))))["revision"] == 1
    assert (await through.post(f"/_pipeline/{name}-one/_execute", {"input": {}})).json["output"] == {"x": 2}
