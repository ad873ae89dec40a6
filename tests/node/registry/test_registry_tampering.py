"""Whoever can write the registry index changes nothing of the registry: junk, forgeries, deletions, old states."""

from __future__ import annotations

import asyncio
import json
import random
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from headrace.app import Proxy
from headrace.registry.records_codec import Document
from headrace.registry.signatures import Signer
from tests.conftest import Http, native, settings_for, wasm
from tests.support import wat

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    import aiohttp

    from headrace.settings import Settings

SECONDS = 15.0
FILTER = native("tenant", "filter_query", query={"term": {"tenant": "a"}})


def path_of(settings: Settings, id_: str) -> str:
    return f"/{settings.registry_index}/_doc/{quote(id_, safe='')}"


@asynccontextmanager
async def another(
    settings: Settings, folder: Path, session: aiohttp.ClientSession, **changes: Any
) -> AsyncIterator[Http]:
    """One more proxy on the same registry."""
    proxy = Proxy(settings_for(settings.upstream, folder, registry_index=settings.registry_index, **changes))
    await proxy.start()
    try:
        yield Http(proxy.url, session)
    finally:
        await proxy.stop()


async def protected(http: Http, name: str) -> None:
    """A registry with something of every kind: two versions, a UDF, an index, a pattern and a template."""
    await http.udf(name, wat.answering('{"v":1}'))
    await http.pipeline(f"{name}-d", "document", wasm("u", name))
    for value in (1, 2):
        body = {"type": "document", "version": str(value), "stages": [native("s", "set", field="x", value=value)]}
        assert (await http.put(f"/_pipeline/{name}-x", body)).status == 201
    await http.pipeline(f"{name}-q", "query", FILTER)
    await http.pipeline(f"{name}-gone", "document", native("s", "set", field="gone", value=1))
    settings = {"index.query.final_pipeline": f"{name}-q", "index.document.default_pipeline": f"{name}-d"}
    assert (await http.put(f"/{name}", {"settings": settings})).status == 200
    assert (await http.put(f"/_pipeline/_association/{name}-x*", {"document": f"{name}-x"})).status == 201
    template = {"index_patterns": [f"{name}-t*"], "template": {"settings": {"index.query.final_pipeline": f"{name}-q"}}}
    assert (await http.put(f"/_index_template/{name}", template)).status == 200
    assert (await http.delete(f"/_pipeline/{name}-gone")).status == 200


async def in_force(http: Http, name: str) -> dict[str, Any]:
    """What the registry says through a proxy, by everything that shows it."""
    shown = {path: (await http.get(path)).json for path in (
        "/_pipeline", "/_udf", "/_pipeline/_association", f"/_pipeline/{name}-x/_versions",
        f"/{name},{name}-x1,{name}-t1/_pipeline/_resolve", f"/_pipeline/{name}-gone",
    )}  # fmt: skip
    trials = [(await http.post(f"/_pipeline/{name}-{p}/_execute", {"input": {}})).json["output"] for p in "dx"]
    return {**shown, "trials": trials}


async def whole(direct: Http, settings: Settings) -> dict[str, Any]:
    """Everything in the index, by id."""
    await direct.post(f"/{settings.registry_index}/_refresh")
    answer = await direct.post(f"/{settings.registry_index}/_search", {"size": 1000, "query": {"match_all": {}}})
    return {hit["_id"]: hit.get("_source") for hit in answer.json["hits"]["hits"]} if answer.status == 200 else {}


async def stands(direct: Http, settings: Settings, wanted: dict[str, Any]) -> bool:
    there = await whole(direct, settings)
    return all(there.get(id_) == source for id_, source in wanted.items())


async def shows(http: Http, name: str, wanted: dict[str, Any]) -> bool:
    return await in_force(http, name) == wanted


async def until(check: Callable[[], Any], seconds: float = SECONDS) -> None:
    async with asyncio.timeout(seconds):
        while not await check():
            await asyncio.sleep(0.05)


def nested(depth: int) -> str:
    return '{"a":' * depth + "1" + "}" * depth


