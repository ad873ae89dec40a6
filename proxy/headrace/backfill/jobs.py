"""The index of jobs: a record of each job, and one small document for each item that is done.

An item is checked off after the cluster has acknowledged all it wrote, so a job that is killed at any moment repeats
at most the items that were at work, and their writes have the effect of once.
"""

from __future__ import annotations

import threading
import time
import uuid
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

import msgspec

from headrace.backfill import files
from headrace.backfill.spec import BackfillError, ConflictError, ItemResult, Marks
from headrace.client.errors import ClientError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from headrace.backfill.cluster.link import Link
    from headrace.backfill.spec import JobSpec, WorkItem

JOB_INDEX = ".headrace-backfill"
"""The hidden index of jobs."""
LEASE_SECONDS = 30.0
"""Seconds in which the process of a job that runs changes its record: after so many without a change it is gone."""
BEAT_SECONDS = 5.0
"""Seconds between two changes of a record by its process, about."""
STALL_SECONDS = 1200.0
"""Seconds without a sign of life after which a process that hangs loses its job: twice the patience of a worker."""
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

MAX_JOBS = 10_000
"""Jobs with one target that are looked at, the latest ones: as many as a search reaches by default."""
JOBS_PAGE = 100
"""Jobs of an answer: those over many files have long records."""


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

    `driver`: the process that has the job. `switching`: the indexes of the source that take no more writes, from just
    before the alias goes over to the target. `sources`: the indexes behind the source when the job began; files are in
    the passes.
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
    query: str = ""
    alias: str = ""
    switching: list[str] = []
    sources: list[str] = []
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
        link.json("POST", _path(index, "_refresh"))
        for first in range(0, MAX_JOBS, JOBS_PAGE):
            page = body | {"from": first, "size": JOBS_PAGE}
            hits = msgspec.convert(link.json("POST", _path(index, "_search"), None, page), _Found).hits.hits
            found |= {each.source.digest: each.source.pipeline for each in hits if each.source.read() & sources}
            if len(hits) < JOBS_PAGE:
                break
    except ClientError as error:
        if error.status != 404:
            raise
    return found


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
        self._lock = threading.Lock()
        self._text = msgspec.json.encode(record)
        self._saved = self._seen = time.monotonic()
        self._lost: ConflictError | None = None

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
        """A job that is to go on, with this process at its head once the record is saved; or one that is done.

        A record that says that the job runs is watched for the time of a lease, which `waits` is told; `seize`: it is
        not. Raises BackfillError for a job that is not there, ConflictError for one that runs.
        """
        stored, record = cls._stored(link, job, index)
        if record.state == "running" and not seize:
            if waits is not None:
                waits(LEASE_SECONDS)
            stored, record = cls._abandoned(link, job, index, stored)
        if record.state != "done":
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

    @classmethod
    def at_work(cls, link: Link, job: str, index: str = JOB_INDEX) -> bool:
        """Whether a process has a job. It is watched for the time of a lease where the record says that it runs."""
        try:
            stored, record = cls._stored(link, job, index)
            if record.state == "running":
                cls._abandoned(link, job, index, stored)
        except ConflictError:
            return True
        except BackfillError:
            return False
        return False

    def beat(self) -> None:
        """Says that the job is at work. Raises ConflictError where another process has it now."""
        self._seen = time.monotonic()
        if self._lost is not None:
            raise self._lost

    @contextmanager
    def renewed(self, link: Link) -> Iterator[None]:
        """Within the block a thread stores the record as it is, by a `link` of its own: a call may take any time.

        A process that shows no sign of life for too long is not renewed. Nothing that is half done is stored.
        """
        over = threading.Event()

        def renew() -> None:
            while not over.wait(BEAT_SECONDS / 4):
                self._renew(link)

        thread = threading.Thread(target=renew, name="headrace-lease", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _renew(self, link: Link) -> None:
        """A cluster that is away is no reason to end: workers have more patience, and nobody else can have the job."""
        with self._lock:
            now_ = time.monotonic()
            if self._lost is not None or now_ - self._saved < BEAT_SECONDS or now_ - self._seen > STALL_SECONDS:
                return
            try:
                self._store(link, msgspec.json.decode(self._text, type=JobRecord))
            except ConflictError as error:
                self._lost = error
            except (ClientError, UnreachableError, BackfillError):
                return

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
        self.beat()
        with self._lock:
            # As with items: reasons may quote documents.
            record = msgspec.structs.replace(self.record, result=ItemResult(counts=self.record.result.counts))
            self._store(self._link, record)
            self._text = msgspec.json.encode(record)

    def _store(self, link: Link, record: JobRecord) -> None:
        self._saved = time.monotonic()
        record.updated = now()
        while True:
            params = {"op_type": "create"}
            if self._version is not None:
                params = {"if_seq_no": str(self._version[0]), "if_primary_term": str(self._version[1])}
            try:
                answer: dict[str, Any] = link.json("PUT", _path(self._index, "_doc", record.job), params, record)
                self._version = answer["_seq_no"], answer["_primary_term"]
            except ClientError as error:
                if error.status != 409:
                    raise
                stored = _get(link, self._index, record.job)
                found = msgspec.json.decode(stored.source, type=JobRecord) if stored is not None else None
                if stored is None or found is None or found.driver != record.driver:
                    raise ConflictError(f"another process goes on with the job [{record.job}]") from None
                self._version = stored.seq_no, stored.primary_term
                if found != record:
                    # The acknowledgement of an earlier record was lost, which is what is stored.
                    continue
            return
