"""UDFs of interpreters at length, on a proxy of its own process: memory stays flat, and tampering stays in its sandbox."""

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
    "import _headrace_boot as b\nb.failure.__code__ = (lambda error: {answer}).__code__\nb.flush.__code__ = b.failure.__code__",
    "import _headrace_boot as b\nb.load.__code__ = (lambda given: {answer}).__code__\nraise ValueError",
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
PYTHON = [
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
JAVASCRIPT = [
    "for (;;);",
    "const x = []; for (;;) x.push(new Uint8Array(1e6))",
    "let x = 'x'; for (;;) x += x",
    "(function f() { f() })()",
    "new Array(2 ** 32 - 1).fill(0)",
    "import('fs')",
    "console.log('y'.repeat(1e7))",
    "for (let i = 0; i < 1e6; i++) console.log(i)",
    "Object.freeze(globalThis); Object.freeze(Array.prototype); throw new Error",
    "JSON.stringify = JSON.parse = console.log = undefined; throw new Error('x')",
    "Array.prototype.toJSON = () => '[[1],{},null]'; return doc",
    "Object.defineProperty(Array.prototype, '0', {set() { for (;;); }, get() { return 1 }}); return doc",
    "Object.defineProperty(Object.prototype, 'line', {set() { throw 1 }, get() { return 1e300 }}); throw new Error",
    "Error.prepareStackTrace = () => { for (;;); }; throw new Error",
    "Error.stackTraceLimit = 1e9; (function f() { f() })()",
    "const e = new Error; e.stack = '<udf>:99999999999999999999:1'; throw e",
    "throw {toString() { throw 1 }}",
    "throw Symbol('x')",
    "throw undefined",
    "throw '\\ud800'",
    "return {a: Infinity, b: '\\ud800', c: Symbol('x'), d() {}}",
    "doc.doc = doc; return doc",
    "return new Proxy(doc, {ownKeys() { for (;;); }})",
    "return new Proxy(doc, {get() { throw 1 }})",
    "/(a+)+$/.test('a'.repeat(60) + 'b')",
    "2n ** 100000000n",
    "'x'.padEnd(2 ** 30).split('')",
    "JSON.parse('['.repeat(1e6))",
    "let a = []; for (let i = 0; i < 1e5; i++) a = [a]; return {a}",
    "(async function f() { for (;;) await 0 })()",
    "new Promise((yes, no) => no(1)); return doc",
    "function* g() { for (;;) yield 1 } return {a: [...g()]}",
    "eval('while (true) {}')",
    "new Function('return this')().process = null",
    "for (const k of Reflect.ownKeys(globalThis)) try { delete globalThis[k] } catch {}",
    "Math.random = Date.now = () => { for (;;); }; Math.random()",
    "new SharedArrayBuffer(1e9)",
    "Atomics.wait(new Int32Array(new SharedArrayBuffer(8)), 0, 0)",
    "new WeakRef(doc); new FinalizationRegistry(() => { for (;;); }).register(doc)",
]
SNIPPETS = {"python": PYTHON, "javascript": JAVASCRIPT}
GOOD = {
    "python": "import json\ndef process(doc):\n    return {'n': len(json.dumps(doc))}\n",
    "javascript": "function process(doc) { return {n: JSON.stringify(doc).length + 1} }",
}


def source(language: str, code: str) -> str:
    if language == "javascript":
        return f"function process(doc) {{ if (!('bad' in doc)) return {{fine: true}};\n{code}\n}}"
    return "def process(doc):\n    if 'bad' not in doc: return {'fine': True}\n" + "".join(
        f"    {line}\n" for line in code.split("\n")
    )


async def three(http: Http, name: str) -> Any:
    """A document that makes the UDF misbehave, between two others."""
    docs = [{"_source": {}}, {"_source": {"bad": 1}}, {"_source": {}}]
    return (await http.post(f"/_pipeline/{name}/_execute", {"docs": docs})).json["docs"]


@pytest.mark.parametrize("language", SNIPPETS)
async def test_hostile_code_costs_no_memory_and_no_other_udf(serve: Serve, name: str, language: str):
    process, http = serve()
    await process.ready(http)
    snippets = SNIPPETS[language]
    codes = list(snippets)
    if language == "python":
        codes += [t.format(answer=a) for t, a in itertools.product(TAMPERING, ANSWERS)]
    await http.put(f"/_udf/{name}-good", {"language": language, "source": GOOD[language]})
    await http.pipeline(f"{name}-good", "document", wasm("w", f"{name}-good"))
    for at, code in enumerate(codes):
        upload = {
            "language": language,
            "source": source(language, code),
            "limits": {"timeout": "150ms", "memory": "64mb"},
        }
        made = await http.put(f"/_udf/{name}-{at}", upload)
        assert made.status == 201, (code, made.body)
        await http.pipeline(f"{name}-{at}", "document", wasm("w", f"{name}-{at}"))
    sizes = []
    for _ in range(3):
        for at, code in enumerate(codes):
            answer = await three(http, f"{name}-{at}")
            assert len(answer) == 3, (code, answer)
            for each in answer:
                assert "error" in each or isinstance(each["doc"]["_source"], dict), (code, each)
            if at < len(snippets):
                fine = [answer[n].get("doc", {}).get("_source") for n in (0, 2)]
                assert fine == [{"fine": True}] * 2, (code, answer)
        sizes.append(process.rss())
    assert sizes[-1] - sizes[0] < 48 << 20, sizes
    answer = (await http.post(f"/_pipeline/{name}-good/_execute", {"input": {"a": 1}})).json
    assert answer["output"] == {"n": 8}


@pytest.mark.parametrize("answer", ANSWERS)
async def test_no_answer_of_a_tampered_guest_gets_into_a_bulk(through: Http, direct: Http, name: str, answer: str):
    code = TAMPERING[1].format(answer=answer) + "\ndef process(doc):\n    raise ValueError(doc)\n"
    made = await through.put(f"/_udf/{name}", {"language": "python", "source": code})
    assert made.status == 201, made.body
    await through.pipeline(name, "document", wasm("w", name))
    await through.index(name, document=name)
    await direct.put(f"/{name}/_doc/victim?refresh=true", {"kept": True})
    bulk = await through.bulk({"index": {"_index": name, "_id": "1"}}, {"n": 1})
    assert len(bulk.json["items"]) == 1
    item = bulk.json["items"][0]["index"]
    assert item["status"] == 400, item
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
