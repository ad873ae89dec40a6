"""Where requests are answered otherwise than by the cluster on purpose: the rows of docs/reference/differences.md under HTTP, both sides."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from tests.conftest import NDJSON, native

if TYPE_CHECKING:
    from tests.conftest import Http

MARK = {"set": {"field": "z", "value": 1}}


@pytest.fixture
async def pair(through: Http, direct: Http, name: str):
    """An index with a pipeline of the cluster's, and one with the same of ours."""
    await direct.put(f"/_ingest/pipeline/{name}-t", {"processors": [MARK]})
    await through.pipeline(name, "document", native("mark", "set", field="z", value=1))
    await direct.put(f"/{name}-theirs", {"settings": {"index.default_pipeline": f"{name}-t"}})
    await through.put(f"/{name}-ours", {"settings": {"index.document.default_pipeline": name}})
    yield f"{name}-theirs", f"{name}-ours"
    await through.put(f"/{name}-ours/_settings", {"index.document.default_pipeline": None})
    await direct.delete(f"/{name}-theirs,{name}-ours")
    await direct.delete(f"/_ingest/pipeline/{name}-t")


async def both(
    direct: Http, through: Http, pair: tuple[str, str], method: str, path: str, body: Any, **more: Any
) -> Any:
    return [await http(method, f"/{i}{path}", body, **more) for http, i in zip((direct, through), pair, strict=True)]


async def test_what_an_update_changes_runs_through_no_default_pipeline(
    direct: Http, through: Http, pair: tuple[str, str]
):
    await both(direct, through, pair, "PUT", "/_doc/1?pipeline=_none", {"x": 1})
    await both(direct, through, pair, "POST", "/_bulk", b'{"update":{"_id":"1"}}\n{"doc":{"y":1}}\n', headers=NDJSON)
    seen = await both(direct, through, pair, "GET", "/_source/1", None)
    assert [a.json for a in seen] == [{"x": 1, "y": 1}] * 2
    await both(direct, through, pair, "POST", "/_update/1", {"doc": {"y": 2}})
    seen = await both(direct, through, pair, "GET", "/_source/1", None)
    assert [a.json for a in seen] == [{"x": 1, "y": 2, "z": 1}, {"x": 1, "y": 2}]


@pytest.mark.parametrize("text", [b"{} x", b"{}{}", b'{"x":1}}'])
async def test_what_stands_behind_a_document_is_an_error(
    direct: Http, through: Http, pair: tuple[str, str], text: bytes
):
    json_type = {"Content-Type": "application/json"}
    answers = await both(direct, through, pair, "PUT", "/_doc/1", text, headers=json_type)
    assert [a.status for a in answers] == [201, 400]
    assert answers[1].error["type"] == "mapper_parsing_exception"
    line = b'{"index":{"_id":"2"}}\n' + text + b"\n"
    theirs, mine = await both(direct, through, pair, "POST", "/_bulk", line, headers=NDJSON)
    assert [a.json["items"][0]["index"]["status"] for a in (theirs, mine)] == [201, 400]


@pytest.mark.parametrize(("text", "kind"), [(b"[]", "not_x_content_exception"), (b"{x:1}", "parse_exception")])
async def test_what_is_no_json_has_one_type(direct: Http, through: Http, pair: tuple[str, str], text: bytes, kind: str):
    answers = await both(direct, through, pair, "PUT", "/_doc/1", text, headers={"Content-Type": "application/json"})
    assert [(a.status, a.error["type"]) for a in answers] == [(400, kind), (400, "mapper_parsing_exception")]


async def test_a_line_has_one_action(direct: Http, through: Http, pair: tuple[str, str]):
    line = b'{"index":{"_id":"s"},"create":{"_id":"t"}}\n{"x":1}\n'
    answers = await both(direct, through, pair, "POST", "/_bulk", line, headers=NDJSON)
    assert [a.status for a in answers] == [200, 400]


async def test_an_index_that_date_math_names_has_the_pipeline_of_its_template(
    direct: Http, through: Http, pair: tuple[str, str], name: str
):
    for http, setting, side in (
        (direct, "index.default_pipeline", "t"),
        (through, "index.document.default_pipeline", "o"),
    ):
        pipeline = f"{name}-t" if side == "t" else name
        made = {"index_patterns": [f"{name}-{side}-*"], "priority": 500, "template": {"settings": {setting: pipeline}}}
        assert (await http.put(f"/_index_template/{name}-{side}", made)).status == 200
    try:
        found = []
        for http, side in ((direct, "t"), (through, "o")):
            day = f"/%3C{name}-{side}-%7Bnow%2Fd%7D%3E"
            assert (await http.put(f"{day}/_doc/1", {"x": 1})).status == 201
            found.append((await direct.get(f"{day}/_source/1")).json)
        assert found == [{"x": 1}, {"x": 1, "z": 1}]
        assert pair
    finally:
        for side in ("t", "o"):
            await direct.delete(f"/%3C{name}-{side}-%7Bnow%2Fd%7D%3E")
            await through.delete(f"/_index_template/{name}-{side}")


async def status_of(http: Http, request: bytes) -> int:
    url = urlsplit(http.base)
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    writer.write(request)
    line = await asyncio.wait_for(reader.readline(), 10)
    writer.close()
    return int(line.split()[1])


@pytest.mark.parametrize(
    ("head", "theirs", "mine"),
    [
        (b"OPTIONS * HTTP/1.1\r\nHost: x\r\n", 200, 400),
        (b"CONNECT x:80 HTTP/1.1\r\nHost: x\r\n", 405, 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX-A: a\r\n b\r\n", 200, 400),
        (b"GET / HTTP/1.1\r\n", 200, 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n", 200, 501),
        (b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n", 101, 200),
    ],
)  # fmt: skip
async def test_requests_have_one_reading(direct: Http, through: Http, head: bytes, theirs: int, mine: int):
    assert [await status_of(http, head + b"\r\n") for http in (direct, through)] == [theirs, mine]


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /none/_doc/\xc3\xa9 HTTP/1.1\r\nHost: x\r\n", 404),
        (b"GET _cluster/health HTTP/1.1\r\nHost: x\r\n", 200),
        (b"GET / HTTP/1.1\r\nHost: x\r\nExpect: wonders\r\nContent-Length: 2\r\n", 417),
    ],
)
async def test_requests_that_both_read_alike(direct: Http, through: Http, head: bytes, status: int):
    assert [await status_of(http, head + b"\r\n{}") for http in (direct, through)] == [status] * 2
