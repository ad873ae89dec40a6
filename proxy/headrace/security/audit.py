"""The audit log: a line of JSON for every change of pipelines, UDFs and attachments, refused ones too.

Who (the name of Basic credentials, never a password), from where, what, with which outcome; no bodies.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import msgspec

from headrace.ops.logs.lines import AUDIT, printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace.server.request import RequestContext

log = logging.getLogger(AUDIT)


observers: set[Callable[[dict[str, Any]], None]] = set()
"""What sees each entry about a change, whatever the level of the log is: the page keeps the last ones."""


def record_own(action: str, **facts: str) -> None:
    """Writes the line of a change that this proxy makes by itself."""
    entry = {"action": action, "status": 200, "user": "", "source": "headrace", **facts}
    log.info("%s", msgspec.json.encode(entry).decode(), extra={"fields": entry, "summary": action})
    for observer in observers:
        observer(entry)


def record(context: RequestContext, status: int, *, gone: bool = False) -> None:
    """Writes the line of a request that asked for a change; `gone`: its client did not wait for the answer."""
    if context.audit is None:
        return
    entry = {
        "action": f"{context.method} {context.target.raw_path}",
        "status": status,
        "user": context.user,
        "source": context.request.remote or "",
        **context.audit,
    }
    if gone:
        entry["client"] = "gone"
    if opaque := context.request.headers.get("X-Opaque-Id"):
        entry["x_opaque_id"] = opaque
    # A header that is no UTF-8 must not keep a change out of the log.
    entry = {name: printable(value) if isinstance(value, str) else value for name, value in entry.items()}
    log.info("%s", msgspec.json.encode(entry).decode(), extra={"fields": entry, "summary": entry["action"]})
    if context.asks_for_change:
        for observer in observers:
            observer(entry)