SIGNATURE = f"hr1.{'0' * 8}.{'0' * 64}"
SIGNED = {"kind": "active", "name": "n", "body": '"1"', "revision": 1, "signature": SIGNATURE}
JUNK: list[str] = [
    "{}", '{"kind":null}', '{"kind":"active"}', '{"kind":"active","name":"x"}', '{"kind":"pipeline","name":"x","body":"{"}',
    '{"kind":"pipeline","name":"x","body":"{}"}', '{"kind":"pipeline","name":"x","body":{}}', '{"kind":["pipeline"],"name":["x"],"body":[]}',
    '{"kind":["a","b"],"name":"x","body":"1"}', '{"kind":"udf","name":"x","body":"[]"}', '{"kind":1,"name":2,"body":3}',
    '{"kind":true,"name":false,"body":null}', '{"kind":"association","name":"*","body":"{\\"index\\":\\"*\\"}"}',
    '{"kind":"association","name":"i","body":"{\\"index\\":5}"}', '{"kind":"pattern","name":"*","body":"{\\"pattern\\":\\"*\\"}"}',
    '{"kind":"template","name":"index:x","body":"{}"}', '{"kind":"deleted","name":"x","body":"null"}',
    '{"kind":"manifest","name":"manifest","body":"{}"}', '{"kind":"nothing","name":"x","body":"1"}', '{"other":"fields"}',
    '{"kind":"active","name":"x","body":"\\"1\\"","signature":5}', '{"kind":"active","name":"x","body":"\\"1\\"","signature":null}',
    '{"kind":"active","name":"x","body":"\\"1\\"","signature":"x"}', '{"kind":"active","name":"x","body":"\\"1\\"","signature":""}',
    '{"kind":"active","name":"x","body":"\\"1\\"","signature":"hr1.."}', '{"kind":"active","name":"x","body":"\\"1\\"","signature":["hr1"]}',
    json.dumps(SIGNED), json.dumps({**SIGNED, "revision": -1}), json.dumps({**SIGNED, "revision": 1 << 62}),
    json.dumps({**SIGNED, "revision": 1.5}), json.dumps({**SIGNED, "revision": "1"}), json.dumps({**SIGNED, "revision": None}),
    json.dumps({**SIGNED, "revision": True}), json.dumps({**SIGNED, "revision": [1]}), json.dumps({**SIGNED, "extra": 1}),
    json.dumps({**SIGNED, "body": "x" * 5_000_000}), json.dumps({**SIGNED, "revision": 0}),
    '{"kind":"active","name":"x","body":"\\ud800","signature":"hr1.00000000.\\udfff","revision":1}',
    '{"kind":"active","name":"x","body":' + nested(900) + ',"signature":' + nested(900) + "}",
    nested(900), '{"kind":"active","kind2":"x","name":"x","body":' + json.dumps([1] * 100_000) + "}",
    '{"revision":' + "9" * 400 + ',"kind":"active","name":"n","body":"1","signature":"' + SIGNATURE + '"}',
    '\ufeff{"kind":"active","name":"x","body":"1"}', '{"kind":"active","name":"x\\u0000","body":"\\u0000","signature":"\\u0000","revision":1}',
]  # fmt: skip


async def test_junk_stops_no_start_no_change_and_no_refresh(
    through: Http, direct: Http, settings: Settings, tmp_path: Path, name: str
):
    assert len(JUNK) >= 40
    await protected(through, name)
    before = await in_force(through, name)
    taken = []
    for i, text in enumerate(JUNK):
        headers = {"Content-Type": "application/json"}
        answer = await direct("PUT", path_of(settings, f"junk:{i}"), text.encode("utf-8", "surrogatepass"), headers)
        if answer.status in (200, 201):
            taken.append(i)
    assert len(taken) >= 35, sorted(set(range(len(JUNK))) - set(taken))
    # What the node itself would not have taken as JSON, it may have as another format.
    yaml = {"Content-Type": "application/yaml"}
    assert (await direct("PUT", path_of(settings, "junk:yaml"), "---\nkind: active\nname: x\n", yaml)).status == 201
    smile = bytes.fromhex("3a290a01fa") + b"\x83kind" + bytes([0x44]) + b"\xff\xfe\xfd\xfc\xfb" + b"\xfb"
    await direct("PUT", path_of(settings, "junk:smile"), smile, {"Content-Type": "application/smile"})
    await direct.post(f"/{settings.registry_index}/_refresh")

    async def reported() -> bool:
        return (await through.get("/_proxy/health/ready")).json.get("registry_ignored", 0) >= len(taken)

    await until(reported)
    assert await in_force(through, name) == before
    assert (await through.get("/_proxy/health/ready")).json["registry"] == "current"
    assert (await through.get("/_proxy/metrics")).body.count(b"\nheadrace_registry_ignored") == 1
    body = {"type": "document", "stages": [native("s", "set", field="x", value=3)]}
    changed = await through.put(f"/_pipeline/{name}-new", body)
    assert changed.status == 201, changed.body
    assert (await through.delete(f"/_pipeline/{name}-new")).status == 200
    async with another(settings, tmp_path / "other", through.session) as http:
        assert (await http.get("/_proxy/health/ready")).json["registry"] == "current"
        assert await in_force(http, name) == before


def signed(id_: str, kind: str, body: Any, settings: Settings, secret: bytes = b"guessed", revision: int = 99) -> Any:
    """A document as a proxy with another secret would write it."""
    name = id_.partition(":")[2]
    document = Document(kind=kind, name=name, body=json.dumps(body))
    return Signer([secret], settings.registry_index).sign(id_, document, revision).source


