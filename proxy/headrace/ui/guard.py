"""What keeps pages of other sites out: names, origins, headers. The rights themselves are the API's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import hdrs, web

from headrace.security.admin import authority_of, is_own_name

if TYPE_CHECKING:
    from headrace.settings import Settings
    from headrace.ui.sessions import Seals, Session

CSRF_FIELD = "csrf"
POLICY = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
"""The policy of every answer: nothing of another host, nothing inline, no frame."""
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Server": "headrace",
    # `no-referrer` would make browsers send `Origin: null` with our own forms.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
"""Headers of every answer of the page."""


def refuse_foreign_names(request: web.BaseRequest, settings: Settings) -> None:
    """Raises HTTPMisdirectedRequest where a page on loopback is called by a name that is not its own.

    Another site may point a name of its own at this machine (DNS rebinding).
    """
    host = request.headers.get(hdrs.HOST, "")
    if settings.ui_loopback and not is_own_name(host, settings.advertise, settings.allowed_hosts):
        raise web.HTTPMisdirectedRequest(
            text=f"[{host}] is not a name of this proxy, which listens on loopback; add it to the setting allowed_hosts"
        )


def refuse_foreign_forms(request: web.BaseRequest, seals: Seals, session: Session, token: object) -> None:
    """Raises HTTPForbidden for a change that no form of this page and of this session has asked for."""
    origin = request.headers.get(hdrs.ORIGIN)
    if origin is None or authority_of(origin) != request.headers.get(hdrs.HOST):
        raise web.HTTPForbidden(text=f"a page of [{origin or 'another origin'}] must not change anything here")
    if not isinstance(token, str) or not seals.is_csrf(session, token):
        raise web.HTTPForbidden(text="this form is of another session, or too old: go back, reload the page, try again")
