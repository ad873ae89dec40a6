"""Configurations of other programs as pipelines of a project, with a report on every part."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headrace.project.tools.migration import cluster, infini, logstash, vector
from headrace.project.tools.migration.compiled import refusal
from headrace.project.tools.migration.model import (
    MOST_CHARACTERS,
    Conversion,
    Finding,
    MigrationError,
    nothing,
    stages_of,
    unique,
)
from headrace.project.tools.migration.yaml_text import written

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["KINDS", "Conversion", "Finding", "MigrationError", "convert", "definitions", "texts"]

KINDS: dict[str, Callable[[str], Conversion]] = {
    "ingest": cluster.ingest,
    "search": cluster.search,
    "logstash": logstash.convert,
    "vector": vector.convert,
    "infini": infini.convert,
}
"""The programs whose configurations are converted."""


def convert(kind: str, text: str) -> Conversion:
    """The pipelines of a configuration. Raises MigrationError for a text that cannot be read."""
    if len(text) > MOST_CHARACTERS:
        raise MigrationError(f"the configuration has more than {MOST_CHARACTERS} characters")
    conversion = KINDS[kind](text)
    conversion.findings.sort(key=lambda each: each.line)
    for fields, items in conversion.pipelines:
        unique(items, set())
        if reason := refusal(items, fields["type"]):
            raise MigrationError(f"the engine refuses the converted pipeline: {reason}")
    return conversion


def texts(conversion: Conversion, name: str) -> dict[str, str]:
    """The files of a conversion, by the name of the file without its ending."""
    many = len(conversion.pipelines) > 1
    found: dict[str, str] = {}
    for fields, items in conversion.pipelines:
        file = f"{name}-{fields['type']}" if many else name
        head: dict[str, Any] = {"name": name, **fields} if many else fields
        found[file] = written(head, items)
    return found


def definitions(conversion: Conversion) -> list[dict[str, Any]]:
    """The pipelines without their comments, as the engine takes them."""
    return [{**fields, "stages": stages_of(items) or [nothing()]} for fields, items in conversion.pipelines]
