"""What is stored of a job: its record with its passes, in the index of jobs."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote

import msgspec

from headrace.backfill.spec import ItemResult, Marks
from headrace.client.errors import ClientError

if TYPE_CHECKING:
    from headrace.backfill.cluster.link import Link

JOB_INDEX = ".headrace-backfill"
"""The hidden index of jobs."""
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


class Stored(msgspec.Struct):
    """A document of the index of jobs; its version is the pair of numbers."""

    source: msgspec.Raw = msgspec.field(name="_source", default=msgspec.Raw(b""))
    seq_no: int = msgspec.field(name="_seq_no", default=-1)
    primary_term: int = msgspec.field(name="_primary_term", default=0)
    found: bool = False

    @property
    def version(self) -> tuple[int, int]:
        """What [`write_stored`] asks for."""
        return self.seq_no, self.primary_term


def path_of(index: str, *segments: str) -> str:
    """The path of an index, with what follows."""
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
        link.json("PUT", path_of(index), None, MAPPING)
    except ClientError as error:
        if error.type != "resource_already_exists_exception":
            raise


def read_stored(link: Link, index: str, id_: str) -> Stored | None:
    """A document of the index of jobs, `None` where there is none. Raises ClientError, UnreachableError."""
    answer = link.call("GET", path_of(index, "_doc", id_))
    if answer.status == 404:
        return None
    if answer.status != 200:
        raise ClientError(answer.status, f"the index of jobs [{index}] cannot be read")
    stored = msgspec.json.decode(answer.body, type=Stored)
    return stored if stored.found else None


def write_stored(link: Link, index: str, id_: str, version: tuple[int, int] | None, value: object) -> tuple[int, int]:
    """Stores a document where it has this version still, or is not there for `None`; gives its version.

    Raises ClientError, of status 409 where another process has changed it, and UnreachableError.
    """
    params = {"op_type": "create"}
    if version is not None:
        params = {"if_seq_no": str(version[0]), "if_primary_term": str(version[1])}
    answer: dict[str, int] = link.json("PUT", path_of(index, "_doc", id_), params, value)
    return answer["_seq_no"], answer["_primary_term"]
