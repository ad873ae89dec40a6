"""Rollouts in force: each with both of its versions, compiled."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from headrace_pipelines.definition import PipelineType
from headrace_pipelines.engine import KeyShare
from headrace_pipelines.errors import InvalidError
from headrace_pipelines.registry.rollouts.record import BY_ID

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from headrace_pipelines.registry.pipeline import Pipeline
    from headrace_pipelines.registry.rollouts.record import Rollout


@dataclass(frozen=True)
class RunningRollout:
    """A rollout whose candidate meets traffic, or is compared with the stable version."""

    record: Rollout
    stable: Pipeline
    candidate: Pipeline

    @cached_property
    def share(self) -> KeyShare:
        """The hash of its keys. Raises InvalidError for a key that is no expression."""
        return share_of(self.record)

    @cached_property
    def _since(self) -> float:
        return self.record.since

    def percent_at(self, seconds: float) -> float:
        """[`Rollout.percent_at`], by a time that is parsed once."""
        begun = seconds >= self._since and not self.record.pending
        return self.record.spec.percent(self.record.step) if begun else self.record.percent_at(seconds)

    def undecided_at(self, seconds: float) -> bool:
        """Whether only a new reading of the registry tells the percentage at a time: the step is due, but pending."""
        return self.record.pending and self.record.state == "running" and seconds >= self._since

    @property
    def per_document(self) -> bool:
        """Whether each document has its own key; else all of a request have one."""
        spec = self.record.spec
        return spec.key == BY_ID or (spec.expression is not None and self.record.type is PipelineType.DOCUMENT)

    @property
    def is_plain(self) -> bool:
        """Whether one version of a canary runs on each document, which the document tells at once."""
        plain = self.per_document and self.record.spec.fallback != "stable"
        return plain and self.is_canary and not self.share.slow

    @property
    def is_canary(self) -> bool:
        """Whether what the candidate makes is written or answered."""
        return self.record.spec.mode == "canary"


def share_of(record: Rollout) -> KeyShare:
    """The hash of the keys of a rollout. Raises InvalidError for a key that is no expression."""
    names = ["doc", "document"] if record.type is PipelineType.DOCUMENT else []
    try:
        return KeyShare(record.seed, record.spec.expression, names)
    except ValueError as error:
        raise InvalidError(str(error), "key") from None


def in_force(
    rollouts: Iterable[Rollout], active: Mapping[str, str], compiled: Mapping[tuple[str, str], Pipeline]
) -> dict[str, RunningRollout]:
    """The rollouts in force by the keys of their pipelines.

    A rollout ends when another version than its stable one becomes active, whoever does that: with a set, by force, or
    by promoting the candidate. So one write of the active version ends it and changes the version at once.
    """
    found: dict[str, RunningRollout] = {}
    for record in rollouts:
        if not record.concerns_traffic or active.get(record.key) != record.stable:
            continue
        stable = compiled.get((record.key, record.stable))
        candidate = compiled.get((record.key, record.spec.candidate))
        if stable is not None and candidate is not None and candidate.fault is None:
            found[record.key] = RunningRollout(record, stable, candidate)
    return found
