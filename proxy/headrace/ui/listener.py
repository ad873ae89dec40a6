"""The listener of the page: its routes, and the frame of every request for it."""

from __future__ import annotations

import asyncio
import logging
import socket
from functools import partial
from typing import TYPE_CHECKING

from aiohttp import hdrs, web

from headrace.http1 import tls
from headrace.server.listener import BACKLOG
from headrace.ui import guard, rendering, sessions
from headrace.ui.audit_lines import AuditLines
from headrace.ui.inner import Api, ApiError
from headrace.ui.pages import TABLE
from headrace.ui.rates.history import RecentTotals
from headrace.ui.rendering import BASE
from headrace.ui.view import View, address, redirect

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable

    from aiohttp.typedefs import Handler, Middleware

    from headrace.server.components import Components
    from headrace.server.listener import Listener
    from headrace.settings import Settings

    PageHandler = Callable[[View], Awaitable[web.StreamResponse]]

log = logging.getLogger("headrace.ui")
MOST_FORM_BYTES = 4 << 20
"""Maximum length in bytes of a form: a definition and its samples."""
OPEN_PAGES = (f"{BASE}/login", f"{BASE}/logout")
"""Pages for people who have not logged in."""
MOST_AT_ONCE = 16
"""Number of pages that are made at once; others wait. With their forms they take 64 MB at most."""
RECENT_MINUTES = 30
"""Minutes of the charts of the overview."""
FORM_SECONDS = 30.0
"""Seconds in which a form has to arrive."""
STOPPING_SECONDS = 5.0
"""Seconds for pages in progress when the listener closes."""
_YEAR = 365 * 24 * 3600


def context_of(settings: Settings) -> ssl.SSLContext | None:
    """TLS of the page: that of the proxy, unless only this machine can open it and no client needs a certificate."""
    return tls.for_clients(settings) if not settings.ui_loopback or settings.tls_client_ca else None