def ways(
    settings: Settings, name: str, old: dict[str, Any], now: dict[str, Any]
) -> dict[str, list[tuple[str, str, Any]]]:
    """Ways of tampering, each as (method, id, source): `old` is an earlier state of the index, `now` the present one."""
    ours, marker = f"association:{name}", f"active:document:{name}-x"
    v1, v2 = f"pipeline:document:{name}-x@1", f"pipeline:document:{name}-x@2"
    filter_, gone = f"pipeline:query:{name}-q@1", f"pipeline:document:{name}-gone@1"
    pattern, template, udf = f"pattern:{name}-x*", f"template:index:{name}", f"udf:{name}@1"
    chunk = next(id_ for id_ in now if id_.startswith("code:"))
    loose = {"index": name}
    unsigned = {"kind": "association", "name": name, "body": json.dumps(loose)}
    bypass = json.dumps({"created": "x", "definition": {"name": f"{name}-q", "type": "query", "stages": []}})
    swapped = [("PUT", v1, now[v2]), ("PUT", v2, now[v1])]
    bodies = [("PUT", v1, {**now[v1], "body": now[v2]["body"]}), ("PUT", v2, {**now[v2], "body": now[v1]["body"]})]
    return {
        "an association is deleted": [("DELETE", ours, None)],
        "every association is deleted": [("DELETE", ours, None), ("DELETE", pattern, None), ("DELETE", template, None)],
        "a marker is deleted": [("DELETE", marker, None)],
        "a version is deleted": [("DELETE", filter_, None)],
        "a UDF is deleted": [("DELETE", udf, None)],
        "the manifest is deleted": [("DELETE", "manifest", None)],
        "code is deleted": [("DELETE", chunk, None)],
        "code is altered": [("PUT", chunk, {**now[chunk], "body": "AAAA"})],
        "code is hidden": [("PUT", chunk, {**now[chunk], "kind": "other"})],
        "an association is overwritten without a signature": [("PUT", ours, unsigned)],
        "its body alone is another": [("PUT", ours, {**now[ours], "body": json.dumps(loose)})],
        "its revision alone is another": [("PUT", ours, {**now[ours], "revision": 99})],
        "it is said to be deleted": [("PUT", ours, {**now[ours], "kind": "deleted", "body": "null", "revision": 99})],
        "it is signed with a guessed secret": [("PUT", ours, signed(ours, "association", loose, settings))],
        "it is signed with no secret": [("PUT", ours, signed(ours, "association", loose, settings, b""))],
        "a deletion is signed with a guessed secret": [("PUT", ours, signed(ours, "deleted", None, settings))],
        "an old marker comes back": [("PUT", marker, old[marker])],
        "everything old comes back": [("PUT", id_, source) for id_, source in old.items()],
        "what was deleted comes back": [("PUT", gone, old[gone]), ("PUT", f"active:document:{name}-gone", old[f"active:document:{name}-gone"])],
        "two documents are swapped": swapped,
        "two bodies are swapped": bodies,
        "a document has another id": [("PUT", f"pipeline:document:{name}-x@3", now[v2]), ("PUT", f"active:document:{name}-d", now[marker])],
        "a tombstone has another id": [("PUT", ours, now[gone]), ("PUT", filter_, now[gone])],
        "a filter is replaced": [("PUT", filter_, {"kind": "pipeline", "name": f"query:{name}-q", "body": bypass})],
        "a filter is replaced under its signature": [("PUT", filter_, {**now[filter_], "body": bypass})],
        "a new pattern": [("PUT", "pattern:*", {"kind": "pattern", "name": "*", "body": '{"pattern":"*","priority":9,"query":"_none"}'})],
        "a new marker": [("PUT", f"active:result:{name}", {"kind": "active", "name": f"result:{name}", "body": '"1"'})],
        "an empty manifest": [("PUT", "manifest", {**now["manifest"], "body": "{}"})],
        "everything is deleted": [("DELETE", id_, None) for id_ in now],
        "everything is junk": [("PUT", id_, {"x": 1}) for id_ in now],
    }  # fmt: skip


