"""What taps and explanations keep back: by which indexes it is judged, and how secrets and errors are shown."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from headrace.security import reading
from headrace_pipelines.errors import UpstreamError
from tests.conftest import NDJSON, Http, native, ndjson, running_proxy, settings_for
from tests.node.conftest import HIDDEN
from tests.node.watching.taps import tapped

SALT = 'p3pper "and" salt'


@pytest.fixture
async def masked(through: Http, name: str) -> str:
    """The name of an index with a mask, beside an open one (`-open`) and pipelines that run on both."""
    await through.pipeline(f"{name}-m", "result", native("m", "mask", fields=["secret"]))
    await through.pipeline(f"{name}-q", "query", native("s", "set", field="size", value=7))
    await through.pipeline(f"{name}-r", "result", native("s", "set", field="seen", value=1))
    await through.index(name, query=f"{name}-q")
    assert (await through.put(f"/{name}/_settings", {"index.result.final_pipeline": f"{name}-m"})).status == 200
    await through.index(f"{name}-open", query=f"{name}-q", result=f"{name}-r")
    assert (await through.put(f"/{name}/_doc/1?refresh=true", {"secret": HIDDEN, "n": 1})).status == 201
    return name


async def test_a_search_is_judged_by_the_indexes_that_it_reads(through: Http, masked: str):
    search = {"query": {"multi_match": {"query": HIDDEN, "fields": ["secret"]}}}
    headers = ({"index": masked}, {"index": [f"{masked}-o*", masked]}, {"index": f"{masked}*"})
    async with tapped(through.base, index=masked, surface="query", per_second=50, duration="1500ms") as seen:
        for header in headers:
            answer = await through.post(f"/{masked}-open/_msearch", ndjson(header, search), headers=NDJSON)
            assert answer.status == 200
        assert (await through.post(f"/{masked}/_search", search)).status in (200, 403)
    assert len(seen.records) >= len(headers)
    assert HIDDEN.encode() not in seen.body
    assert all(masked in record["index"] for record in seen.records)
    assert seen.records[0]["before"]["query"]["multi_match"] == {"query": "…", "fields": ["…"]}
    async with tapped(through.base, index=f"{masked}-open", surface="query", limit=1) as seen:
        await through.post(f"/{masked}/_msearch", ndjson({"index": f"{masked}-open"}, search), headers=NDJSON)
    assert seen.records[0]["before"] == search, "nothing is protected there"


@pytest.mark.parametrize(
    ("surface", "match", "count"),
    [
        ("result", f"doc.hits.hits.exists(h, h._source.secret == '{HIDDEN}')", 0),
        ("result", f"doc.hits.hits.exists(h, h._source.secret.startsWith('{HIDDEN[0]}'))", 0),
        ("result", "response.hits.hits.exists(h, h._source.n == 1)", 4),
        ("query", f"doc.query.term.secret == '{HIDDEN}'", 0),
        ("query", f"request.query.term.other == '{HIDDEN}'", 0),
        ("query", "has(request.query.term)", 2),
    ],
)
async def test_match_sees_what_is_shown(through: Http, masked: str, surface: str, match: str, count: int):
    async with tapped(through.base, surface=surface, match=match, per_second=50, duration="1s") as seen:
        assert seen.status == 200
        await through.post(f"/{masked}/_search", {"query": {"match_all": {}}})
        await through.post(f"/{masked}-open/_mget", {"docs": [{"_index": masked, "_id": "1"}]})
        await through.get(f"/{masked}/_doc/1")
        for field in ("secret", "other"):
            body = ndjson({"index": masked}, {"query": {"term": {field: HIDDEN}}})
            await through.post(f"/{masked}-open/_msearch", body, headers=NDJSON)
    assert len(seen.records) == count, seen.body
    assert HIDDEN.encode() not in seen.body


async def test_later_pipelines_are_shown_by_what_came(through: Http, masked: str):
    copies = [native("copy", "set", field="copy", value="{{{secret}}}"), native("up", "uppercase", field="copy")]
    await through.pipeline(f"{masked}-d", "document", *copies)
    await through.pipeline(f"{masked}-f", "document", native("rm", "remove", field=["copy"]))
    settings = {"index.document.default_pipeline": f"{masked}-d", "index.document.final_pipeline": f"{masked}-f"}
    assert (await through.put(f"/{masked}/_settings", settings)).status == 200
    async with tapped(through.base, index=masked, stages="full", limit=2) as seen:
        answer = await through.put(f"/{masked}/_doc/2?explain_pipelines=true", {"secret": HIDDEN, "n": 1})
    assert answer.status == 201
    for text in (seen.body, answer.body):
        assert HIDDEN.upper().encode() not in text.upper()
    _, final = answer.json["_pipelines"]
    assert (final["before"], final["after"]) == ({"n": 1, "copy": "…"}, {"n": 1})


async def test_headers_of_any_bytes_are_shown_and_change_nothing(through: Http, name: str):
    await through.pipeline(name, "document", native("s", "set", field="x", value=1))
    await through.index(name, document=name)
    host, port = through.base.removeprefix("http://").split(":")
    async with tapped(through.base, index=name, limit=2) as seen:
        for line in (b"traceparent: \xff", b"X-Opaque-Id: \xff\xe9" + b"x" * 1000):
            reader, writer = await asyncio.open_connection(host, int(port))
            target = f"PUT /{name}/_doc/1?explain_pipelines=true HTTP/1.1\r\nHost: {host}\r\n".encode()
            about = b"Content-Type: application/json\r\nContent-Length: 7\r\nConnection: close\r\n"
            writer.write(target + about + line + b'\r\n\r\n{"a":1}')
            answer = await reader.read()
            writer.close()
            assert answer.split()[1] in (b"200", b"201"), answer
            assert b'"_pipelines"' in answer
    assert len(seen.records) == 2
    assert seen.records[1]["opaque_id"].startswith("��x")
    assert len(seen.records[1]["opaque_id"]) <= 128


async def test_no_secret_leaves_by_what_shows_a_run(
    monkeypatch: pytest.MonkeyPatch, node: str, session: aiohttp.ClientSession, tmp_path: Any, name: str
):
    monkeypatch.setenv("HEADRACE_SECRET_SALT", SALT)
    async with running_proxy(settings_for(node, tmp_path), session) as http:
        stages = [native("s", "set", field="v", value="x-${secret:SALT}")]
        fails = {**native("f", "fail", message="no ${secret:SALT}"), "if": "doc.n == 1"}
        await http.pipeline(name, "document", *stages, fails)
        await http.index(name, document=name)
        async with tapped(http.base, index=name, stages="full", limit=3) as seen:
            texts = [
                await http.put(f"/{name}/_doc/1?explain_pipelines=true", {"n": 0}),
                await http.put(f"/{name}/_doc/1?explain_pipelines=true", {"n": 1}),
                await http.bulk({"index": {"_index": name}}, {"n": 1}),
            ]
        for n in range(2):
            for body in ({"input": {"n": n}}, {"docs": [{"_source": {"n": n}}]}):
                texts.append(await http.post(f"/_pipeline/{name}/_execute", {**body, "verbose": True}))
        for text in (seen.body, *(each.body for each in texts)):
            assert b"***" in text, text
            assert b"p3pper" not in text, text
        assert (await http.get(f"/{name}/_source/1")).json["v"] == f"x-{SALT}"


async def test_an_error_after_the_head_is_the_last_line(through: Http, name: str, monkeypatch: pytest.MonkeyPatch):
    await through.pipeline(name, "document", native("s", "set", field="x", value=1))
    await through.index(name, document=name)

    async def unreachable(*_: Any) -> bool:
        raise UpstreamError("the node is gone")

    monkeypatch.setattr(reading, "may_read", unreachable)
    host, port = through.base.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = f"POST /_proxy/tap HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: 17\r\n\r\n"
    writer.write(head.encode() + b'{"duration":"5s"}')
    first = await reader.readuntil(b"\r\n\r\n")
    await through.put(f"/{name}/_doc/1", {"a": 1})
    rest = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    assert first.startswith(b"HTTP/1.1 200")
    assert b"HTTP/1.1" not in rest
    assert rest.endswith(b"\r\n0\r\n\r\n")
    line = json.loads(rest.split(b"\r\n")[1])
    assert (line["end"], line["error"]["reason"]) == ("error", "the node is gone")


async def test_a_tap_says_what_is_wrong_with_its_selection(through: Http):
    for body, field in (
        ('{"hide":' + json.dumps([f"f{n}" for n in range(101)]) + "}", "hide"),
        ('{"surface":"query","match":"response.hits"}', "match"),
    ):
        refused = await through.post("/_proxy/tap", body)
        assert (refused.status, refused.error["field"]) == (400, field), refused.body
    twice = await through.post("/_proxy/tap", '{"limit":1,"limit":2}')
    assert twice.status == 400
    for body in ({"match": "request.size > 1"}, {"match": "response.took > 1", "surface": "result"}):
        assert (await through.post("/_proxy/tap", {**body, "duration": "50ms"})).status == 200
