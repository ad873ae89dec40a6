"""The records of a stream: searching, grouping and deleting, with the caller's credentials."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from headrace_pipelines.definition import DEAD_LETTERS, STREAM
from headrace_pipelines.errors import InvalidError

if TYPE_CHECKING:
    from headrace.server.request import RequestContext

Query = dict[str, Any]
MAX_GROUPS = 1000
"""Maximum number of groups in an answer."""


def stream_of(name: str | None) -> str:
    """The stream that a request is about. Raises InvalidError for what is no name of one."""
    if name is None:
        return DEAD_LETTERS
    if not STREAM.fullmatch(name):
        raise InvalidError(f"[{name}] does not match {STREAM.pattern}", "stream")
    return name


def filters(index: str | None, pipeline: str | None, since: str | None, group: str | None = None) -> list[Query]:
    """The clauses of a query for records; `since`: a time, or a duration such as `1h` before now."""
    found: list[Query] = []
    if group is not None:
        found.append({"term": {"group": group}})
    if index is not None:
        found.append({"wildcard": {"target": {"value": index}}})
    if pipeline is not None:
        found.append({"term": {"pipeline": pipeline}})
    if since is not None:
        at = f"now-{since}" if since[:1].isdigit() and since[-1:] in "smhd" and since[:-1].isdigit() else since
        found.append({"range": {"@timestamp": {"gte": at}}})
    return found


def any_of(name: str) -> Query:
    """The query for a record by its id, or for the records of a group."""
    return {"bool": {"should": [{"term": {"group": name}}, {"ids": {"values": [name]}}], "minimum_should_match": 1}}


async def search(context: RequestContext, stream: str, body: dict[str, Any]) -> dict[str, Any]:
    """The answer to a search over a stream that may not be there yet. Raises ClusterRefusedError."""
    path = f"/{stream}/_search?ignore_unavailable=true"
    answer = await context.call_cluster("POST", path, msgspec.json.encode(body))
    answer.require_ok()
    return msgspec.json.decode(answer.body, type=dict[str, Any])


async def refresh(context: RequestContext, stream: str) -> None:
    """Has searches find all records that are acknowledged, where the caller may do that."""
    await context.call_cluster("POST", f"/{stream}/_refresh?ignore_unavailable=true")


async def count(context: RequestContext, stream: str, query: Query) -> int:
    """The number of records. Raises ClusterRefusedError."""
    found = await search(context, stream, {"size": 0, "track_total_hits": True, "query": query})
    total = found["hits"].get("total", {"value": 0})
    return int(total["value"])


async def records(context: RequestContext, stream: str, query: Query, size: int) -> list[dict[str, Any]]:
    """The oldest records, as hits. Raises ClusterRefusedError."""
    order = [{"@timestamp": {"order": "asc", "unmapped_type": "date"}}]
    found = await search(context, stream, {"size": size, "query": query, "sort": order, "seq_no_primary_term": True})
    hits: list[dict[str, Any]] = found["hits"]["hits"]
    return hits


async def groups(context: RequestContext, stream: str, clauses: list[Query]) -> tuple[int, list[dict[str, Any]]]:
    """The number of records, and the largest groups with a sample each. Raises ClusterRefusedError."""
    sample = {"size": 1, "_source": {"excludes": ["original", "original_base64"]}, "sort": [{"@timestamp": "desc"}]}
    inner = {
        "first": {"min": {"field": "@timestamp"}},
        "last": {"max": {"field": "@timestamp"}},
        "conflicts": {"filter": {"term": {"conflict": True}}},
        "sample": {"top_hits": sample},
    }
    body = {
        "size": 0,
        "track_total_hits": True,
        "query": {"bool": {"filter": clauses}},
        "aggs": {"groups": {"terms": {"field": "group", "size": MAX_GROUPS}, "aggs": inner}},
    }
    found = await search(context, stream, body)
    buckets = found.get("aggregations", {}).get("groups", {}).get("buckets", [])
    return int(found["hits"].get("total", {"value": 0})["value"]), [_group(bucket) for bucket in buckets]


def _group(bucket: dict[str, Any]) -> dict[str, Any]:
    (hit,) = bucket["sample"]["hits"]["hits"]
    record = hit["_source"]
    members = {
        name: record[name] for name in ("target", "pipeline", "version", "cause", "stage", "error") if name in record
    }
    return {
        "group": bucket["key"],
        "count": bucket["doc_count"],
        "first": bucket["first"].get("value_as_string"),
        "last": bucket["last"].get("value_as_string"),
        "conflicts": bucket["conflicts"]["doc_count"],
        **members,
        "sample": {"_index": hit["_index"], "_id": hit["_id"]},
    }


async def drop(context: RequestContext, stream: str, clauses: list[Query]) -> int:
    """Deletes records; gives their number. Raises ClusterRefusedError."""
    body = msgspec.json.encode({"query": {"bool": {"filter": clauses}}})
    path = f"/{stream}/_delete_by_query?ignore_unavailable=true&conflicts=proceed&refresh=true"
    answer = await context.call_cluster("POST", path, body)
    answer.require_ok()
    return int(msgspec.json.decode(answer.body, type=dict[str, Any]).get("deleted", 0))
