"""The journal of a job: its record, which one process at a time may change, and the lease by which it has the job.

A thread of its own renews the lease, by a connection of its own. Both threads store the record by that connection: it
is never idle for long, so no call waits for one that something between has forgotten, and each waits a part of a lease.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import msgspec

from headrace.backfill.cluster.link import BUSY, Backoff
from headrace.backfill.cluster.records import JOB_INDEX, JobRecord, ensure_index, now, read_stored, write_stored
from headrace.backfill.spec import BackfillError, ConflictError, ItemResult
from headrace.client.errors import ClientError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from headrace.backfill.cluster.link import Link
    from headrace.backfill.cluster.records import Stored

log = logging.getLogger("headrace.backfill")

LEASE_SECONDS = 30.0
"""Seconds in which the process of a job that runs changes its record: after so many without a change it is gone."""
BEAT_SECONDS = 5.0
"""Seconds between two changes of a record by its process, about, and for an answer to one: a part of a lease."""
STALL_SECONDS = 1200.0
"""Seconds without a sign of life after which a process that hangs loses its job: twice the patience of a worker."""
_UNKNOWN = (-1, -1)
"""The version of a record that cannot be read now."""


class Journal:
    """The record of a job, which one process at a time may change."""

    def __init__(
        self, link: Link, record: JobRecord, index: str, version: tuple[int, int] | None, *, seize: bool = False
    ) -> None:
        """`seize`: whether [`acquire`] takes the job from a process that is at work."""
        self.record = record
        self._link = link
        self._index = index
        self._version = version
        self._seize = seize
        self._lock = threading.Lock()
        self._renewing: Link | None = None
        self._text = msgspec.json.encode(record)
        self._saved = self._seen = time.monotonic()
        self._lost: ConflictError | None = None
        self._warned = False

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
        """A job that is to go on once this process takes it, or one that is done.

        A record that says that the job runs is watched for the time of a lease, which `waits` is told; `seize`: it is
        not. Raises BackfillError for a job that is not there, ConflictError for one that runs.
        """
        stored, record = cls._stored(link, job, index)
        if record.state == "running" and not seize:
            if cls.at_work(link, [job], index, waits):
                raise ConflictError(f"another process is at work on the job [{job}]", "resume")
            stored, record = cls._stored(link, job, index)
        return cls(link, record, index, stored.version, seize=seize)

    @classmethod
    def _stored(cls, link: Link, job: str, index: str) -> tuple[Stored, JobRecord]:
        stored = read_stored(link, index, job)
        if stored is None:
            raise BackfillError(f"there is no job [{job}] in [{index}]", "resume")
        return stored, msgspec.json.decode(stored.source, type=JobRecord)

    @classmethod
    def at_work(
        cls,
        link: Link,
        jobs: Collection[str],
        index: str = JOB_INDEX,
        waits: Callable[[float], None] | None = None,
    ) -> frozenset[str]:
        """Those of the jobs that a process has. One that cannot be asked about is taken as at work.

        Those whose records say that they run are watched at once, for the time of a lease, which `waits` is told.
        Clocks of two machines may differ, so that no time in a record counts.
        """
        first = {job: cls._running(link, job, index) for job in jobs}
        found = {job for job, version in first.items() if version == _UNKNOWN}
        watched = {job: version for job, version in first.items() if version not in (None, _UNKNOWN)}
        if watched and waits is not None:
            waits(LEASE_SECONDS)
        until, over = time.monotonic() + LEASE_SECONDS, False
        while watched and not over:
            time.sleep(min(1.0, LEASE_SECONDS / 4))
            over = time.monotonic() > until
            for job, version in list(watched.items()):
                seen = cls._running(link, job, index)
                if seen != version:
                    del watched[job]
                    found |= {job} if seen is not None else set()
        return frozenset(found)

    @classmethod
    def _running(cls, link: Link, job: str, index: str) -> tuple[int, int] | None:
        """The version of a record that says that its job runs; `None` for one that says else, or is not there."""
        try:
            stored = read_stored(link, index, job)
        except (ClientError, UnreachableError, msgspec.MsgspecError):
            return _UNKNOWN
        if stored is None or msgspec.json.decode(stored.source, type=JobRecord).state != "running":
            return None
        return stored.version

    def acquire(self) -> None:
        """Makes this process the one that has the job, unless it is done. Raises ConflictError.

        From here on the process before can change nothing that asks for the lease.
        """
        driver = uuid.uuid4().hex
        while self.record.state != "done":
            self.record.driver = driver
            self.record.state, self.record.reason = "running", ""
            try:
                self.save()
            except ConflictError:
                if not self._seize:
                    raise
                # A process that is at work changes its record all the time.
                stored, self.record = self._stored(self._link, self.record.job, self._index)
                self._version = stored.version
            else:
                return

    def beat(self) -> None:
        """Says that the job is at work. Raises ConflictError where another process has it now."""
        self._seen = time.monotonic()
        if self._lost is not None:
            raise self._lost

    @contextmanager
    def renewed(self, link: Link) -> Iterator[None]:
        """Within the block a thread stores the record as it is, by a `link` of its own: a call may take any time.

        A process that shows no sign of life for too long is not renewed. Nothing that is half done is stored.
        `link`: has no patience, and waits a part of a lease for an answer.
        """
        over = threading.Event()
        self._renewing = link

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
            self._renewing = None

    def _renew(self, link: Link) -> None:
        """Whatever goes wrong is no reason to end: workers have more patience, and nobody else can have the job."""
        with self._lock:
            now_ = time.monotonic()
            if self._lost is not None or now_ - self._saved < BEAT_SECONDS or now_ - self._seen > STALL_SECONDS:
                return
            try:
                self._store(link, msgspec.json.decode(self._text, type=JobRecord))
            except ConflictError as error:
                self._lost = error
            except Exception as error:  # noqa: BLE001 - a thread that ends would lose the job without a word
                if not self._warned:
                    log.warning("the lease of the job cannot be renewed now: %s", str(error) or type(error).__name__)
                self._warned = True
                with suppress(Exception):
                    link.close()

    def held(self) -> bool:
        """Whether this process has the job; what cannot be asked is not another process."""
        try:
            self.save()
        except ConflictError:
            return False
        except (ClientError, UnreachableError, BackfillError):
            return True
        return True

    def fail(self, error: BaseException) -> None:
        """Notes why the job has ended. The reason counts, not that the record cannot be written either."""
        self.record.state, self.record.reason = "failed", str(error)[:500] or type(error).__name__
        with suppress(ClientError, UnreachableError, BackfillError):
            self.save()

    def save(self) -> None:
        """Stores the record. Raises ConflictError where another process has the job now."""
        self.beat()
        # As with items: reasons may quote documents.
        record = msgspec.structs.replace(self.record, result=ItemResult(counts=self.record.result.counts))
        backoff = Backoff(self._link.patience)
        while True:
            try:
                with self._lock:
                    self._store(self._renewing or self._link, record)
                    self._text = msgspec.json.encode(record)
            except (ClientError, UnreachableError) as error:
                if isinstance(error, ClientError) and error.status not in BUSY:
                    raise
                # Without the lock: the thread renews meanwhile what was stored before.
                if not backoff.wait():
                    raise
            else:
                return

    def _store(self, link: Link, record: JobRecord) -> None:
        record.updated = now()
        while True:
            try:
                self._version = write_stored(link, self._index, record.job, self._version, record)
            except ClientError as error:
                if error.status != 409:
                    raise
                stored = read_stored(link, self._index, record.job)
                found = msgspec.json.decode(stored.source, type=JobRecord) if stored is not None else None
                if stored is None or found is None or found.driver != record.driver:
                    raise ConflictError(f"another process goes on with the job [{record.job}]") from None
                self._version = stored.version
                if found != record:
                    # The acknowledgement of an earlier record was lost, which is what is stored.
                    continue
            # Only now: what has failed is tried again soon.
            self._saved, self._warned = time.monotonic(), False
            return
