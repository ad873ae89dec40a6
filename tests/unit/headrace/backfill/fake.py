"""A cluster at the edge of the network, which refuses as it is told: for what a real node does only under load."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


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
        cluster = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                path = self.path.partition("?")[0]
                cluster.requests.append((self.command, self.path, body))
                if cluster.cut:
                    cluster.cut -= 1
                    self.close_connection = True
                    return
                status, answer = cluster.answer(path, body)
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
