"""Clients' connections: aiohttp's, with the differences that a drop-in for an OpenSearch node needs.

Java's low-level client sends targets without a leading slash (`DELETE _snapshot/x HTTP/1.1`). The node takes them,
aiohttp's parser does not: the slash is put in before it reads them. A head has a deadline, as a body has. What cannot
be parsed is answered in OpenSearch's shape, and is one line in the log, not a trace for every port scanner.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from aiohttp import web, web_protocol

from pipelines.errors import HeadraceError, InvalidError
from proxy.protocol.errors import error_body

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable

    from aiohttp.streams import StreamReader

_BARE_TARGET = re.compile(rb"(?:GET|HEAD|POST|PUT|DELETE|PATCH|OPTIONS) (?!/|https?://|\* HTTP/)(?=[^\s])")


class Connection(web_protocol.RequestHandler):
    """One client's connection."""

    __slots__ = ("_between", "_head_seconds", "_head_timer", "_last_body")

    def __init__(self, server: Server, *, head_seconds: float, **options: Any) -> None:
        super().__init__(server, **options)
        self._between = True
        self._last_body: StreamReader | None = None
        self._head_seconds = head_seconds
        self._head_timer: asyncio.TimerHandle | None = None

    def data_received(self, data: bytes) -> None:
        """Bytes from the client."""
        in_body = self._last_body is not None and not self._last_body.is_eof()
        if self._between and not in_body and (found := _BARE_TARGET.match(data)):
            data = data[: found.end()] + b"/" + data[found.end() :]
        waiting = len(self._messages)
        super().data_received(data)
        if len(self._messages) > waiting:
            self._last_body = self._messages[-1][1]
            self._between = True
            self._stop_timer()
        elif data:
            # Only what follows a whole message begins one; else this was a piece of a head.
            self._between = in_body
            if not in_body and self._head_timer is None:
                self._head_timer = self._loop.call_later(self._head_seconds, self.force_close)

    def connection_lost(self, exc: BaseException | None) -> None:
        """The client is gone."""
        self._stop_timer()
        super().connection_lost(exc)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to a request that could not be parsed, or whose handler failed."""
        if status != 400 or exc is None:
            return super().handle_error(request, status, exc, message)
        # The rest of the message shows what was sent, which may hold a secret.
        reason = (message or "").strip().partition("\n")[0].rstrip(":")
        self.logger.info("a request from %s that is no HTTP: %s", request.remote, reason)
        error: HeadraceError = InvalidError(f"the request is not well-formed HTTP: {reason}")
        response = web.Response(status=400, body=error_body(error), content_type="application/json")
        response.force_close()
        return response


class Server(web.Server):
    """Makes a connection for each client; one that does not end the head of a request in `head_seconds` is closed."""

    def __init__(
        self,
        handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        *,
        head_seconds: float,
        **options: Any,
    ) -> None:
        super().__init__(handler, **options)
        self._head_seconds = head_seconds

    def __call__(self) -> Connection:
        """A connection that has just been accepted."""
        return Connection(self, head_seconds=self._head_seconds, loop=self._loop, **self._kwargs)
