"""Log in and out: the caller's own credentials for the API, kept in a sealed cookie."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from headrace.ui import sessions
from headrace.ui.inner import ApiError
from headrace.ui.rendering import BASE
from headrace.ui.view import redirect

if TYPE_CHECKING:
    from aiohttp import web

    from headrace.ui.view import View

LONGEST = 512
"""Characters of a user's name, a password and a token: their cookie must fit into a browser."""

REFUSED_SECONDS = 0.5
"""Seconds before a refused login is answered: guesses are slow."""


async def show(view: View) -> web.StreamResponse:
    """The form."""
    return await _form(view, 200, "")


async def _form(view: View, status: int, problem: str) -> web.StreamResponse:
    facts = {"problem": problem, "next": _own(view.form.get("next") or view.query("next"))}
    return await view.page("login.html", "", "Log in", status, **facts, user=view.form.get("user", ""))


async def log_in(view: View) -> web.StreamResponse:
    """Begins a session with these credentials, if the API takes them."""
    user, password, token = (view.form.get(name, "") for name in ("user", "password", "token"))
    if max(map(len, (user, password, token))) > LONGEST:
        return await _form(view, 400, f"Name, password and token have at most {LONGEST} characters.")
    if token and not (token.isascii() and token.isprintable()):
        return await _form(view, 400, "A token has printable ASCII characters only.")
    if not token and (not user or ":" in user):
        return await _form(view, 400, "Enter a user name (without a colon) and a password, or the admin token.")
    if token and not view.components.settings.admin_token:
        return await _form(view, 403, "This proxy has no admin token: log in with your user of the cluster.")
    session = sessions.of_token(token) if token else sessions.of_user(user, password)
    api = replace(view.api, headers=session.headers)
    try:
        # The token is for administrators, and only they may read what the first one answers.
        await (api.get("_proxy", "info") if token else api.get("_pipeline", "_association"))
    except ApiError as error:
        await asyncio.sleep(REFUSED_SECONDS)
        if token and error.status in (401, 403):
            return await _form(view, 403, "The admin token is wrong.")
        if error.status in (401, 403):
            return await _form(view, 403, f"These credentials are not accepted: {error.reason}")
        return await _form(view, 502, error.reason)
    view.session = session
    raise redirect(_own(view.form.get("next", "")))


async def log_out(view: View) -> web.StreamResponse:
    """Ends the session: the browser gets one of nobody."""
    view.session = sessions.anonymous()
    raise redirect(f"{BASE}/login")


def _own(path: str) -> str:
    """A path of the page; its beginning in place of any other address."""
    return path if path.startswith(f"{BASE}/") and "\\" not in path and "//" not in path else f"{BASE}/"
