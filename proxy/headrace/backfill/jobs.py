"""The index of jobs: a record of each job, and one small document for each item that is done.

An item is checked off after the cluster has acknowledged all it wrote, so a job that is killed at any moment repeats
at most the items that were at work, and their writes have the effect of once.
"""

from __future__ import annotations

import time
import uuid
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

import msgspec

from headrace.backfill.spec import BackfillError, ConflictError, ItemResult
from headrace.client.errors import ClientError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace.backfill.cluster.link import Link
    from headrace.backfill.spec import JobSpec, WorkItem

JOB_INDEX = ".headrace-backfill"
"""The hidden index of jobs."""
LEASE_SECONDS = 30.0
"""Seconds in which the process of a job that runs changes its record: after so many without a change it is gone."""
BEAT_SECONDS = 5.0
"""Seconds between two changes of a record by its process, about."""
_KEYWORD = {"type": "keyword"}
MAPPING = {
    "settings": {"index.hidden": True, "index.number_of_shards": 1, "index.auto_expand_replicas": "0-1"},
    "mappings": {
        "dynamic": False,
        "properties": {
            "kind": _KEYWORD,
            "job": _KEYWORD,
            "state": _KEYWORD,
            "source": _KEYWORD,
            "target": _KEYWORD,
            "pipeline": _KEYWORD,
            "number": {"type": "integer"},
            "created": {"type": "date"},
            "updated": {"type": "date"},
        },
    },
}

MAX_JOBS = 1000
"""Jobs with one source and target that are looked at, the latest ones."""

Marks = dict[str, dict[str, int]]
"""A sequence number for each shard, by index and number of the shard."""


class Pass(msgspec.Struct, kw_only=True):
    """A pass over low ≤ `_seq_no` < high of each shard, in items of `size` numbers; by `slices` where it is not 0.

    `compare`: over the target, for what the source lacks. `files`: the marks are bytes or row groups of files.
    """

    number: int
    low: Marks = {}
    high: Marks = {}
    size: int = 0
    slices: int = 0
    compare: bool = False
    files: bool = False
    done: bool = False


class JobRecord(msgspec.Struct, kw_only=True):
    """A job as it is stored: what was asked for, the digest of all code, the passes so far and their counts.

    `driver`: the process that has the job. `gc_deletes`: that setting of the target before the job (empty: none).
    """

    job: str
    source: str
    target: str
    pipeline: str
    digest: str
    created: str
    kind: Literal["job"] = "job"
    state: Literal["running", "done", "failed"] = "running"
    same_index: bool = False
    delete_dropped: bool = False
    tombstones: bool = False
    replace: bool = False
    gc_deletes: str | None = None
    query: str = ""
    alias: str = ""
    mirror: bool | None = None
    stream: str = ""
    slices: int = 0
    id_field: str = ""
    passes: list[Pass] = []
    result: ItemResult = msgspec.field(default_factory=ItemResult)
    reason: str = ""
    updated: str = ""
    driver: str = ""
    seconds: float = 0.0


class _ItemRecord(msgspec.Struct, kw_only=True):
    job: str
    item: str
    number: int
    result: ItemResult
    updated: str
    kind: Literal["item"] = "item"


class _Filled(msgspec.Struct):
    digest: str
    pipeline: str


class _Listed(msgspec.Struct):
    source: _Filled = msgspec.field(name="_source")


class _Hits(msgspec.Struct):
    hits: list[_Listed]


class _Found(msgspec.Struct):
    hits: _Hits


class _Stored(msgspec.Struct):
    source: msgspec.Raw = msgspec.field(name="_source", default=msgspec.Raw(b""))
    seq_no: int = msgspec.field(name="_seq_no", default=-1)
    primary_term: int = msgspec.field(name="_primary_term", default=0)
    found: bool = False


def _path(index: str, *segments: str) -> str:
    return "/" + "/".join(quote(each, safe="") for each in (index, *segments))


