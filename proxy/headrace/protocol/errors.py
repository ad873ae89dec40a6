"""The one place where our errors become OpenSearch's error body."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from headrace_pipelines.errors import HeadraceError


def error_object(error: HeadraceError) -> dict[str, Any]:
    """`{"type", "reason", …}` with the keys that name field, pipeline and stage."""
    # A reason may quote a header, or a path, that is no UTF-8.
    return {"type": error.type, "reason": _readable(error.reason), **error.extra()}


def _readable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def error_body(error: HeadraceError) -> bytes:
    """The whole body: `{"error": {"root_cause": [...], "type", "reason"}, "status": n}`."""
    cause = error_object(error)
    return msgspec.json.encode({"error": {"root_cause": [cause], **cause}, "status": error.status})
