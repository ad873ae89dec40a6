"""Whether the engine accepts converted stages: the last word on every conversion."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.project.tools.migration.model import stages_of
from headrace_pipelines import Pipelines
from headrace_pipelines.errors import InvalidError

if TYPE_CHECKING:
    from headrace.project.tools.migration.model import Item


def refusal(items: list[Item], kind: str = "document") -> str:
    """The reason for which the engine refuses the stages; empty where it accepts them, or there are none."""
    stages = stages_of(items)
    if not stages:
        return ""
    numbered = [{**stage, "name": str(number)} for number, stage in enumerate(stages)]
    try:
        Pipelines.load({"check": {"type": kind, "stages": numbered}})
    except InvalidError as error:
        return error.reason
    return ""
