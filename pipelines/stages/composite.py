"""`composite`: a list of stages as one, so that a timeout or a policy can hold for all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipelines.stages.base import CompiledStage


@dataclass(frozen=True)
class Composite:
    """Nested stages; the executor walks into them. `timeout` in seconds, for all of them together."""

    label: str
    stages: list[CompiledStage]
    timeout: float | None
    enabled: bool
