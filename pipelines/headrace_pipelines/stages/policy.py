"""Failure policies: abort, continue, retry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from headrace_pipelines import units
from headrace_pipelines.definition import FailurePolicy

if TYPE_CHECKING:
    from headrace_pipelines.definition import RetryConfig


@dataclass(frozen=True)
class Retry:
    """Retries of failed documents; delays in seconds."""

    attempts: int
    delay: float
    longest: float
    multiplier: float
    classes: list[str]

    @classmethod
    def of(cls, config: RetryConfig, path: str) -> Retry:
        """From what was written at `path`. Raises InvalidError."""
        return cls(
            config.max_attempts,
            units.seconds(config.initial_delay, f"{path}.initial_delay"),
            units.seconds(config.max_delay, f"{path}.max_delay"),
            config.multiplier,
            list(config.retryable_errors),
        )


@dataclass(frozen=True)
class Policy:
    """The policy of a stage. `action`: `None` for the default of the run (`Pipeline.fails_closed`)."""

    action: FailurePolicy | None = None
    retry: Retry | None = None

    def aborts(self, default: bool) -> bool:
        """Whether a failure aborts the document."""
        return default if self.action is None else self.action is FailurePolicy.ABORT
