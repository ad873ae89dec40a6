"""A running proxy: its start and end, and the outermost frame of every request."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import TYPE_CHECKING

from aiohttp import hdrs, web
from multidict import CIMultiDict

from headrace.app import compose
from headrace.app.reload import Reloader, Running
from headrace.execution.rollouts import versions
from headrace.execution.rollouts.judging import Judge
from headrace.execution.taps.streams import Streams
from headrace.execution.taps.watching import answered_for
from headrace.handlers import explaining, routes
from headrace.handlers.system.metrics_listener import MetricsListener
from headrace.http1 import tls
from headrace.http1.headers import VENDOR_MEDIA
from headrace.ops import supervisor
from headrace.ops.lifecycle import Lifecycle
from headrace.ops.logs.lines import CURRENT, RequestIds
from headrace.ops.logs.requests import FinishedRequest
from headrace.ops.metrics.exemplars import REQUESTS, TracedRuns
from headrace.ops.peers import Peers
from headrace.protocol import endpoints, parameters
from headrace.protocol.errors import error_body
from headrace.protocol.media import plain
from headrace.protocol.target import Target
from headrace.registry import state_files
from headrace.registry.changes import Changes
from headrace.security import admin, audit, quotas, registry_guard
from headrace.server.fast_path import CLIENT_GONE, ForwardedRequest
from headrace.server.handler_transport import transport_of
from headrace.server.listener import Listener, RequestHeadLimits
from headrace.server.reply import reply_answer, shaped, typed
from headrace.server.request import RequestContext, StaleNamesError
from headrace.server.response import ClientGoneError, retry_after, send_whole
from headrace.settings import Loaded
from headrace.upstream.client import ClusterRefusedError
from headrace_pipelines.errors import HeadraceError, InvalidError, MissingError, NestedError

if TYPE_CHECKING:
    from headrace.ops.lifecycle import ReloadReport
    from headrace.server.components import Components
    from headrace.server.router import Route
    from headrace.settings import Settings, Sources
    from headrace.ui.listener import UiListener

log = logging.getLogger("headrace.proxy")


_INDEX_CREATING_SURFACES = ("bulk", "document")
"""Surfaces whose requests make an index that is not there."""


class MethodError(HeadraceError):
    """A path of ours with a method that it does not have."""

    status = 405
    type = "method_not_allowed_exception"


class Proxy:
    """A running proxy. `start` binds the socket; `stop` takes no more requests and lets those in flight finish."""

    def __init__(self, settings: Settings | Loaded, sources: Sources | None = None) -> None:
        """`sources`: where the settings come from, for reloads; without, only files are read again."""
        loaded = settings if isinstance(settings, Loaded) else Loaded(settings)
        self.settings = loaded.settings
        self._loaded = loaded
        self._folder = state_files.folder_of(
            self.settings.state_folder, self.settings.registry_index, self.settings.nodes
        )
        self._reloader = Reloader(loaded, sources, self._folder)
        self._lifecycle = Lifecycle(self._reloader.reload)
        self._components: Components | None = None
        self._listener: Listener | None = None
        self._peers: Peers | None = None
        self._changes = Changes()
        self._metrics: MetricsListener | None = None
        self._page: UiListener | None = None
        self._judge: Judge | None = None
        self.url = ""

    async def start(self) -> None:
        """Reads the registry and listens. Raises OSError if the address is taken, InvalidError for bad certificates."""
        settings = self.settings
        tls_context = tls.for_clients(settings)
        components = self._components = compose.compose(self._loaded, self._folder, self._lifecycle)
        await components.registry.start()
        await asyncio.to_thread(state_files.write_nodes, self._folder, settings.registry_index, settings.nodes)
        host, port = settings.host_port
        worker = supervisor.identity()
        listener = self._listener = Listener(
            self.handle,
            compose.forwarder_of(components),
            RequestHeadLimits(settings.size("max_request_line"), settings.size("max_request_headers")),
            client_seconds=settings.seconds("client_timeout"),
        )
        await listener.start(host, port, tls_context, shared=worker is not None)
        self._start_background(components)
        if settings.metrics_listen:
            self._metrics = MetricsListener(components, shared=worker is not None)
            await self._metrics.start(*settings.address("metrics_listen"))
        if settings.ui_listen:
            await self._start_page(listener, shared=worker is not None)
        self._reloader.start(self._running)
        if worker is not None:
            number, folder = worker
            self._peers = Peers(
                folder,
                number,
                components.metrics,
                components.registry,
                components.resolver,
                self._lifecycle,
                Streams(components.taps, components.registry.catalog),
            )
            await self._peers.start()
        shown = f"[{host}]" if ":" in host else host
        self.url = f"{'https' if tls_context else 'http'}://{shown}:{listener.port}"
        upstream, state = settings.shown()["upstream"], components.registry.state
        log.info("listening on %s, upstream %s, registry %s", self.url, upstream, state)

    def _start_background(self, components: Components) -> None:
        components.upstream.start()
        components.metrics.history.start()
        self._judge = Judge(components.registry, components.rollouts)
        self._judge.start()

    async def _start_page(self, listener: Listener, *, shared: bool) -> None:
        # Its libraries cost a proxy without the page nothing.
        from headrace.ui.listener import UiListener

        secret = await asyncio.to_thread(compose.page_secret, self.settings, self._folder)
        self._page = UiListener(listener, self._present, secret, shared=shared)
        await self._page.start()

    def _present(self) -> Components:
        if self._components is None:
            raise RuntimeError("the proxy has not been started")
        return self._components

    def _running(self) -> Running:
        if self._listener is None:
            raise RuntimeError("the proxy has not been started")
        return Running(self._listener, self._present(), self._adopt, self._page)

    @property
    def page_url(self) -> str:
        """Where the page is; empty without one."""
        return self._page.url if self._page is not None else ""

    def _adopt(self, components: Components) -> None:
        self._components, self.settings = components, components.settings

    async def reload(self) -> ReloadReport:
        """Adopts the settings, secrets and certificates as they are now. Raises InvalidError, and nothing changes."""
        return await self._reloader.reload()

    async def drain(self, skip: asyncio.Event) -> None:
        """Serves on for `drain_delay`, or until `skip` is set, while readiness is 503 and responses end connections."""
        seconds = self.settings.seconds("drain_delay")
        if not seconds or self._listener is None:
            return
        log.info("draining for %g s: not ready, still serving", seconds)
        self._lifecycle.draining = True
        self._listener.drain()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await skip.wait()

    async def stop(self) -> None:
        """Stops accepting, finishes what is in flight within `shutdown_grace`, closes everything."""
        await self._reloader.stop()
        if self._components is not None:
            self._components.taps.close()
            self._components.shadows.close()
        if self._page is not None:
            await self._page.stop()
        if self._listener is not None:
            await self._listener.stop(self.settings.seconds("shutdown_grace"))
        await self._lifecycle.stop()
        await self._changes.finish(self.settings.seconds("shutdown_grace"))
        if self._metrics is not None:
            await self._metrics.stop()
        if self._judge is not None:
            await self._judge.stop()
        if self._peers is not None:
            await self._peers.stop()
        if self._components is not None:
            await self._components.metrics.history.stop()
            self._components.resolver.close()
            await self._components.mappings.stop()
            await self._components.registry.stop()
            await self._components.upstream.close()
            await self._components.registry.store.close()
            self._components.runner.close()
            if self._components.tracer is not None:
                await asyncio.to_thread(self._components.tracer.close)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """One request: route it, and turn our errors into OpenSearch's shape."""
        components, transport = self._components, transport_of(request)
        if components is None:
            raise RuntimeError("the proxy has not been started")
        if transport is None:
            raise ConnectionResetError("the client is gone")
        inbound = transport.request
        context = RequestContext(request, inbound, components, Target.parse(inbound.head.target))
        ids = RequestIds(inbound.head)
        before = CURRENT.set(ids)
        try:
            return await self._handle(context)
        finally:
            CURRENT.reset(before)
            ids.ended = True

    async def _handle(self, context: RequestContext) -> web.StreamResponse:
        components, request, inbound = context.components, context.request, context.inbound
        if components.settings.elasticsearch_compat:
            context.response_headers.add(*plain.PRODUCT)
            request[VENDOR_MEDIA] = plain.vendor_media(request.headers.get(hdrs.ACCEPT, ""))
        forwarded, inbound.forwarded, started = inbound.forwarded, None, components.metrics.start_request()
        if isinstance(forwarded, ForwardedRequest):
            context.surface, context.reads, started = forwarded.route.surface, forwarded.route.reads, forwarded.started
            context.admission = forwarded.admission
            return await self._handle_counted(context, forwarded, started)
        watch = components.taps.watch(context) if components.taps.open else None
        if watch is not None:
            context.observers += (watch,)
        shadow = components.shadows.watch(context)
        if shadow is not None:
            context.observers += (shadow,)
        whole = self._handle_counted(context, None, started)
        self._observe(context)
        for each in (watch, shadow):
            if each is not None:
                whole = answered_for(each, whole)
        return await (self._changes.run(whole) if _goes_on(context) else whole)

    def _observe(self, context: RequestContext) -> None:
        """Has a request traced and its stages timed, where settings and chance say so."""
        components, inbound = context.components, context.inbound
        if (tracer := components.tracer) is not None and (
            inbound.is_sampled if inbound.is_sampled is not None else tracer.samples(inbound.head)
        ):
            trace = tracer.trace(inbound.head, context.target.raw_path, context.request.remote)
            context.trace = trace
            context.observers += (trace, TracedRuns(components.metrics.exemplars, trace.trace_id))
            if (ids := CURRENT.get()) is not None:
                ids.trace_id = trace.trace_id
        if (stages := components.request_log.stages(lambda: context.params.get("index", ""))) is not None:
            context.observers += (stages,)

    def _finish(self, context: RequestContext, status: int, started: float, *, gone: bool) -> None:
        """Ends the trace of a request, and writes its line of the access log."""
        if context.trace is not None:
            context.trace.end(status)
            exemplars, seconds = context.components.metrics.exemplars, time.monotonic() - started
            exemplars.record(REQUESTS, (context.surface,), context.trace.trace_id, seconds)
        if context.components.request_log.enabled:
            pipelines, remote = context.response_headers.get("X-Pipeline", ""), context.request.remote
            context.components.request_log.finish(
                FinishedRequest(context.head, status, context.surface, started, remote, pipelines, gone)
            )

    async def _handle_counted(
        self, context: RequestContext, forwarded: ForwardedRequest | None, started: float
    ) -> web.StreamResponse:
        """The answer, counted and in the audit log whatever happens on the way, also where nobody waits for it."""
        components, status, gone = context.components, CLIENT_GONE, True
        try:
            response = await self._handle_errors(context, forwarded)
            status, gone = response.status, False
            return response
        except ClientGoneError as error:
            status = error.status
            raise
        except (ConnectionResetError, asyncio.CancelledError):
            raise
        except BaseException:
            status, gone = 500, False
            raise
        finally:
            self._suspect(context)
            components.metrics.end()
            if context.admission is not None:
                context.admission.end(status)
            if context.reserved_bytes:
                components.budget.release(context.reserved_bytes)
            components.metrics.count(context.surface, status, started)
            audit.record(context, status, gone=gone)
            self._finish(context, status, started, gone=gone)

    async def _handle_errors(self, context: RequestContext, forwarded: ForwardedRequest | None) -> web.StreamResponse:
        """The answer, whatever happens on the way."""
        request = context.request
        try:
            if forwarded is None:
                return await self._dispatch(context)
            return await forwarded.resume(context)
        except StaleNamesError:
            context.components.resolver.forget()
            context.restart()
            return await self._handle_errors(context, None)
        except ClusterRefusedError as error:
            return await reply_answer(context, error.answer)
        except HeadraceError as error:
            malformed = context.inbound.body.error
            shown = malformed if isinstance(malformed, HeadraceError) else error
            context.components.metrics.refused(shown, administers=routes.is_ours(context.target.raw_segments))
            return await refuse(context, shown)
        except (ConnectionResetError, asyncio.CancelledError):
            raise
        except RecursionError:
            # Raised by the reader or writer of JSON: only input of clients has an unbounded depth.
            log.info("JSON that is nested too deep in %s %s", request.method, context.target.raw_path)
            return await refuse(context, NestedError())
        except Exception:
            log.exception("an unexpected error in %s %s", request.method, context.target.raw_path)
            return await refuse(context, HeadraceError("an unexpected error in the proxy; its log has the details"))

    def _suspect(self, context: RequestContext) -> None:
        """Has names looked up anew after a write that may have made an index."""
        if context.surface in _INDEX_CREATING_SURFACES and context.components.registry.protects:
            context.components.resolver.suspect()

    async def _dispatch(self, context: RequestContext) -> web.StreamResponse:
        components = context.components
        if not context.target.raw_path.startswith("/"):
            raise InvalidError(f"the request target must begin with a slash, not [{context.target.raw_path[:100]}]")
        if not context.target.plain and context.components.registry.holds:
            # Where nothing is protected it passes as it came.
            context.target = context.target.canonical
        await registry_guard.keep_out(context)
        (route, params), context.target = routes.ROUTER.match_target(context.method, context.target)
        context.surface, context.reads, context.params = route.surface, route.idempotent, params.copy()
        if not routes.is_ours(context.target.raw_segments):
            await versions.prepare(context)
        if context.trace is not None:
            context.trace.route(context.method, route.path, route.surface)
        if route is routes.UNREAD and routes.is_ours(context.target.raw_segments):
            raise _no_such_endpoint(context)
        if explaining.PARAMETER in context.target.values:
            await explaining.prepare(context, route)
        if route.parameters and context.components.registry.protects:
            parameters.check(route.parameters, context.target)
        if route.parameters and context.components.registry.holds:
            context.read_source_parameter()
        if components.quotas.rules and not routes.is_ours(context.target.raw_segments):
            await quotas.admit(context, route.surface)
        if route.shows_registry:
            await admin.require_reader(context)
        await registry_guard.refuse_in_body(context)
        if not _may_rename(route, context):
            return await route.handler(context)
        async with context.components.resolver.changing(told=context.components.registry.protects):
            return await route.handler(context)


