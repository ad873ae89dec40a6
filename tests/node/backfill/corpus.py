"""Documents of a source, writers that go on meanwhile, and what a pipeline would make of each."""

from __future__ import annotations

import asyncio
import json
import random
from typing import Any

from headrace_pipelines import Pipelines
from tests.conftest import NDJSON, Http, native, ndjson

MAPPING = {
    "properties": {
        "n": {"type": "long"},
        "level": {"type": "keyword"},
        "state": {"type": "keyword"},
        "text": {"type": "keyword", "index": False, "doc_values": False},
    }
}
PYTHON = "def process(doc):\n    doc['seen'] = doc.get('seen', 0) + 1\n    return doc\n"
STAGES = [
    native("d", "drop") | {"if": "doc.n % 7 == 3"},
    native("f", "fail", message="no") | {"if": "doc.n % 500 == 5"},
    native("l", "lowercase", field="level"),
    {"name": "u", "type": "python", "config": {"udf_name": "{name}"}},
]
"""Some are dropped, some fail, and the rest says how often it has been through the pipeline."""


async def created(direct: Http, index: str, shards: int = 3) -> None:
    settings = {"number_of_shards": shards, "number_of_replicas": 0}
    made = await direct.put(f"/{index}", {"settings": settings, "mappings": MAPPING})
    assert made.status == 200, made.body


def document(n: int, state: str = "first") -> dict[str, Any]:
    return {"n": n, "level": ("INFO", "Warn", "ERROR")[n % 3], "state": state, "text": "lorem ipsum " * (n % 40)}


async def filled(direct: Http, index: str, count: int, shards: int = 3) -> None:
    await created(direct, index, shards)
    for start in range(0, count, 5000):
        lines: list[str] = []
        for n in range(start, min(count, start + 5000)):
            action = {"_id": f"d{n}", **({"routing": f"r{n % 4}"} if n % 5 == 0 else {})}
            lines += (json.dumps({"index": action}), json.dumps(document(n)))
        answer = await direct.post(f"/{index}/_bulk", ("\n".join(lines) + "\n").encode(), headers=NDJSON)
        assert not answer.json["errors"]


async def pipeline(through: Http, name: str, stages: list[dict[str, Any]] | None = None) -> Pipelines:
    """Stores the pipeline and its UDF; gives the same in this process."""
    stages = json.loads(json.dumps(stages or STAGES).replace("{name}", name))
    udfs = {name: {"language": "python", "source": PYTHON, "limits": {"timeout": "5s"}}}
    assert (await through.put(f"/_udf/{name}", udfs[name])).status in (200, 201)
    definition = {"type": "document", "stages": stages}
    assert (await through.put(f"/_pipeline/{name}", definition)).status in (200, 201)
    return Pipelines.load({name: definition}, udfs)


async def contents(direct: Http, index: str) -> dict[str, tuple[Any, str | None]]:
    """The documents of an index by id, with their routing."""
    await direct.post(f"/{index}/_refresh")
    found: dict[str, tuple[Any, str | None]] = {}
    body: dict[str, Any] = {"size": 5000, "sort": ["_doc"], "query": {"match_all": {}}}
    answer = (await direct.post(f"/{index}/_search?scroll=1m", body)).json
    while hits := answer["hits"]["hits"]:
        found |= {hit["_id"]: (hit["_source"], hit.get("_routing")) for hit in hits}
        answer = (await direct.post("/_search/scroll", {"scroll": "1m", "scroll_id": answer["_scroll_id"]})).json
    await direct.delete("/_search/scroll", {"scroll_id": answer["_scroll_id"]})
    return found


async def facts(direct: Http, index: str) -> dict[str, dict[str, int]]:
    """Version and sequence number of each document, by id."""
    body = {"size": 10000, "version": True, "seq_no_primary_term": True, "_source": False}
    found: dict[str, dict[str, int]] = {}
    for shard in range(3):
        hits = (await direct.post(f"/{index}/_search?preference=_shards:{shard}", body)).json["hits"]["hits"]
        found |= {hit["_id"]: {"_version": hit["_version"], "_seq_no": hit["_seq_no"]} for hit in hits}
    return found


async def expected(direct: Http, pipelines: Pipelines, name: str, source: str) -> dict[str, tuple[Any, str | None]]:
    """What the target has to be: the pipeline applied once to each document of the source."""
    found: dict[str, tuple[Any, str | None]] = {}
    documents = list((await contents(direct, source)).items())
    for start in range(0, len(documents), 2000):
        chunk = documents[start : start + 2000]
        lines = [line for id_, (text, _) in chunk for line in ({"index": {"_id": id_}}, text)]
        outcome = pipelines.run_bulk(name, ndjson(*lines), index=source)
        # A stage that fails for want of time would say nothing about the job.
        assert {failure.type for failure in outcome.failures} <= {"fail_processor_exception"}
        left = [about for about, state in zip(chunk, outcome.states, strict=True) if state in ("same", "changed")]
        texts = bytes(outcome.body).split(b"\n")[1::2]
        found |= {id_: (json.loads(text), routing) for (id_, (_, routing)), text in zip(left, texts, strict=True)}
    return found


class Writers:
    """Indexes, updates and deletes documents of a source until it is told to end, or writes are refused."""

    def __init__(self, direct: Http, index: str, count: int, seed: int = 1) -> None:
        self._direct = direct
        self._index = index
        self._count = count
        self._random = random.Random(seed)
        self.written = 0
        self.refused = False
        self.over = asyncio.Event()
        self.task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Writers:
        self.task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self.over.set()
        assert self.task is not None
        await self.task

    async def _run(self) -> None:
        while not self.over.is_set() and not self.refused:
            lines: list[str] = []
            for _ in range(20):
                n = self._random.randrange(self._count + 500)
                kind = self._random.choice(("index", "index", "update", "delete"))
                action = {"_id": f"d{n}", **({"routing": f"r{n % 4}"} if n % 5 == 0 else {})}
                lines.append(json.dumps({kind: action}))
                state = f"live{self.written}"
                if kind == "index":
                    lines.append(json.dumps(document(self._random.randrange(self._count), state)))
                elif kind == "update":
                    lines.append(json.dumps({"doc": {"state": state}}))
                self.written += 1
            answer = await self._direct.post(
                f"/{self._index}/_bulk", ("\n".join(lines) + "\n").encode(), headers=NDJSON
            )
            statuses = {next(iter(item.values()))["status"] for item in answer.json["items"]}
            # The block of writes may come in the middle of a bulk.
            self.refused = 403 in statuses
            assert statuses - {403} <= {200, 201, 404}, statuses
            await asyncio.sleep(0.02)
