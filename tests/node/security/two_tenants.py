"""An index with the documents of two tenants, and one with those of the first alone: for what a search may show."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
import uuid
from dataclasses import dataclass
from typing import Any

VISIBLE: dict[str, Any] = {"term": {"tenant": "a"}}
OTHERS = ("zebra", "7777", '"_id":"b-', "2077")
"""Marks of the other tenant's documents: in texts, numbers, ids and dates."""
SECRETS = ("quagga", "5551234", "5.551234")
"""Marks of hidden values."""
HIDDEN_NAMES = ("secret", "people.ssn", "flat.inner")
RAW: dict[str, Any] = {"raw": {"type": "keyword"}}
MAPPING: dict[str, Any] = {
    "properties": {
        "tenant": {"type": "keyword"},
        "text": {"type": "text", "fields": {"raw": {"type": "keyword"}}},
        "title": {"type": "text", "index_options": "offsets"},
        "tag": {"type": "keyword"},
        "mark": {"type": "keyword"},
        "kept": {"type": "keyword", "store": True},
        "n": {"type": "long"},
        "one": {"type": "long"},
        "day": {"type": "date"},
        "ip": {"type": "ip"},
        "place": {"type": "geo_point"},
        "area": {"type": "geo_shape"},
        "rank": {"type": "rank_feature"},
        "query": {"type": "percolator"},
        "complete": {"type": "completion"},
        "join": {"type": "join", "relations": {"question": "answer"}},
        "people": {
            "type": "nested",
            "properties": {
                "name": {"type": "text", "fields": RAW},
                "age": {"type": "long"},
                "ssn": {"type": "long", "copy_to": "numbers", "fields": RAW},
                "number": {"type": "alias", "path": "people.ssn"},
            },
        },
        "numbers": {"type": "long"},
        "secret": {"type": "text", "store": True, "fielddata": True, "copy_to": "everything", "fields": RAW},
        "secret_alias": {"type": "alias", "path": "secret.raw"},
        "everything": {"type": "text", "fielddata": True, "store": True},
        "flat": {"type": "flat_object"},
    }
}


def document(tenant: str, at: int) -> dict[str, Any]:
    """A document; those of tenant b are marked in every field."""
    own = tenant == "a"
    word = "mark" if own else "zebra"
    n = at * 10 if own else 7777000 + at
    return {
        "tenant": tenant,
        "text": f"common words {word}text{at}",
        "title": f"common words {word}title",
        "tag": ["x", "y"][at % 2 :] if own else ["x", "zebratag"],
        "mark": f"{word}-{at}",
        "kept": f"{word}kept{at}",
        "n": n,
        "one": 1 if own else 7777,
        "day": f"20{24 if own else 77}-0{at}-01",
        "ip": f"10.0.0.{at}" if own else f"77.77.0.{at}",
        "place": {"lat": 10 + at, "lon": 10} if own else {"lat": 47.777, "lon": 77.77},
        "area": {"type": "point", "coordinates": [10, 10 + at] if own else [47.777, 57.777]},
        "rank": n,
        "query": {"match": {"text": "common" if own else "common zebraquery"}},
        "complete": f"common {word} {at}",
        "people": [
            {"name": f"common {word}name{at}", "age": n + 1, "ssn": 555123400 + at},
            {"name": f"common {word}second{at}", "age": n + 2, "ssn": 555123450 + at},
        ],
        "secret": f"quagga{tenant}{at} common",
        "flat": {"inner": f"quaggaflat{at}", "open": f"{word}open"},
    }


def documents() -> list[tuple[str, str | None, dict[str, Any]]]:
    """Ids, routings and documents: questions of both tenants, each answered by both."""
    found: list[tuple[str, str | None, dict[str, Any]]] = []
    for tenant in "ab":
        for at in range(1, 5):
            found.append((f"{tenant}-{at}", None, {**document(tenant, at), "join": "question"}))
        for at, parent in ((5, "a-1"), (6, "b-1"), (7, f"{tenant}-2"), (8, f"{tenant}-2")):
            join = {"name": "answer", "parent": parent}
            found.append((f"{tenant}-{at}", parent, {**document(tenant, at), "join": join}))
    return found


