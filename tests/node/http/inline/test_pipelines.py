"""Small requests whose pipelines run before they are sent: the same answers and effects as by their handlers."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import logging
import re
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from headrace.ops import runner
from headrace.ops.logs.lines import JsonLines
from headrace.protocol.indices import resolver
from headrace_pipelines.registry.cost import CostEstimate
from tests.conftest import Http, native, ndjson, running_proxy, wasm
from tests.node.http.inline.pairs import BY_HANDLER, SHAPE, Pair
from tests.node.rollouts.shadows import begin, two_versions
from tests.support import wat

if TYPE_CHECKING:
    from headrace.settings import Settings

PREDICT = CostEstimate.predict
LOGS = wat.field_udf(
    "(call $log (i32.const 3) (i32.const 0) (i32.const 5)) (i32.const 1)",
    imports='(import "env" "log" (func $log (param i32 i32 i32)))',
    data='(data (i32.const 0) "hello")',
)
"""Logs a line for every document."""

INDEX = {"index": {"_index": "INDEX", "_id": "1"}}
BULKS = {
    "changed": ndjson(INDEX, {"level": "A"}, {"create": {"_index": "INDEX", "_id": "2"}}, {"level": "B"}),
    "all dropped": ndjson(INDEX, {"drop": 1}, INDEX, {"drop": 2}),
    "some dropped": ndjson(INDEX, {"drop": 1}, INDEX, {"level": "X"}, {"delete": {"_index": "INDEX", "_id": "9"}}),
    "some failed": ndjson(INDEX, {"fail": 1}, INDEX, {"level": "X"}, INDEX, {"level": 5}),
    "not JSON": ndjson(INDEX, "{", INDEX, {"level": "X"}),
    "refused by the cluster": ndjson({"create": {"_index": "INDEX", "_id": "warm"}}, {"level": "X"}),
    "without ids": ndjson({"index": {"_index": "INDEX"}}, {"level": "X", "text": "é\u2028"}),
    "updates": ndjson(
        {"update": {"_index": "INDEX", "_id": "warm"}},
        {"doc": {"level": "U"}},
        {"update": {"_index": "INDEX", "_id": "n"}},
        {"doc": {"level": "U"}, "doc_as_upsert": True},
        {"update": {"_index": "INDEX", "_id": "m"}},
        {"script": "ctx._source.n = 1", "upsert": {"level": "V"}},
    ),
    "deletes only": ndjson({"delete": {"_index": "INDEX", "_id": "warm"}}),
}
LEFT_TO_HANDLERS = {
    "a name": ndjson({"index": {"_index": "INDEX", "pipeline": "_none"}}, {"level": "A"}),
    "malformed": b'{"index":{"_index":"INDEX"}}\n',
    "no action": ndjson({"a": {"_index": "INDEX"}}, {}),
}


DECOY = native("d", "set", field="decoy", value=1)
"""In a pipeline that is attached, where the request names another one."""
NAMINGS = ("attached", "pipeline", "document_pipeline", "actions")
"""Where the name of the pipeline is: with the index, in the URL, or in each action."""


async def named(pair: Pair, through: Http, name: str, how: str) -> str:
    """Has the pair made for a pipeline; gives the parameter that names it."""
    await through.pipeline(name, "document", *SHAPE)
    await through.pipeline(f"{name}-decoy", "document", DECOY)
    await pair.make(document=name if how == "attached" else f"{name}-decoy")
    return f"{how}={name}&" if "pipeline" in how else ""


@pytest.mark.parametrize("how", NAMINGS)
@pytest.mark.parametrize("body", [*BULKS.values(), *LEFT_TO_HANDLERS.values()], ids=[*BULKS, *LEFT_TO_HANDLERS])
async def test_bulks(pair: Pair, name: str, through: Http, body: bytes, how: str):
    parameter = await named(pair, through, name, how)
    inline = body in BULKS.values()
    if how == "actions":
        body = body.replace(b'"_index": "INDEX"', b'"_index": "INDEX", "pipeline": "%b"' % name.encode())
        inline = inline and b'"delete"' not in body
    for target in (f"/_bulk?{parameter}timeout=9s", f"/INDEX/_bulk?{parameter}refresh=true"):
        for kind in ("application/x-ndjson", "application/json"):
            await pair.same("POST", target, body, {"Content-Type": kind}, inline=inline)
    fast, slow = await pair.stored()
    assert fast == slow
    assert "decoy" not in json.dumps(fast[1:])


@pytest.mark.parametrize("parameters", ["pipeline=_none", "pipeline=absent", "document_pipeline=absent", "both"])
async def test_names_that_are_left_to_handlers(pair: Pair, name: str, through: Http, parameters: str):
    await named(pair, through, name, "attached")
    if parameters == "both":
        parameters = f"pipeline={name}&document_pipeline={name}"
    for method, target, body in (
        ("POST", f"/_bulk?{parameters}", BULKS["changed"]),
        ("PUT", f"/INDEX/_doc/x?{parameters}", {"level": "A"}),
    ):
        await pair.same(method, target, body, inline=False)


async def test_actions_that_name_pipelines_of_their_own(pair: Pair, name: str, through: Http):
    await named(pair, through, name, "pipeline")

    def action(number: int, pipeline: str = "") -> dict[str, Any]:
        return {"index": {"_index": "INDEX", "_id": f"{number}", **({"pipeline": pipeline} if pipeline else {})}}

    mixed = ndjson(action(1, name), {"level": "A"}, action(2), {"level": "B"}, action(3, f"{name}-decoy"), {"drop": 1})
    for parameter in ("", f"?pipeline={name}"):
        await pair.same("POST", f"/_bulk{parameter}", mixed)
    for absent in ("absent", "_none", ""):
        body = mixed.replace(f'"{name}-decoy"'.encode(), f'"{absent}"'.encode())
        await pair.same("POST", f"/_bulk?pipeline={name}", body, inline=False)
    fast, slow = await pair.stored()
    assert fast == slow


async def test_a_named_pipeline_needs_no_index(pair: Pair, name: str, through: Http):
    await through.pipeline(name, "document", *SHAPE)
    for number, (method, target) in enumerate((("POST", "/_bulk"), ("PUT", "/INDEX/_doc/x"))):
        pair.fast, pair.slow = f"{name}-{number}a", f"{name}-{number}b"
        body = {"level": "A"} if method == "PUT" else BULKS["changed"]
        await pair.same(method, f"{target}?pipeline={name}", body)
        fast, slow = await pair.stored()
        assert fast == slow
        assert all(source["env"] == "prod" for _, source in fast)


async def test_statistics_and_logs_are_the_same(pair: Pair, name: str, through: Http):
    for each in ("a", "b"):
        await through.pipeline(f"{name}-{each}", "document", *SHAPE)
        await through.index(f"{name}-{each}", document=f"{name}-{each}")
        await through.post(f"/{name}-{each}/_doc/warm", {})
    for body in BULKS.values():
        for target in ("/_bulk", "/INDEX/_bulk"):
            for index, more in ((pair.fast, {}), (pair.slow, BY_HANDLER)):
                text = body.replace(b"INDEX", index.encode())
                await through.post(
                    target.replace("INDEX", index), text, headers={"Content-Type": "application/x-ndjson", **more}
                )
    counts = [(await through.get(f"/_pipeline/{name}-{each}/_stats")).json for each in ("a", "b")]
    texts = [
        re.sub(
            r'"(?:[a-z0-9_]*duration_ms|last_executed|time)":("[^"]*"|[-\d.e]+)',
            "",
            json.dumps(each, separators=(",", ":")),
        )
        for each in counts
    ]
    assert texts[0].replace(f"{name}-a", "") == texts[1].replace(f"{name}-b", "")
    assert '"current":0' in texts[0]


DOCUMENTS = {
    "changed": {"level": "A"},
    "dropped": {"drop": 1},
    "spread over lines": b'{\n  "level": "A",\n  "text": "x"\n}\n',
    "with a comment": b'{"level": "A" /* b */}',
}


@pytest.mark.parametrize("how", NAMINGS[:3])
@pytest.mark.parametrize("body", DOCUMENTS.values(), ids=list(DOCUMENTS))
@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("POST", "/INDEX/_doc?"),
        ("PUT", "/INDEX/_doc/x?"),
        ("PUT", "/INDEX/_doc/pipeline?"),
        ("POST", "/INDEX/_create/y?refresh=true&"),
        ("PUT", "/INDEX/_doc/%C3%A9?timeout=9s&"),
    ],
)
async def test_documents(pair: Pair, name: str, through: Http, body: Any, method: str, target: str, how: str):
    parameter = await named(pair, through, name, how)
    for _ in range(2):
        await pair.same(method, (target + parameter).rstrip("&?"), body)
    fast, slow = await pair.stored()
    assert fast == slow
    assert "decoy" not in json.dumps(fast[1:])


@pytest.mark.parametrize("body", [{"fail": 1}, {"level": 5}, b"{", b'{"level":"A"}{}'])
async def test_documents_that_fail(pair: Pair, name: str, through: Http, body: Any):
    await through.pipeline(name, "document", *SHAPE)
    await pair.make(document=name)
    answer = await pair.same("PUT", "/INDEX/_doc/x", body)
    assert answer.status == 400
    stats = (await through.get(f"/_pipeline/{name}/_stats")).body.decode()
    assert '"total_executions":4' in stats.replace(" ", ""), stats


async def test_a_document_that_is_sent_elsewhere(pair: Pair, name: str, through: Http):
    await through.pipeline(name, "document", native("s", "set", field="_index", value=f"{name}-elsewhere"))
    await pair.make(document=name)
    pair.taken.clear()
    for method, target, body in (
        ("PUT", f"/{pair.fast}/_doc/x", {"a": 1}),
        ("POST", f"/{pair.fast}/_bulk", ndjson({"index": {"_id": "y"}}, {})),
    ):
        answer = await through(method, target, body)
        assert (answer.status in (200, 201), f"{name}-elsewhere" in answer.body.decode()) == (True, True)
    assert pair.taken == [f"/{pair.fast}/_bulk"]


@pytest.mark.parametrize("target", ["<{now/d}>", ".headrace-forbidden"])
async def test_a_document_is_not_sent_where_it_may_not_go(
    pair: Pair, name: str, through: Http, target: str, settings: Settings
):
    target = settings.registry_index if target.startswith(".") else f"<{name}-{target[1:]}"
    await through.pipeline(name, "document", native("s", "set", field="_index", value=target))
    await pair.make()
    for index in (pair.fast, pair.slow):
        await through.put(f"/{index}/_settings", {"index.document.default_pipeline": name})
    pair.taken.clear()
    answer = await through.post(f"/{pair.fast}/_bulk", ndjson({"index": {"_id": "y"}}, {"a": 1}))
    assert pair.taken == []
    assert ("security_exception" in answer.body.decode()) == target.startswith(".")


SEARCHES = [
    {"query": {"match_all": {}}},
    {"query": {"match": {"level": "w"}}, "size": 1, "_source": False},
    {"query": {"match_all": {}}, "from": 0, "size": 0, "aggs": {"n": {"terms": {"field": "level.keyword"}}}},
    {"query": {"unknown": {}}},
    {},
]


async def test_udfs_that_no_document_concerns_run_nowhere(
    pair: Pair, name: str, through: Http, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(CostEstimate, "predict", PREDICT)
    await through.udf(f"{name}-u", wat.ECHO)
    idle = wasm("w", f"{name}-u") | {"if": "doc.level == 'NONE'"}
    await through.pipeline(name, "document", idle)
    await through.pipeline(f"{name}-timed", "document", idle, timeout="1s")
    await through.pipeline(f"{name}-quick", "document", *SHAPE)
    await through.index(f"{name}-q", document=f"{name}-quick")
    await through.put(f"/{name}-q/_doc/1", {"level": "W"})
    for each in (name, f"{name}-timed"):
        await pair.make(document=each)
        quick = {"index": {"_index": f"{name}-q", "_id": "1"}}
        for _ in range(2):
            await pair.same("PUT", "/INDEX/_doc/x", {"level": "A"})
            answer = await pair.same("POST", "/_bulk", ndjson(quick, {"level": "A"}, INDEX, {"level": "A"}))
            assert answer.headers["X-Pipeline"] == f"document={name}-quick@1,document={each}@1"
        stats = (await through.get(f"/_pipeline/{each}/_stats")).body.decode().replace(" ", "")
        assert '"current":0' in stats
        for index in (pair.fast, pair.slow):
            await through.delete(f"/{index}")


@pytest.mark.parametrize("kinds", [("query",), ("result",), ("query", "result")])
async def test_searches(pair: Pair, name: str, through: Http, kinds: tuple[str, ...]):
    await through.udf(f"{name}-u", wat.ECHO)
    for kind, stages in (
        ("query", [wasm("w", f"{name}-u")]),
        ("result", [native("t", "rename_field", field="level", target_field="grade")]),
    ):
        await through.pipeline(f"{name}-{kind}", kind, *stages)
    await pair.make(**{kind: f"{name}-{kind}" for kind in kinds})
    for body in SEARCHES:
        for parameters in ("", "?preference=_local", "?ignore_unavailable=true&typed_keys=true"):
            answer = await pair.same("POST", f"/INDEX/_search{parameters}", body)
            assert answer.headers.get("X-Pipeline", "").partition(";")[0].count("=") == (
                len(kinds) if answer.status == 200 else "query" in kinds
            )
    for target in (
        "?size=1",
        "?q=level:w",
        "?scroll=1m",
        "?filter_path=hits",
        "?pretty=true",
        "?search_pipeline=_none",
    ):
        await pair.same(
            "POST", f"/INDEX/_search{target}", {"query": {"match_all": {}}}, inline=False
        ) if "scroll" not in target else None
    await pair.same("POST", "/INDEX/_search", {"search_pipeline": "_none"}, inline=False)


@pytest.mark.parametrize("is_attached", [True, False])
async def test_searches_that_name_pipelines(pair: Pair, name: str, through: Http, is_attached: bool):
    for each, field in ((name, "grade"), (f"{name}-decoy", "decoy")):
        await through.pipeline(each, "query", native("o", "oversample", sample_factor=2))
        await through.pipeline(each, "result", native("t", "rename_field", field="level", target_field=field))
    await through.pipeline(f"{name}-q", "query", native("o", "oversample", sample_factor=3))
    decoy = f"{name}-decoy"
    await pair.make(**({"query": decoy, "result": decoy} if is_attached else {}))
    for parameters, runs in (
        (f"search_pipeline={name}", (name, name)),
        (f"search_pipeline={name}-q", (f"{name}-q", None)),
        (f"query_pipeline={name}&preference=_local", (name, decoy if is_attached else None)),
        (f"result_pipeline={name}", (decoy if is_attached else None, name)),
        (f"query_pipeline={name}-q&result_pipeline={name}", (f"{name}-q", name)),
        (f"search_pipeline={name}&query_pipeline={name}-q", (f"{name}-q", name)),
    ):
        answer = await pair.same("POST", f"/INDEX/_search?{parameters}", {"size": 1})
        ran = [f"{kind}={each}@1" for kind, each in zip(("query", "result"), runs, strict=True) if each]
        assert answer.headers["X-Pipeline"] == ",".join(ran)
    bad = f"search_pipeline={name}&expand_wildcards=bogus"
    for parameters in ("search_pipeline=absent", "query_pipeline=absent", "result_pipeline=_none", bad):
        await pair.same("POST", f"/INDEX/_search?{parameters}", {"size": 1}, inline=False)
    twice = {"size": 1, "search_pipeline": name}
    await pair.same("POST", f"/INDEX/_search?search_pipeline={name}", twice, inline=False)


@pytest.mark.parametrize("kind", ["query", "result"])
async def test_a_search_whose_pipeline_ends_it(pair: Pair, name: str, through: Http, kind: str):
    await through.pipeline(name, kind, native("f", "fail", message="no way"), on_failure="abort")
    await pair.make(**{kind: name})
    answer = await pair.same("POST", "/INDEX/_search", {})
    assert (answer.status, "no way" in answer.body.decode()) == (400, True)


async def test_long_and_compressed_answers(pair: Pair, name: str, through: Http):
    await through.pipeline(name, "result", native("t", "rename_field", field="level", target_field="grade"))
    await through.pipeline(f"{name}-d", "document", *SHAPE)
    await pair.make(result=name, document=f"{name}-d")
    lines = [
        line
        for n in range(60)
        for line in ({"index": {"_index": "INDEX", "_id": f"{n}"}}, {"level": "A", "n": n, "text": "x" * 900})
    ]
    for accepted in ({}, {"Accept-Encoding": "gzip"}):
        await pair.same("POST", "/_bulk?refresh=true", ndjson(*lines, INDEX, {"drop": 1}), accepted)
        short = await pair.same("POST", "/INDEX/_search", {"size": 5, "sort": "n"}, accepted)
        text = gzip.decompress(short.body) if accepted else short.body
        assert b'"grade"' in text
    for index in (pair.fast, pair.slow):
        for first in range(0, 600, 50):
            more = [
                line
                for n in range(first, first + 50)
                for line in ({"index": {"_index": index}}, {"level": "A", "n": 60 + n, "text": "x" * 1100})
            ]
            await through.post("/_bulk?refresh=true", ndjson(*more), headers={"Content-Type": "application/x-ndjson"})
    # More than the fast path reads whole: the handler goes on.
    long = await pair.same("POST", "/INDEX/_search", {"size": 600, "sort": "n"})
    assert len(long.body) > 600_000
    assert '"level"' not in long.body.decode()


async def test_a_pipeline_that_takes_long_runs_on_a_thread(
    pair: Pair, name: str, through: Http, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(runner, "INLINE_SECONDS", 0.005)
    await through.udf(f"{name}-u", wat.SPINS)
    await through.pipeline(name, "document", wasm("w", f"{name}-u"))
    await pair.make(document=name)
    for _ in range(3):
        await pair.same("PUT", "/INDEX/_doc/x", {"a": 1}, inline=False)


async def test_clients_that_hang_up(pair: Pair, name: str, through: Http):
    await through.pipeline(name, "document", *SHAPE)
    await pair.make(document=name)
    host, port = through.base.removeprefix("http://").split(":")
    for body in BULKS.values():
        text = body.replace(b"INDEX", pair.fast.encode())
        _, writer = await asyncio.open_connection(host, int(port))
        head = f"POST /_bulk HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n"
        writer.write(head.encode() + text)
        await writer.drain()
        writer.close()
    async with asyncio.timeout(10):
        while '"current":0' not in (await through.get(f"/_pipeline/{name}/_stats")).body.decode().replace(" ", ""):
            await asyncio.sleep(0.05)


async def test_a_pipeline_with_a_shadow_is_left_to_its_handler(pair: Pair, name: str, through: Http):
    await two_versions(through, name, "document", SHAPE, SHAPE[2:])
    await through.pipeline(f"{name}-other", "document", *SHAPE)
    await pair.make(document=name)
    await pair.same("PUT", "/INDEX/_doc/x", {"level": "A"})
    await begin(through, name)
    await pair.same("PUT", "/INDEX/_doc/x", {"level": "A"}, inline=False)
    for index in (pair.fast, pair.slow):
        await through.put(f"/{index}/_settings", {"index.document.default_pipeline": f"{name}-other"})
    await pair.same("PUT", "/INDEX/_doc/x", {"level": "A"})


async def test_a_pipeline_that_is_disabled(pair: Pair, name: str, through: Http):
    await through.pipeline(name, "document", *SHAPE, enabled=False)
    await pair.make(document=name)
    answer = await pair.same("POST", "/_bulk", ndjson(INDEX, {"level": "A"}))
    assert answer.headers["X-Pipeline"].endswith(f"skipped={name}")
    await pair.same("PUT", "/INDEX/_doc/x", {"level": "A"})


async def test_a_wrong_option_of_a_search_is_answered(pair: Pair, name: str, through: Http):
    await through.pipeline(name, "result", native("t", "rename_field", field="level", target_field="grade"))
    await pair.make(result=name)
    for option in ("expand_wildcards=bogus", "ignore_unavailable=maybe"):
        assert (await pair.same("POST", f"/INDEX/_search?{option}", {}, inline=False)).status == 400


async def test_many_requests_behind_one_another_that_need_no_cluster(pair: Pair, name: str, through: Http):
    await through.pipeline(name, "document", *SHAPE)
    await pair.make(document=name)
    host, port = through.base.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    body = ndjson({"index": {"_index": pair.fast}}, {"drop": 1})
    head = (
        f"POST /_bulk HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    writer.write((head.encode() + body) * 500)
    for _ in range(500):
        answer = await reader.readuntil(b"\r\n\r\n")
        length = int(answer.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        assert b'"result":"noop"' in await reader.readexactly(length)
    writer.close()


async def test_the_context_of_a_long_answer_has_the_index(pair: Pair, name: str, through: Http):
    stage = native("t", "rename_field", field="level", target_field="grade") | {"if": "ctx.index != ''"}
    await through.pipeline(name, "result", stage)
    await pair.make(result=name)
    for index in (pair.fast, pair.slow):
        lines = [
            part
            for n in range(400)
            for part in ({"index": {"_index": index}}, {"level": "A", "n": n, "text": "x" * 1100})
        ]
        await through.post("/_bulk?refresh=true", ndjson(*lines), headers={"Content-Type": "application/x-ndjson"})
    for size in (2, 400):
        answer = await pair.same(
            "POST", "/INDEX/_search", {"size": size, "sort": "n", "query": {"exists": {"field": "n"}}}
        )
        assert b'"level"' not in answer.body


async def test_a_bulk_that_grows_too_long_is_refused(session: Any, settings: Settings, name: str, monkeypatch: Any):
    monkeypatch.setattr(resolver, "FRESH_SECONDS", 60.0)
    async with running_proxy(msgspec.structs.replace(settings, max_body="100kb"), session) as http:
        await http.pipeline(name, "document", native("s", "set", field="text", value="x" * 2000))
        await http.index(name, document=name)
        lines = [part for _ in range(100) for part in ({"index": {"_index": name}}, {})]
        for _ in range(2):
            answer = await http.post("/_bulk", ndjson(*lines), headers={"Content-Type": "application/x-ndjson"})
            assert answer.status == 413


async def test_lines_of_udfs_have_the_ids_of_the_request(pair: Pair, name: str, through: Http):
    await through.udf(f"{name}-u", LOGS)
    for kind in ("document", "query", "result"):
        await through.pipeline(f"{name}-{kind}", kind, wasm("w", f"{name}-u"))
    await pair.make(**{kind: f"{name}-{kind}" for kind in ("document", "query", "result")})
    lines = io.StringIO()
    handler = logging.StreamHandler(lines)
    handler.setFormatter(JsonLines())
    logger = logging.getLogger("headrace.udf")
    logger.addHandler(handler)
    try:
        await pair.same("PUT", "/INDEX/_doc/x", {}, {"X-Opaque-Id": "mine"})
        await pair.same("POST", "/INDEX/_search", {}, {"X-Opaque-Id": "mine"})
    finally:
        logger.removeHandler(handler)
    found = [json.loads(line)["x_opaque_id"] for line in lines.getvalue().splitlines()]
    assert (set(found), len(found) >= 6) == ({"mine"}, True)
