"""Test cases: what they run, on which input, and what they expect; and the outcome of a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from pathlib import Path

    from headrace.project.problems import Problem
    from headrace.project.source import Source

INPUTS = ("docs", "request", "response", "hit")
EXPECTATIONS = ("expect", "expect_patch", "expect_error", "dropped", "moved_to")
DEFAULT_TIME_MS = 1_767_225_600_000
"""The time that a case sees where none is written: 2026-01-01T00:00:00Z, in milliseconds since 1970."""


class Error(msgspec.Struct, frozen=True, omit_defaults=True):
    """The failure of a document: fields of the error that a client of the proxy sees."""

    reason: str
    type: str = ""
    status: int = 0
    stage: str = ""


class Output(msgspec.Struct, frozen=True):
    """A document that a pipeline made, with the metadata that it has now."""

    source: Any
    index: str | None = None
    id: str | None = None
    routing: str | None = None

    def metadata(self) -> dict[str, str]:
        """Its metadata as members of a document of `_execute`."""
        named = {"_index": self.index, "_id": self.id, "_routing": self.routing}
        return {name: value for name, value in named.items() if value is not None}


class Outcome(msgspec.Struct, frozen=True):
    """What became of one input: its outputs (none: it was dropped), or its error."""

    outputs: tuple[Output, ...] = ()
    error: Error | None = None

    @property
    def dropped(self) -> bool:
        """Whether nothing is left of the input."""
        return self.error is None and not self.outputs


class Subject(msgspec.Struct, frozen=True):
    """The object that the cases of a file run: a `pipeline`, a `udf`, or what an `index` resolves to.

    The input of a case says the type of a pipeline.
    """

    kind: str
    name: str


@dataclass(eq=False)
class Case:
    """A case, its expectations as they are written.

    `inputs`: the documents (or the one body) with their metadata. `path`: where it stands in the file. `single`: the
    file has one document in place of a list.
    """

    name: str
    subject: Subject
    kind: str
    inputs: list[Output]
    expected: dict[str, Any]
    path: str = ""
    single: bool = False
    params: dict[str, Any] = field(default_factory=dict)
    user: dict[str, Any] | None = None
    time_ms: int = DEFAULT_TIME_MS
    ignore: tuple[str, ...] = ()
    fixtures: dict[str, Any] = field(default_factory=dict)


@dataclass(eq=False)
class CaseFile:
    """The cases of a file, or of a folder with `in.ndjson` and `out.ndjson`; `problems` of what cannot be read.

    `name`: relative to the project, with `/`. `source`: the YAML or JSON of a file; none for a folder.
    """

    path: Path
    name: str
    cases: list[Case] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    source: Source | None = None

    def label(self, case: Case) -> str:
        """The name of a case in reports, and what `-k` is compared with."""
        return f"{self.name}::{case.name}"
