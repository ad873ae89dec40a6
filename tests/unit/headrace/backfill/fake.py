"""A cluster at the edge of the network, which refuses as it is told: for what a real node does only under load."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl

import pytest

from headrace.backfill.cluster import link as links


class Cluster:
    """One shard of documents and one target. `script`: answers that come first, by the last part of the path."""

    def __init__(self, documents: list[dict[str, Any]]) -> None:
        self.documents = documents
        self.script: dict[str, list[tuple[int, Any]]] = {}
        self.requests: list[tuple[str, str, bytes]] = []
        self.indexed: dict[str, Any] = {}
        self.dead: list[Any] = []
        self.refuse: dict[str, list[int]] = {}
        """Statuses of the next attempts to write a document, by id."""
        self.cut = 0
        """Connections that end without an answer, from now on."""
        self.stored: dict[str, tuple[int, Any]] = {}
        """Documents that are written one by one, with their sequence numbers, by path."""
        self.settings: dict[str, dict[str, str]] = {}
        """Settings by index, those that are set."""
        self._lock = threading.Lock()
        cluster = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Head and body of an answer go at once: else each waits for an acknowledgement of the one before.
            disable_nagle_algorithm = True
            wbufsize = -1

            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                path = self.path.partition("?")[0]
                cluster.requests.append((self.command, self.path, body))
                if cluster.cut:
                    cluster.cut -= 1
                    self.close_connection = True
                    return
                scripted = cluster.script.get(path.rpartition("/")[2])
                kept = None if scripted else cluster.kept(self.command, self.path, body)
                status, answer = cluster.answer(path, body) if kept is None else kept
                text = json.dumps(answer, separators=(",", ":")).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST = do_PUT = do_DELETE = handle_any  # noqa: N815 - names that http.server calls

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def kept(self, method: str, target: str, body: bytes) -> tuple[int, Any] | None:
        """Documents by compare-and-set, and settings; `None` for other calls."""
        path, _, query = target.partition("?")
        params = dict(parse_qsl(query))
        parts = path.strip("/").split("/")
        with self._lock:
            if len(parts) == 3 and parts[1] == "_doc" and method in ("GET", "PUT"):
                return self._document(method, path, params, body)
            if len(parts) == 3 and parts[1] == "_block" and method == "PUT":
                for index in parts[0].split(","):
                    self.settings.setdefault(index, {})[f"index.blocks.{parts[2]}"] = "true"
                return 200, {"acknowledged": True}
            if len(parts) > 1 and parts[1] == "_settings" and method == "PUT":
                for name, value in json.loads(body).items():
                    self.settings.setdefault(parts[0], {}).pop(name, None)
                    if value is not None:
                        self.settings[parts[0]][name] = value
                return 200, {"acknowledged": True}
            if len(parts) > 1 and parts[1] == "_settings":
                found = {name: value for name, value in self.settings.get(parts[0], {}).items() if name in parts[2:]}
                return 200, {parts[0]: {"settings": found}} if found else {}
        return None

    def _document(self, method: str, path: str, params: dict[str, str], body: bytes) -> tuple[int, Any]:
        number, source = self.stored.get(path, (-1, None))
        if method == "GET":
            found = {"found": True, "_seq_no": number, "_primary_term": 1, "_source": source}
            return (200, found) if number >= 0 else (404, {"found": False})
        wanted = int(params.get("if_seq_no", number))
        if wanted != number or (params.get("op_type") == "create" and number >= 0):
            return 409, {"error": {"type": "version_conflict_engine_exception", "reason": "no"}}
        number = max((each for each, _ in self.stored.values()), default=-1) + 1
        self.stored[path] = number, json.loads(body)
        return 201, {"_seq_no": number, "_primary_term": 1}

    def answer(self, path: str, body: bytes) -> tuple[int, Any]:
        kind = path.rpartition("/")[2]
        if self.script.get(kind):
            return self.script[kind].pop(0)
        if kind == "_search":
            return 200, self._found(json.loads(body))
        if kind == "_mget":
            by_id = {each["_id"]: each for each in self.documents}
            asked = [each["_id"] for each in json.loads(body)["docs"]]
            return 200, {"docs": [by_id[id_] | {"found": True} for id_ in asked]}
        if kind == "_bulk":
            return 200, self._written(path, body)
        return 404, {"found": False}

    def _found(self, search: dict[str, Any]) -> dict[str, Any]:
        wanted = search["query"]["bool"]["filter"][0]["range"]["_seq_no"]
        hits = [each for each in self.documents if wanted["gte"] <= each["_seq_no"] < wanted["lt"]]
        return {"timed_out": False, "_shards": {"failed": 0}, "hits": {"hits": hits[: search["size"]]}}

    def _written(self, path: str, body: bytes) -> dict[str, Any]:
        lines = body.split(b"\n")
        items, at, errors = [], 0, False
        while at < len(lines) - 1:
            ((op, meta),) = json.loads(lines[at]).items()
            queue = self.refuse.get(meta["_id"], [])
            status = queue.pop(0) if queue else 200
            if status == 200 and path.startswith("/dead"):
                self.dead.append(json.loads(lines[at + 1]))
            elif status == 200 and op != "delete":
                self.indexed[meta["_id"]] = json.loads(lines[at + 1])
            at += 1 if op == "delete" else 2
            errors = errors or status >= 300
            error = {"error": {"type": f"error_{status}", "reason": "no"}} if status >= 300 else {}
            items.append({op: {"status": status, **error}})
        return {"errors": errors, "items": items}


def documents(count: int, length: int = 10) -> list[dict[str, Any]]:
    return [
        {"_index": "s", "_id": f"d{n}", "_seq_no": n, "_primary_term": 1, "_source": {"n": n, "text": "x" * length}}
        for n in range(count)
    ]


def empty(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """For a fixture: a cluster without documents, and links that hardly wait before they try again."""
    monkeypatch.setattr(links, "FIRST_DELAY", 0.001)
    with closing(Cluster([])) as cluster:
        yield cluster
