"""The header `traceparent` (W3C Trace Context, section 3.2): which trace a request belongs to."""

from __future__ import annotations

import re
from typing import NamedTuple

TRACE_PARENT, TRACE_STATE = b"traceparent", b"tracestate"
_FORM = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_SAMPLED = 1


class TraceParent(NamedTuple):
    """The trace that a caller is in: 32 hexadecimal digits; `sampled`: whether the caller records it."""

    trace_id: str
    sampled: bool


def parent_of(header: bytes | None) -> TraceParent | None:
    """The trace of a `traceparent`; `None` without the header, and for one that the specification has ignored."""
    match = _FORM.fullmatch(header.strip()) if header else None
    if match is None:
        return None
    version, trace, span, flags, rest = match.groups()
    if version == b"ff" or (version == b"00" and rest) or not trace.strip(b"0") or not span.strip(b"0"):
        return None
    return TraceParent(trace.decode(), bool(int(flags, 16) & _SAMPLED))
