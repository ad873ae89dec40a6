"""The log of a process in JSON, and the audit log in a file of its own."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from tests.conftest import native

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TRACE = "0af7651916cd43dd8448eb211c80319c"
IDS = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01", "X-Opaque-Id": "job"}
TALKS = "def process(doc, params, ctx):\n    print('hello')\n    return doc\n"


async def test_every_line_is_json_and_says_whose_it_is(serve: Callable[..., Any], tmp_path: Path, name: str):
    audit = tmp_path / "audit.log"
    process, http = serve(**{"log-format": "json", "access-log": "all", "audit-log": str(audit), "log-level": "debug"})
    await process.ready(http)
    assert (await http.put(f"/_udf/{name}-u", {"language": "python", "source": TALKS}, headers=IDS)).status == 201
    stage = {"name": "t", "type": "python", "config": {"udf_name": f"{name}-u"}}
    await http.pipeline(f"{name}-p", "document", native("a", "set", field="a", value=1), stage)
    written = await http.put(f"/{name}/_doc/1?pipeline={name}-p", {"n": 1}, headers=IDS)
    assert written.status == 201
    assert process.end() == 0
    lines = [
        json.loads(line) for line in (tmp_path / f"proxy-{http.base.rpartition(':')[2]}.log").read_text().splitlines()
    ]
    assert all({"@timestamp", "log.level", "log.logger", "message", "process.pid"} <= line.keys() for line in lines)
    access = next(line for line in lines if line["log.logger"] == "headrace.access" and "_doc" in line["url.path"])
    assert (access["trace.id"], access["x_opaque_id"]) == (TRACE, "job")
    assert access["headrace.pipelines"] == f"document={name}-p@1"
    # The UDF runs on a thread.
    said = next(line for line in lines if line["log.logger"] == "headrace.udf")
    assert (said["trace.id"], said["x_opaque_id"]) == (TRACE, "job")
    assert "hello" in said["message"]
    assert not any(line["log.logger"] == "headrace.audit" for line in lines)
    changes = [json.loads(line) for line in audit.read_text().splitlines()]
    assert [change["action"] for change in changes] == [f"PUT /_udf/{name}-u", f"PUT /_pipeline/{name}-p"]
    assert changes[0]["trace.id"] == TRACE
    assert changes[0]["@timestamp"]


async def test_a_file_that_is_moved_away_is_made_anew(serve: Callable[..., Any], tmp_path: Path, name: str):
    audit = tmp_path / "audit.log"
    process, http = serve(**{"audit-log": str(audit)})
    await process.ready(http)
    await http.pipeline(f"{name}-p", "document", native("a", "set", field="a", value=1))
    audit.rename(tmp_path / "audit.log.1")
    await http.pipeline(f"{name}-q", "document", native("a", "set", field="a", value=1))
    # The line is written behind the answer.
    async with asyncio.timeout(10):
        while f"{name}-q" not in audit.read_text():
            await asyncio.sleep(0.05)
    assert f"{name}-q" not in (tmp_path / "audit.log.1").read_text()


async def test_an_audit_log_that_cannot_be_written_stops_the_start(serve: Callable[..., Any], tmp_path: Path):
    process, http = serve(**{"audit-log": str(tmp_path / "nowhere" / "audit.log")})
    assert process.process.wait(20) == 1
    text = (tmp_path / f"proxy-{http.base.rpartition(':')[2]}.log").read_text()
    assert "audit_log" in text
    assert "Traceback" not in text
