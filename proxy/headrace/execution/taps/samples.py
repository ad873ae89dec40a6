"""Inputs of pipelines that are kept for a tap, and the records that it shows of them."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import hdrs

from headrace.ops.logs.lines import shown
from headrace.protocol.headers.credentials import user_of
from headrace.protocol.headers.trace_context import parent_of
from headrace_pipelines import PipelineType

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headrace.ops.observers import RunOrigin
    from headrace_pipelines import Batch, RunOptions, Snapshot
    from headrace_pipelines.registry import Pipeline

MAX_TEXT = 64 << 10
"""Bytes of the longest document or query that is kept, and of all its outputs: a longer one is shown as `truncated`."""
MAX_RESPONSE = 1 << 20
"""Bytes of the longest response that is kept: only its hits are counted."""


@dataclass(frozen=True)
class Facts:
    """What a record says of a request."""

    surface: str = ""
    user: str = ""
    opaque_id: str = ""
    trace_id: str = ""

    @classmethod
    def of(cls, surface: str, headers: Mapping[str, str], trace_id: str) -> Facts:
        """Those of a request with these headers; without a `trace_id` it is that of the client."""
        parent = None if trace_id else parent_of(_bytes(headers.get("traceparent", "")))
        return cls(
            surface,
            shown(_bytes(user_of(headers.get(hdrs.AUTHORIZATION, "")))),
            shown(_bytes(headers.get("X-Opaque-Id", ""))),
            parent.trace_id if parent is not None else trace_id,
        )


def _bytes(text: str) -> bytes:
    """A header's value as it came: bytes that are not UTF-8 are half surrogate pairs in its text."""
    return text.encode("utf-8", "surrogateescape")


@dataclass(eq=False)
class Sample:
    """One input of a run, and what became of it. `snapshot` has the versions of UDFs that it ran with."""

    pipeline: Pipeline
    snapshot: Snapshot
    options: RunOptions
    facts: Facts
    index: str | None
    id: str | None
    routing: str | None
    context: bytes | None
    text: bytes | None
    """The input; `None` where it, or what became of it, is too long."""
    slot: int
    position: int
    single: bool
    """Whether the run was over this input alone."""
    matched: bool = False
    """Whether it is known to meet `match`."""
    granted: bool = False
    """Whether the rate of the tap has been counted for it."""
    at: float = field(default_factory=time.time)
    outputs: list[bytes] = field(default_factory=list)
    destinations: list[tuple[str | None, str | None, str | None]] = field(default_factory=list)
    """Index, id and routing of each output."""
    failure: tuple[int, str, str, str, str] | None = None
    outcome: str = "dropped"
    duration_ns: int = 0
    origin: RunOrigin | None = None
    """What its search is about; `None` for a document."""
    derived: bool = False
    """Whether a pipeline has run on it before, so that it may hold values in places where nobody has put them."""
    came: bytes | None = None
    """The text before the first pipeline, where it is at hand and not `text`."""
    moved: set[str] = field(default_factory=set)
    """Indexes other than `index` that its outputs go to."""

    @property
    def indexes(self) -> set[str]:
        """The indexes whose readers may see it."""
        if self.origin is not None and not self.origin.expression:
            return set(self.origin.indexes) or {"_all"}
        return {self.index or "_all", *self.moved}

    @property
    def masked_by(self) -> set[str]:
        """The indexes, or expressions of indexes, whose masks hide fields of it; empty where they cannot be told."""
        if self.origin is None:
            return self.indexes
        return {",".join(self.origin.indexes) or self.origin.expression} - {""}

    @property
    def kind(self) -> PipelineType:
        """The type of the pipeline."""
        return self.pipeline.definition.type

    @property
    def nbytes(self) -> int:
        """Bytes that are kept."""
        return len(self.text or b"") + len(self.came or b"") + sum(map(len, self.outputs))

    @classmethod
    def of(
        cls,
        batch: Batch,
        at: int,
        pipeline: Pipeline,
        snapshot: Snapshot,
        options: RunOptions,
        facts: Facts,
        came: bytes | None = None,
    ) -> Sample:
        """Keeps an input of a batch that has not run yet. `came`: the document before a pipeline ran on it."""
        index, id_, routing = batch.metadata(at)
        text: bytes | None = batch.document(at)
        if text is not None and len(text) > _longest(pipeline):
            text = None
        origin: RunOrigin | None = options.origin
        derived = options.final
        if origin is not None:
            index, came, derived = origin.expression or None, origin.came, origin.derived
        if not derived or (came is not None and len(came) > _longest(pipeline)):
            came = None
        return cls(
            pipeline,
            snapshot,
            options,
            facts,
            index,
            id_,
            routing,
            batch.context(at),
            text,
            batch.slot(at),
            at,
            len(batch) == 1,
            origin=origin,
            derived=derived,
            came=came,
        )

    def read(self, batch: Batch, positions: list[int]) -> None:
        """Keeps what became of the input: `positions` are those of its outputs."""
        for at in positions:
            state, failure = batch.outcome(at)
            if failure is not None:
                self.failure, self.outcome = failure, "failed"
                return
            if state == "dropped":
                continue
            index, id_, routing = batch.metadata(at)
            destination = (index or self.index, id_, routing)
            if self.text is not None:
                self._keep(batch.document(at), destination)
            same = len(positions) == 1 and (self.text is None or self.outputs[0] == self.text)
            if index is not None and index != self.index:
                self.moved.add(index)
            same = same and destination == (self.index, self.id, self.routing)
            self.outcome = "unchanged" if same and self.text is not None else "changed"

    def keep_input(self) -> None:
        """The input has come out as it went in."""
        self.outputs = [self.text] if self.text is not None else []
        self.destinations = [(self.index, self.id, self.routing)] if self.text is not None else []

    def _keep(self, output: bytes, destination: tuple[str | None, str | None, str | None]) -> None:
        self.outputs.append(output)
        self.destinations.append(destination)
        if sum(map(len, self.outputs)) > _longest(self.pipeline):
            self.text, self.outputs, self.destinations = None, [], []


def _longest(pipeline: Pipeline) -> int:
    return MAX_RESPONSE if pipeline.definition.type is PipelineType.RESULT else MAX_TEXT


class StageShown(msgspec.Struct, omit_defaults=True):
    """A stage in a record. `condition` is whether its `if` held; without it, it has none."""

    name: str
    status: str
    ms: float | None = None
    condition: bool | None = msgspec.field(name="if", default=None)
    patch: list[Any] | None = None
    output: msgspec.Raw | None = None
    hits: dict[str, int] | None = None
    error: dict[str, Any] | None = None
    reason: str = ""


class Record(msgspec.Struct):
    """One input of a pipeline, as a tap shows it; `ms` is the duration of the run, of all its documents together."""

    ts: str
    surface: str
    type: str
    pipeline: str
    version: str
    final: bool
    index: str | None
    id: str | None
    user: str
    opaque_id: str
    trace_id: str
    outcome: str
    ms: float
    before: msgspec.Raw | None = None
    stages: list[StageShown] | None = None
    after: msgspec.Raw | None = None
    error: dict[str, Any] | None = None
    hits: dict[str, int] | msgspec.UnsetType | None = msgspec.UNSET
    rerun: str | msgspec.UnsetType = msgspec.UNSET
    truncated: bool | msgspec.UnsetType = msgspec.UNSET
    hidden: list[str] | msgspec.UnsetType = msgspec.UNSET
