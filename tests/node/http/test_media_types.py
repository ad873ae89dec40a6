"""YAML, CBOR and SMILE where pipelines run: requests are read and answers written as the node does it.

For more requests than the gate tries: `HEADRACE_MEDIA=2000 pytest tests/node/http/test_media_types.py`.
"""

from __future__ import annotations

import json
import os
import random
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from headrace_pipelines import json_from
from tests.clients.identity import attach_identity
from tests.conftest import native, wasm
from tests.support import wat
from tests.support.media import LIMIT, TYPES, decoded, encoded, headers, several

if TYPE_CHECKING:
    from tests.conftest import Answer, Http

SEED = 27 if "CI" in os.environ else random.randrange(1 << 32)
REQUESTS = int(os.environ.get("HEADRACE_MEDIA", "120"))
"""Requests that are put to both, of other types each."""
PASSING = ("took", "_seq_no", "_scroll_id", "pit_id", "creation_time", "_primary_term", "index_uuid")
"""Members that differ from one request to the next."""
ALL = {"query": {"match_all": {}}}


def value_of(dice: random.Random, depth: int = 0) -> Any:
    """A value with odd numbers and texts."""
    kinds: list[Any] = [
        lambda: dice.choice([None, True, False]),
        lambda: dice.choice([0, -1, 1 << 31, -(1 << 31) - 1, 1 << 53, (1 << 63) - 1, -(1 << 63)]),
        lambda: dice.choice([0.1, -0.0, 1.5, 1e10, 1e-7, 1e300, 5e-324, 3.141592653589793, 0.30000000000000004]),
        lambda: dice.choice(
            ["", "yes", "012", "1e5", "~", "null", "é😀", "a: b", " x ", "two\nlines", "- a", "#", "'", '"', "\\", "\t"]
        ),
        lambda: "".join(dice.choice("ab é\u4e2d😀:#-\n") for _ in range(dice.choice((3, 31, 33, 64, 65, 66, 200)))),
    ]
    if depth < 3:
        kinds += [
            lambda: [value_of(dice, depth + 1) for _ in range(dice.randrange(4))],
            lambda: {
                dice.choice(["a", "b", "c" * 64, "d" * 65, "é", "yes", "1"]): value_of(dice, depth + 1)
                for _ in range(3)
            },
        ]
    return dice.choice(kinds)()


@pytest.mark.parametrize("kind", ["yaml", "cbor", "smile"])
async def test_the_node_reads_the_same_documents(direct: Http, kind: str):
    dice = random.Random(SEED)
    docs = [{"_source": {"v": value_of(dice)}} for _ in range(300)]
    body = encoded({"pipeline": {"processors": []}, "docs": docs}, kind)
    answer = await direct.post("/_ingest/pipeline/_simulate", body, headers=headers(kind, "json"))
    ours = json.loads(json_from(kind, body, LIMIT, strict=False))
    # PyYAML writes texts plain that are numbers to the node.
    assert kind == "yaml" or ours["docs"] == docs
    assert [each["doc"]["_source"] for each in answer.json["docs"]] == [doc["_source"] for doc in ours["docs"]], SEED


@pytest.mark.parametrize("kind", ["yaml", "cbor", "smile"])
async def test_the_nodes_own_bodies_are_read(direct: Http, kind: str):
    dice = random.Random(SEED)
    docs = [{"_source": {"v": value_of(dice)}} for _ in range(300)]
    target = "/_ingest/pipeline/_simulate?filter_path=docs.doc._source"
    answer = await direct.post(
        target, {"pipeline": {"processors": []}, "docs": docs}, headers={"Accept": f"application/{kind}"}
    )
    assert answer.headers["Content-Type"] == f"application/{kind}"
    found = json.loads(json_from(kind, answer.body, LIMIT, strict=False))
    assert [each["doc"]["_source"] for each in found["docs"]] == [doc["_source"] for doc in docs], SEED


