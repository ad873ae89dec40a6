"""The pages, one module for each section, and the table of their addresses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.ui.pages import (
    attachments,
    audit,
    editing,
    login,
    overview,
    pipelines,
    rollouts,
    simulation,
    statistics,
    udfs,
    versions,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp import web

    from headrace.ui.view import View

_PIPELINE = "/pipelines/{type}/{name}"
TABLE: list[tuple[str, str, Callable[[View], Awaitable[web.StreamResponse]]]] = [
    ("GET", "/", overview.show),
    ("GET", "/pipelines", pipelines.listed),
    ("GET", "/pipelines/new", editing.new),
    ("POST", "/pipelines/new", editing.create),
    ("POST", "/pipelines/new/simulate", editing.try_new),
    ("GET", "/pipelines/{name}", pipelines.named),
    ("GET", "/schemas/pipeline.json", editing.schema),
    ("POST", "/check", editing.check),
    ("GET", _PIPELINE, editing.edit),
    ("POST", _PIPELINE, editing.save),
    ("GET", f"{_PIPELINE}/simulate", simulation.show),
    ("POST", f"{_PIPELINE}/simulate", simulation.run),
    ("POST", f"{_PIPELINE}/simulate/case", simulation.case),
    ("GET", f"{_PIPELINE}/versions", versions.show),
    ("POST", f"{_PIPELINE}/versions", versions.activate),
    ("GET", f"{_PIPELINE}/rollout", rollouts.show),
    ("POST", f"{_PIPELINE}/rollout", rollouts.change),
    ("GET", f"{_PIPELINE}/statistics", statistics.show),
    ("GET", "/udfs", udfs.listed),
    ("GET", "/udfs/{name}", udfs.show),
    ("GET", "/attachments", attachments.show),
    ("GET", "/audit", audit.show),
    ("GET", "/login", login.show),
    ("POST", "/login", login.log_in),
    ("POST", "/logout", login.log_out),
]
"""Method, path below the address of the page, handler."""
