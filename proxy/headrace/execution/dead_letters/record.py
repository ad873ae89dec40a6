"""The record of a dead letter out of a request: with its user and its trace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headrace.protocol.headers.trace_context import TRACE_PARENT, parent_of
from headrace.protocol.indices import dead_letter_record

if TYPE_CHECKING:
    from headrace.protocol.indices.dead_letter_record import DeadLetter
    from headrace.server.request import RequestContext


def fields_of(context: RequestContext, letter: DeadLetter) -> dict[str, Any]:
    """The record as a document of the stream. Members without a value are left out."""
    return dead_letter_record.fields_of(letter, context.user or None, _trace_id(context))


def _trace_id(context: RequestContext) -> str | None:
    if context.trace is not None:
        return context.trace.trace_id
    parent = parent_of(context.head.header(TRACE_PARENT))
    return parent.trace_id if parent is not None else None
