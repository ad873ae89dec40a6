"""A cluster that costs next to nothing: canned answers to searches and bulks, the registry in memory."""

from __future__ import annotations

import asyncio
import json
import sys
from urllib.parse import unquote

import uvloop

from benches.load.diverse import INDEXES, PIPELINES

HIT = {"_index": "i", "_id": "1", "_score": 1.0, "_source": {"level": "INFO", "text": "x" * 440}}
SEARCH = json.dumps(
    {"took": 1, "timed_out": False, "hits": {"total": {"value": 10, "relation": "eq"}, "hits": [HIT] * 10}}
).encode()
DOCUMENT = json.dumps({"_index": "i", "_id": "%s", "_version": 1, "found": True, "_source": HIT["_source"]})
GROWN = "grown-%d-%d"
"""The names of further indexes, if there are any: with their number twice."""
MORE = int(sys.argv[2]) if len(sys.argv) > 2 and __name__ == "__main__" else 0
NAMES = [GROWN % (n, n) for n in range(MORE)]
NAMES += [
    "i",
    *(f"{name}{n}" for name in ("i", "masked-", *(f"{each}-" for each in PIPELINES)) for n in range(INDEXES)),
]
ALIASES = json.dumps({name: {"aliases": {}} for name in NAMES}).encode()
RESOLVED = json.dumps(
    {"indices": [{"name": n, "attributes": ["open"]} for n in NAMES], "aliases": [], "data_streams": []}
).encode()
ITEM = b'{"index":{"_index":"i","_id":"1","_version":1,"result":"created","status":201}}'


class Stub(asyncio.Protocol):
    """HTTP/1.1 with Content-Length bodies; enough of a registry for pipelines to be stored."""

    indexes: dict[str, dict[str, dict[str, object]]] = {}
    written = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begins with an empty buffer."""
        self.transport = transport
        self.data = bytearray()

    def data_received(self, data: bytes) -> None:
        """Answers every request that is whole."""
        self.data += data
        while (end := self.data.find(b"\r\n\r\n")) >= 0:
            head = bytes(self.data[:end])
            length = 0
            for line in head.lower().split(b"\r\n")[1:]:
                if line.startswith(b"content-length:"):
                    length = int(line[15:])
            if len(self.data) < end + 4 + length:
                return
            body = bytes(self.data[end + 4 : end + 4 + length])
            del self.data[: end + 4 + length]
            method, target = head.split(b" ", 2)[:2]
            status, answer = self.answer(method.decode(), target.decode(), body)
            self.transport.write(  # type: ignore[attr-defined]
                b"HTTP/1.1 %d X\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s"
                % (status, len(answer), answer)
            )

    def answer(self, method: str, target: str, body: bytes) -> tuple[int, bytes]:
        """Status and body of an answer."""
        path = target.partition("?")[0]
        if method == "HEAD":
            return 200, b""
        if path.endswith("/_bulk"):
            count = body.count(b'{"index"')
            return 200, b'{"took":1,"errors":false,"items":[' + b",".join([ITEM] * count) + b"]}"
        if path.startswith("/.headrace"):
            return self.registry(method, path, body)
        if path.endswith("/_search"):
            return 200, SEARCH
        if method == "POST" and path.endswith("/_doc"):
            return 201, b'{"_index":"i","_id":"1","_version":1,"result":"created"}'
        if method == "GET" and "/_doc/" in path:
            return 200, DOCUMENT.replace("%s", path.rpartition("/")[2], 1).encode()
        if path.startswith("/_alias"):
            return 200, ALIASES
        if path.startswith("/_resolve/index"):
            return 200, RESOLVED
        if path.startswith("/_index_template"):
            return 200, b'{"index_templates":[]}'
        if "perform_permission_check" in target:
            return 400, b'{"error":"unrecognized parameter: [perform_permission_check]","status":400}'
        if "/pipeline/" in path:
            return 404, b"{}"
        return 200, b"{}"

    def registry(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        """The registry index: documents by id, their fingerprint, all of them."""
        documents = self.indexes.setdefault(path.split("/")[1], {})
        if path.endswith("/_search"):
            if b"aggs" in body:
                numbers = [int(str(d["_seq_no"])) for d in documents.values()]
                stats = {"count": len(numbers), "max": max(numbers, default=0), "sum": sum(numbers)}
                shards = {"failed": 0, "successful": 1}
                return 200, json.dumps({"_shards": shards, "aggregations": {"s": stats}}).encode()
            code, asked = b"must_not" not in body, json.loads(body)
            hits = [d for d in documents.values() if (d["_source"]["kind"] == "code") is code]  # type: ignore[index]
            sign = 1 if asked["sort"][0]["_seq_no"] == "asc" else -1
            hits.sort(key=lambda hit: sign * int(str(hit["_seq_no"])))
            if "search_after" in asked:
                last = sign * asked["search_after"][0]
                hits = [hit for hit in hits if sign * int(str(hit["_seq_no"])) > last]
            hits = hits[: asked["size"]]
            found = {"_shards": {"failed": 0, "successful": 1}, "timed_out": False, "hits": {"hits": hits}}
            return 200, json.dumps(found).encode()
        if "/_doc/" not in path:
            return 200, b"{}"
        id_ = unquote(path.rpartition("/")[2])
        if method == "GET":
            return (200, json.dumps(documents[id_]).encode()) if id_ in documents else (404, b'{"found":false}')
        if method == "DELETE":
            documents.pop(id_, None)
            return 200, b'{"result":"deleted"}'
        number = Stub.written = Stub.written + 1
        documents[id_] = {"_id": id_, "_seq_no": number, "_primary_term": 1, "_source": json.loads(body)}
        documents[id_]["sort"] = [number]
        return 201, b"{}"


async def main(port: int) -> None:
    """Serves until killed."""
    server = await asyncio.get_running_loop().create_server(Stub, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
