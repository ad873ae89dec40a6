"""Two indexes with the same pipelines, one served on the fast path and one by handlers."""

from __future__ import annotations

import gzip
import json
import re
from typing import TYPE_CHECKING, Any

from tests.conftest import Http, native

if TYPE_CHECKING:
    from tests.conftest import Answer

BY_HANDLER = {"Accept": "application/json;q=1.0"}
"""Has a handler serve the request, and changes nothing else."""
SHAPE = (
    native("d", "drop") | {"if": "has(doc.drop)"},
    native("f", "fail", message="no") | {"if": "has(doc.fail)"},
    native("s", "set", field="env", value="prod"),
    native("l", "lowercase", field="level", ignore_missing=True),
)
OWN = ("content-length", "location")
"""Headers that differ with the names and ids."""
VARIES = re.compile(rb'"(took|ingest_took|_seq_no|_primary_term|max_score|_score|_version)" ?: ?[-\d.]+')


def shown(answer: Answer, index: str) -> Any:
    """What an answer says, but for what each has of its own."""
    body = gzip.decompress(answer.body) if answer.headers.get("Content-Encoding") == "gzip" else answer.body
    body = VARIES.sub(rb'"\1":0', body.replace(index.encode(), b"INDEX"))
    body = re.sub(rb'"_id":"[A-Za-z0-9_-]{20}"', b'"_id":"auto"', body)
    body = re.sub(rb'"index_uuid":"[^"]*"', b"", body)
    heads = {name.lower(): value for name, value in answer.headers.items() if name.lower() not in OWN}
    return answer.status, {name: value.replace(index, "INDEX") for name, value in heads.items()}, body


class Pair:
    """Two indexes with the same pipelines: what one gets on the fast path, the other gets by handlers."""

    def __init__(self, through: Http, direct: Http, name: str, taken: list[str]) -> None:
        self.through, self.direct, self.taken = through, direct, taken
        self.fast, self.slow = f"{name}-a", f"{name}-b"

    async def make(self, **pipelines: str) -> None:
        for index in (self.fast, self.slow):
            await self.through.index(index, **pipelines)
            # Handlers read the names of the cluster.
            await self.through.post(f"/{index}/_doc/warm?refresh=true", {"level": "W"})

    async def same(
        self, method: str, target: str, body: Any, headers: dict[str, str] | None = None, *, inline: bool = True
    ) -> Answer:
        """Sends both; their answers are the same but for the names."""
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.taken.clear()
        sent = {"Content-Type": "application/json", **(headers or {})}
        # The handler's turn is first: it has names read anew that are too old for the fast path.
        slow, fast = [
            await self.through(
                method, target.replace("INDEX", index), text.replace(b"INDEX", index.encode()), headers=more
            )
            for index, more in ((self.slow, sent | BY_HANDLER), (self.fast, sent))
        ]
        assert shown(fast, self.fast) == shown(slow, self.slow)
        assert len(self.taken) == inline, (self.taken, fast.body)
        return fast

    async def stored(self) -> list[Any]:
        found = []
        for index in (self.fast, self.slow):
            await self.direct.post(f"/{index}/_refresh")
            hits = (await self.direct.get(f"/{index}/_search?size=100&sort=_seq_no")).json["hits"]["hits"]
            found.append([(each["_id"] if len(each["_id"]) < 20 else "auto", each["_source"]) for each in hits])
        return found
