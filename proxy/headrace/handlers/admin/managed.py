"""Changes by hand of what a set has: refused, or with `?force=true` a revision of the set that its diff shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from headrace.registry import sets
from headrace.registry.records_codec import now
from headrace.registry.sets import Edit, Opened
from headrace_pipelines.errors import ConflictError
from headrace_pipelines.registry.sets import converted, labels_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace.server.request import RequestContext
    from headrace_pipelines.registry.association import Pattern
    from headrace_pipelines.registry.records import Revision
    from headrace_pipelines.registry.sets.plan import Kind


class ManagedError(ConflictError):
    """Something that belongs to a set."""


def manager(context: RequestContext, kind: Kind, name: str) -> str:
    """The set that an object belongs to, empty for none. Raises ManagedError unless the change is forced."""
    managed_by = context.snapshot.managed_by(kind, name)
    if managed_by and not context.target.flag("force"):
        plain = name.rpartition(":")[2] if kind == "pipeline" else name
        raise ManagedError(
            f"{kind} [{plain}] is managed by the set [{managed_by}]; change it there and apply the set, or add "
            "?force=true, which the next diff of the set shows"
        )
    if managed_by:
        context.add_audit_facts(set=managed_by, forced="true")
    return managed_by


def refuse_adopted(context: RequestContext, kind: Kind, name: str) -> None:
    """Raises ManagedError where a set has come to have what was just stored by hand: that is not in force."""
    if managed_by := context.snapshot.managed_by(kind, name):
        raise ManagedError(f"the set [{managed_by}] was applied at the same time, and has {kind} [{name}] in force")


def refuse_version(managed_by: str, label: str) -> None:
    """Raises ManagedError for a single version of what a set has: the set may go back to it."""
    if managed_by:
        raise ManagedError(
            f"[{label}] belongs to the history of the set [{managed_by}]; versions of a set go with its old revisions"
        )


async def bring_in_force(context: RequestContext, managed_by: str, kind: Kind, name: str, id_: str) -> None:
    """Makes another version of a pipeline (by its key) or a UDF the one that its set has."""

    def change(at: Opened, base: Revision) -> Edit:
        if id_ not in {record.id for record in (*at.basis.stored.pipelines, *at.basis.stored.udfs)}:
            raise ConflictError(f"[{id_}] was deleted by another request at the same time")
        held = base.pipelines if kind == "pipeline" else base.udfs
        revision = _next(context, base, kind, name, "activate" if id_ in base.versions else "update")
        versions = sorted({*base.versions, id_})
        if kind == "pipeline":
            return Edit(msgspec.structs.replace(revision, pipelines={**held, name: id_}, versions=versions))
        return Edit(msgspec.structs.replace(revision, udfs={**held, name: id_}, versions=versions))

    await _edit(context, managed_by, f"{kind} {name}", change)


async def associate(context: RequestContext, managed_by: str, pattern: Pattern) -> None:
    """Replaces an association of a set."""

    def change(_: Opened, base: Revision) -> Edit:
        others = [each for each in base.patterns if each.pattern != pattern.pattern]
        revision = _next(context, base, "association", pattern.pattern, "update")
        return Edit(msgspec.structs.replace(revision, patterns=[*others, pattern]))

    await _edit(context, managed_by, f"association {pattern.pattern}", change)


async def release(context: RequestContext, managed_by: str, kind: Kind, name: str) -> None:
    """Removes an object from its set, and from what is in force."""
    label = f"{kind} {name}"

    def change(at: Opened, base: Revision) -> Edit:
        revision = _next(context, base, kind, name, "detach" if kind == "association" else "delete")
        revision = msgspec.structs.replace(
            revision,
            pipelines={n: id_ for n, id_ in base.pipelines.items() if f"pipeline {n}" != label},
            udfs={n: id_ for n, id_ in base.udfs.items() if f"udf {n}" != label},
            patterns=[each for each in base.patterns if f"association {each.pattern}" != label],
            versions=[id_ for id_ in base.versions if not id_.startswith(f"{kind}:{name}@")],
        )
        return Edit(revision, tuple(converted(at.basis.stored, {label}, revision)), (label,))

    await _edit(context, managed_by, label, change)


async def _edit(
    context: RequestContext, managed_by: str, label: str, change: Callable[[Opened, Revision], Edit]
) -> None:
    """Changes an object of a set. Raises ManagedError where the set has it no more: who asked knew the set's."""

    def checked(at: Opened, base: Revision) -> Edit:
        if label not in labels_of(base):
            raise ManagedError(
                f"[{label}] left the set [{managed_by}] at the same time by another request; look at it and try again"
            )
        return change(at, base)

    await sets.edit(context.components.registry, managed_by, checked)


def _next(context: RequestContext, base: Revision, kind: Kind, name: str, action: str) -> Revision:
    return sets.by_hand(base, f"{kind} {name}", now(), context.user, action)
