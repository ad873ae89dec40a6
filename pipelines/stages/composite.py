"""`composite`: a list of stages as one, so that a condition, a timeout or a policy can hold for all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipelines.batch import Condition
    from pipelines.stages.base import CompiledStage
    from pipelines.stages.policy import Policy


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
