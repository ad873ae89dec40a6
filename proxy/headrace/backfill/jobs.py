"""The index of jobs: one small document for each item that is done, and the jobs of before.

An item is checked off after the cluster has acknowledged all it wrote, so a job that is killed at any moment repeats
at most the items that were at work, and their writes have the effect of once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec

from headrace.backfill import files
from headrace.backfill.cluster.records import JOB_INDEX, now, path_of, read_stored
from headrace.backfill.spec import ItemResult
from headrace.client.errors import ClientError

if TYPE_CHECKING:
    from headrace.backfill.cluster.link import Link
    from headrace.backfill.spec import JobSpec, WorkItem

MAX_JOBS = 10_000
"""Jobs with one target that are looked at, the latest ones: as many as a search reaches by default."""
JOBS_PAGE = 100
"""Jobs of an answer: those over many files have long records."""


class _ItemRecord(msgspec.Struct, kw_only=True):
    job: str
    item: str
    number: int
    result: ItemResult
    updated: str
    kind: Literal["item"] = "item"


class _Seen(msgspec.Struct):
    high: dict[str, Any] = {}
    compare: bool = False


class _Filled(msgspec.Struct):
    digest: str
    pipeline: str
    source: str
    sources: list[str] = []
    passes: list[_Seen] = []

    def read(self) -> set[str]:
        """The indexes or files that the job has read; as they were asked for where nobody noted them."""
        high = {files.real(name) for each in self.passes if not each.compare for name in each.high}
        return {*self.sources, *high} or {self.source}


class _Listed(msgspec.Struct):
    source: _Filled = msgspec.field(name="_source")


class _Hits(msgspec.Struct):
    hits: list[_Listed]


class _Found(msgspec.Struct):
    hits: _Hits


def result_of(link: Link, job: JobSpec, item: WorkItem) -> ItemResult | None:
    """The result of an item that is checked off, else `None`. Raises ClientError."""
    stored = read_stored(link, job.job_index, f"{job.job}/{item.key}")
    if stored is None:
        return None
    result = msgspec.json.decode(stored.source, type=_ItemRecord).result
    result.done_before = True
    return result


def check_off(link: Link, job: JobSpec, item: WorkItem, result: ItemResult) -> None:
    """Notes that an item is done. Raises ClientError."""
    record = _ItemRecord(job=job.job, item=item.key, number=item.number, result=result, updated=now())
    # Samples belong to diffs, which are not checked off; reasons may quote documents, and stay with dead letters.
    record.result = ItemResult(counts=result.counts)
    link.json("PUT", path_of(job.job_index, "_doc", f"{job.job}/{item.key}"), None, record)


def earlier(link: Link, sources: frozenset[str], target: str, index: str = JOB_INDEX) -> dict[str, str]:
    """The pipelines of jobs to a target from any of these indexes or files, by the digest of their code.

    However the source of a job was spelled, what it read counts. Raises ClientError.
    """
    body = {
        "query": {"bool": {"filter": [{"term": {"kind": "job"}}, {"term": {"target": target}}]}},
        "sort": [{"created": "desc"}],
        "_source": ["digest", "pipeline", "source", "sources", "passes.high", "passes.compare"],
    }
    found: dict[str, str] = {}
    try:
        link.json("POST", path_of(index, "_refresh"))
        for first in range(0, MAX_JOBS, JOBS_PAGE):
            page = body | {"from": first, "size": JOBS_PAGE}
            hits = msgspec.convert(link.json("POST", path_of(index, "_search"), None, page), _Found).hits.hits
            found |= {each.source.digest: each.source.pipeline for each in hits if each.source.read() & sources}
            if len(hits) < JOBS_PAGE:
                break
    except ClientError as error:
        if error.status != 404:
            raise
    return found
