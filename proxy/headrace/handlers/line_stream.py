"""Responses that are written as they come: lines of NDJSON, or events (SSE) for those who ask for them."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import msgspec
from aiohttp import hdrs
from multidict import CIMultiDict

from headrace.http1.framing import LAST_CHUNK, chunk
from headrace.http1.headers import lines_of
from headrace.protocol.errors import error_object
from headrace.server.response import Sent, head_of, open_transport
from headrace_pipelines.errors import HeadraceError

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from aiohttp import web

log = logging.getLogger("headrace.proxy")

POLL_SECONDS = 0.25
"""Seconds after which a stream without lines sees whether the client is there."""
EVENTS, LINES = "text/event-stream", "application/x-ndjson"


class LineStream:
    """A response of JSON texts, one after the other; the client is told nothing until `open`."""

    def __init__(self, request: web.BaseRequest) -> None:
        self._request = request
        self._transport = open_transport(request, 200)
        self._events = EVENTS in request.headers.get(hdrs.ACCEPT, "")
        self._chunked = bool(self._transport.request.head.minor_version)
        self._keep_alive = self._transport.keep_alive and self._chunked

    @property
    def gone(self) -> bool:
        """Whether the client has hung up."""
        return self._transport.is_closing()

    async def open(self) -> None:
        """Sends the head. Raises ConnectionResetError if the client is gone."""
        headers: CIMultiDict[str] = CIMultiDict(
            {
                hdrs.CONTENT_TYPE: EVENTS if self._events else LINES,
                hdrs.CACHE_CONTROL: "no-store",
                # nginx would gather lines for seconds.
                "X-Accel-Buffering": "no",
            }
        )
        lines = lines_of(headers)
        self._transport.send(head_of(self._transport, 200, "", lines, None, keep_alive=self._keep_alive))
        await self._transport.drain()

    async def send(self, text: bytes) -> None:
        """Sends a text, which is on one line; waits for a slow client. Raises ConnectionResetError if it is gone."""
        self._transport.send(self._framed(text))
        await self._transport.drain()

    def _framed(self, text: bytes) -> bytes:
        framed = b"data: %b\n\n" % text if self._events else text + b"\n"
        return chunk(framed) if self._chunked else framed

    async def complete(self, work: Awaitable[bytes]) -> Sent:
        """Waits for the work that sends the texts of an open response, and ends it with the text that it gives.

        An error has no head of its own any more: it is the last line, and the connection ends. Raises
        ConnectionResetError if the client is gone.
        """
        try:
            last = await work
        except HeadraceError as error:
            failed = error
        except (ConnectionResetError, asyncio.CancelledError):
            raise
        except Exception:
            log.exception("an unexpected error in a stream")
            failed = HeadraceError("an unexpected error in the proxy; its log has the details")
        else:
            return self.end(last)
        self._keep_alive = False
        return self.end(msgspec.json.encode({"end": "error", "error": error_object(failed)}))

    def end(self, text: bytes = b"") -> Sent:
        """Ends the response with a last text; waits for nobody."""
        if text and not self.gone:
            self._transport.send(self._framed(text))
        if self._chunked:
            self._transport.send(LAST_CHUNK)
        return Sent(200, keep_alive=self._keep_alive)
