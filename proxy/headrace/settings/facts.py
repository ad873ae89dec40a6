"""The facts of a setting: its group, its summary, what its text stands for, and whether a reload changes it."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

Kind = Literal[
    "text", "choice", "switch", "count", "fraction", "duration", "size", "address", "file", "folder", "secret"
]
"""What the text of a setting stands for."""
ADDRESSES, RIGHTS, PIPELINES = "Addresses and TLS", "Registry and rights", "Pipelines"
FINALS, BODIES, LIMITS, PROCESS = "Final pipelines", "Bodies and connections", "Limits of pipelines", "Process"
OBSERVABILITY = "Observability"


def about(group: str, summary: str, kind: Kind | None = None, *, restart: bool = False) -> msgspec.Meta:
    """The facts of a setting. `restart`: a reload does not change it."""
    shown: dict[str, Any] = {"x-group": group, "x-reload": not restart}
    if kind is not None:
        shown["x-kind"] = kind
    return msgspec.Meta(description=summary, extra_json_schema=shown, extra={"kind": kind})