def plain(value: Any) -> Any:
    """An answer without what differs from one request to the next."""
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items() if key not in PASSING}
    return [plain(each) for each in value] if isinstance(value, list) else value


class Both:
    """The node itself and the proxy, each with an index of its own."""

    def __init__(self, direct: Http, through: Http, name: str) -> None:
        self.sides = ((direct, f"{name}-d"), (through, f"{name}-t"))
        self.name = name

    async def ask(
        self, method: str, target: str, body: Any, kind: str, accept: str | None, *, lines: bool = False
    ) -> list[tuple[int, str, Any]]:
        found = []
        for http, index in self.sides:
            text = json.dumps(body).replace("INDEX", index)
            value = None if body is None else json.loads(text)
            data = None if value is None else several(value, kind) if lines else encoded(value, kind)
            said = headers(kind, accept)
            if lines and kind == "json":
                said["Content-Type"] = "application/x-ndjson"
            answer = await http(method, target.replace("INDEX", index), data, headers=said)
            found.append(self.told(answer, index))
        return found

    def told(self, answer: Answer, index: str) -> tuple[int, str, Any]:
        kind = answer.headers.get("Content-Type", "")
        value = decoded(answer.body, kind) if answer.body else None
        return answer.status, kind, json.loads(json.dumps(plain(value)).replace(index, "INDEX"))


def requests(dice: random.Random, n: int) -> list[tuple[str, str, Any]]:
    """Requests of every surface, with a list where the body is several values."""
    doc = {"n": n, "text": dice.choice(["yes", "one", "two words"]), "more": {"a": value_of(dice, 2), "b": [1.5, None]}}
    query = dice.choice(
        [
            {"match_all": {}},
            {"term": {"n": n - 1}},
            {"match": {"text": "yes"}},
            {"range": {"n": {"gte": 1}}},
            {"nope": {}},
        ]
    )
    search = {"query": query, "size": dice.choice([0, 1, 3]), "sort": ["_id"]}
    return [
        ("PUT", f"/INDEX/_doc/{n}?refresh=true", doc),
        ("PUT", f"/INDEX/_create/{n % 7}?refresh=true", doc),
        ("POST", f"/INDEX/_update/{n % 9}?refresh=true", {"doc": doc, "doc_as_upsert": dice.random() < 0.5}),
        (
            "POST",
            "/_bulk?refresh=true",
            [{"index": {"_index": "INDEX", "_id": f"b{n}"}}, doc, {"delete": {"_index": "INDEX", "_id": str(n - 1)}}],
        ),
        (
            "POST",
            "/INDEX/_bulk?refresh=true",
            [{"update": {"_id": f"b{n - 1}"}}, {"doc": doc}, {"create": {"_id": f"b{n}"}}, doc],
        ),
        ("POST", "/INDEX/_search", search),
        ("POST", "/INDEX/_search?filter_path=hits.hits._source,hits.total", search),
        ("POST", "/INDEX/_count", {"query": query}),
        ("POST", "/_msearch", [{"index": "INDEX"}, search, {"index": "INDEX-missing"}, search]),
        ("POST", "/INDEX/_msearch", [{}, search]),
        ("POST", "/_mget", {"docs": [{"_index": "INDEX", "_id": "1"}, {"_index": "INDEX", "_id": "missing"}]}),
        ("POST", "/INDEX/_mget", {"ids": ["1", "b2"]}),
        ("GET", "/INDEX/_doc/1", None),
        ("GET", "/INDEX/_doc/missing", None),
        ("GET", "/INDEX/_source/1", None),
        ("GET", "/INDEX-missing/_search", search),
        ("POST", "/INDEX/_validate/query", {"query": query}),
        ("POST", "/INDEX/_search", ["not", "an", "object"]),
        ("PUT", "/INDEX/_settings", {"index": {"number_of_replicas": 0}}),
        ("POST", "/INDEX/_delete_by_query?refresh=true", {"query": {"term": {"n": n - 5}}}),
        ("GET", "/INDEX/_settings/index.number_of_shards?flat_settings=true", None),
        ("GET", f"/INDEX/_search?size=1&sort=_id&format={dice.choice(TYPES)}", ALL),
        ("POST", "/INDEX/_search?scroll=1m&size=1&sort=_id", ALL),
        ("POST", "/INDEX/_explain/1", {"query": query}),
    ]


