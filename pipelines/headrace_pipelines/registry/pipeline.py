"""A compiled version of a pipeline, and what callers ask about it before they run it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from headrace_pipelines.definition import PipelineType
from headrace_pipelines.engine import FusedPipeline
from headrace_pipelines.registry.cost import CostEstimate
from headrace_pipelines.stages import CompiledStage, Composite, ExecutionUnit, FusedGroup, StageNode, group_stages
from headrace_pipelines.stages.native import FIT_MAPPING, NativeRunner
from headrace_pipelines.stats import PipelineStats

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from headrace_pipelines.definition import PipelineDefinition
    from headrace_pipelines.engine import Condition
    from headrace_pipelines.errors import HeadraceError
    from headrace_pipelines.stats import PipelineCounts


@dataclass
class Pipeline:
    """A version of a pipeline, compiled. `fault` says why it cannot run (a UDF that went missing)."""

    definition: PipelineDefinition
    created: str
    stages: list[CompiledStage]
    fault: HeadraceError | None
    timeout: float | None
    udfs: frozenset[str]
    handlers: tuple[CompiledStage, ...] = ()
    stats: PipelineStats = field(default_factory=PipelineStats)
    cost: CostEstimate = field(default_factory=CostEstimate)

    @cached_property
    def label(self) -> str:
        """`name@version`."""
        return self.definition.label

    def counts(self) -> PipelineCounts:
        """What it has counted so far in this process, with the state of its breakers."""
        counts = self.stats.dump()
        breakers = {node.label: node.runner.breaker for node in self.nodes if node.runner.breaker[1]}
        for stage in counts.stages:
            is_open, stage.breaker_opened = breakers.get(stage.name, (False, 0))
            stage.breaker_open = int(is_open)
        return counts

    @cached_property
    def units(self) -> tuple[ExecutionUnit, ...]:
        """Its stages as execution units: neighbours that can be fused form one unit."""
        return group_stages(self.stages)

    @cached_property
    def group(self) -> FusedGroup | None:
        """Its stages, where they run in one pass over documents, without a time limit or handlers of the pipeline."""
        bare = self.timeout is None and not self.handlers and len(self.units) == 1
        return self.units[0] if bare and isinstance(self.units[0], FusedGroup) else None

    @cached_property
    def fused(self) -> FusedPipeline | None:
        """Itself for runs that the engine counts, if it can run and all of its stages are one [`group`]."""
        group, kind = self.group, self.definition.type
        if group is None or self.fault is not None or not self.definition.enabled:
            return None
        tallies = [
            (self.stats.stage(node.label).tally, node.runner.stats.tally if node.runner.stats is not None else None)
            for node in group.nodes
        ]
        closed = self.fails_closed
        sifts = kind is PipelineType.RESULT and not any(node.policy.aborts(closed) for node in self.nodes)
        return FusedPipeline(
            self.label, group.steps, tallies, self.stats.tally, self.conditions, closed=closed, sifts=sifts
        )

    @property
    def fails_closed(self) -> bool:
        """Whether the policy of stages that have none is `abort`: in document pipelines (docs/reference/pipelines.md).

        In a final run it is so in all.
        """
        return self.definition.type is PipelineType.DOCUMENT

    @cached_property
    def nodes(self) -> list[StageNode]:
        """Its stages that do work, those of composites and failure handlers included."""
        return list(_leaves([*self.stages, *self.handlers]))

    @cached_property
    def passes(self) -> int:
        """How often a run reads the bytes of a document at most: once for each stage, and once before them."""
        return len(self.nodes) + 1

    @cached_property
    def inline_safe(self) -> bool:
        """Whether a small batch takes little time for sure: no UDF, no regular expression, no waiting for retries."""
        slow = self.may_sleep or any(node.runner.slow for node in self.nodes)
        return not slow and not any(condition.slow for condition in _conditions([*self.stages, *self.handlers]))

    @cached_property
    def conditions(self) -> list[Condition]:
        """Those of its stages, where it does nothing to a document that meets none of them; else empty."""
        runs = self.fault is None and self.definition.enabled
        if not runs or not all(
            isinstance(s, StageNode) and s.fused_step is not None and s.condition is not None for s in self.stages
        ):
            return []
        texts = zip(self.definition.stages, self.stages, strict=True)
        return list({text.condition: stage.condition for text, stage in texts if stage.condition is not None}.values())

    @cached_property
    def may_sleep(self) -> bool:
        """Whether a run may do nothing for a while: between retries."""
        return any(node.policy.retry is not None for node in self.nodes)

    @cached_property
    def keeps_dead_letters(self) -> bool:
        """Whether documents that it meets may become dead letters by its definition."""
        letters = self.definition.dead_letters
        return letters is not None and bool(letters.on)

    @cached_property
    def fitters(self) -> list[NativeRunner]:
        """Its stages that fit documents to the mappings of indexes."""
        runners = [node.runner for node in self.nodes]
        return [each for each in runners if isinstance(each, NativeRunner) and each.function == FIT_MAPPING]

    @cached_property
    def per_hit(self) -> bool:
        """Whether it does nothing but work on hits, one by one."""
        return all(node.runner.per_hit for node in self.nodes)

    @cached_property
    def protects(self) -> bool:
        """Whether a stage of it must see a document wherever it is shown."""
        return any(node.runner.everywhere for node in self.nodes)

    @cached_property
    def hides(self) -> frozenset[str]:
        """The fields of hits that its stages hide: dotted names, patterns too."""
        return frozenset().union(*(node.runner.hides for node in self.nodes))

    @cached_property
    def hides_conditionally(self) -> bool:
        """Whether what it hides of a hit may depend on other fields of the hit."""
        conditions = any(True for _ in _conditions([*self.stages, *self.handlers]))
        return conditions or any(node.runner.hides and node.runner.slow for node in self.nodes)


def _conditions(stages: Iterable[CompiledStage]) -> Iterator[Condition]:
    for stage in stages:
        if stage.condition is not None:
            yield stage.condition
        if isinstance(stage, Composite):
            yield from _conditions(stage.stages)
        yield from _conditions(stage.handlers)


def _leaves(stages: Iterable[CompiledStage]) -> Iterator[StageNode]:
    for stage in stages:
        if isinstance(stage, StageNode):
            yield stage
        else:
            yield from _leaves(stage.stages)
        yield from _leaves(stage.handlers)
