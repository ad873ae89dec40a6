"""The results of runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import msgspec

from headrace_pipelines.errors import HeadraceError

ActionState = Literal["same", "changed", "moved", "dropped", "failed"]
"""The fate of an action. `same`: its text is as it came; `moved`: to another index or id, or it became several."""


class Failure(NamedTuple):
    """A document that a pipeline failed. `position`: in the input, from 0. `status`: the HTTP status of the error."""

    position: int
    status: int
    type: str
    reason: str
    stage: str


@dataclass
class Outcome:
    """The result of a run: documents in the order of the input, each as JSON text, and what became of the others.

    A stage may make several documents of one; they follow it. `dropped` counts documents that a stage dropped.
    """

    texts: list[bytes] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    dropped: int = 0
    trace: list[dict[str, Any]] = field(default_factory=list)

    @property
    def documents(self) -> list[dict[str, Any]]:
        """The documents, decoded."""
        return [msgspec.json.decode(text) for text in self.texts]

    @property
    def ndjson(self) -> bytes:
        """The documents, one on each line."""
        return b"".join(text.replace(b"\n", b" ") + b"\n" for text in self.texts)


@dataclass(frozen=True)
class BulkOutcome:
    """The result of a run over a bulk.

    `body`: the bulk to send, byte for byte what the proxy forwards; empty where nothing is left. `states`: the fate of
    each action, in the order of the request. `forwarded`: how many actions of `body` each action has become.
    """

    body: bytes | memoryview
    states: list[ActionState]
    forwarded: list[int]
    failures: list[Failure]


class PipelineFailedError(HeadraceError):
    """A query or result pipeline failed; `status` and `type` are those of the stage's error; `reason` names it."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(f"stage [{failure.stage}]: {failure.reason}")
        self.status = failure.status
        self.type = failure.type


def failure_of(position: int, failure: tuple[int, str, str, str, str]) -> Failure:
    """A failure out of the engine's (status, type, reason, pipeline, stage)."""
    status, kind, reason, _, stage = failure
    return Failure(position, status, kind, reason, stage)
