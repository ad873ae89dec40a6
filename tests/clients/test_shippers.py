"""Logstash and Beats, by their requests and their rules for what is sent again: every event arrives once, or is given up.

Logstash (logstash-output-opensearch): `_id` and `routing` as null, `filter_path`, gzip; an item with 429 or 503 is sent
again, one with 409 is ignored, any other failed one goes to the dead letters; a request that fails with 429 or 5xx is
sent again. Beats: `create` without an id; 409 counts as there already, 429 and 5xx are sent again, other 4xx dropped.
"""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import pytest

from tests.conftest import Http, native, wasm
from tests.support import wat

FILTER = "errors,items.*.error,items.*.status"


@dataclass
class Shipper:
    """Delivers events as one of the two does. `requests`: how often it had to send."""

    http: Http
    index: str
    kind: str
    given_up: list[Any] = field(default_factory=list)
    requests: int = 0
    left: list[Any] = field(default_factory=list)

    def _lines(self, event: Any) -> bytes:
        logstash = {"index": {"_id": event.get("id"), "_index": self.index, "routing": None}}
        action = logstash if self.kind == "logstash" else {"create": {"_index": self.index}}
        return json.dumps(action).encode() + b"\n" + json.dumps(event).encode() + b"\n"

    async def ship(self, events: list[Any], most: int = 5) -> None:
        """Sends until nothing is left to be sent again, `most` times."""
        self.left = events
        for _ in range(most):
            if not self.left:
                return
            self.requests += 1
            headers = {"Content-Type": "application/json", "Content-Encoding": "gzip", "Connection": "Keep-Alive"}
            if self.kind == "beats":
                headers |= {"Content-Type": "application/json; charset=UTF-8", "Accept": "application/json"}
            parameters = f"filter_path={FILTER if self.kind == 'logstash' else quote(FILTER)}"
            body = gzip.compress(b"".join(self._lines(event) for event in self.left))
            answer = await self.http.post(f"/_bulk?{parameters}", body, headers=headers)
            if answer.status == 429 or answer.status >= 500:
                continue
            assert answer.status == 200, answer.body
            told = answer.json
            if not told["errors"]:
                self.left = []
                return
            assert len(told["items"]) == len(self.left)
            again = []
            for event, item in zip(self.left, told["items"], strict=True):
                (status,) = (each["status"] for each in item.values())
                if status == 429 or status >= 500:
                    again.append(event)
                elif status >= 300 and status != 409:
                    self.given_up.append(event)
            self.left = again


@pytest.fixture(params=["logstash", "beats"])
def shipper(through: Http, name: str, request: pytest.FixtureRequest) -> Shipper:
    return Shipper(through, name, request.param)


async def stored(direct: Http, index: str) -> list[int]:
    await direct.post(f"/{index}/_refresh")
    found = await direct.post(f"/{index}/_search", {"size": 100, "sort": {"n": {"unmapped_type": "long"}}})
    return [hit["_source"]["n"] for hit in found.json["hits"]["hits"]]


async def test_dropped_and_failed_events(shipper: Shipper, through: Http, direct: Http, name: str):
    await through.pipeline(
        name, "document",
        native("drop", "drop") | {"if": "doc.level == 'DEBUG'"},
        native("fail", "fail", message="no") | {"if": "doc.level == 'BAD'"},
        native("set", "set", field="x", value=1),
    )  # fmt: skip
    await through.index(name, document=name)
    levels = ["INFO", "DEBUG", "BAD", "INFO"] * 5
    events = [{"n": n, "level": level} for n, level in enumerate(levels)]
    await shipper.ship(events)
    assert (shipper.requests, shipper.left) == (1, [])
    assert [event["level"] for event in shipper.given_up] == ["BAD"] * 5
    assert await stored(direct, name) == [n for n, level in enumerate(levels) if level == "INFO"]


async def test_a_bulk_of_which_nothing_is_left(shipper: Shipper, through: Http, direct: Http, name: str):
    """An empty bulk would be a 400 of the cluster, and a shipper would send it for ever."""
    await through.pipeline(name, "document", native("drop", "drop"))
    await through.index(name, document=name)
    await shipper.ship([{"n": n} for n in range(3)])
    assert (shipper.requests, shipper.given_up, shipper.left) == (1, [], [])
    assert await stored(direct, name) == []


async def test_what_times_out_is_sent_again_and_arrives_once(shipper: Shipper, through: Http, direct: Http, name: str):
    await through.udf(name, wat.LOOP)
    slow = wasm("slow", name) | {"if": "doc.n % 3 == 0", "timeout": "20ms"}
    await through.pipeline(name, "document", slow)
    await through.index(name, document=name)
    events = [{"n": n} for n in range(10)]
    await shipper.ship(events, most=1)
    assert [event["n"] for event in shipper.left] == [0, 3, 6, 9]
    await through.pipeline(name, "document", native("set", "set", field="x", value=1))
    await shipper.ship(shipper.left)
    assert (shipper.requests, shipper.given_up, shipper.left) == (2, [], [])
    assert await stored(direct, name) == list(range(10))


@pytest.mark.parametrize("kind", ["logstash", "beats"])
async def test_what_they_ask_before_they_ship(through: Http, direct: Http, name: str, kind: str):
    template = {"index_patterns": [f"{name}-*"], "template": {"settings": {"number_of_replicas": 0}}}
    asked: list[tuple[str, str, Any]] = [("HEAD", "/", None), ("GET", "/", None)]
    if kind == "logstash":
        asked += [("HEAD", f"/_index_template/{name}", None), ("PUT", f"/_index_template/{name}", template)]
        asked += [("HEAD", f"/_index_template/{name}", None), ("GET", "/_nodes/http", None)]
    else:
        asked += [
            ("GET", "/_license", None),
            ("HEAD", f"/_alias/{name}", None),
            ("GET", f"/_index_template/{name}", None),
        ]
        asked += [("PUT", f"/_index_template/{name}", template), ("GET", "/_ingest/pipeline/filebeat-*", None)]
    got = []
    for http in (direct, through):
        answers = [await http(method, target, body) for method, target, body in asked]
        got.append([(a.status, a.headers.get("Content-Type"), len(a.body) > 0) for a in answers])
        await direct.delete(f"/_index_template/{name}")
    assert got[0] == got[1]
