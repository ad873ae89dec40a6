"""Metrics and health on an address of their own: for scrapers that have no rights on the data, and need none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from headrace.handlers.system.exposition import exposition
from headrace.handlers.system.health import ALIVE, readiness

if TYPE_CHECKING:
    from headrace.server.components import Components


class MetricsListener:
    """Serves `GET /metrics`, `/_proxy/metrics` and `/_proxy/health/live` and `ready` to whoever reaches its address.

    `shared`: the address is shared with the other workers, each of which answers for all.
    """

    def __init__(self, components: Components, *, shared: bool) -> None:
        self._components = components
        self._shared = shared
        app = web.Application()
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/_proxy/metrics", self._metrics)
        app.router.add_get("/_proxy/health/live", self._live)
        app.router.add_get("/_proxy/health/ready", self._ready)
        self._runner = web.AppRunner(app, access_log=None)

    async def start(self, host: str, port: int) -> None:
        """Listens. Raises OSError if the address is taken."""
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port, reuse_port=self._shared or None).start()

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Closes the listener."""
        await self._runner.cleanup()

    async def _metrics(self, request: web.Request) -> web.Response:
        found = await exposition(self._components, request.headers.get("Accept", ""))
        return web.Response(body=found.body, headers={"Content-Type": found.content_type, "Vary": "Accept"})

    async def _live(self, request: web.Request) -> web.Response:
        return web.json_response(ALIVE)

    async def _ready(self, request: web.Request) -> web.Response:
        good, answer = await readiness(self._components)
        return web.json_response(answer, status=200 if good else 503)
