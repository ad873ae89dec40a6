"""No document is lost, and none is there twice, while the proxy is killed: ingest, dead letters, redrive.

The gate runs a sample. The long form: `DEAD_LETTER_DOCUMENTS=100000 pytest tests/node/running/test_dead_letters_survive.py`.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from typing import TYPE_CHECKING, Any

import aiohttp

from tests.conftest import NDJSON, Http, ProxyProcess, native, ndjson
from tests.node.write.test_dead_letters import stream

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["stream"]

DOCUMENTS = int(os.environ.get("DEAD_LETTER_DOCUMENTS", "2400"))
BULK = 200 if DOCUMENTS < 10_000 else 1000
KILLS, REDRIVE_KILLS = (3, 1) if DOCUMENTS < 10_000 else (5, 5)
EVERY = 33
"""One document of so many has a fault: 3 %."""
PROPERTIES = {
    "k": {"type": "long"},
    "n": {"type": "long"},
    "short": {"type": "short"},
    "t": {"type": "keyword"},
    "level": {"type": "keyword"},
    "when": {"type": "date"},
    "flag": {"type": "boolean"},
    "ip": {"type": "ip"},
    "at": {"type": "geo_point"},
    "o": {"properties": {"x": {"type": "long"}}},
    "r": {"type": "integer_range"},
}
FAULTS: list[dict[str, Any]] = [
    {"n": "many"},
    {"level": 5},
    {"when": "never"},
    {"unmapped": 1},
    {"t": {"x": 1}},
    {"o": 5},
    {"short": 70_000},
    {"flag": "maybe"},
    {"ip": "localhost"},
    {"at": "nowhere"},
    {"t": "x" * 40_000},
    {"r": {"gte": 5, "lte": 1}},
]
FIELDS = sorted({name for fault in FAULTS for name in fault})
STAGES = [
    native("number", "convert", field="n", type="long", ignore_missing=True),
    native("level", "lowercase", field="level", ignore_missing=True),
]


class Ingest:
    """A client that sends again whatever is not acknowledged, to a proxy that is killed now and then."""

    def __init__(self, serve: Callable[..., tuple[ProxyProcess, Http]], direct: Http, name: str, stream: str) -> None:
        self.serve, self.direct, self.name, self.stream = serve, direct, name, stream
        self.sent = 0
        self.random = random.Random(31)

    async def start(self) -> None:
        self.process, self.http = self.serve()
        await self.process.ready(self.http)

    async def restart(self) -> None:
        self.process.end(signal.SIGKILL)
        await self.start()

    def document(self, k: int) -> dict[str, Any]:
        fault = FAULTS[k // EVERY % len(FAULTS)] if k % EVERY == 0 else {}
        return {"k": k, "n": 1, "level": "WARN", **fault}

    async def bulk(self, keys: range, *, killed: bool, named: bool = True) -> None:
        lines: list[Any] = []
        for k in keys:
            about = {"_index": self.name, "_id": f"d{k}"} if named else {"_index": self.name}
            lines += [{"index": about}, self.document(k)]
        body = ndjson(*lines)
        while True:
            sending = asyncio.create_task(self.http.post("/_bulk", body, headers=NDJSON))
            if killed:
                await asyncio.sleep(self.random.uniform(0.0, 0.15))
                self.process.end(signal.SIGKILL)
                killed = False
            try:
                answer = await sending
            except aiohttp.ClientError:
                await self.start()
                continue
            if self.process.process.poll() is not None:
                await self.start()
            assert answer.status == 200, answer.body
            assert answer.json["errors"] is False, [i for i in answer.json["items"] if "error" in i["index"]][:2]
            self.sent += len(keys)
            return

    async def counts(self) -> tuple[int, int]:
        """Documents in the index and records in the stream, of those that are acknowledged."""
        await self.direct.post(f"/{self.name},{self.stream}/_refresh?ignore_unavailable=true")
        found = [
            (await self.direct.get(f"/{each}/_count?ignore_unavailable=true")).json["count"]
            for each in (self.name, self.stream)
        ]
        return found[0], found[1]

    async def keys(self) -> list[int]:
        """The keys of all documents in the index, a document that is there twice twice."""
        await self.direct.post(f"/{self.name}/_refresh")
        found: list[int] = []
        after: list[Any] | None = None
        while True:
            body = {"size": 5000, "_source": False, "docvalue_fields": ["k"], "sort": [{"k": "asc"}, {"_id": "asc"}]}
            body |= {"search_after": after} if after else {}
            hits = (await self.direct.post(f"/{self.name}/_search", body)).json["hits"]["hits"]
            if not hits:
                return found
            found += [hit["fields"]["k"][0] for hit in hits]
            after = hits[-1]["sort"]

    async def redrive(self, records: int) -> dict[str, Any]:
        """Redrives everything, and goes on by the task after each kill, of which each cuts about the second batch."""
        path = f"/_dead_letters/_redrive?stream={self.stream}"
        started = await self.http.post(
            path, {"query": {"match_all": {}}, "rate": max(1, records // (REDRIVE_KILLS + 3))}
        )
        assert started.status == 202, started.body
        task = started.json["task"]
        for _ in range(REDRIVE_KILLS):
            await asyncio.sleep(self.random.uniform(0.95, 1.15))
            await self.restart()
            assert (await self.counts())[1], "the proxy was killed too late"
            # It says nothing any more: what is waited for is gone by.
            silent = {"doc": {"updated": time.time() - 60}}
            await self.direct.post(f"/{self.stream}-tasks/_update/{task}", silent)
            shown = (await self.http.get(f"/_dead_letters/_redrive/{task}?stream={self.stream}")).json
            assert shown["state"] == "interrupted"
            resumed = await self.http.post(path, {"task": task})
            assert resumed.status == 202, resumed.body
        for _ in range(2400):
            state = (await self.http.get(f"/_dead_letters/_redrive/{task}?stream={self.stream}")).json
            if state["state"] != "running":
                return state
            await asyncio.sleep(0.25)
        raise AssertionError(state)


async def test_every_document_is_in_the_index_or_a_dead_letter(
    serve: Callable[..., tuple[ProxyProcess, Http]], direct: Http, name: str, stream: str
):
    settings = {"number_of_shards": 1, "number_of_replicas": 0}
    mappings = {"dynamic": "strict", "properties": PROPERTIES}
    await direct.put(f"/{name}", {"settings": settings, "mappings": mappings})
    ingest = Ingest(serve, direct, name, stream)
    await ingest.start()
    dead = {"stream": stream, "answer": "accepted"}
    await ingest.http.pipeline(name, "document", *STAGES, dead_letters=dead)
    made = await ingest.http.put(f"/_pipeline/_association/{name}", {"document": name})
    assert made.status == 201
    starts = range(0, DOCUMENTS, BULK)
    kills = {starts[i * len(starts) // (KILLS + 1)] for i in range(1, KILLS + 1)}
    for i, start in enumerate(starts):
        # Without an id no client can send a document again: these bulks are not cut.
        named = start in kills or i % 3 != 0
        await ingest.bulk(range(start, min(start + BULK, DOCUMENTS)), killed=start in kills, named=named)
        if start in kills or i % 5 == 0:
            assert sum(await ingest.counts()) == ingest.sent
    indexed, dead_letters = await ingest.counts()
    expected = len(range(0, DOCUMENTS, EVERY))
    assert (indexed, dead_letters) == (DOCUMENTS - expected, expected)
    groups = (await ingest.http.get(f"/_dead_letters?stream={stream}")).json["groups"]
    assert len(groups) == len(FAULTS)

    repair = [native("repair", "remove", field=FIELDS, ignore_missing=True)]
    await ingest.http.pipeline(name, "document", *repair, dead_letters=dead)
    state = await ingest.redrive(expected)
    assert (state["state"], state["failed"], state["conflict"]) == ("done", 0, 0), state
    assert await ingest.counts() == (DOCUMENTS, 0)
    assert await ingest.keys() == list(range(DOCUMENTS))
