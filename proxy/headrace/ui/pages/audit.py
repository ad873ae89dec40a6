"""The recent lines of the audit log."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from headrace.ui.audit_lines import MOST_LINES
from headrace.ui.inner import OPAQUE_ID
from headrace.ui.view import sliced

if TYPE_CHECKING:
    from aiohttp import web

    from headrace.ui.view import View

FIRST = frozenset({"action", "status", "user", "source", "time"})
"""Members with a column of their own."""


LONGEST = {"sha256": 12}
"""Characters of a member that tell it from others."""


async def show(view: View) -> web.StreamResponse:
    """Who asked for which change, with which outcome. For administrators: only they may ask for what comes first."""
    await view.api.get("_proxy", "info")
    text = view.query("q").lower()
    lines = [_row(line) for line in view.audit.recent()]
    found = [line for line in lines if text in " ".join((line["action"], line["user"], line["more"])).lower()]
    return await view.page(
        "audit.html",
        "audit",
        "Audit",
        table=sliced(found, view.page_number),
        any=bool(lines),
        q=view.query("q"),
        most=MOST_LINES,
        workers=view.components.settings.workers,
    )


def _row(line: dict[str, Any]) -> dict[str, Any]:
    facts = {name: str(value) for name, value in line.items() if name not in FIRST and value}
    if facts.pop("x_opaque_id", "") == OPAQUE_ID:
        facts["by"] = "this page"
    more = ", ".join(f"{name} {value[: LONGEST.get(name, 100)]}" for name, value in facts.items())
    return {
        "time": datetime.fromtimestamp(line["time"], UTC).isoformat(timespec="seconds"),
        "action": str(line.get("action", "")),
        "status": int(line.get("status") or 0),
        "user": str(line.get("user", "")),
        "source": str(line.get("source", "")),
        "more": more,
    }
