"""Python UDFs at length, on a proxy of its own process: memory stays flat, and tampering stays in its sandbox."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import Http, ProxyProcess, wasm

VERSIONS = int(os.environ.get("HEADRACE_TEST_VERSIONS", "300"))
"""UDF versions that are put and deleted; more of them by hand."""

Serve = Callable[..., tuple[ProxyProcess, Http]]

TAMPERING = [
    "import _headrace_boot as b\nb.encode = lambda v: {answer}",
    "import _headrace_boot as b\nb.run.__code__ = (lambda given: {answer}).__code__",
]
ANSWERS = [
    'b\'[["a"\\n{"delete":{"_index":"x"}}\\n],{},null]\'',
    "b'[[{\"a\":1}'",
    "b'[[1,2,3,4,5,6],{},null]'",
    "b'[[{\"a\":\\x01\\xff}],{},null]'",
    'b\'[[{"a":1}\\n{"b":2}],{},null]\'',
    "b''",
    "None",
    "5",
    "b'[' * 1000000",
    'b\'[[{"a":1}],{"0":{"type":5}},[]]\'',
    'b\'[[null],{"99":{"type":"x"}},[1]]\'',
    'b\'[[{"a":1}],{},["\\n"]]\'',
]
VALID = "b'[[{\"tampered\":1}],{},null]'"
"""The guest that answers this has been tampered with, and the host cannot know."""
ANSWERS.append(VALID)
SNIPPETS = [
    "while True: pass",
    "x = [0] * 10 ** 9",
    "x = []\nwhile True: x.append(bytearray(10 ** 6))",
    "f = lambda g: g(g)\nf(f)",
    "import not_there_at_all",
    "import socket, ssl, ctypes",
    "print('y' * 10 ** 7)",
    "for i in range(10 ** 6): print(i)",
    "import threading\nthreading.Thread(target=print).start()",
    "import builtins\nbuiltins.len = None\nbuiltins.Exception = None\nraise ValueError",
    "import msgspec\nmsgspec.json.encode = msgspec.json.Encoder = None",
    "import sys\nsys.modules.clear()\nsys.meta_path.clear()\nimport json.tool",
    "import sys\nsys.stdout = sys.stderr = None\nprint('x')",
    "import sys\nsys.setrecursionlimit(10 ** 9)\nf = lambda n: f(n + 1)\nf(0)",
    "import gc\nfor o in gc.get_objects():\n    if isinstance(o, dict) and o is not doc: o.clear()",
    "import os\nos.abort()",
    "import signal\nsignal.raise_signal(9)",
    "import re\nre.match('(a+)+$', 'a' * 60 + 'b')",
    "x = 9 ** 9 ** 9",
    "raise BaseException('\\ud800')",
    "class E(Exception):\n    def __str__(self): raise self\nraise E",
    "class E(Exception):\n    def __str__(self): return 'x' * 10 ** 8\nraise E",
    "return {'a': float('inf'), 'b': '\\ud800'}",
    "x = {}\nx['x'] = x\nreturn x",
    "import marshal, types\nexec(marshal.loads(b'c' + bytes(64)))",
]


def source(code: str) -> str:
    return "def process(doc):\n    if 'bad' not in doc: return {'fine': True}\n" + "".join(
        f"    {line}\n" for line in code.split("\n")
    )


async def three(http: Http, name: str) -> Any:
    """A document that makes the UDF misbehave, between two others."""
    docs = [{"_source": {}}, {"_source": {"bad": 1}}, {"_source": {}}]
    return (await http.post(f"/_pipeline/{name}/_execute", {"docs": docs})).json["docs"]


async def test_hostile_code_costs_no_memory_and_no_other_udf(serve: Serve, name: str):
    process, http = serve()
    await process.ready(http)
    tampering = [t.format(answer=a) for t, a in itertools.product(TAMPERING, ANSWERS)]
    codes = [*SNIPPETS, *tampering]
    good = {"language": "python", "source": "import json\ndef process(doc):\n    return {'n': len(json.dumps(doc))}\n"}
    await http.put(f"/_udf/{name}-good", good)
    await http.pipeline(f"{name}-good", "document", wasm("w", f"{name}-good"))
    for at, code in enumerate(codes):
        limits = {"timeout": "50ms", "memory": "64mb"}
        made = await http.put(f"/_udf/{name}-{at}", {"language": "python", "source": source(code), "limits": limits})
        assert made.status == 201, (code, made.body)
        await http.pipeline(f"{name}-{at}", "document", wasm("w", f"{name}-{at}"))
    sizes = []
    for _ in range(3):
        for at, code in enumerate(codes):
            answer = await three(http, f"{name}-{at}")
            assert len(answer) == 3, (code, answer)
            for each in answer:
                assert "error" in each or isinstance(each["doc"]["_source"], dict), (code, each)
            if at < len(SNIPPETS):
                fine = [answer[n].get("doc", {}).get("_source") for n in (0, 2)]
                assert fine == [{"fine": True}] * 2, (code, answer)
        sizes.append(process.rss())
    assert sizes[-1] - sizes[0] < 48 << 20, sizes
    answer = (await http.post(f"/_pipeline/{name}-good/_execute", {"input": {"a": 1}})).json
    assert answer["output"] == {"n": 8}


@pytest.mark.parametrize("answer", ANSWERS)
async def test_no_answer_of_a_tampered_guest_gets_into_a_bulk(through: Http, direct: Http, name: str, answer: str):
    code = TAMPERING[1].format(answer=answer) + "\ndef process(doc):\n    return doc\n"
    made = await through.put(f"/_udf/{name}", {"language": "python", "source": code})
    assert made.status == 201, made.body
    await through.pipeline(name, "document", wasm("w", name))
    await through.index(name, document=name)
    await direct.put(f"/{name}/_doc/victim?refresh=true", {"kept": True})
    bulk = await through.bulk({"index": {"_index": name, "_id": "1"}}, {"n": 1})
    assert len(bulk.json["items"]) == 1
    item = bulk.json["items"][0]["index"]
    if answer == VALID:
        assert (await direct.get(f"/{name}/_doc/1")).json["_source"] == {"tampered": 1}
    assert item["status"] in (200, 201, 400), item
    assert (await direct.get(f"/{name}/_doc/victim")).json["_source"] == {"kept": True}


async def test_versions_that_come_and_go_leave_no_memory(serve: Serve, name: str):
    process, http = serve()
    await process.ready(http)
    sizes = []
    for round_ in range(3):
        for start in range(0, VERSIONS // 3, 4):
            await asyncio.gather(*(come_and_go(http, name, f"{round_}-{start + n}") for n in range(4)))
        sizes.append(process.rss())
    assert sizes[-1] - sizes[0] < 48 << 20, sizes


async def come_and_go(http: Http, name: str, version: str) -> None:
    """A UDF of a name of its own that is put, run and deleted."""
    code = f"TABLE = list(range(1000))\ndef process(doc):\n    doc['v'] = '{version}'\n    return doc\n"
    udf = f"{name}-{version}"
    made = await http.put(f"/_udf/{udf}", {"language": "python", "source": code})
    assert made.status == 201, made.body
    body = {"pipeline": {"type": "document", "stages": [wasm("w", udf)]}, "input": {"n": 1}}
    assert (await http.post("/_pipeline/_execute", body)).json["output"] == {"n": 1, "v": version}
    assert (await http.delete(f"/_udf/{udf}")).status == 200
