"""Generated requests, odd but legal, direct and through the proxy: statuses, headers that matter and bodies are equal.

Each side has an index of its own, filled alike, on which the same requests run in the same order. Once without any
pipeline, and once with identity pipelines on the proxy's index. `HEADRACE_TEST_REQUESTS` for more of them by hand.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import re
from typing import Any

import pytest

from tests.conftest import Http, wasm

COUNT = int(os.environ.get("HEADRACE_TEST_REQUESTS", "400"))
SEED = int(os.environ.get("HEADRACE_SEED", "1"))
VOLATILE = {
    "took",
    "_scroll_id",
    "pit_id",
    "index_uuid",
    "index.uuid",
    "index.creation_date",
    "index.creation_date_string",
    "ingest_took",
    "line",
    "col",
}
HEADERS = ("Content-Type", "Location", "WWW-Authenticate", "Allow")
"""The node gives its warnings of deprecation once, so `Warning` cannot be compared."""

QUERIES: list[Any] = [
    {"match_all": {}},
    {"term": {"t": "a"}},
    {"range": {"n": {"gte": 3, "lt": 8}}},
    {"bool": {"filter": [{"term": {"t": "b"}}], "must_not": {"ids": {"values": ["1"]}}}},
    {"match": {"w": "word"}},
    {"nope": {}},
    {"ids": {"values": ["1", "2", "none"]}},
    {"query_string": {"query": "n:>4 AND t:a"}},
    {"constant_score": {"filter": {"exists": {"field": "n"}}, "boost": 1.50}},
    {"match_none": {}},
]
PARAMS = [
    "pretty", "human", "filter_path=hits.hits._id,*.total", "filter_path=-**._source", "size=2", "size=-1",
    "from=3", "sort=n:desc,_seq_no", "sort=n,_seq_no", "q=t:a", "q=n:%5B2%20TO%205%5D&default_operator=AND", "_source=n", "_source=false",
    "_source_includes=w&_source_excludes=n", "track_total_hits=true", "track_total_hits=3", "rest_total_hits_as_int=true",
    "typed_keys=true", "ignore_unavailable=true", "allow_no_indices=false", "expand_wildcards=all", "preference=_local",
    "routing=x", "unknown=1", "version=true", "seq_no_primary_term=true", "search_type=dfs_query_then_fetch",
    "request_cache=false", "timeout=5s", "stored_fields=_none_", "batched_reduce_size=2",
]  # fmt: skip
MAPPING = {
    "settings": {"number_of_shards": 1, "number_of_replicas": 0, "refresh_interval": "-1"},
    "mappings": {"properties": {"t": {"type": "keyword"}, "n": {"type": "long"}, "w": {"type": "text"}}},
}


class Requests:
    """Generates requests; `{i}` stands for the side's index. `odd`: also bodies and types that pipelines cannot read."""

    def __init__(self, seed: int, *, odd: bool) -> None:
        self.random = random.Random(seed)
        self.odd = odd

    def one(self) -> tuple[str, str, bytes | None, dict[str, str]]:
        pick = self.random.choice
        make = pick([self.search, self.search, self.msearch, self.count, self.write, self.bulk, self.get, self.other])
        method, path, body, types = make()
        params = self.random.sample(PARAMS, self.random.choice([0, 0, 1, 1, 2, 3])) if "bulk" not in path else []
        target = path + ("?" if params and "?" not in path else "&" if params else "") + "&".join(params)
        headers = {"Content-Type": types} if body is not None else {}
        if body is not None and any(each.startswith("q=") for each in params):
            # The node reads the body's query before the URL's takes its place; a folded one is not read any more.
            body = body.replace(b'"nope"', b'"match_all"')
        if body and self.random.random() < 0.1:
            body, headers["Content-Encoding"] = gzip.compress(body, mtime=0), "gzip"
        if self.odd and self.random.random() < 0.05:
            headers["Accept"] = pick(["application/yaml", "application/json", "*/*", "text/plain"])
        if self.odd and body is not None and self.random.random() < 0.05:
            headers["Content-Type"] = pick(["text/plain", "application/yaml", "application/json; charset=UTF-8", "x"])
        return method, target, body, headers

    def index(self) -> str:
        return self.random.choice(
            ["{i}", "{i}", "{i}", "{i},{i}-none", "{i}*", "{i}-none", "%7Bi%7D".replace("%7Bi%7D", "{i}")]
        )

    def body(self, value: Any) -> bytes:
        text = json.dumps(value, indent=self.random.choice([None, None, 1]))
        if self.odd and self.random.random() < 0.05:
            text = self.random.choice([text[:-1], "[]", "5", '{"a":1,}', "", '{"size":1,"size":2}'])
        return text.encode()

    def asked(self) -> dict[str, Any]:
        # Segments differ from index to index, so that only what is sorted has an order.
        body: dict[str, Any] = {"sort": ["_seq_no"]}
        if self.random.random() < 0.9:
            body["query"] = self.random.choice(QUERIES)
        for name, values in {
            "size": [0, 1, 5, 20], "from": [0, 2], "sort": [["n", "_seq_no"], [{"n": "desc"}, "_seq_no"]], "_source": [True, False, ["n"]],
            "aggs": [{"ts": {"terms": {"field": "t"}, "aggs": {"top": {"top_hits": {"size": 1, "sort": ["n", "_seq_no"]}}}}}],
            "highlight": [{"fields": {"w": {}}}], "collapse": [{"field": "t", "inner_hits": {"name": "x", "size": 1, "sort": ["n", "_seq_no"]}}],
            "fields": [["n", "t"]], "suggest": [{"s": {"text": "wrod", "term": {"field": "w"}}}], "min_score": [0.1],
            "track_total_hits": [True, 2], "unknown": [1],
        }.items():  # fmt: skip
            if self.random.random() < 0.12:
                body[name] = self.random.choice(values)
        return body

    def search(self) -> tuple[str, str, bytes | None, str]:
        method = self.random.choice(["GET", "POST"])
        body = self.body(self.asked()) if self.random.random() < 0.8 else None
        return method, f"/{self.index()}/_search" + ("" if body else "?sort=_seq_no"), body, "application/json"

    def msearch(self) -> tuple[str, str, bytes | None, str]:
        lines = []
        for _ in range(self.random.randint(1, 3)):
            lines += [
                json.dumps(self.random.choice([{}, {"index": "{i}"}, {"index": ["{i}-none"]}])),
                json.dumps(self.asked()),
            ]
        text = "".join(line + "\n" for line in lines)
        if self.odd and self.random.random() < 0.1:
            text = self.random.choice([text[:-1], "\n" + text, text + "\n", ""])
        return "POST", self.random.choice(["/{i}/_msearch", "/{i}*/_msearch"]), text.encode(), "application/x-ndjson"

    def count(self) -> tuple[str, str, bytes | None, str]:
        surface = self.random.choice(["_count", "_count", "_validate/query", "_explain/3", "_explain/none"])
        query = {"query": self.random.choice(QUERIES)}
        return self.random.choice(["GET", "POST"]), f"/{{i}}/{surface}", self.body(query), "application/json"

    def document(self) -> dict[str, Any]:
        n = self.random.randint(0, 99)
        more = self.random.choice([{}, {"deep": {"x": [1, 2.50, None]}}, {"u": "é\U0001f600"}, {"n": "no number"}])
        return {"t": self.random.choice("ab"), "n": n, "w": "a word", **more}

    def write(self) -> tuple[str, str, bytes | None, str]:
        id_ = self.random.randint(0, 12)
        method, path = self.random.choice([
            ("PUT", f"_doc/{id_}"), ("POST", f"_doc/{id_}"), ("PUT", f"_create/{id_}"), ("POST", f"_update/{id_}"),
            ("DELETE", f"_doc/{id_}"), ("PUT", f"_doc/{id_}?refresh=true"), ("PUT", f"_doc/{id_}?if_seq_no=0&if_primary_term=1"),
        ])  # fmt: skip
        if method == "DELETE":
            return method, f"/{{i}}/{path}", None, ""
        document: Any = self.document()
        if "_update" in path:
            document = self.random.choice([
                {"doc": document}, {"doc": document, "doc_as_upsert": True}, {"script": "ctx._source.n = 5"},
                {"script": "ctx._source.n = 5", "upsert": document}, {"nonsense": 1},
            ])  # fmt: skip
        return method, f"/{{i}}/{path}", self.body(document), "application/json"

    def bulk(self) -> tuple[str, str, bytes | None, str]:
        lines: list[str] = []
        for _ in range(self.random.randint(1, 6)):
            id_ = str(self.random.randint(0, 15))
            op = self.random.choice(["index", "create", "update", "delete"])
            lines.append(json.dumps({op: {"_id": id_}}))
            if op == "update":
                members: dict[str, Any] = {"doc": self.document(), "doc_as_upsert": self.random.random() < 0.5}
                if self.random.random() < 0.3:
                    members["upsert"] = self.document()
                lines.append(json.dumps(members))
            elif op != "delete":
                lines.append(json.dumps(self.document()))
        text = "".join(line + self.random.choice(["\n", "\n", "\r\n"]) for line in lines)
        if self.odd and self.random.random() < 0.1:
            text = self.random.choice([text[:-1], text + "\n", '{"foo":{}}\n{}\n', "", '{"index":{"_x":1}}\n{}\n'])
        refresh = self.random.choice(["?refresh=true", ""])
        return "POST", f"/{{i}}/_bulk{refresh}", text.encode(), "application/x-ndjson"

    def get(self) -> tuple[str, str, bytes | None, str]:
        id_ = self.random.choice(["1", "2", "none", "%C3%A4"])
        path = self.random.choice([f"_doc/{id_}", f"_source/{id_}", f"_doc/{id_}?realtime=false"])
        return self.random.choice(["GET", "GET", "HEAD"]), f"/{{i}}/{path}", None, ""

    def other(self) -> tuple[str, str, bytes | None, str]:
        choices: list[tuple[str, str, Any]] = [
            ("GET", "/{i}/_mapping", None), ("GET", "/{i}/_settings?flat_settings=true", None), ("HEAD", "/{i}", None),
            ("GET", "/{i}/_field_caps?fields=*", None), ("POST", "/{i}/_refresh", None), ("GET", "/{i}/_alias", None),
            ("POST", "/{i}/_mget", {"ids": ["1", "none"]}), ("GET", "/_cat/count/{i}?h=count", None),
            ("POST", "/{i}/_search/template", {"source": '{"size":"{{s}}","sort":["_seq_no"]}', "params": {"s": 2}}),
            ("POST", "/{i}/_delete_by_query?refresh=true", {"query": {"term": {"n": 99}}}),
            ("POST", "/{i}/_update_by_query?refresh=true", {"query": {"ids": {"values": ["3"]}}, "script": "ctx._source.n += 1"}),
            ("POST", "/{i}/_analyze", {"text": "Some Words"}), ("GET", "/{i}/_nonsense", None), ("PUT", "/{i}", {}),
            ("OPTIONS", "/{i}", None), ("POST", "/{i}/_rank_eval", {"requests": [], "metric": {"recall": {}}}),
        ]  # fmt: skip
        method, path, body = self.random.choice(choices)
        return method, path, None if body is None else json.dumps(body).encode(), "application/json"


