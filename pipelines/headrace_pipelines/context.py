"""What a stage knows of the run that it is part of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headrace_pipelines.batch import Deadline


@dataclass(frozen=True)
class StageContext:
    """One run of a pipeline over a batch.

    `deadline` may be cancelled from another thread; `timeout` is what is left for the stage, in seconds.
    """

    pipeline: str
    deadline: Deadline
    timeout: float | None = None
