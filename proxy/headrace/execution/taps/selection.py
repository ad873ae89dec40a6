"""The selection of a tap: which runs it sees, and how much of them. It is the body of `POST /_proxy/tap`."""

from __future__ import annotations

import uuid
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Annotated, Literal

import msgspec

from headrace.execution.protection import HiddenFields
from headrace.protocol.headers.encoding import canonical
from headrace_pipelines import PipelineType, units
from headrace_pipelines.definition import members_of
from headrace_pipelines.engine import Condition
from headrace_pipelines.errors import InvalidError
from headrace_pipelines.errors.validation import explained

Outcome = Literal["changed", "unchanged", "dropped", "failed", "skipped", "slow"]
Stages = Literal["none", "patch", "full"]
MAX_SECONDS = 600.0
"""Seconds that a tap may last: one that is forgotten costs something for no longer."""
MAX_RATE = 1000
"""Records a second that a tap may ask for: each costs a second run."""
MAX_LIMIT = 100_000
"""Records that a tap may ask for."""
NAMES = {PipelineType.DOCUMENT: "document", PipelineType.QUERY: "request", PipelineType.RESULT: "response"}
"""The name of an input in `match`, beside `doc`, as in conditions of stages."""

_KINDS = frozenset(kind.value for kind in PipelineType)
MAX_HIDDEN = 100
"""Patterns in `hide`: each field of a document is compared with each of them."""
MAX_PATTERN = 256
"""Characters of such a pattern."""


class Selection(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, dict=True):
    """A tap as the caller describes it; [`checked`] has made sure that its texts can be read."""

    pipeline: Annotated[str, msgspec.Meta(description="The name of a pipeline, or a pattern; all without it.")] = ""
    index: Annotated[str, msgspec.Meta(description="Names or patterns of indexes, separated by commas.")] = ""
    surface: Annotated[
        str,
        msgspec.Meta(description="`document`, `query` or `result`, or a surface of the metrics, such as `bulk`."),
    ] = ""
    match: Annotated[str, msgspec.Meta(description="A CEL expression over the input, as in `if` of a stage.")] = ""
    outcome: Annotated[list[Outcome], msgspec.Meta(description="Only these outcomes; all without it.")] = []
    slow: Annotated[str, msgspec.Meta(description="The duration from which a run is `slow`.")] = "50ms"
    stages: Annotated[Stages, msgspec.Meta(description="What is shown of each stage.")] = "patch"
    per_second: Annotated[int, msgspec.Meta(ge=1, le=MAX_RATE, description="Maximum of records a second.")] = 5
    limit: Annotated[
        Annotated[int, msgspec.Meta(ge=1, le=MAX_LIMIT)] | None,
        msgspec.Meta(description="The tap ends after so many records."),
    ] = None
    duration: Annotated[str, msgspec.Meta(description="The tap ends after this time, 10 minutes at most.")] = "60s"
    hide: Annotated[
        list[Annotated[str, msgspec.Meta(max_length=MAX_PATTERN)]],
        msgspec.Meta(max_length=MAX_HIDDEN, description="Fields that are not shown, beside those of masks."),
    ] = []

    @cached_property
    def seconds(self) -> float:
        """The longest time of the tap."""
        return units.seconds(self.duration, "duration")

    @cached_property
    def slow_ns(self) -> int:
        """The duration from which a run is slow, in nanoseconds."""
        return int(units.seconds(self.slow, "slow") * 1e9)

    @cached_property
    def conditions(self) -> dict[PipelineType, Condition]:
        """`match`, compiled for the types of pipelines whose input it names; empty without it.

        Raises InvalidError where it is an expression for none of those that are asked for.
        """
        found: dict[PipelineType, Condition] = {}
        reason = ""
        for kind, name in NAMES.items() if self.match else ():
            if self.surface in _KINDS and self.surface != kind.value:
                continue
            try:
                found[kind] = Condition(self.match, ["doc", name], b"{}")
            except ValueError as error:
                reason = reason or str(error)
        if self.match and not found:
            raise InvalidError(reason, "match")
        return found

    @cached_property
    def hidden(self) -> HiddenFields:
        """The fields that the caller hides."""
        return HiddenFields.of(self.hide)

    @property
    def judges(self) -> bool:
        """Whether which inputs are shown depends on their contents, or on what became of them."""
        return bool(self.match or self.outcome)

    @property
    def needs_trace(self) -> bool:
        """Whether a record needs a second run."""
        return self.stages != "none" or bool({"skipped", "slow"}.intersection(self.outcome))

    def sees_pipeline(self, name: str, kind: PipelineType, surface: str) -> bool:
        """Whether runs of a pipeline on a surface are selected."""
        return (
            (not self.pipeline or fnmatchcase(name, self.pipeline))
            and (not self.surface or self.surface in (kind.value, surface))
            and (not self.match or kind in self.conditions)
        )

    def sees_index(self, index: str | None) -> bool:
        """Whether an index, or one of the names of an expression, is selected."""
        if not self.index:
            return True
        patterns = [pattern.strip() for pattern in self.index.split(",")]
        names = (index or "").split(",")
        return any(fnmatchcase(name, pattern) for name in names for pattern in patterns)


class TapMessage(msgspec.Struct, tag="tap"):
    """From the worker that a tap belongs to, to the others."""

    selection: Selection
    id: str = msgspec.field(default_factory=lambda: uuid.uuid4().hex)


class LogsMessage(msgspec.Struct, tag="logs"):
    """The kept lines of a UDF; `follow`: and those to come."""

    udf: str
    lines: int
    follow: bool


def checked(body: bytes) -> Selection:
    """The selection of a request's body. Raises InvalidError that names the field."""
    if body.strip():
        # Of duplicate members one would be read, and nobody could say which.
        body = canonical(body)
        members_of(body)
    try:
        selection = msgspec.json.decode(body.strip() or b"{}", type=Selection)
    except msgspec.ValidationError as error:
        raise explained(error, Selection, body) from None
    if selection.seconds > MAX_SECONDS:
        raise InvalidError(f"[{selection.duration}] is too long: a tap lasts 10 minutes at most", "duration")
    if selection.surface and not selection.surface.replace("_", "").isalpha():
        raise InvalidError(f"[{selection.surface}] is no surface", "surface")
    _ = selection.slow_ns, selection.conditions
    return selection