def _goes_on(context: RequestContext) -> bool:
    """Whether a request goes on to its end when its client hangs up: it may change the registry, or names."""
    route = routes.ROUTER.match(context.method, context.target.raw_segments).route
    return route.changes_registry or _may_rename(route, context)


def _may_rename(route: Route, context: RequestContext) -> bool:
    """Whether a request may change which indexes a name stands for."""
    return route.may_rename and not endpoints.keeps_names(context.method, context.target.raw_segments)


def _no_such_endpoint(context: RequestContext) -> HeadraceError:
    methods = routes.ROUTER.allowed(context.target.raw_segments)
    if methods:
        return MethodError(
            f"[{context.method}] is not allowed on [{context.target.raw_path}]; allowed: {', '.join(methods)}"
        )
    return MissingError(f"no handler found for uri [{context.target.raw_path}] and method [{context.method}]")


async def refuse(context: RequestContext, error: HeadraceError) -> web.StreamResponse:
    """Answers an error in OpenSearch's shape; what the client still sends is not waited for."""
    body = error_body(error)
    if context.explain is not None:
        body = await context.explain(body)
    body, kind = typed(context, shaped(context, body))
    headers: CIMultiDict[str] = CIMultiDict({hdrs.CONTENT_TYPE: kind.value})
    if (seconds := retry_after(error)) is not None:
        headers[hdrs.RETRY_AFTER] = str(seconds)
    if isinstance(error, MethodError):
        headers[hdrs.ALLOW] = ", ".join(routes.ROUTER.allowed(context.target.raw_segments))
    headers.extend(context.response_headers)
    close = not context.inbound.body.complete
    return await send_whole(context.request, error.status, "", headers, body, close=close)