@dataclass
class Tenants:
    """The two indexes on a node."""

    url: str
    both: str
    own: str

    def __call__(self, method: str, target: str, body: Any = None) -> tuple[int, str]:
        text = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
        request = urllib.request.Request(self.url + target, text, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def make(self) -> None:
        """Makes both."""
        settings = {"number_of_shards": 1, "number_of_replicas": 0}
        for index, tenants in ((self.both, "ab"), (self.own, "a")):
            made = self("PUT", f"/{index}", {"settings": settings, "mappings": MAPPING})
            assert made[0] == 200, made
            lines: list[Any] = []
            for id_, routing, each in documents():
                if each["tenant"] in tenants:
                    action = {"_index": index, "_id": id_} | ({"routing": routing} if routing else {})
                    lines += [{"index": action}, each]
            bulk = "".join(json.dumps(line) + "\n" for line in lines).encode()
            status, text = self("POST", "/_bulk?refresh=true", bulk)
            assert status == 200, text
            assert not json.loads(text)["errors"], text

    def drop(self) -> None:
        """Deletes both."""
        self("DELETE", f"/{self.both},{self.own}")

    def search(self, index: str, body: dict[str, Any]) -> tuple[int, str]:
        """An answer to a search; `{index}` and `{pit}` in the body are those of the index."""
        text = json.dumps(_unwrapped(body, index), default=float).replace("{index}", index)
        if "{pit}" not in text:
            return self("POST", f"/{index}/_search", text.encode())
        pit = json.loads(self("POST", f"/{index}/_search/point_in_time?keep_alive=1m")[1])["pit_id"]
        answer = self("POST", "/_search", text.replace("{pit}", pit).encode())
        self("DELETE", "/_search/point_in_time", {"pit_id": [pit]})
        return answer[0], answer[1].replace(pit, "PIT")


def _unwrapped(body: Any, index: str) -> Any:
    """`{index}` also in queries in base64."""
    if isinstance(body, list):
        return [_unwrapped(each, index) for each in body]
    if not isinstance(body, dict):
        return body
    if isinstance(body.get("wrapper"), dict):
        inner = json.loads(base64.b64decode(body["wrapper"]["query"]))
        text = json.dumps(_unwrapped(inner, index)).replace("{index}", index)
        return {"wrapper": {"query": base64.b64encode(text.encode()).decode()}}
    return {name: _unwrapped(each, index) for name, each in body.items()}


def tenants(url: str) -> Tenants:
    """Two indexes that are not made yet."""
    name = f"t{uuid.uuid4().hex[:12]}"
    return Tenants(url, f"{name}-both", f"{name}-own")


def filtered(body: dict[str, Any], visible: Any = VISIBLE) -> dict[str, Any]:
    """What the built-in filter_query makes of a search."""
    return {**body, "query": {"bool": {"must": [body.get("query") or {"match_all": {}}], "filter": [visible]}}}


UNSTABLE = frozenset(
    {"took", "terminated_early", "_shards", "pit_id", "profile", "_index", "_seq_no", "_version", "_primary_term"}
    | {"_score", "max_score", "score", "bg_count"}
)
"""Members that differ between indexes with other documents in them: times, scores, statistics."""


def comparable(answer: Any, *, background: bool = False) -> Any:
    """An answer without what may differ; hits in the order of their ids. `background`: with counts of a background."""
    unstable = UNSTABLE - {"bg_count"} if background else UNSTABLE
    if isinstance(answer, dict):
        kept = {name: each for name, each in answer.items() if name not in unstable}
        return {name: comparable(each, background=background) for name, each in kept.items()}
    if isinstance(answer, list):
        parts = [comparable(each, background=background) for each in answer]
        if parts and all(isinstance(each, dict) and "_id" in each for each in parts):
            parts.sort(key=lambda each: json.dumps(each, sort_keys=True))
        return parts
    return float(f"{answer:.6g}") if isinstance(answer, float) else answer


def masked(text: str) -> str:
    """An answer after a result pipeline that removes the hidden fields from the `_source` of hits."""
    answer = json.loads(text)
    for hit in answer.get("hits", {}).get("hits", []):
        source = hit.get("_source") or {}
        source.pop("secret", None)
        if isinstance(source.get("flat"), dict):
            source["flat"].pop("inner", None)
        for person in source.get("people", []):
            person.pop("ssn", None)
    return json.dumps(answer)