class UiListener:
    """Serves the page at the address `ui_listen`. `shared`: other workers listen there, too."""

    def __init__(
        self, listener: Listener, components: Callable[[], Components], secret: bytes, *, shared: bool
    ) -> None:
        """`components` gives the parts of the proxy as they are now; `secret` seals sessions."""
        self._listener = listener
        self._components = components
        self._shared = shared
        self._seals = sessions.Seals(secret)
        self._audit = AuditLines()
        self._recent = RecentTotals(RECENT_MINUTES)
        app = web.Application(client_max_size=MOST_FORM_BYTES, middlewares=[self._frame])
        app.router.add_get("/", partial(_to, BASE + "/"))
        app.router.add_get(BASE, partial(_to, BASE + "/"))
        app.router.add_get(BASE + "/static/{name}", _static)
        for method, path, page in TABLE:
            app.router.add_route(method, BASE + path, partial(self._answer, page))
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=STOPPING_SECONDS)
        self._places = asyncio.Semaphore(MOST_AT_ONCE)
        self._socket: socket.socket | None = None
        self._site: web.SockSite | None = None
        self._scheme = "http"

    async def start(self) -> None:
        """Listens. Raises OSError if the address is taken, InvalidError for bad certificates."""
        settings = self._components().settings
        host, port = settings.address("ui_listen")
        context = context_of(settings)
        self._scheme = "https" if context else "http"
        await asyncio.to_thread(rendering.static_files)
        await self._runner.setup()
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.create_server((host, port), family=family, backlog=BACKLOG, reuse_port=self._shared)
        self._audit.attach()
        await self._open(context)
        log.info("the page is at %s", self.url)

    async def _open(self, context: ssl.SSLContext | None) -> None:
        if self._socket is None:
            return
        before, self._site = self._site, web.SockSite(self._runner, self._socket.dup(), ssl_context=context)
        await self._site.start()
        if before is not None:
            await before.stop()

    @property
    def url(self) -> str:
        """Where the page is."""
        if self._socket is None:
            return ""
        host, port = self._socket.getsockname()[:2]
        return f"{self._scheme}://{f'[{host}]' if ':' in host else host}:{port}{BASE}/"

    async def adopt(self, secret: bytes, *, renew_tls: bool) -> None:
        """Adopts the secret of sessions, and the certificate as it is now."""
        self._seals = sessions.Seals(secret)
        if renew_tls and (context := context_of(self._components().settings)) is not None:
            await self._open(context)

    async def stop(self) -> None:
        """Closes the listener."""
        self._audit.detach()
        await self._runner.cleanup()
        if self._socket is not None:
            self._socket.close()

    @property
    def _frame(self) -> Middleware:
        @web.middleware
        async def frame(request: web.Request, handler: Handler) -> web.StreamResponse:
            try:
                guard.refuse_foreign_names(request, self._components().settings)
                response = await handler(request)
            except web.HTTPException as error:
                response = error
            except Exception:
                log.exception("a page failed: %s %s", request.method, request.path)
                response = web.Response(status=500, text="The page failed; the log of the proxy says why.")
            response.headers.update(guard.HEADERS)
            response.headers.setdefault(hdrs.CACHE_CONTROL, "no-store")
            if isinstance(response, web.HTTPException):
                raise response
            return response

        return frame

    async def _answer(self, page: PageHandler, request: web.Request) -> web.StreamResponse:
        cookie = self._cookie_name(request)
        found = self._seals.open(request.cookies.get(cookie, ""))
        session = found or sessions.anonymous()
        form: dict[str, str] = {}
        if request.method == hdrs.METH_POST:
            form = await _form(request)
            guard.refuse_foreign_forms(request, self._seals, session, form.get(guard.CSRF_FIELD))
        view = self._view(request, session, form)
        try:
            # A form that arrives slowly holds up no page.
            async with self._places:
                response = await self._page(page, view)
        except web.HTTPException as error:
            response = error
        if view.session is not found:
            self._keep(response, cookie, self._seals.seal(view.session))
        if isinstance(response, web.HTTPException):
            raise response
        return response

    def _view(self, request: web.Request, session: sessions.Session, form: dict[str, str]) -> View:
        peer = request.transport.get_extra_info("peername") if request.transport is not None else None
        api = Api(self._listener.accept, session.headers, peer)
        csrf = self._seals.csrf(session)
        return View(request, session, csrf, api, self._components(), self._audit, self._recent, form)

    async def _page(self, page: PageHandler, view: View) -> web.StreamResponse:
        """The page, or why there is none."""
        request = view.request
        back = address("login", next=request.path_qs if request.method == hdrs.METH_GET else "")
        is_open = view.components.settings.ui_loopback or request.path in OPEN_PAGES
        if not is_open and not view.session.logged_in:
            raise _to_login(request, back)
        try:
            return await page(view)
        except ApiError as error:
            if error.status in (401, 403) and not view.session.logged_in:
                raise _to_login(request, back) from None
            return await view.page("error.html", "", _title(error.status), _status(error.status), error=error)

    def _cookie_name(self, request: web.Request) -> str:
        """The name of the cookie: those of several proxies on one machine must not replace each other."""
        port = self._socket.getsockname()[1] if self._socket is not None else 0
        return f"{'__Secure-' if request.secure else ''}headrace-{port}"

    @staticmethod
    def _keep(response: web.StreamResponse, cookie: str, sealed: str) -> None:
        secure = cookie.startswith("__Secure-")
        # No `Max-Age`: it goes with the browser, and the seal ends it sooner.
        response.set_cookie(cookie, sealed, path=BASE, httponly=True, samesite="Strict", secure=secure)


def _to_login(request: web.Request, location: str) -> web.HTTPException:
    """The way to the login. The script asks for parts of pages, which are no place for another page: it is refused."""
    if "HX-Request" in request.headers:
        return web.HTTPForbidden(text="Your session has ended: reload the page.")
    return redirect(location)


async def _form(request: web.Request) -> dict[str, str]:
    """The fields of a form. Raises HTTPRequestTimeout, HTTPRequestEntityTooLarge."""
    try:
        async with asyncio.timeout(FORM_SECONDS):
            posted = await request.post()
    except TimeoutError:
        raise web.HTTPRequestTimeout(text="the form did not arrive in time") from None
    return {name: value for name, value in posted.items() if isinstance(value, str)}


def _status(status: int) -> int:
    return status if 400 <= status < 600 else 502


def _title(status: int) -> str:
    titles = {401: "Log in again", 403: "Not allowed", 404: "Not found", 503: "The registry cannot be read"}
    return titles.get(status, "That did not work")


async def _to(location: str, request: web.Request) -> web.StreamResponse:
    raise redirect(location)


async def _static(request: web.Request) -> web.StreamResponse:
    """A static file. Its address has a digest of its content, so that browsers keep it."""
    found = rendering.static_files().get(request.match_info["name"])
    if found is None:
        raise web.HTTPNotFound(text="there is no such file")
    headers = {hdrs.CACHE_CONTROL: f"public, max-age={_YEAR}, immutable", hdrs.VARY: hdrs.ACCEPT_ENCODING}
    zipped = "gzip" in request.headers.get(hdrs.ACCEPT_ENCODING, "")
    if zipped:
        headers[hdrs.CONTENT_ENCODING] = "gzip"
    body = found.compressed if zipped else found.content
    return web.Response(body=body, content_type=found.media, charset="utf-8", headers=headers)
