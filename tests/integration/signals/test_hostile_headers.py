"""Headers that are no UTF-8, and no header of their kind: no change goes past the audit log, and no request fails."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import pytest

from headrace.ops.logs.lines import AuditFile, JsonLines
from headrace.upstream.sending import request_head
from headrace_pipelines.errors import InvalidError
from tests.integration.ways import get

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def put(target: str, body: bytes, *headers: bytes) -> bytes:
    lines = b"".join(header + b"\r\n" for header in (b"Content-Type: application/json", *headers))
    return b"PUT %b HTTP/1.1\r\nHost: p\r\nContent-Length: %d\r\n%b\r\n" % (target.encode(), len(body), lines) + body


@pytest.mark.parametrize(
    "header", [b"X-Opaque-Id: \xff\xfe", b"Authorization: Basic /////w==", b"traceparent: \xff", b"tracestate: \x80"]
)
async def test_a_change_is_in_the_audit_log_whatever_its_headers_are(
    start: Callable[..., Any], caplog: pytest.LogCaptureFixture, header: bytes
):
    caplog.set_level("INFO", "headrace.audit")
    way = await start()
    client = await way.client()
    await client(put("/_pipeline/p", b'{"type":"nonsense"}', header))
    (line,) = [record.getMessage() for record in caplog.records if record.name == "headrace.audit"]
    assert json.loads(line)["action"] == "PUT /_pipeline/p"


@pytest.mark.parametrize("header", [b"Origin: http://[::1", b"Origin: http://a]b", b"Origin: \xff"])
async def test_an_origin_that_is_none_is_foreign(start: Callable[..., Any], header: bytes):
    way = await start()
    client = await way.client()
    assert (await client(get("/_pipeline", header))).startswith(b"HTTP/1.1 403 ")


async def test_a_host_that_is_none_is_no_name_of_this_proxy(start: Callable[..., Any]):
    way = await start()
    client = await way.client()
    assert (await client(b"GET /_pipeline HTTP/1.1\r\nHost: [\r\n\r\n")).startswith(
        (b"HTTP/1.1 403 ", b"HTTP/1.1 400 ")
    )


def test_a_line_that_the_file_does_not_take_is_in_the_log_of_the_process(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    folder = tmp_path / "logs"
    folder.mkdir()
    handler = AuditFile(folder / "audit.log", encoding="utf-8")
    handler.setFormatter(JsonLines())
    (folder / "audit.log").unlink()
    folder.rmdir()
    handler.emit(logging.LogRecord("headrace.audit", logging.INFO, "", 0, "a change", (), None))
    assert "a change" in caplog.text
    assert "the audit log cannot be written" in caplog.text


async def test_several_lines_of_tracestate_are_one(start: Callable[..., Any]):
    from tests.support.collector import Collector

    async with Collector() as collector:
        way = await start(otlp_endpoint=collector.url)
        client = await way.client()
        parent = b"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        await client(get("/i/_search", parent, b"tracestate: a=1", b"tracestate: b=2"))
        assert b"tracestate: a=1,b=2\r\n" in way.cluster.seen[-1]
        await way.proxy.stop()


@pytest.mark.parametrize("target", ["/a b", "/a\r\nX: y", "/a\0", "/a\x7f"])
def test_no_target_ends_the_request_line(target: str):
    with pytest.raises(InvalidError):
        request_head("GET", target, b"", b"", None)