def now() -> str:
    """This moment, in ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def new_id() -> str:
    """The id of a new job."""
    return uuid.uuid4().hex[:12]


def ensure_index(link: Link, index: str = JOB_INDEX) -> None:
    """Makes the index of jobs where it is not there. Raises ClientError."""
    try:
        link.json("PUT", _path(index), None, MAPPING)
    except ClientError as error:
        if error.type != "resource_already_exists_exception":
            raise


def result_of(link: Link, job: JobSpec, item: WorkItem) -> ItemResult | None:
    """The result of an item that is checked off, else `None`. Raises ClientError."""
    stored = _get(link, job.job_index, f"{job.job}/{item.key}")
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
    link.json("PUT", _path(job.job_index, "_doc", f"{job.job}/{item.key}"), None, record)


def earlier(link: Link, source: str, target: str, index: str = JOB_INDEX) -> dict[str, str]:
    """The pipelines of jobs from a source to a target, by the digest of their code. Raises ClientError."""
    filters = [{"term": {"kind": "job"}}, {"term": {"source": source}}, {"term": {"target": target}}]
    body = {
        "size": MAX_JOBS,
        "query": {"bool": {"filter": filters}},
        "sort": [{"created": "desc"}],
        "_source": ["digest", "pipeline"],
    }
    try:
        link.json("POST", _path(index, "_refresh"))
        found = msgspec.convert(link.json("POST", _path(index, "_search"), None, body), _Found)
    except ClientError as error:
        if error.status != 404:
            raise
        return {}
    return {each.source.digest: each.source.pipeline for each in found.hits.hits}


def _get(link: Link, index: str, id_: str) -> _Stored | None:
    answer = link.call("GET", _path(index, "_doc", id_))
    if answer.status == 404:
        return None
    if answer.status != 200:
        raise BackfillError(f"the index of jobs [{index}] answers {answer.status}")
    stored = msgspec.json.decode(answer.body, type=_Stored)
    return stored if stored.found else None


class Journal:
    """The record of a job, which one process at a time may change."""

    def __init__(self, link: Link, record: JobRecord, index: str, version: tuple[int, int] | None) -> None:
        self.record = record
        self._link = link
        self._index = index
        self._version = version
        self._saved = time.monotonic()

    @classmethod
    def start(cls, link: Link, record: JobRecord, index: str = JOB_INDEX) -> Journal:
        """A new job. Raises ClientError."""
        ensure_index(link, index)
        record.driver = uuid.uuid4().hex
        journal = cls(link, record, index, None)
        journal.save()
        return journal

    @classmethod
    def load(
        cls,
        link: Link,
        job: str,
        index: str = JOB_INDEX,
        *,
        seize: bool = False,
        waits: Callable[[float], None] | None = None,
    ) -> Journal:
        """A job that is to go on, with this process at its head once the record is saved.

        A record that says that the job runs is watched for the time of a lease, which `waits` is told; `seize`: it is
        not. Raises BackfillError for a job that is not there, ConflictError for one that runs.
        """
        stored, record = cls._stored(link, job, index)
        if record.state == "running" and not seize:
            if waits is not None:
                waits(LEASE_SECONDS)
            stored, record = cls._abandoned(link, job, index, stored)
        record.driver = uuid.uuid4().hex
        record.state, record.reason = "running", ""
        return cls(link, record, index, (stored.seq_no, stored.primary_term))

    @classmethod
    def _stored(cls, link: Link, job: str, index: str) -> tuple[_Stored, JobRecord]:
        stored = _get(link, index, job)
        if stored is None:
            raise BackfillError(f"there is no job [{job}] in [{index}]", "resume")
        return stored, msgspec.json.decode(stored.source, type=JobRecord)

    @classmethod
    def _abandoned(cls, link: Link, job: str, index: str, seen: _Stored) -> tuple[_Stored, JobRecord]:
        """The record of a job whose process is gone: nobody changes it for the time of a lease.

        Clocks of two machines may differ, so that no time in the record counts.
        """
        until = time.monotonic() + LEASE_SECONDS
        while True:
            time.sleep(min(1.0, LEASE_SECONDS / 4))
            stored, record = cls._stored(link, job, index)
            if record.state != "running":
                return stored, record
            if (stored.seq_no, stored.primary_term) != (seen.seq_no, seen.primary_term):
                raise ConflictError(f"another process is at work on the job [{job}]", "resume")
            if time.monotonic() > until:
                return stored, record

    def beat(self) -> None:
        """Stores the record where that was a while ago. Raises ConflictError where another process has the job now.

        A cluster that is away is no reason to end: workers have more patience, and no other process can have the job.
        """
        if time.monotonic() - self._saved > BEAT_SECONDS:
            with suppress(ClientError, UnreachableError):
                self.save()

    def held(self) -> bool:
        """Whether this process has the job; what cannot be asked is not another process."""
        try:
            self.save()
        except ConflictError:
            return False
        except (ClientError, UnreachableError, BackfillError):
            return True
        return True

    def save(self) -> None:
        """Stores the record. Raises ConflictError where another process has the job now."""
        self._saved = time.monotonic()
        self.record.updated = now()
        params = {"op_type": "create"}
        if self._version is not None:
            params = {"if_seq_no": str(self._version[0]), "if_primary_term": str(self._version[1])}
        path = _path(self._index, "_doc", self.record.job)
        try:
            # As with items: reasons may quote documents.
            record = msgspec.structs.replace(self.record, result=ItemResult(counts=self.record.result.counts))
            answer: dict[str, Any] = self._link.json("PUT", path, params, record)
            self._version = answer["_seq_no"], answer["_primary_term"]
        except ClientError as error:
            if error.status != 409:
                raise
            # An acknowledgement may have been lost: then the record has this process at its head.
            stored = _get(self._link, self._index, self.record.job)
            if stored is None or msgspec.json.decode(stored.source, type=JobRecord).driver != self.record.driver:
                raise ConflictError(f"another process goes on with the job [{self.record.job}]") from None
            self._version = stored.seq_no, stored.primary_term
