"""`composite`: a list of stages as one, so that a condition, a timeout or a policy can hold for all of them.

And what a list of stages is to a run: courses, each one stage, or several that go over the documents together.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import TYPE_CHECKING

from headrace_pipelines.stages.leaf import Leaf

if TYPE_CHECKING:
    from collections.abc import Iterable

    from headrace_pipelines.batch import Condition, Step
    from headrace_pipelines.stages.policy import Policy


@dataclass(frozen=True)
class Composite:
    """Nested stages; the executor walks into them. `timeout` in seconds, for all of them together.

    `handlers`: the stages for a document on which one of the nested stages failed; it skips the rest of them.
    """

    label: str
    stages: list[CompiledStage]
    policy: Policy
    timeout: float | None = None
    enabled: bool = True
    condition: Condition | None = None
    handlers: tuple[CompiledStage, ...] = ()

    @cached_property
    def courses(self) -> tuple[Course, ...]:
        """Its stages, those together that can be."""
        return courses_of(self.stages)


CompiledStage = Leaf | Composite


@dataclass(frozen=True)
class Together:
    """Neighbours that work on one document after the other, each with its `steps` in the engine."""

    leaves: tuple[Leaf, ...]
    steps: list[Step]


Course = Together | CompiledStage
"""What runs over a batch before the next does."""


def courses_of(stages: Iterable[CompiledStage]) -> tuple[Course, ...]:
    """Stages in their order, those together that can be."""
    found: list[Course] = []
    for together, group in groupby(stages, lambda stage: isinstance(stage, Leaf) and stage.step is not None):
        if together:
            leaves = tuple(stage for stage in group if isinstance(stage, Leaf))
            found.append(Together(leaves, [leaf.step for leaf in leaves if leaf.step is not None]))
        else:
            found += group
    return tuple(found)
