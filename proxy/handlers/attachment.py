"""What the surfaces that attach pipelines share: settings found in a body, checked, and written into slots."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import msgspec

from pipelines import PipelineType
from pipelines.association import NONE, Slots
from pipelines.errors import InvalidError, MediaTypeError

if TYPE_CHECKING:
    from proxy.handlers.call import Call
    from proxy.protocol.index_settings import Found

MARK = b"_pipeline"
S = TypeVar("S", bound=Slots)


def mentions(call: Call, text: bytes) -> bool:
    """Whether the body may hold settings of ours. Raises MediaTypeError if it might, in a form we cannot read."""
    if MARK not in text:
        return False
    if not call.speaks_json:
        raise MediaTypeError(
            f"Content-Type header [{call.media}] is not supported for bodies with pipeline settings; send JSON"
        )
    return True


def check(call: Call, found: Found) -> None:
    """Raises InvalidError unless every named pipeline is there and of the right type."""
    for slot, name in found.items():
        if name in (None, NONE) or call.snapshot.active(slot.kind, name or "") is not None:
            continue
        others = [k.value for k in PipelineType if call.snapshot.active(k, name or "") is not None]
        if others:
            raise InvalidError(
                f"pipeline [{name}] is of type {' and '.join(others)}, not {slot.kind.value}", slot.setting
            )
        raise InvalidError(f"pipeline [{name}] does not exist; create it with PUT /_pipeline/{name}", slot.setting)


def with_slots(holder: S, found: Found) -> S:
    """The holder with other pipelines in some slots; `None` clears one."""
    return msgspec.structs.replace(holder, **{slot.field: name for slot, name in found.items()})
