"""The rollout of a pipeline: how far it is, both versions beside each other, and the ways on and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headrace.ui.definitions import find
from headrace.ui.inner import ApiError
from headrace.ui.view import address, redirect

if TYPE_CHECKING:
    from aiohttp import web

    from headrace.ui.view import View

ACTIONS = ("pause", "resume", "promote", "abort")


async def show(view: View) -> web.StreamResponse:
    """The newest rollout, and before a promotion what it means."""
    kind, name = view.request.match_info["type"], view.request.match_info["name"]
    pipeline, rollout = await find(view, kind, name), await _rollout(view, kind, name)
    running = rollout is not None and rollout["state"] in ("running", "paused")
    return await view.page(
        "pipelines/rollout.html",
        "pipelines",
        name,
        pipeline=pipeline,
        rollout=rollout,
        running=running,
        promoting=running and view.query("confirm") == "promote",
        tab="rollout",
    )


async def _rollout(view: View, kind: str, name: str) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = await view.api.get("_pipeline", name, "_rollout", type=kind)
    except ApiError as error:
        if error.status != 404:
            raise
        return None
    return found


async def change(view: View) -> web.StreamResponse:
    """Pauses, resumes, promotes or aborts the rollout."""
    kind, name = view.request.match_info["type"], view.request.match_info["name"]
    action = view.form.get("action", "")
    if action not in ACTIONS:
        raise ApiError(400, f"[{action}] is not one of {', '.join(ACTIONS)}")
    await view.api.post("_pipeline", name, f"_{action}", type=kind)
    raise redirect(address("pipelines", kind, name, "rollout"))
