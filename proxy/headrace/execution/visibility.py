"""Whether documents that are read by id are among those that a final query pipeline lets be seen.

A read by id is real-time and a search is not. So the search says also which write of the document it has seen; where
that is not the one that was read, the index is refreshed once and searched again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace.server.request import RequestContext

_NAME = "headrace_visible"


@dataclass(frozen=True)
class Read:
    """A document that was read by id: its index, id and routing, and the sequence number of its last write."""

    index: str
    id: str
    routing: str | None
    seq_no: int


class _Hit(msgspec.Struct):
    seq_no: int = msgspec.field(name="_seq_no", default=-1)
    matched_queries: list[str] = []


class _Hits(msgspec.Struct):
    hits: list[_Hit]


class _Response(msgspec.Struct):
    hits: _Hits | None = None


class _Responses(msgspec.Struct):
    responses: list[_Response]


async def visible(context: RequestContext, reads: Sequence[tuple[Read, Any]]) -> list[bool]:
    """Whether each of these documents is found by the query beside it. Raises ClusterRefusedError."""
    found = await _search(context, reads)
    late = sorted({read.index for (read, _), hit in zip(reads, found, strict=True) if hit.seq_no != read.seq_no})
    if late:
        await context.call_cluster("POST", f"/{quote(','.join(late), safe=',')}/_refresh")
        found = await _search(context, reads)
    return [
        hit.seq_no == read.seq_no and _NAME in hit.matched_queries for (read, _), hit in zip(reads, found, strict=True)
    ]


async def _search(context: RequestContext, reads: Sequence[tuple[Read, Any]]) -> list[_Hit]:
    """The documents by their ids, each on the shard that it was read from."""
    lines: list[bytes] = []
    for read, query in reads:
        header = {"index": read.index, "routing": read.routing if read.routing is not None else read.id}
        named = {"bool": {"filter": [query], "_name": _NAME}}
        wanted = {"bool": {"filter": [{"ids": {"values": [read.id]}}], "should": [named]}}
        body = {"query": wanted, "_source": False, "seq_no_primary_term": True, "size": 1, "track_total_hits": False}
        lines += [msgspec.json.encode(header), msgspec.json.encode(body)]
    answer = await context.call_cluster("POST", "/_msearch", b"\n".join([*lines, b""]))
    answer.require_ok()
    responses = msgspec.json.decode(answer.body, type=_Responses).responses
    return [each.hits.hits[0] if each.hits is not None and each.hits.hits else _Hit() for each in responses]
