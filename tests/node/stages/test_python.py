"""Python UDFs through REST: upload, inline code, every kind of pipeline, errors with their line, limits."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.conftest import Http, native, outcome, wasm


def python(name: str, code: str, **more: Any) -> dict[str, Any]:
    """A stage of inline Python."""
    config = {"code": code, **{key: more.pop(key) for key in ("scope", "parameters") if key in more}}
    return {"name": name, "type": "python", "config": config, **more}


async def put(http: Http, name: str, source: str, **fields: Any) -> Any:
    return await http.put(f"/_udf/{name}", {"language": "python", "source": source, **fields})


PROCESS = """# @udf: description=Makes titles small
# @udf: tags=text, demo
import re

SPACES = re.compile(r"\\s+")

def process(doc, params):
    doc["title"] = SPACES.sub(params.get("by", " "), doc["title"].strip().lower())
    return doc
"""


async def test_a_python_udf_from_upload_to_document(through: Http, direct: Http, name: str):
    made = await put(through, name, PROCESS, parameters=[{"name": "by", "type": "string", "default": "-"}])
    assert made.status == 201, made.body
    assert (made.json["abi"], made.json["entry"], made.json["tags"]) == ("python", "process", ["text", "demo"])
    assert (await through.get(f"/_udf/{name}/_source")).body.decode() == PROCESS
    await through.pipeline(name, "document", wasm("w", name))
    await through.index(name, document=name)
    lines = [line for i in range(500) for line in ({"index": {"_index": name, "_id": str(i)}}, {"title": f" A  B{i} "})]
    bulk = await through.bulk(*lines, {"index": {"_index": name, "_id": "bad"}}, {"n": 1})
    statuses = [item["index"]["status"] for item in bulk.json["items"]]
    assert statuses == [201] * 500 + [400]
    error = bulk.json["items"][500]["index"]["error"]
    assert (error["type"], error["reason"]) == ("udf_exception", "KeyError: 'title' (line 8)")
    assert (await direct.get(f"/{name}/_doc/77")).json["_source"] == {"title": "a-b77"}
    stats = (await through.get(f"/_udf/{name}/_stats")).json
    assert (stats["documents_in"], stats["failures"]) == (501, 1)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("def process(doc:\n  pass", "SyntaxError: '(' was never closed (line 1, column 12)"),
        ("x = 1", "the code defines no function process(doc, params) or udf_main(doc, params)"),
        ("def process(): pass", "takes no argument"),
        ("def process(doc): pass\nraise ValueError('at import')", "ValueError: at import (line 2)"),
        ("import requests\ndef process(doc): pass", "ModuleNotFoundError: No module named 'requests' (line 1)"),
        ("while True: pass", "takes too long to load"),
        ("# @udf: nam=x\ndef process(doc): pass", "[@udf: nam] is not known"),
        ("# @udf: name=other\ndef process(doc): pass", "but the path names"),
    ],
)
async def test_code_that_cannot_be_is_refused_at_upload(through: Http, name: str, source: str, words: str):
    refused = await put(through, name, source)
    assert refused.status == 400
    assert words in refused.error["reason"]
    assert (await through.get(f"/_udf/{name}")).status == 404


async def test_raw_uploads_take_their_headers(through: Http, name: str):
    source = f"# @udf: name={name}\n# @udf: version=2.1\n# @udf: timeout=50ms\ndef udf_main(doc):\n    return doc\n"
    made = await through.put(f"/_udf/{name}", source, headers={"Content-Type": "text/x-python"})
    assert made.status == 201, made.body
    assert (made.json["version"], made.json["limits"]["timeout"]) == ("2.1", "50ms")


@pytest.mark.parametrize(
    ("returned", "state", "document"),
    [
        ("doc", "live", {"a": 1, "s": "x"}),
        ("{'b': 2}", "live", {"b": 2}),
        ("None", "live", {"a": 1, "s": "x"}),
        ("True", "live", {"a": 1, "s": "x"}),
        ("False", "dropped", None),
        ("'{\"c\": 3}'", "live", {"a": 1, "s": "x", "c": 3}),
        ("'text'", "udf_result_exception", None),
        ("5", "udf_result_exception", None),
        ("[doc, {'n': 2}]", "several", [{"a": 1, "s": "x"}, {"n": 2}]),
        ("{'big': 2 ** 80, 'f': 0.1, 'u': 'é\\U0001f600'}", "live", {"big": 2**80, "f": 0.1, "u": "é\U0001f600"}),
        ("{1, 2}", "udf_result_exception", None),
        ("object()", "udf_exception", None),
        ("{'s': 'x' * 9_000_000}", "udf_result_exception", None),
        ("float('nan')", "live", {"a": 1, "s": "x"}),
    ],
)
async def test_the_result_contract(through: Http, name: str, returned: str, state: str, document: Any):
    # The contract is under test, not the speed of a busy machine.
    await put(through, name, f"def process(doc):\n    return {returned}\n", limits={"timeout": "2s"})
    assert await outcome(through, name) == (state, document)


async def test_inline_code_in_every_kind_of_pipeline(through: Http, direct: Http, name: str):
    await through.pipeline(
        f"{name}-d", "document",
        python("a", "document['n'] = document.get('n', 0) + params['by']", parameters={"by": 2}),
        python("b", "if document['n'] > 5:\n    return False\ndocument['kept'] = True"),
    )  # fmt: skip
    await through.pipeline(f"{name}-q", "query", python("q", "request['size'] = 2\nctx['asked'] = 'yes'"))
    await through.pipeline(
        f"{name}-r", "result",
        python("score", "return hit['_source']['n']", scope="hit"),
        python("note", "result['note'] = ctx.get('asked')"),
    )  # fmt: skip
    await through.index(name, document=f"{name}-d", query=f"{name}-q", result=f"{name}-r")
    for i in range(6):
        await through.put(f"/{name}/_doc/{i}?refresh=true", {"n": i})
    found = (await through.post(f"/{name}/_search", {"query": {"match_all": {}}})).json
    assert found["note"] == "yes"
    hits = found["hits"]["hits"]
    assert len(hits) == 2
    assert [h["_score"] for h in hits] == sorted((h["_source"]["n"] for h in hits), reverse=True)
    assert (await direct.get(f"/{name}/_count")).json["count"] == 4
    broken = await through.put(f"/_pipeline/{name}-x", {"type": "document", "stages": [python("a", "document['a'] =")]})
    assert (broken.status, broken.error["field"]) == (400, "stages[0].config.code")
    assert "SyntaxError: invalid syntax (line 1" in broken.error["reason"]
    both = {"name": "a", "type": "python", "config": {"code": "pass", "udf_name": "x"}}
    assert (await through.put(f"/_pipeline/{name}-x", {"type": "document", "stages": [both]})).status == 400


async def test_prints_and_logging_go_to_the_log_and_context_from_stage_to_stage(through: Http, name: str):
    source = (
        "import logging\n"
        "def process(doc, params, ctx):\n"
        "    print('seen', doc['n'])\n"
        "    logging.warning('careful %d', doc['n'])\n"
        "    ctx['seen'] = doc['n']\n"
        "    return doc\n"
    )
    await put(through, name, source)
    body = {
        "pipeline": {"type": "document", "stages": [
            wasm("w", name), native("s", "set", field="note", value="{{_ctx.seen}}"),
            python("p", "document['again'] = ctx['seen']")]},
        "input": {"n": 7}, "verbose": True,
    }  # fmt: skip
    answer = (await through.post("/_pipeline/_execute", body)).json
    assert answer["output"] == {"n": 7, "note": "7", "again": 7}
    assert answer["stage_results"][0]["logs"] == ["seen 7", "root: careful 7"]


HOSTILE = {
    "loop": ("while True: pass", "udf_timeout_exception"),
    "caught loop": (
        "while True:\n    try:\n        while True: pass\n    except BaseException: pass",
        "udf_timeout_exception",
    ),
    "memory": ("x = [0] * 10 ** 9", "udf_memory_limit_exception"),
    "growing": ("x = []\nwhile True: x.append('y' * 10 ** 6)", "udf_memory_limit_exception"),
    "recursion": ("f = lambda g: g(g)\nf(f)", "udf_exception"),
    "deep": ("x = []\nfor i in range(10 ** 5): x = [x]\nimport json\njson.dumps(x)", "udf_exception"),
    "file": ("open('/etc/passwd')", "udf_exception"),
    "socket": ("import socket", "udf_exception"),
    "process": ("import subprocess", "udf_exception"),
    "thread": ("import threading\nthreading.Thread(target=print).start()", "udf_exception"),
    "exit": ("import sys\nsys.exit(3)", "udf_exception"),
    "hard exit": ("import os\nos._exit(3)", ""),
    "regex": ("import re\nre.match('(a+)+$', 'a' * 60 + 'b')", "udf_timeout_exception"),
    "big number": ("x = 9 ** 9 ** 9", "udf_timeout_exception"),
}


@pytest.mark.parametrize("case", HOSTILE)
async def test_hostile_code_ends_its_own_document_and_nothing_else(through: Http, name: str, case: str):
    code, kind = HOSTILE[case]
    source = "def process(doc):\n    if 'bad' not in doc: return {'fine': True}\n" + "".join(
        f"    {line}\n" for line in code.split("\n")
    )
    made = await put(through, name, source, limits={"timeout": "200ms", "memory": "64mb"})
    assert made.status == 201, made.body
    await through.pipeline(name, "document", wasm("w", name))
    docs = [{"_source": {}}, {"_source": {"bad": 1}}, {"_source": {}}]
    answer = (await through.post(f"/_pipeline/{name}/_execute", {"docs": docs})).json["docs"]
    assert [d.get("doc", {}).get("_source") for d in answer] == [{"fine": True}, None, {"fine": True}]
    assert answer[1]["error"]["type"].endswith("exception")
    if kind:
        assert answer[1]["error"]["type"] == kind, answer[1]


async def test_one_udf_cannot_reach_another(through: Http, name: str):
    poison = (
        "import builtins, json, msgspec, re, sys\n"
        "builtins.len = lambda x: 42\n"
        "msgspec.json.decode = msgspec.json.encode = None\n"
        "re.compile = None\n"
        "sys.modules['json'] = None\n"
        "def process(doc):\n    return doc\n"
    )
    await put(through, f"{name}-poison", poison)
    await put(
        through, name, "import json, re\ndef process(doc):\n    doc['n'] = len(re.findall('a', 'aa'))\n    return doc\n"
    )
    for udf in (f"{name}-poison", name):
        await through.pipeline(udf, "document", wasm("w", udf))
    for _ in range(3):
        await through.post(f"/_pipeline/{name}-poison/_execute", {"input": {}})
        answer = (await through.post(f"/_pipeline/{name}/_execute", {"input": {}})).json
        assert answer["output"] == {"n": 2}


@pytest.mark.parametrize(
    "module",
    [
        "base64",
        "bisect",
        "calendar",
        "collections",
        "copy",
        "csv",
        "dataclasses",
        "datetime",
        "decimal",
        "difflib",
        "email.message",
        "enum",
        "fractions",
        "functools",
        "hashlib",
        "heapq",
        "hmac",
        "html",
        "html.parser",
        "io",
        "ipaddress",
        "itertools",
        "json",
        "logging",
        "math",
        "numbers",
        "operator",
        "pickle",
        "pprint",
        "queue",
        "random",
        "re",
        "secrets",
        "statistics",
        "string",
        "struct",
        "sysconfig",
        "textwrap",
        "time",
        "traceback",
        "types",
        "typing",
        "unicodedata",
        "urllib.parse",
        "uuid",
        "xml.etree.ElementTree",
        "zlib_absent",
        "zoneinfo",
    ],
)
async def test_modules_of_the_standard_library(through: Http, name: str, module: str):
    code = f"import {module}\ndocument['ok'] = True"
    answer = await through.post(
        "/_pipeline/_execute", {"pipeline": {"type": "document", "stages": [python("p", code)]}, "input": {}}
    )
    if module.endswith("_absent"):
        assert answer.json["error"]["reason"].startswith("ModuleNotFoundError")
    else:
        assert answer.json.get("output") == {"ok": True}, answer.body


async def tried(http: Http, code: str, document: str) -> Any:
    """The answer to a document through inline Python, as text."""
    # Imports in inline code are of the document's time, which a busy machine makes longer.
    pipeline = json.dumps({"type": "document", "stages": [python("p", code, timeout="5s")]})
    return await http.post("/_pipeline/_execute", f'{{"pipeline":{pipeline},"docs":[{{"_source":{document}}}]}}')


async def test_time_zones_are_there(through: Http):
    code = (
        "import datetime, zoneinfo\n"
        "document['t'] = datetime.datetime(2024, 7, 1, 12, tzinfo=zoneinfo.ZoneInfo(document['z'])).isoformat()"
    )
    answer = await tried(through, code, '{"z": "America/Argentina/Ushuaia"}')
    assert answer.json["docs"][0]["doc"]["_source"]["t"] == "2024-07-01T12:00:00-03:00"
    nowhere = await tried(through, code, '{"z": "Nowhere/City"}')
    assert "ZoneInfoNotFoundError" in nowhere.json["docs"][0]["error"]["reason"]


async def test_a_byte_order_mark_before_the_code_is_none_of_it(through: Http, name: str):
    answer = await tried(through, "\ufeffdocument['n'] = 1", "{}")
    assert answer.json["docs"][0]["doc"]["_source"] == {"n": 1}
    assert (await put(through, name, "\ufeffdef process(doc):\n    return doc\n")).status == 201
