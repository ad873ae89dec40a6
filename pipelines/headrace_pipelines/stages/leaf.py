"""A stage that does work, and what the executor asks of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from headrace_pipelines.batch import Batch, Condition, StageRun, Step
    from headrace_pipelines.context import StageContext
    from headrace_pipelines.stages.composite import CompiledStage
    from headrace_pipelines.stages.policy import Policy
    from headrace_pipelines.stats import StageStats


class Runner(Protocol):
    """What the executor asks of a stage: one pass over a batch, without asyncio and without the GIL in its loops."""

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
    def slow(self) -> bool:
        """Whether it is kept off the event loop."""
        ...

    @property
    def stats(self) -> StageStats | None:
        """Where its runs are counted beside the pipeline's own statistics."""
        ...

    def run(self, batch: Batch, context: StageContext, *, abort: bool, label: str) -> StageRun:
        """Runs over every active document of the batch."""
        ...

    def step(self, label: str, condition: Condition | None, aborts: bool | None) -> Step | None:
        """The same for one document between its neighbours; `None` where it needs a batch of its own."""
        ...


@dataclass(frozen=True)
class Leaf:
    """A stage that does work. `timeout` in seconds, for the whole batch; `handlers` for documents that fail."""

    label: str
    runner: Runner
    policy: Policy
    timeout: float | None
    enabled: bool
    condition: Condition | None = None
    handlers: tuple[CompiledStage, ...] = ()

    @cached_property
    def step(self) -> Step | None:
        """The stage for one document between its neighbours; `None` where it has to be run over the batch alone."""
        own = self.timeout is not None or self.policy.retry is not None or bool(self.handlers)
        if own or not self.enabled or self.runner.per_hit:
            return None
        aborts = None if self.policy.action is None else self.policy.aborts(default=False)
        return self.runner.step(self.label, self.condition, aborts)
