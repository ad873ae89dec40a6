"""What travels between an engine and its workers: a job, its items and their results. All of it can be pickled.

No credentials are in it: a worker finds them by the name of a target, in `headrace.toml` or its environment.
"""

from __future__ import annotations

import hashlib
import operator
from pathlib import Path
from typing import Any, Literal

import msgspec

from headrace.client import target as targets
from headrace_pipelines import Bundle
from headrace_pipelines.definition import DEAD_LETTERS

PAGE_BYTES = 2 << 20
"""Bytes of documents in a page, and so of a bulk, that reading aims at."""
PATIENCE_SECONDS = 600.0
"""Seconds for which a worker repeats a call that the cluster does not take."""
MAX_PATHS = 1000
"""Paths of a diff that are counted; changes at others count as those of the path `*`."""
SAMPLES_PER_OUTCOME = 5
"""Samples of a diff with the same outcome, so that a frequent outcome leaves room for a rare one."""


Marks = dict[str, dict[str, int]]
"""A sequence number for each shard, by index and number of the shard; of files their bytes or row groups."""


class BackfillError(Exception):
    """A job cannot go on: `reason` says why, `field` names the option at fault, if any."""

    def __init__(self, reason: str, field: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.field = field

    def __reduce__(self) -> tuple[Any, ...]:
        """Its two arguments, for another process."""
        return type(self), (self.reason, self.field)


class ConflictError(BackfillError):
    """Another process has the job."""


class Connection(msgspec.Struct, frozen=True):
    """How a worker finds the cluster: a target of `headrace.toml`, an address, or both; without any the environment."""

    target: str = ""
    url: str = ""
    file: str = ""

    def load(self) -> targets.Target:
        """The target, with credentials of this process, but for those of the proxy alone. Raises InvalidError."""
        found = targets.load(self.target, self.url, file=Path(self.file) if self.file else None)
        return msgspec.structs.replace(found, admin_token="", admin_token_file="")


class JobSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A job: from where to where, by which pipeline.

    `pipeline`: `name@version`, a document pipeline of `bundle`. `query`: JSON text; empty: all documents. `rate`:
    documents a second of one worker; 0: as many as the cluster takes. `page_bytes`: bytes of documents of a page.
    `latency`: milliseconds of the cluster's searches (99th percentile) above which a worker slows down; 0: any.
    `replace`: documents whose version is equal are written again, for what another pipeline has made of them.
    `patience`: seconds for which a call that is not taken is repeated. `stream`: of dead letters. `params`: of every
    bulk. `same_index`: documents are changed where they are. `job_index`: where items are checked off; empty: nowhere.
    `tombstones`: whether the target may have older copies of documents that the pipeline now drops. `id_field`: of
    documents of files, with dots; empty: their ids are made of where they are, and their text.
    """

    job: str
    source: str
    target: str
    pipeline: str
    bundle: Bundle
    cluster: Connection = Connection()
    same_index: bool = False
    diff: bool = False
    delete_dropped: bool = False
    tombstones: bool = False
    query: str = ""
    rate: float = 0.0
    latency: float = 0.0
    replace: bool = False
    page_bytes: int = PAGE_BYTES
    patience: float = PATIENCE_SECONDS
    stream: str = DEAD_LETTERS
    params: dict[str, str] = {}
    job_index: str = ""
    id_field: str = ""
    preference: str = ""


class WorkItem(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a source: the documents of a shard with low ≤ `_seq_no` < high, or slice `shard` of `slices`.

    `number`: of the pass, from 1. `primary`: whether only the primary shard has what a refresh shows. `file`: `index`
    is a path, of which it has the bytes, or the row groups of Parquet, from `low` to `high`. `compare`: of a part of
    the target, deletes what the source lacks.
    """

    index: str
    shard: int
    low: int = 0
    high: int = 0
    number: int = 1
    primary: bool = False
    slices: int = 0
    file: bool = False
    compare: bool = False

    @property
    def key(self) -> str:
        """A name that no other item of its job has."""
        part = f"slice:{self.shard}/{self.slices}" if self.slices else f"{self.shard}:{self.low}-{self.high}"
        path = hashlib.sha256(self.index.encode()).hexdigest()[:32] if self.file else self.index
        return f"{self.number}:{path}:{part}"

    @property
    def span(self) -> int:
        """How many documents it has at most; 0 where nobody knows."""
        return 0 if self.file else self.high - self.low


class Counts(msgspec.Struct, kw_only=True):
    """What became of documents. Every document that is read is in one of the first six.

    `written`: to the target; in place only what changed. `same`: nothing to write in place, or equal in a diff.
    `changed`: in a diff. `dropped`: by the pipeline. `failed`: by the pipeline, `rejected`: by the cluster for good;
    both are dead letters. `conflicts`: newer or equal copies were there.

    `deleted`: deletes that the target took. `retried`: documents sent again. `throttled`: seconds of waiting for the
    cluster or the rate. `bytes`: of documents that were read. `cpu`: seconds of the processor.
    """

    read: int = 0
    written: int = 0
    same: int = 0
    changed: int = 0
    dropped: int = 0
    failed: int = 0
    rejected: int = 0
    conflicts: int = 0
    deleted: int = 0
    retried: int = 0
    throttled: float = 0.0
    bytes: int = 0
    cpu: float = 0.0

    def add(self, more: Counts) -> None:
        """Adds more counts to these."""
        for name in self.__struct_fields__:
            setattr(self, name, operator.add(getattr(self, name), getattr(more, name)))


class Sample(msgspec.Struct, frozen=True):
    """A document that a diff found to be different: its texts before and after, or why it failed."""

    id: str
    outcome: Literal["changed", "dropped", "failed"]
    before: str
    after: str = ""
    reason: str = ""


class ItemResult(msgspec.Struct, kw_only=True):
    """What became of the documents of an item; `paths`: changed paths with the kind of change, and reasons of failures.

    `done_before`: the item was checked off already, and nothing was read.
    """

    counts: Counts = msgspec.field(default_factory=Counts)
    paths: dict[str, int] = {}
    reasons: dict[str, int] = {}
    samples: list[Sample] = []
    done_before: bool = False

    def add(self, more: ItemResult) -> None:
        """Adds another result to this one; paths, reasons and samples are bounded."""
        self.counts.add(more.counts)
        for ours, theirs in ((self.paths, more.paths), (self.reasons, more.reasons)):
            for name, count in theirs.items():
                count_bounded(ours, name, count)
        for sample in more.samples:
            self.add_sample(sample)

    def add_sample(self, sample: Sample) -> None:
        """Adds a sample where there is room for its outcome."""
        if sum(each.outcome == sample.outcome for each in self.samples) < SAMPLES_PER_OUTCOME:
            self.samples.append(sample)


def count_bounded(counted: dict[str, int], name: str, count: int = 1) -> None:
    """Counts under a name, or under `*` where there are too many names."""
    name = name if name in counted or len(counted) < MAX_PATHS else "*"
    counted[name] = counted.get(name, 0) + count