def normal(value: Any, index: str) -> Any:
    """An answer without what differs from run to run, and the side's index as `{i}`."""
    if isinstance(value, dict):
        return {normal(k, index): normal(v, index) for k, v in value.items() if k not in VOLATILE}
    if isinstance(value, list):
        return [normal(v, index) for v in value]
    if not isinstance(value, str):
        return value
    # Where in a body something is wrong (a pipeline writes it anew), the index's unique id, Lucene's number of a document.
    return re.sub(r"\[\d+:\d+\]|/[\w-]{22}(?=\])|(?<=match id )\d+", "", value.replace(index, "{i}"))


def told(answer: Any, index: str) -> tuple[Any, ...]:
    """What is compared of an answer."""
    headers = {h: normal(answer.headers[h], index) for h in HEADERS if h in answer.headers}
    body: Any = answer.body
    try:
        body = normal(json.loads(answer.body), index)
    except ValueError:
        text = normal(answer.body.decode(errors="replace"), index)
        body = re.sub(r"(took|creation_date|uuid)([^\w.-]+)[\w.-]+", r"\1\2", text)
    return answer.status, headers, body


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("identity", [False, True], ids=["no-pipelines", "identity-pipelines"])
async def test_nobody_can_tell_the_proxy_from_the_cluster(through: Http, direct: Http, name: str, identity: bool):
    sides = [(direct, f"{name}-d"), (through, f"{name}-t")]
    for _, index in sides:
        assert (await direct.put(f"/{index}", MAPPING)).status == 200
        lines = [
            line
            for i in range(10)
            for line in ({"index": {"_index": index, "_id": str(i)}}, {"t": "ab"[i % 2], "n": i, "w": "a word"})
        ]
        await direct.bulk(*lines)
        await direct.post(f"/{index}/_refresh")
    if identity:
        await through.put(f"/_udf/{name}", {"language": "python", "source": "def process(doc):\n    return doc\n"})
        settings = {}
        for kind in ("document", "query", "result"):
            await through.pipeline(name, kind, wasm("identity", name))
            settings[f"index.{kind}.default_pipeline"] = name
        assert (await through.put(f"/{sides[1][1]}/_settings", settings)).status == 200
    requests = Requests(SEED, odd=not identity)
    different = []
    for n in range(COUNT):
        method, target, body, headers = requests.one()
        if identity and "_settings" in target:
            continue
        answers = []
        for http, index in sides:
            own = (
                body.replace(b"{i}", index.encode()) if body is not None and "Content-Encoding" not in headers else body
            )
            answers.append(told(await http(method, target.replace("{i}", index), own, headers=headers), index))
        # A request with several faults may be refused for another of them once a pipeline has written it anew.
        if identity and all(400 <= answer[0] < 500 for answer in answers):
            continue
        if answers[0] != answers[1]:
            different.append((n, method, target, body, headers, *answers))
    assert not different, "\n".join(map(str, different[:5])) + f"\n{len(different)} of {COUNT}"
