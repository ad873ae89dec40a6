"""The nodes of a compiled pipeline: stages that do work, composites of stages, and their grouping for a run.

A run goes over a list of stages as execution units: a unit is one stage, or several neighbours that the engine runs
over each document in one pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

    from headrace_pipelines.engine import Batch, Condition, Deadline, StageRun, Step
    from headrace_pipelines.stages.policy import Policy
    from headrace_pipelines.stats import StageStats


@dataclass(frozen=True)
class StageContext:
    """One run of a pipeline over a batch.

    `deadline` may be cancelled from another thread; `timeout` is what is left for the stage, in seconds.
    """

    pipeline: str
    deadline: Deadline
    timeout: float | None = None


class Runner(Protocol):
    """The work of a stage: one pass over a batch, without asyncio and without the GIL in its loops."""

    @property
    def per_hit(self) -> bool:
        """Whether it works on the hits of a response, one by one."""
        ...

    @property
    def everywhere(self) -> bool:
        """Whether that means inner hits and `top_hits`, too."""
        ...

    @property
    def hides(self) -> frozenset[str]:
        """The fields of hits that it hides: dotted names."""
        ...

    @property
    def reads_strictly(self) -> bool:
        """Whether it reads documents as strictly as the check before the first stage, and tells those that fail."""
        ...

    @property
    def slow(self) -> bool:
        """Whether it is kept off the event loop."""
        ...

    @property
    def stats(self) -> StageStats | None:
        """Where its runs are counted beside the pipeline's own statistics."""
        ...

    @property
    def breaker(self) -> tuple[bool, int]:
        """Whether its breaker is open, and how often it has opened."""
        ...

    @property
    def does(self) -> tuple[str, str]:
        """The kind of the stage and what it runs: `native` and the built-in, or the language and `udf@version`."""
        ...

    def keep_lines(self, pipeline: str, stage: str, logs: list[tuple[int, int, str]]) -> None:
        """Keeps the lines that a run has logged."""
        ...

    def run(self, batch: Batch, context: StageContext, *, abort: bool, label: str) -> StageRun:
        """Runs over every active document of the batch."""
        ...

    def fused_step(self, label: str, condition: Condition | None, aborts: bool | None) -> Step | None:
        """The same as a step of a fused group; `None` where it needs a pass of its own over the batch."""
        ...


@dataclass(frozen=True)
class StageNode:
    """A stage that does work. `timeout` in seconds, for the whole batch; `handlers` for documents that fail."""

    label: str
    runner: Runner
    policy: Policy
    timeout: float | None
    enabled: bool
    condition: Condition | None = None
    handlers: tuple[CompiledStage, ...] = ()

    @cached_property
    def needs_check(self) -> bool:
        """Whether documents are checked before it; else the stage finds those that cannot be read, once it runs."""
        plain = self.enabled and self.condition is None and self.policy.retry is None and not self.handlers
        return not (plain and self.runner.reads_strictly)

    @cached_property
    def fused_step(self) -> Step | None:
        """The stage as a step of a fused group; `None` where it needs a pass of its own over the batch."""
        own = self.timeout is not None or self.policy.retry is not None or bool(self.handlers)
        if own or not self.enabled or self.runner.per_hit:
            return None
        aborts = None if self.policy.action is None else self.policy.aborts(default=False)
        return self.runner.fused_step(self.label, self.condition, aborts)


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
    def units(self) -> tuple[ExecutionUnit, ...]:
        """Its stages as execution units: neighbours that can be fused form one unit."""
        return group_stages(self.stages)


CompiledStage = StageNode | Composite


@dataclass(frozen=True)
class FusedGroup:
    """Neighbours that work on one document after the other, each with its `steps` in the engine."""

    nodes: tuple[StageNode, ...]
    steps: list[Step]


ExecutionUnit = FusedGroup | CompiledStage
"""One step of a run: a unit finishes the batch before the next unit starts."""


def group_stages(stages: Iterable[CompiledStage]) -> tuple[ExecutionUnit, ...]:
    """Stages in their order as execution units: neighbours that can be fused form one unit."""
    found: list[ExecutionUnit] = []
    for fused, group in groupby(stages, lambda stage: isinstance(stage, StageNode) and stage.fused_step is not None):
        if fused:
            nodes = tuple(stage for stage in group if isinstance(stage, StageNode))
            found.append(FusedGroup(nodes, [node.fused_step for node in nodes if node.fused_step is not None]))
        else:
            found += group
    return tuple(found)
