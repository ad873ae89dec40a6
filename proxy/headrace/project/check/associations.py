"""Problems of `associations.yaml`: patterns, slots, and the pipelines that they name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.project.check.details import bare
from headrace.project.problems import nearest
from headrace_pipelines.errors import InvalidError
from headrace_pipelines.registry.association import NONE, SLOTS, pattern_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headrace.project.files import Files
    from headrace.project.problems import Problem
    from headrace.project.source import Source
    from headrace_pipelines.registry.association import Slot

Types = dict[str, set[str]]


def association_problems(files: Files, types: Types) -> Iterator[Problem]:
    """The problems of all patterns; `types`: the types of the pipelines of the directory, by name."""
    source = files.associations
    if source is None:
        return
    for name, body in files.patterns.items():
        try:
            pattern = pattern_of(name, body)
        except InvalidError as error:
            yield _problem(source, name, error)
            continue
        for slot in SLOTS:
            if (pipeline := pattern.name(slot)) is not None and pipeline != NONE:
                yield from _missing(source, name, slot, pipeline, types)


def _problem(source: Source, name: str, error: InvalidError) -> Problem:
    reason, field = bare(error), name if error.field in ("", "pattern") else f"{name}.{error.field}"
    if reason.startswith("unknown field"):
        return source.problem("unknown field", field, reason.partition("]")[2].lstrip(":. "), key=True)
    return source.problem(reason, field, key=error.field == "pattern")


def _missing(source: Source, name: str, slot: Slot, pipeline: str, types: Types) -> Iterator[Problem]:
    """A name for which the directory has no pipeline of the slot's type."""
    kinds = types.get(pipeline, set())
    if slot.kind.value in kinds:
        return
    field = f"{name}.{slot.kind.value}"
    words = ("final_pipeline", "final") if slot.final else ("default_pipeline", "default")
    field = next((f"{field}.{word}" for word in words if source.find(f"{field}.{word}") is not None), field)
    if kinds:
        yield source.problem(f"pipeline [{pipeline}] is of type {' and '.join(sorted(kinds))}", field)
        return
    fitting = [each for each, held in types.items() if slot.kind.value in held]
    hint = nearest(pipeline, fitting) or f"the directory has no {slot.kind.value} pipeline"
    yield source.problem(f"no {slot.kind.value} pipeline of this directory is called [{pipeline}]", field, hint)