@pytest.mark.timeout(900)
async def test_answers_through_identity_pipelines_are_the_nodes(direct: Http, through: Http, name: str):
    await attach_identity(through, name)
    both, dice = Both(direct, through, name), random.Random(SEED)
    for http, index in both.sides:
        await http.put(
            f"/{index}",
            {
                "settings": {"number_of_shards": 1, "number_of_replicas": 0},
                "mappings": {"dynamic": False, "properties": {"n": {"type": "long"}, "text": {"type": "keyword"}}},
            },
        )
    for n in range(REQUESTS):
        method, target, body = dice.choice(requests(dice, n))
        lines = isinstance(body, list) and ("_bulk" in target or "_msearch" in target)
        kind = dice.choice(("json", "smile") if lines else TYPES)
        accept = dice.choice((None, None, *TYPES))
        node, proxy = await both.ask(method, target, body, kind, accept, lines=lines)
        assert node[:2] == proxy[:2], (SEED, n, method, target, kind, accept, body, node, proxy)
        if node[0] < 400:
            assert node == proxy, (SEED, n, method, target, kind, accept, body)


@pytest.mark.parametrize("kind", ["yaml", "cbor", "smile"])
async def test_pipelines_see_documents_and_results(through: Http, direct: Http, name: str, kind: str):
    await through.pipeline(name, "document", native("s", "set", field="seen", value=1))
    await through.pipeline(name, "query", native("s", "filter_query", query={"term": {"n": 1}}))
    await through.pipeline(name, "result", native("s", "mask", fields=["text"]))
    settings = {f"index.{slot}.default_pipeline": name for slot in ("document", "query", "result")}
    made = await through.put(f"/{name}", encoded({"settings": settings}, kind), headers=headers(kind))
    assert (made.status, decoded(made.body, f"application/{kind}")["acknowledged"]) == (200, True)
    for n in (1, 2):
        doc = encoded({"n": n, "text": "open"}, kind)
        made = await through.put(f"/{name}/_doc/{n}?refresh=true", doc, headers=headers(kind))
        assert (made.status, made.headers.get("X-Pipeline", "")[:8]) == (201, "document"), made.body
    assert (await direct.get(f"/{name}/_source/1")).json == {"n": 1, "text": "open", "seen": 1}
    found = await through.post(f"/{name}/_search", encoded(ALL, kind), headers=headers(kind))
    (hit,) = decoded(found.body, found.headers["Content-Type"])["hits"]["hits"]
    assert (hit["_id"], hit["_source"]["text"]) == ("1", "****")
    if kind == "yaml":
        source = quote("---\nquery:\n  match_all: {}\n")
        found = await through.get(f"/{name}/_search?source={source}&source_content_type=application/yaml")
        assert [hit["_id"] for hit in found.json["hits"]["hits"]] == ["1"]


ONLY_THE_NODE = {
    "yaml": b"---\nx: &a 1\ny: *a\n",
    "cbor": b"\xbf\x61x\x62\xc0\xaf\xff",
    "smile": b":)\n\x00\xfa\x80x" + b"\xf8" * 200 + b"\xf9" * 200 + b"\xfb",
}
"""Documents that only the node reads, so that they have passed as they came where they are taken."""


