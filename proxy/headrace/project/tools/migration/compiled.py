"""Whether the engine accepts converted stages: the last word on every conversion."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from headrace.project.tools.migration.model import stages_of, unique
from headrace_pipelines import Pipelines
from headrace_pipelines.errors import InvalidError

if TYPE_CHECKING:
    from headrace.project.tools.migration.model import Item


def refusal(items: list[Item], kind: str = "document") -> str:
    """The reason for which the engine refuses the stages; empty where it accepts them, or there are none."""
    stages = copy.deepcopy(stages_of(items))
    if not stages:
        return ""
    unique([*stages], set())
    try:
        Pipelines.load({"check": {"type": kind, "stages": stages}})
    except InvalidError as error:
        return error.reason
    return ""
