"""Shared by surfaces that attach pipelines: finds settings in a body, checks them, and stores them as slots."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import msgspec

from headrace_pipelines import PipelineType
from headrace_pipelines.errors import InvalidError, MediaTypeError
from headrace_pipelines.registry.association import NONE, SLOTS, Association, Slots, merged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from headrace.protocol.index_settings import Found
    from headrace.protocol.indices.templates import Templates
    from headrace.server.request import RequestContext
    from headrace_pipelines.registry.association import Associations, Target

MARK = b"_pipeline"
S = TypeVar("S", bound=Slots)


def mentions(context: RequestContext, text: bytes) -> bool:
    """Whether the body may hold settings of ours. Raises MediaTypeError if it might, in a form we cannot read."""
    if MARK not in text:
        return False
    if not context.readable:
        raise MediaTypeError(
            f"Content-Type header [{context.media}] is not supported for bodies with pipeline settings; send JSON"
        )
    return True


def check(context: RequestContext, found: Found) -> None:
    """Raises InvalidError unless every named pipeline is there and of the right type."""
    for slot, name in found.items():
        if name in (None, NONE) or context.snapshot.active(slot.kind, name or "") is not None:
            continue
        others = [k.value for k in PipelineType if context.snapshot.active(k, name or "") is not None]
        if others:
            raise InvalidError(
                f"pipeline [{name}] is of type {' and '.join(others)}, not {slot.kind.value}", slot.setting
            )
        raise InvalidError(f"pipeline [{name}] does not exist; create it with PUT /_pipeline/{name}", slot.setting)


def with_slots(holder: S, found: Found) -> S:
    """The holder with other pipelines in some slots; `None` clears one."""
    return msgspec.structs.replace(holder, **{slot.field: name for slot, name in found.items()})


async def attach(context: RequestContext, index: str, found: Found) -> Association:
    """Changes what is attached to an index; gives what was attached before."""

    def change(old: Association | None) -> Association | None:
        new = with_slots(old if old is not None and not old.deleted else Association(index=index), found)
        return None if new.empty else new

    before = await context.components.registry.change(Association, index, change)
    return before or Association(index=index)


async def settle(context: RequestContext, changed: Callable[[Templates], Templates]) -> None:
    """Attaches to indexes that are there what a change of the cluster's templates would take from them.

    A node copies settings when it makes an index; what it got from a template does not end with that.
    """
    associations, resolver = context.snapshot.associations, context.components.resolver
    if not associations.templates:
        return
    resolver.forget()
    view = await resolver.view()
    if view.templates is None:
        return
    after = changed(view.templates)
    for target in view.owners_of(view.indexes):
        if lost := _lost(associations, target, after):
            await attach(context, target.name, lost)


def _lost(associations: Associations, target: Target, after: Templates) -> Found:
    """The slots of an index from its templates, without its own attachments."""
    if target.name.startswith("."):
        return {}
    held, own = associations.templates, associations.indexes.get(target.name, Slots())

    def given(keys: Iterable[str]) -> Slots:
        return merged(held[key].at(target.created) for key in keys if key in held)

    has = given(target.templates)
    if has.empty:
        return {}
    keeps = given(after.concerning(target.name))
    lost = (slot for slot in SLOTS if own.name(slot) is None and has.name(slot) not in (None, keeps.name(slot)))
    return {slot: has.name(slot) for slot in lost}
