"""What a rollout in progress keeps from being changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace_pipelines.errors import InUseError

if TYPE_CHECKING:
    from headrace.server.request import RequestContext


def refuse_activation(context: RequestContext, name: str, version: str) -> None:
    """Raises InUseError where a rollout of a pipeline (by its key) runs, unless the change is forced: that ends it."""
    running = context.snapshot.rollouts.get(name)
    if running is None or version == running.record.stable:
        return
    if not context.target.flag("force"):
        raise InUseError(
            f"{running.record.type.value} pipeline {of(context, name)}; promote or abort it first, store the version "
            "with ?activate=false, or add ?force=true, which ends the rollout"
        )
    context.add_audit_facts(rollout="ended", forced="true")


def refuse_deletion(context: RequestContext, name: str, version: str | None) -> None:
    """Raises InUseError where a rollout needs the version of a pipeline (by its key), or any where it is `None`."""
    running = context.snapshot.rollouts.get(name)
    if running is not None and version in (None, running.record.stable, running.record.spec.candidate):
        raise InUseError(f"{running.record.type.value} pipeline {of(context, name)}; promote or abort it first")


def of(context: RequestContext, name: str) -> str:
    """A pipeline (by its key) with its rollout, in words."""
    record = context.snapshot.rollouts[name].record
    return f"[{record.name}] has a rollout of version [{record.spec.candidate}]"
