"""The access log and the slow log, by the fast path and by handlers, in text and in JSON."""

from __future__ import annotations

import base64
import io
import json
import logging
from typing import TYPE_CHECKING, Any

import pytest

from headrace.ops.logs.lines import FORMAT, JsonLines, TextLines
from tests.integration.ways import get, post
from tests.support.cluster import answer

if TYPE_CHECKING:
    from collections.abc import Callable

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"traceparent: 00-{TRACE}-b7ad6b7169203331-00".encode()
USER = b"Authorization: Basic " + base64.b64encode(b"ann:hunter2")


class Lines:
    """The lines of loggers, as a process writes them."""

    def __init__(self, formatter: logging.Formatter) -> None:
        self._stream = io.StringIO()
        self.handler = logging.StreamHandler(self._stream)
        self.handler.setFormatter(formatter)

    @property
    def text(self) -> list[str]:
        return self._stream.getvalue().splitlines()

    @property
    def json(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text]


@pytest.fixture
def lines(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Lines:
    found = Lines(
        getattr(request, "param", JsonLines)()
        if getattr(request, "param", JsonLines) is JsonLines
        else TextLines(FORMAT)
    )
    for name in ("headrace.access", "headrace.slow"):
        logger = logging.getLogger(name)
        monkeypatch.setattr(logger, "handlers", [found.handler])
        monkeypatch.setattr(logger, "propagate", False)
        monkeypatch.setattr(logger, "level", logging.INFO)
    return found


@pytest.mark.parametrize("fast", [True, False])
async def test_all_requests_have_a_line(start: Callable[..., Any], lines: Lines, fast: bool):
    way = await start(access_log="all", fast=fast)
    way.cluster.answers["/i/_search"] = answer(b"found")
    client = await way.client()
    await client(get("/i/_search?q=secret", PARENT, USER, b"X-Opaque-Id: job 7"))
    (line,) = [each for each in lines.json if each["url.path"] == "/i/_search"]
    assert (way.taken != []) == fast
    assert line["http.request.method"] == "GET"
    assert line["http.response.status_code"] == 200
    assert line["headrace.surface"] == "search"
    assert line["user.name"] == "ann"
    assert line["client.address"] == "127.0.0.1"
    assert (line["trace.id"], line["x_opaque_id"]) == (TRACE, "job 7")
    assert 0 < line["event.duration"] < 5_000_000_000
    assert "secret" not in str(line)
    assert "hunter2" not in str(line)


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize(
    ("mode", "expected"), [("off", []), ("errors", [404]), ("sampled", [404]), ("all", [200, 404])]
)
async def test_which_requests_have_a_line(
    start: Callable[..., Any], lines: Lines, mode: str, expected: list[int], fast: bool
):
    way = await start(access_log=mode, access_log_sample=0.0, fast=fast)
    way.cluster.answers["/i/_search"] = answer(b"found")
    client = await way.client()
    await client(get("/i/_search"))
    await client(get("/i/_doc/1"))
    statuses = [each["http.response.status_code"] for each in lines.json if each["url.path"] != "/warm"]
    assert statuses == expected


async def test_a_sample_is_as_large_as_it_says(start: Callable[..., Any], lines: Lines):
    way = await start(access_log="sampled", access_log_sample=0.5)
    way.cluster.answers["/i/_search"] = answer(b"found")
    client = await way.client()
    for _ in range(200):
        await client(get("/i/_search"))
    assert 50 < sum(each["url.path"] == "/i/_search" for each in lines.json) < 150


async def test_slow_requests_have_a_line_and_are_limited(start: Callable[..., Any], lines: Lines):
    way = await start(slow_request="1micros")
    way.cluster.answers["/i/_search"] = answer(b"found")
    client = await way.client()
    for _ in range(30):
        await client(get("/i/_search"))
    slow = [each for each in lines.json if each["log.logger"] == "headrace.slow"]
    assert 0 < len(slow) <= 10
    assert slow[0]["log.level"] == "warning"


async def test_a_line_is_about_its_own_request(start: Callable[..., Any], lines: Lines):
    """The connection to the node was opened by a request before."""
    way = await start(access_log="all")
    client = await way.client()
    await client(post("/i/_update/1", b"{}", b"X-Opaque-Id: first"))
    await client(get("/i/_search", b"X-Opaque-Id: second"))
    await client(get("/i/_search"))
    assert [each.get("x_opaque_id") for each in lines.json if each["url.path"] != "/warm"] == ["first", "second", None]


@pytest.mark.parametrize("lines", [TextLines], indirect=True)
async def test_lines_for_people(start: Callable[..., Any], lines: Lines):
    way = await start(access_log="all")
    client = await way.client()
    await client(post("/i/_doc/1", b"{}", PARENT, "X-Opaque-Id: two words \u202e".encode()))
    (line,) = [each for each in lines.text if "/i/_doc/1" in each]
    assert " POST /i/_doc/1 404 " in line
    assert f"trace.id={TRACE}" in line
    assert 'x_opaque_id="two words' in line
    assert "\u202e" not in line
    assert "http.response.status_code=404" in line
