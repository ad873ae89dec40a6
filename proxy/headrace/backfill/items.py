"""Plans: what is in a source by shard and sequence number, and the items of a pass."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

import msgspec

from headrace.backfill.files import split_of
from headrace.backfill.spec import BackfillError, WorkItem
from headrace.client.errors import ClientError

if TYPE_CHECKING:
    from headrace.backfill.cluster.link import Link
    from headrace.backfill.cluster.records import Pass
    from headrace.backfill.spec import Marks

MIN_ITEM, MAX_ITEM = 5_000, 200_000
"""Sequence numbers of an item: enough for its costs not to show, few enough to be repeated after a loss."""
ITEMS_PER_WORKER = 8
"""Items that a worker gets in a pass, at least: so that all workers end at nearly the same time."""
SETTLING_SECONDS = 30.0
"""Seconds in which the copies of a shard must have all that it acknowledged, once nobody writes."""
UNREADABLE = frozenset({400, 403})
"""Statuses of a source that does not show its sequence numbers."""


class Survey(NamedTuple):
    """A source at a moment: the first sequence number of each shard that is not all over its copies yet.

    `settled`: whether every operation is on all copies. `documents`: roughly, with deleted ones.
    """

    marks: Marks
    settled: bool
    documents: int

    @property
    def operations(self) -> int:
        """Sequence numbers of all shards."""
        return sum(mark for shards in self.marks.values() for mark in shards.values())


class _SeqNo(msgspec.Struct):
    max_seq_no: int = -1
    global_checkpoint: int = -1


class _Routing(msgspec.Struct):
    primary: bool = False


class _Docs(msgspec.Struct):
    count: int = 0


class _Copy(msgspec.Struct):
    routing: _Routing
    seq_no: _SeqNo | None = None
    docs: _Docs = msgspec.field(default_factory=_Docs)


class _Index(msgspec.Struct):
    shards: dict[str, list[_Copy]] = {}


class _Stats(msgspec.Struct):
    indices: dict[str, _Index] = {}


def path_of(index: str, *segments: str) -> str:
    """The path of an index, or of an expression of several, with what follows."""
    return "/".join(("", quote(index, safe="*,-_."), *segments))


def survey(link: Link, source: str) -> Survey:
    """What a source has now, all of which searches show afterwards. Raises ClientError, BackfillError."""
    answer = link.json("GET", path_of(source, "_stats", "docs"), {"level": "shards"})
    indices = msgspec.convert(answer, _Stats).indices
    if not indices:
        raise BackfillError(f"there is no index [{source}]", "source")
    marks: Marks = {}
    settled, documents = True, 0
    for name, index in indices.items():
        for number, copies in index.shards.items():
            primary = next((copy for copy in copies if copy.routing.primary), None)
            if primary is None or primary.seq_no is None:
                raise BackfillError(f"shard {number} of [{name}] has no primary now", "source")
            marks.setdefault(name, {})[number] = primary.seq_no.global_checkpoint + 1
            settled = settled and primary.seq_no.global_checkpoint == primary.seq_no.max_seq_no
            documents += primary.docs.count
    link.json("POST", path_of(source, "_refresh"))
    _require_shards(link, source, sum(map(len, marks.values())))
    return Survey(marks, settled, documents)


def _require_shards(link: Link, source: str, count: int) -> None:
    """Raises BackfillError where statistics lack a shard, and ClientError where a shard is not there to be searched.

    Statistics say nothing of a shard without a copy: its documents would be left out without a word.
    """
    params = {"allow_partial_search_results": "false", "filter_path": "_shards.total"}
    found = link.json("POST", path_of(source, "_search"), params, {"size": 0, "track_total_hits": False})
    if found["_shards"]["total"] > count:
        raise BackfillError(f"not every shard of [{source}] tells its sequence numbers now", "source")


def settled_survey(link: Link, source: str) -> Survey:
    """The same, once every operation is on all copies; for a source that nobody writes to. Raises BackfillError."""
    until = time.monotonic() + SETTLING_SECONDS
    while not (found := survey(link, source)).settled:
        if time.monotonic() > until:
            raise BackfillError(f"the copies of [{source}] are not equal after {SETTLING_SECONDS:.0f} s", "source")
        time.sleep(0.1)
    return found


def readable(link: Link, source: str) -> bool:
    """Whether sequence numbers can be seen and searched there; raises ClientError for another reason."""
    body = {
        "size": 1,
        "_source": False,
        "query": {"bool": {"filter": [{"range": {"_seq_no": {"gte": 0}}}]}},
        "sort": [{"_seq_no": "asc"}],
        "seq_no_primary_term": True,
    }
    try:
        found = link.json("POST", path_of(source, "_search"), {"preference": "_shards:0"}, body)
        link.json("GET", path_of(source, "_stats", "docs"), {"level": "shards"})
    except ClientError as error:
        if error.status in UNREADABLE:
            return False
        raise
    return all("_seq_no" in hit for hit in found["hits"]["hits"])


def item_size(operations: int, workers: int) -> int:
    """Sequence numbers of an item, for so many workers."""
    return max(MIN_ITEM, min(MAX_ITEM, operations // (workers * ITEMS_PER_WORKER)))


def items_of(planned: Pass, source: str, primary: frozenset[str]) -> list[WorkItem]:
    """The items of a pass, the same ones every time; `primary`: indexes that are read from primary shards only.

    Shards alternate, so that the first workers do not all read the same one.
    """
    if planned.slices:
        return [
            WorkItem(index=source, shard=each, slices=planned.slices, number=planned.number)
            for each in range(planned.slices)
        ]
    by_shard = []
    for index, shards in planned.high.items():
        for shard, high in shards.items():
            first = planned.low.get(index, {}).get(shard, 0)
            size = split_of(index) if planned.files else planned.size
            by_shard.append(
                [
                    WorkItem(
                        index=index,
                        shard=int(shard),
                        low=low,
                        high=min(high, low + size),
                        number=planned.number,
                        primary=index in primary,
                        compare=planned.compare,
                        file=planned.files,
                    )
                    for low in range(first, high, size)
                ]
            )
    longest = max(map(len, by_shard), default=0)
    return [items[turn] for turn in range(longest) for items in by_shard if turn < len(items)]


def primary_only(link: Link, source: str) -> frozenset[str]:
    """The indexes of a source whose replicas copy segments: a refresh says nothing about them. Raises ClientError."""
    found: dict[str, Any] = link.json("GET", path_of(source, "_settings", "index.replication.type"))
    return frozenset(name for name, about in found.items() if "SEGMENT" in str(about))


def concrete(link: Link, name: str, field: str) -> str:
    """The index behind a name. Raises BackfillError where there is none, or are several, or it is a data stream."""
    try:
        found: dict[str, Any] = link.json("GET", path_of(name), {"expand_wildcards": "all"})
    except ClientError as error:
        if error.status == 404:
            raise BackfillError(f"there is no index [{name}]: create it first, with its mappings", field) from None
        raise
    if len(found) != 1:
        raise BackfillError(f"[{name}] is {len(found)} indexes; a target is one", field)
    ((index, about),) = found.items()
    if index != name and about.get("data_stream"):
        raise BackfillError(f"[{name}] is a data stream, which takes no versions of documents", field)
    return index


def streams_of(link: Link, source: str) -> list[str]:
    """The data streams that a source names, or whose indexes it names. Raises ClientError."""
    params = {"expand_wildcards": "all", "filter_path": "*.data_stream"}
    found: dict[str, Any] = link.json("GET", path_of(source), params)
    return sorted({about["data_stream"] for about in found.values()})


def indexes_of(link: Link, source: str) -> frozenset[str]:
    """The indexes behind a source. Raises BackfillError for an alias with a filter: items read the indexes behind it.

    Raises ClientError, but for a source that is not there: what reads it says so.
    """
    try:
        found: dict[str, Any] = link.json("GET", path_of(source, "_alias"))
    except ClientError as error:
        if error.status != 404:
            raise
        return frozenset()
    named = source.split(",")
    for about in found.values():
        for alias, says in about.get("aliases", {}).items():
            if alias in named and says.get("filter"):
                raise BackfillError(
                    f"the alias [{alias}] has a filter: name its index, and the filter by --query", "source"
                )
    return frozenset(found)