@pytest.mark.parametrize("kind", ["yaml", "cbor", "smile"])
async def test_what_nothing_concerns_passes_as_it_came(through: Http, direct: Http, name: str, kind: str):
    await through.pipeline(name, "document", native("s", "set", field="seen", value=1))
    await through.index(f"{name}-other", document=name)
    await direct.put(f"/{name}", {"mappings": {"enabled": False}})
    made = await through.put(f"/{name}/_doc/1", ONLY_THE_NODE[kind], headers=headers(kind))
    assert (made.status, made.headers["Content-Type"]) == (201, f"application/{kind}")
    made = await through.put(f"/{name}-other/_doc/1", ONLY_THE_NODE[kind], headers=headers(kind))
    assert (made.status, made.headers["Content-Type"]) == (400, f"application/{kind}")


MARK = b"\xef\xbb\xbf"
COMMENTED = {
    "_doc/1": b'{"x":1, // one\n "y":/* two */2} // three',
    "_search": b'/* c */{"size":1 // c\n}',
    "_count": b'{"query":{"match_all":{/* c */}}}',
    "_update/1": b'{"doc":{"z":1 /* c */},"doc_as_upsert":true}',
    "_bulk": b'{"index":/* c */{"_id":"2"}} // c\n{"x":/* c */1}\n',
    "_bulk?refresh=true": b'{"index":{"_id":"2"}}\n{"x":/* c */1} // c\n',
    "_msearch": b'{/* c */}\n{"size":/* c */1}\n',
}


async def attach_stages(through: Http, name: str, by: str) -> None:
    """Attaches a pipeline of each type that changes nothing to the indexes of the name."""
    if by == "python":
        await attach_identity(through, name)
        return
    if by != "built-ins":
        await through.udf(name, wat.ECHO_OF_SINGLES if by == "batched" else wat.ECHO)
    for kind in ("document", "query", "result"):
        stage = wasm("w", name)
        if by == "built-ins":
            lower = native("n", "lowercase", field="gone", ignore_missing=True)
            stage = native("n", "truncate_hits", target_size=9) if kind == "result" else lower
        await through.pipeline(name, kind, stage)
    made = await through.put(f"/_pipeline/_association/{name}-*", dict.fromkeys(("document", "query", "result"), name))
    assert made.status in (200, 201), made.body


@pytest.mark.parametrize("surface", COMMENTED)
@pytest.mark.parametrize("marked", [False, True])
@pytest.mark.parametrize("by", ["python", "compiled", "batched", "built-ins"])
async def test_marks_and_comments_are_taken_as_the_node_takes_them(
    direct: Http, through: Http, name: str, surface: str, by: str, *, marked: bool
):
    await attach_stages(through, name, by)
    bodies = (
        [COMMENTED[surface]] if not marked else [MARK + b.replace(b"/* c */{", b"{") for b in (COMMENTED[surface],)]
    )
    kind = {"Content-Type": "application/x-ndjson"} if surface.startswith(("_bulk", "_msearch")) else None
    for body in bodies:
        told = []
        for http, index in ((direct, f"{name}-d"), (through, f"{name}-t")):
            await http.put(f"/{index}", {"settings": {"number_of_replicas": 0}})
            answer = await http.post(f"/{index}/{surface}", body, headers=kind)
            stored = await direct.get(f"/{index}/_doc/{'2' if 'bulk' in surface else '1'}?filter_path=_source")
            told.append((answer.status, answer.json.get("errors"), stored.body))
        assert told[0] == told[1]
        assert told[0][0] < 300


async def test_marks_are_taken_in_uploads(through: Http, name: str):
    stage = native("s", "drop")
    body = MARK + b"/* c */" + json.dumps({"type": "document", "stages": [stage]}).encode()
    assert (await through.put(f"/_pipeline/{name}", body)).status == 201
    code = MARK + b"def process(doc):\n    return doc // 1 if doc == 0 else doc\n"
    assert (await through.put(f"/_udf/{name}", code, headers={"Content-Type": "text/x-python"})).status == 201
    body = MARK + json.dumps({"language": "python", "source": "def process(doc):\n    return doc\n"}).encode()
    assert (await through.put(f"/_udf/{name}-j", body)).status == 201
