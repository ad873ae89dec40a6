"""Rollouts on two proxies with two workers each, under traffic: aborts, steps, and a proxy that is killed.

The gate runs a sample. The long form: `ROLLOUT_SECONDS=120 pytest tests/node/running/test_rollouts_live.py`.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import signal
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp

from headrace.execution.rollouts.judging import WINDOW_SECONDS
from tests.conftest import NDJSON, Http, ProxyProcess, native, ndjson, wasm
from tests.node.running.test_rollouts import basic
from tests.node.security.test_workers import children
from tests.support.wat import field_udf

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

SECONDS = float(os.environ.get("ROLLOUT_SECONDS", "9"))
BULK = 120
SLACK = 3.0
"""Seconds beside two windows: the write of the abort, and the polls of the other proxy (0.5 s here)."""
COUNTS = """(local $i i32) (loop (local.set $i (i32.add (local.get $i) (i32.const 1)))
  (br_if 0 (i32.lt_u (local.get $i) (i32.const {})))) (i32.const 1)"""
"""A UDF that takes its time: it counts."""
Serve = "Callable[..., tuple[ProxyProcess, Http]]"


def start(serve: Any) -> tuple[ProxyProcess, Http]:
    process, http = serve(workers="2", **{"registry-poll": "500ms"})
    return process, http


async def two(serve: Any) -> list[tuple[ProxyProcess, Http]]:
    """Two proxies that share a registry."""
    started = [start(serve) for _ in range(2)]
    for process, http in started:
        await process.ready(http)
    return started


class Traffic:
    """Bulks on connections of their own, so that each worker gets some; notes which version each document met."""

    def __init__(
        self, bases: list[str], index: str, document: Callable[[int], dict[str, Any]], keys: int = 4000
    ) -> None:
        self.bases, self.index, self.document, self.keys = bases, index, document, keys
        self.labels: list[tuple[float, str]] = []
        self.errors = 0
        self.random = random.Random(6)

    async def bulk(self) -> list[int]:
        """A bulk of documents with random keys; gives the keys that were written."""
        keys = self.random.sample(range(self.keys), BULK)
        lines = [line for k in keys for line in ({"index": {"_index": self.index, "_id": f"k{k}"}}, self.document(k))]
        connector = aiohttp.TCPConnector(force_close=True)
        async with aiohttp.ClientSession(connector=connector) as session:
            http = Http(self.random.choice(self.bases), session)
            try:
                answer = await http.post("/_bulk", ndjson(*lines), headers=NDJSON)
            except aiohttp.ClientError:
                return []
        self.labels.append((time.monotonic(), answer.headers["X-Pipeline"]))
        self.errors += sum("error" in item["index"] for item in answer.json["items"])
        return keys

    async def go_on(self) -> None:
        while True:
            await self.bulk()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(self.go_on()) for _ in range(3)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def last_canary(self) -> float:
        return max((at for at, label in self.labels if ";canary=" in label), default=0.0)


async def prepared(
    http: Http, name: str, stable: list[dict[str, Any]], candidate: list[dict[str, Any]], **spec: Any
) -> None:
    """An index with a pipeline, and a rollout of its second version."""
    for number, stages in ((1, stable), (2, candidate)):
        body = {"type": "document", "version": str(number), "stages": stages}
        target = f"/_pipeline/{name}" + ("?activate=false" if number == 2 else "")
        assert (await http.put(target, body)).status == 201
    made = await http.index(name, document=name)
    assert made.status == 200
    rollout = {"candidate": "2", "mode": "canary", "steps": [{"percent": 30}], **spec}
    answer = await http.put(f"/_pipeline/{name}/_rollout", rollout)
    assert answer.status == 201, answer.body
    while not (await http.get(f"/_pipeline/{name}/_rollout")).json["percent"]:
        await asyncio.sleep(0.1)


async def ended(https: list[Http], name: str, since: float) -> Any:
    """The rollout once all proxies show that it is aborted; they do within two windows."""
    while time.monotonic() < since + 2 * WINDOW_SECONDS + SLACK:
        shown = [(await http.get(f"/_pipeline/{name}/_rollout")).json for http in https]
        if all(each["state"] == "aborted" for each in shown):
            return shown[0]
        await asyncio.sleep(0.2)
    raise AssertionError(f"not aborted: {shown}")


MARK = native("mark", "set", field="v", value=1)
NUMBER = native("n", "convert", field="n", type="long", ignore_missing=True)


def faulty(k: int) -> dict[str, Any]:
    """One document in a hundred has what the candidate fails on."""
    return {"n": "x"} if k % 100 == 0 else {"n": 1}


async def test_a_candidate_with_one_error_in_a_hundred_is_aborted_though_a_proxy_is_killed(serve: Any, name: str):
    (killed, _), (_, http) = proxies = await two(serve)
    bases = [each.base for _, each in proxies]
    await prepared(http, name, [MARK], [MARK, NUMBER], abort_if={"error_rate": 0.002}, min_samples=500)
    traffic, since = Traffic(bases, name, faulty), time.monotonic()
    async with traffic.running():
        # No worker has seen `min_samples` documents yet, so one that is left judges.
        while not traffic.last_canary:
            await asyncio.sleep(0.01)
        workers = children(killed.process.pid)
        killed.end(signal.SIGKILL)
        for pid in workers:
            os.kill(pid, signal.SIGKILL)
        traffic.bases = [http.base]
        shown = await ended([http], name, since)
        at = time.monotonic()
        await asyncio.sleep(1.5)
    assert "error_rate" in shown["reason"]
    assert shown["judged_by"]
    assert traffic.errors > 0
    assert traffic.last_canary < at + 1.0
    metrics = (await http.get("/_proxy/metrics")).body.decode()
    assert f'headrace_rollout_aborts_total{{limit="error_rate",pipeline="{name}",type="document"}} 1.0' in metrics
    assert f'headrace_rollout_aborted{{candidate="2",pipeline="{name}",type="document"}} 1.0' in metrics


async def test_a_candidate_that_is_three_times_slower_is_aborted_and_an_equal_one_is_not(serve: Any, name: str):
    proxies = await two(serve)
    https = [http for _, http in proxies]
    for udf, steps in ((f"{name}-a", 15_000), (f"{name}-b", 15_000), (f"{name}-c", 45_000)):
        await https[0].udf(udf, field_udf(COUNTS.format(steps)))
    traffic = Traffic([http.base for http in https], name, lambda k: {"k": k})
    limits = {"p99_ratio": 2, "error_rate": 0.001, "dropped_rate": 0.001}
    await prepared(https[0], name, [wasm("w", f"{name}-a")], [wasm("w", f"{name}-b")], abort_if=limits)
    async with traffic.running():
        await asyncio.sleep(SECONDS)
        equal = (await https[0].get(f"/_pipeline/{name}/_rollout")).json
        assert (equal["state"], equal["reason"]) == ("running", "")
        assert equal["versions"]["candidate"]["documents"] > 2000
        assert (await https[0].post(f"/_pipeline/{name}/_abort")).status == 200
        slow = {"type": "document", "version": "3", "stages": [wasm("w", f"{name}-c")]}
        assert (await https[0].put(f"/_pipeline/{name}?activate=false", slow)).status == 201
        spec = {"candidate": "3", "mode": "canary", "steps": [{"percent": 30}], "abort_if": limits}
        assert (await https[0].put(f"/_pipeline/{name}/_rollout", spec)).status == 201
        while not (await https[0].get(f"/_pipeline/{name}/_rollout")).json["percent"]:
            await asyncio.sleep(0.1)
        since = time.monotonic()
        shown = await ended(https, name, since)
        at = time.monotonic()
        await asyncio.sleep(1.5)
    assert "p99_ratio" in shown["reason"], shown["reason"]
    assert traffic.last_canary < at + 1.0
    assert traffic.errors == 0


async def attached_everywhere(bases: list[str], name: str) -> None:
    """Waits until searches meet the query pipeline in all workers: so many in a row that each has had some."""
    for base in bases:
        row = 0
        while row < 20:
            async with aiohttp.ClientSession() as session:
                answer = await Http(base, session).post(f"/{name}/_search", {})
            row = row + 1 if "X-Pipeline" in answer.headers else 0


async def test_no_key_meets_two_versions_within_a_step_and_none_goes_back(serve: Any, direct: Http, name: str):
    """Bulks, single writes and searches through four workers, while the percentage grows by itself."""
    proxies = await two(serve)
    bases = [http.base for _, http in proxies]
    http = proxies[0][1]
    steps = [{"percent": 10, "for": "2s"}, {"percent": 40, "for": "2s"}, {"percent": 80}]
    await prepared(http, name, [MARK], [native("mark", "set", field="v", value=2)], steps=steps)
    for number in (1, 2):
        body = {"type": "query", "version": str(number), "stages": [native("size", "set", field="size", value=number)]}
        target = f"/_pipeline/{name}-q" + ("?activate=false" if number == 2 else "")
        assert (await http.put(target, body)).status == 201
    assert (await http.put(f"/{name}/_settings", {"index.query.default_pipeline": f"{name}-q"})).status == 200
    await direct.bulk(*[line for n in range(3) for line in ({"index": {"_index": name, "_id": f"s{n}"}}, {})])
    await direct.post(f"/{name}/_refresh")
    await attached_everywhere(bases, name)
    spec = {"candidate": "2", "mode": "canary", "steps": steps}
    assert (await http.put(f"/_pipeline/{name}-q/_rollout", spec)).status == 201
    traffic, until = Traffic(bases, name, lambda k: {"k": k}, keys=300), time.monotonic() + 20.0
    met: dict[str, list[int]] = {}
    while time.monotonic() < until:
        for k in await traffic.bulk():
            found = (await direct.get(f"/{name}/_doc/k{k}")).json["_source"]["v"] if k % 4 == 0 else None
            if found is not None:
                met.setdefault(f"k{k}", []).append(found)
        user, base = f"u{traffic.random.randrange(12)}", traffic.random.choice(bases)
        async with aiohttp.ClientSession() as session:
            answer = await Http(base, session).post(f"/{name}/_search", {}, headers=basic(user))
        met.setdefault(user, []).append(len(answer.json["hits"]["hits"]))
    changes = {key: sum(a != b for a, b in itertools.pairwise(seen)) for key, seen in met.items()}
    went_back = {key: seen for key, seen in met.items() if seen != sorted(seen)}
    assert not went_back
    assert max(changes.values()) == 1
    assert sum(changes.values()) > 10
    assert (await http.get(f"/_pipeline/{name}/_rollout")).json["percent"] == 80