async def test_tampering_changes_nothing_that_is_in_force(
    through: Http, direct: Http, settings: Settings, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("headrace.registry.ledger.LONGEST_PAUSE", 0.2)
    await through.pipeline(f"{name}-gone", "document", native("s", "set", field="gone", value=1))
    for value in (1, 2):
        body = {"type": "document", "version": str(value), "stages": [native("s", "set", field="x", value=value)]}
        await through.put(f"/_pipeline/{name}-x", body)
    await through.post(f"/_pipeline/{name}-x/_activate?version=1")
    old = await whole(direct, settings)
    await through.delete(f"/_pipeline/{name}-x")
    await through.delete(f"/_pipeline/{name}-gone")
    await protected(through, name)
    before = await in_force(through, name)
    now = await whole(direct, settings)
    found = ways(settings, name, old, now)
    assert len(found) >= 20
    async with another(settings, tmp_path / "other", through.session) as http:
        assert await in_force(http, name) == before
        for way, writes in found.items():
            for method, id_, source in writes:
                answer = await direct(method, f"{path_of(settings, id_)}?refresh=true", source)
                assert answer.status in (200, 201), (way, answer.body)
            assert await in_force(through, name) == before, way

            await until(partial(stands, direct, settings, now), 90)
            assert await in_force(through, name) == before, way
            assert await in_force(http, name) == before, way
            change = await through.put(f"/_pipeline/{name}-x", {**body, "version": f"v{len(now)}"})
            assert change.status == 201, (way, change.body)
            await through.post(f"/_pipeline/{name}-x/_activate?version=2")
            assert (await through.delete(f"/_pipeline/{name}-x?version=v{len(now)}")).status == 200
            now = await whole(direct, settings)
            before = await in_force(through, name)
            await until(partial(shows, http, name, before))
    async with another(settings, tmp_path / "third", through.session) as http:
        assert await in_force(http, name) == before, "one that knows nothing yet sees the same"


async def read_only(direct: Http, index: str) -> Callable[[], Any]:
    await direct.put(f"/{index}/_settings", {"index.blocks.write": True})
    return lambda: direct.put(f"/{index}/_settings", {"index.blocks.write": None})


async def unreadable(direct: Http, index: str) -> Callable[[], Any]:
    await direct.put(f"/{index}/_settings", {"index.blocks.read": True})
    return lambda: direct.put(f"/{index}/_settings", {"index.blocks.read": None})


async def closed(direct: Http, index: str) -> Callable[[], Any]:
    await direct.post(f"/{index}/_close")
    return lambda: direct.post(f"/{index}/_open")


async def deleted(direct: Http, index: str) -> Callable[[], Any]:
    await direct.delete(f"/{index}")
    return lambda: asyncio.sleep(0)


async def made_by_others(direct: Http, index: str) -> Callable[[], Any]:
    await direct.delete(f"/{index}")
    wrong = {"dynamic": "strict", "properties": {"kind": {"type": "integer"}, "body": {"type": "date"}}}
    await direct.put(f"/{index}", {"mappings": wrong})
    return lambda: asyncio.sleep(0)


async def without_sources(direct: Http, index: str) -> Callable[[], Any]:
    await direct.delete(f"/{index}")
    await direct.put(f"/{index}", {"mappings": {"_source": {"enabled": False}}})
    return lambda: asyncio.sleep(0)


@pytest.mark.parametrize("harm", [read_only, unreadable, closed, deleted, made_by_others, without_sources])
async def test_an_index_that_is_harmed_while_it_is_changed(
    through: Http, direct: Http, settings: Settings, tmp_path: Path, name: str, harm: Any
):
    await protected(through, name)
    before = await in_force(through, name)
    async with another(settings, tmp_path / "other", through.session) as http:
        order = random.Random(name)

        async def writer(n: int) -> tuple[int, int]:
            await asyncio.sleep(order.random())
            stage = native("s", "set", field="x", value=n)
            answer = await order.choice([through, http]).put(
                f"/_pipeline/{name}-{n}", {"type": "document", "stages": [stage]}
            )
            return n, answer.status

        async def harmed() -> None:
            await asyncio.sleep(0.4)
            mend = await harm(direct, settings.registry_index)
            await asyncio.sleep(1.0)
            for one in (through, http):
                assert await in_force(one, name) | {"/_pipeline": 0} == before | {"/_pipeline": 0}
            await mend()

        *written, _ = await asyncio.gather(*(writer(n) for n in range(12)), harmed())
        assert {status for _, status in written} <= {201, 409, 503}, written
        accepted = {f"{name}-{n}" for n, status in written if status == 201}

        async def agreed() -> bool:
            names = [{p["name"] for p in (await one.get("/_pipeline")).json["pipelines"]} for one in (through, http)]
            there = await whole(direct, settings)
            return names[0] == names[1] and accepted <= names[0] and there.get(f"association:{name}")

        await until(agreed, 120)

        async def takes_changes() -> bool:
            body = {"type": "document", "stages": [native("s", "set", field="x", value=0)]}
            return (await through.put(f"/_pipeline/{name}-after", body)).status in (200, 201)

        await until(takes_changes, 90)
        for one in (through, http):
            assert await in_force(one, name) | {"/_pipeline": 0} == before | {"/_pipeline": 0}


def unsigned(source: Any) -> Any:
    """A document as Headrace wrote it before signatures; `None` for what there was not."""
    kept = {name: source[name] for name in ("kind", "name", "body")}
    return kept if source["kind"] not in ("deleted", "manifest") else None
