"""One request for a page: who asks, the API in this caller's name, and the answer."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from aiohttp import web

from headrace.ui.rendering import BASE, rendered

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headrace.server.components import Components
    from headrace.ui.audit_lines import AuditLines
    from headrace.ui.inner import Api
    from headrace.ui.rates.history import RecentTotals
    from headrace.ui.sessions import Session

ROWS = 100
"""Rows of a table on one page: a browser and a thread render them in a few milliseconds."""
SECTIONS = (
    ("overview", "Overview", f"{BASE}/"),
    ("pipelines", "Pipelines", f"{BASE}/pipelines"),
    ("udfs", "UDFs", f"{BASE}/udfs"),
    ("attachments", "Attachments", f"{BASE}/attachments"),
    ("audit", "Audit", f"{BASE}/audit"),
)


@dataclass
class View:
    """A request with what handlers of pages need. `form` has the fields of a `POST`."""

    request: web.Request
    session: Session
    csrf: str
    api: Api
    components: Components
    audit: AuditLines
    recent: RecentTotals
    form: Mapping[str, str]

    def query(self, name: str, default: str = "") -> str:
        """A parameter of the address, without blanks around it."""
        return self.request.query.get(name, default).strip()

    @property
    def page_number(self) -> int:
        """The page of a table that the address asks for, from 1."""
        text = self.query("page")
        return max(int(text), 1) if text.isdecimal() and len(text) < 7 else 1

    async def page(self, template: str, section: str, title: str, status: int = 200, /, **facts: Any) -> web.Response:
        """A whole page."""
        shared = {
            "base": BASE,
            "sections": SECTIONS,
            "section": section,
            "title": title,
            "session": self.session,
            "csrf": self.csrf,
            "here": self.request.path_qs,
        }
        body = await asyncio.to_thread(rendered, template, shared | facts)
        return web.Response(body=body, status=status, content_type="text/html", charset="utf-8")


@dataclass(frozen=True)
class Slice:
    """A part of a table: rows, the number of all, and where the part begins and ends."""

    rows: list[Any]
    total: int
    page: int
    pages: int

    @property
    def first(self) -> int:
        """The number of the first row, from 1."""
        return (self.page - 1) * ROWS + 1 if self.rows else 0

    @property
    def last(self) -> int:
        """The number of the last row."""
        return self.first + len(self.rows) - 1 if self.rows else 0


def sliced(rows: list[Any], page: int) -> Slice:
    """The rows of a page; the last one where there are fewer."""
    pages = max((len(rows) + ROWS - 1) // ROWS, 1)
    page = min(page, pages)
    return Slice(rows[(page - 1) * ROWS : page * ROWS], len(rows), page, pages)


def address(*parts: str, **parameters: str | int) -> str:
    """An address of the page."""
    path = "/".join((BASE, *(quote(part, safe="") for part in parts)))
    given = {name: value for name, value in parameters.items() if value not in ("", 0)}
    return path + (f"?{urlencode(given)}" if given else "")


def redirect(location: str) -> web.HTTPSeeOther:
    """The browser shows another address."""
    return web.HTTPSeeOther(location)
