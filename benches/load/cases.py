"""The cases of the tables, and the pipelines that they need."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import Any

from benches.load import diverse
from benches.load.traffic import Case, bulk, bulks, gets, http, searches
from examples import build

SHAPE = Path(__file__).parent.parent / "shape"


ANSWER_SECONDS = 600
"""Seconds to wait for an answer: a set of a thousand objects is stored object by object."""


def call(port: int, method: str, path: str, body: Any = None) -> Any:
    """The answer to one call of the API; raises on an error. `body`: code as bytes, or what JSON has."""
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    kind = "application/wasm" if isinstance(body, bytes) else "application/json"
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data, {"Content-Type": kind}, method=method)
    return json.load(urllib.request.urlopen(request, timeout=ANSWER_SECONDS))


def stage(name: str, function: str, **parameters: Any) -> dict[str, Any]:
    """A built-in stage."""
    return {"name": name, "type": "native", "config": {"function": function, "parameters": parameters}}


PYTHON = """
def process(doc):
    if doc["level"] == "DEBUG":
        return False
    doc["level"] = doc["level"].lower()
    doc["env"] = "prod"
    return doc
"""
JAVASCRIPT = """
export default function process(doc) {
  if (doc.level === "DEBUG") return false;
  doc.level = doc.level.toLowerCase();
  doc.env = "prod";
  return doc;
}
"""
"""The transform of the table in both interpreted languages."""


def udf(name: str) -> dict[str, Any]:
    """A UDF stage."""
    return {"name": name, "type": "wasm", "config": {"udf_name": name}}


def shaping(name: str) -> bytes:
    """The transform of the table, compiled: `udf.c` for Headrace, `envoy.c` for Envoy."""
    return build.compiled(SHAPE / name, build.compile_c)


def register(port: int) -> None:
    """The pipelines of the table."""
    call(port, "PUT", "/_udf/keep_level", {"language": "wat", "source": build.module("keep_level.wat").decode()})
    call(port, "PUT", "/_udf/mask_email", build.module("mask_email.c"))
    call(port, "PUT", "/_udf/shape", shaping("udf.c"))
    shape = [stage("env", "set", field="env", value="prod"), stage("level", "lowercase", field="level")]
    for name, kind, stages in (
        ("shape", "document", [udf("keep_level"), *shape]),
        ("native", "document", [stage("debug", "drop") | {"if": "doc.level == 'DEBUG'"}, *shape]),
        ("idle", "document", [each | {"if": "doc.level == 'NONE'"} for each in shape]),
        ("compiled", "document", [udf("shape")]),
        ("mask-query", "query", [udf("mask_email")]),
        ("mask-result", "result", [udf("mask_email")]),
    ):
        call(port, "PUT", f"/_pipeline/{name}", {"type": kind, "stages": stages})
    for language, source in (("python", PYTHON), ("javascript", JAVASCRIPT)):
        call(port, "PUT", f"/_udf/{language}", {"language": language, "source": source})
        stages = [{"name": "shape", "type": language, "config": {"udf_name": language}}]
        call(port, "PUT", f"/_pipeline/{language}", {"type": "document", "stages": stages})
    for name in diverse.PIPELINES:
        call(port, "PUT", f"/_pipeline/_association/{name}-*", {"document": {"default_pipeline": name}})
    attached = {"query": {"default_pipeline": "mask-query"}, "result": {"default_pipeline": "mask-result"}}
    call(port, "PUT", "/_pipeline/_association/masked-*", attached)


def diverse_table() -> list[Case]:
    """The main table: documents and heads that differ, and pipelines attached to indexes."""
    shaped = ["headrace+pipelines", "aiohttp+msgspec", "envoy+wasm", "headrace"]
    beside = ["headrace+pipelines", "headrace", "aiohttp, uvloop"]

    def rows(
        name: str, pipeline: str, contenders: list[str], count: int = 1000, bodies: int = 20, weight: int = 200
    ) -> Case:
        return Case(name, diverse.bulks(pipeline, count, bodies), weight, contenders, unlike=True)

    return [
        rows("diverse bulks of 1,000: drop by a condition, set, lowercase", "native", shaped),
        rows("diverse bulks of 1,000: filter UDF, set, lowercase", "shape", shaped),
        rows("diverse bulks of 1,000: one JSON-ABI UDF", "compiled", shaped),
        rows("diverse bulks of 1,000: one Python UDF", "python", shaped, weight=80),
        rows("diverse bulks of 1,000: one JavaScript UDF", "javascript", shaped, weight=80),
        rows("diverse bulks of 1,000: conditions that are false", "idle", beside),
        rows("diverse bulks of 10: drop by a condition, set, lowercase", "native", shaped, 10, 100, 1000),
        Case(
            "diverse single documents: drop by a condition, set, lowercase",
            diverse.singles("native"),
            2000,
            beside,
            unlike=True,
        ),
        Case(
            "searches with a query and a result UDF attached",
            searches("/masked-{}/_search"),
            1000,
            ["headrace+pipelines", "headrace"],
            unlike=True,
        ),
    ]


def table() -> list[Case]:
    """The second table: documents of one shape, and requests that name their pipeline."""
    query = json.dumps({"query": {"match": {"text": "x" * 120}}, "size": 10, "sort": ["n"]}).encode()
    thousand, many = bulk(1000), bulk(19_000)
    nd = "application/x-ndjson"
    plain = ["headrace", "aiohttp", "aiohttp, uvloop", "nginx", "envoy"]
    shaped = ["headrace+pipelines", "aiohttp+msgspec", "envoy+wasm"]
    return [
        Case("search, passed", http("POST", "/i/_search", query), 4000, plain),
        Case(
            "search, passed by two workers",
            http("POST", "/i/_search", query),
            4000,
            ["headrace, 2 workers", "headrace"],
        ),
        Case(
            "search, passed beside pipelines of other indexes",
            http("POST", "/i/_search", query),
            4000,
            ["headrace+pipelines", "headrace"],
        ),
        Case(
            "search, passed, each with a header of its own",
            http("POST", "/i/_search", query),
            4000,
            ["headrace", "aiohttp", "envoy"],
            unlike=True,
        ),
        Case("mixed searches, passed", searches("/i{}/_search"), 3000, plain, unlike=True),
        Case("mixed documents by id, passed", gets("/i{}/_doc/{{id}}"), 3000, plain, unlike=True),
        Case("mixed bulks of 10, passed", bulks("/_bulk"), 1500, plain, unlike=True),
        Case("mixed bulks of 1,000, passed", bulks("/_bulk", 1000, 20), 400, plain, unlike=True),
        Case("mixed bulks of 10: built-ins", bulks("/_bulk?pipeline=native"), 1000, shaped, unlike=True),
        Case("bulk of 1,000, passed", http("POST", "/_bulk", thousand, nd), 400, plain),
        Case("bulk of 19,000, passed", http("POST", "/_bulk", many, nd), 30, plain),
        Case(
            "bulk of 1,000: filter UDF, set, lowercase",
            http("POST", "/_bulk?pipeline=shape", thousand, nd),
            200,
            shaped,
        ),
        Case(
            "bulk of 1,000: drop by a condition, set, lowercase",
            http("POST", "/_bulk?pipeline=native", thousand, nd),
            200,
            shaped,
        ),
        Case("bulk of 1,000: one JSON-ABI UDF", http("POST", "/_bulk?pipeline=compiled", thousand, nd), 200, shaped),
    ]
