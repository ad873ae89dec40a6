"""Clients' connections: aiohttp's, with the differences that a drop-in for an OpenSearch node needs.

Java's low-level client sends targets without a leading slash (`DELETE _snapshot/x HTTP/1.1`). The node takes them,
aiohttp's parser does not: the slash is put in before it reads them. A head has a deadline, as a body has. What cannot
be parsed is answered in OpenSearch's shape, and is one line in the log, not a trace for every port scanner.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING, Any

from aiohttp import web, web_protocol
from aiohttp.http_parser import HttpRequestParser
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader

from headrace.http1 import bodies, gathering
from headrace.http1.heads import Heads, Place
from headrace.http1.known import Known, comparable
from headrace.http1.splice import Lender
from headrace.protocol.errors import error_body
from headrace.server.request import UNCOUNTED
from headrace.upstream.protocols import Sparing
from headrace_pipelines.errors import HeadraceError, InvalidError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, Sequence

    from aiohttp.http import RawRequestMessage

    from headrace.server.fast_path import FastPath, Passing

_BARE_TARGET = re.compile(rb"(?:GET|HEAD|POST|PUT|DELETE|PATCH|OPTIONS) (?!/|https?://|\* HTTP/)(?=[^\s])")
_HOLD_SECONDS = 0.1
"""How long a body may come behind its head for both to go on by the fast path."""


class Connection(Sparing, Lender, web_protocol.RequestHandler):
    """One client's connection."""

    __slots__ = (
        "_between",
        "_fast",
        "_head_seconds",
        "_head_timer",
        "_heads",
        "_held_since",
        "_hold_timer",
        "_kept",
        "_last_body",
        "_parked",
        "_passing",
        "_place",
        "_plain",
        "_taken",
        "_thrown_away",
        "_unparsed",
        "begun",
        "remote",
    )

    def __init__(self, server: Server, *, head_seconds: float, fast: FastPath | None, **options: Any) -> None:
        super().__init__(server, **options)
        self._between = True
        self._last_body: StreamReader | None = None
        self._head_seconds = head_seconds
        self._head_timer: asyncio.TimerHandle | None = None
        self._fast = fast
        self._passing: Passing | None = None
        self._parked: asyncio.Future[None] | None = None
        self._held_since: float | None = None
        self._hold_timer: asyncio.TimerHandle | None = None
        self._heads: Heads[Known] = Heads()
        self._place = Place()
        self._kept = b""
        # Bytes that are still to come of the last body and not for the parser to see, and whether nobody reads them.
        self._unparsed = 0
        self._thrown_away = False
        self._plain: bool | None = None
        self._taken: tuple[RawRequestMessage, Known] | None = None
        self.begun: Passing | None = None
        """What the fast path has begun of the request that is next."""
        self.remote: str | None = None
        """The client's address, as a request has it."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The client is here."""
        super().connection_made(transport)
        self.remote = self.peername[0] if isinstance(self.peername, tuple) else self.peername

    def data_received(self, data: bytes) -> None:
        """Bytes from the client."""
        if self._unparsed:
            data = self._take_off(data)
            if not data:
                return
        if self._kept:
            data, self._kept = self._kept + data, b""
        in_body = self._last_body is not None and not self._last_body.is_eof()
        if self._between and not in_body and b" /" not in data[:9] and (found := _BARE_TARGET.match(data)):
            data = data[: found.end()] + b"/" + data[found.end() :]
        if self._fast is None or self._place.left != 0 or not self._pass_known(data, self._fast):
            self._feed(data, in_body=in_body)

    def _feed(self, data: bytes, *, in_body: bool) -> None:
        """Has aiohttp's parser read what came."""
        waiting = len(self._messages)
        if self._fast is not None and not waiting:
            self._park()
        super().data_received(data)
        begun: Sequence[Any] = ()
        if len(self._messages) > waiting:
            begun = [message for message, _ in islice(self._messages, waiting, None)]
            self._last_body = self._messages[-1][1]
            self._between = True
            self._stop_timer()
        elif data:
            # Only what follows a whole message begins one; else this was a piece of a head.
            self._between = in_body
            if not in_body and self._head_timer is None:
                self._head_timer = self._loop.call_later(self._head_seconds, self.force_close)
        self._place.fed(data, begun, over=self._last_body is None or self._last_body.is_eof())
        if len(begun) == 1 and self._fast is not None and self._place.left is not None and self._heads.learning:
            message = begun[0]
            if comparable(message):
                self._heads.learn(self._place.head, message.raw_headers, Known(message, self.remote))
        if data and self._parked is not None and self._passing is None:
            self._go_on()
        if begun:
            self._hold_back(begun[-1])
        if self._place.odd:
            # The request is answered, nothing behind it is.
            self.close()

    def _hold_back(self, message: object) -> None:
        # While another request is in work, reading goes on: else nobody would see its client go.
        if self._passing is None and self._current_request is None:
            gathering.hold_back(self, message, self._last_body)

    def _pass_known(self, data: bytes, fast: FastPath) -> bool:
        """Takes a request whose head is like one before: aiohttp's parser does not see it.

        It is passed on, kept for its body, or handed to aiohttp's task.
        """
        found = self._heads.find(data)
        if found is None and not self._heads.hopeful:
            self._place.give_up()
        # The parser knows how many requests may wait; one may without it.
        if found is None or self._messages:
            return False
        known, start, length = found
        missing = length - len(data) + start
        if missing < 0:
            return False
        waiter = self._waiter
        # Who waits is aiohttp's task, for the next request: so none is in work.
        idle = waiter is not None and not waiter.done()
        way = fast.way_of(known) if idle and not self._paused else None
        if way is not None and not missing:
            self._passing = fast.begin_known(known, way, data, start, self)
            if self._passing is not None:
                self._held_since = None
                self._park()
                return True
        elif way is not None and length <= UNCOUNTED:
            self._kept = data
            self._hold()
            return True
        message = self._take(known, data, start, length)
        if idle:
            self._park()
            if way is not None and missing:
                # A long one may go on past the process.
                self._go_on()
            else:
                self._unpark()
        self._hold_back(message)
        return True

    def _take(self, known: Known, data: bytes, start: int, length: int) -> RawRequestMessage:
        """Makes of a request what aiohttp's parser would."""
        message = known.message(length)
        self._taken = message, known
        if length:
            self._last_body = StreamReader(self, self._read_bufsize, loop=self._loop)
            bodies.begin(self._last_body, data, start)
            self._unparsed, self._thrown_away = start + length - len(data), False
            if not self._unparsed:
                self._last_body.feed_eof()
        else:
            self._last_body = EMPTY_PAYLOAD
        self._request_count += 1
        self._messages.append((message, self._last_body))
        return message

    def _take_off(self, data: bytes) -> bytes:
        """Has what belongs to a body of which the parser does not know go there; gives what comes behind it."""
        body, piece = self._last_body, data[: self._unparsed]
        if body is not None and not self._thrown_away:
            # Which may pause reading, as long as the piece is still to come.
            body.feed_data(piece)
        self._unparsed -= len(piece)
        if body is not None and not self._unparsed:
            body.feed_eof()
        return data[len(piece) :]

    def known(self, message: object) -> Known | None:
        """What is known of the head of a request, if it was like one before."""
        taken, known = self._taken or (None, None)
        return known if taken is message else None

    def pause_reading(self) -> None:
        """Leaves what comes of a body where it is for a while."""
        if self._unparsed and not self._thrown_away:
            self._reading_paused = True
            self._pause_transport_reading()
        else:
            super().pause_reading()

    def plain(self) -> bool:
        """See [`Lender.plain`]; a connection does not change in that."""
        if self._plain is None:
            self._plain = super().plain()
        return self._plain and self.transport is not None and not self.transport.is_closing()

    def lend(self, body: StreamReader) -> None:
        """See [`Lender.lend`]."""
        self._pause_transport_reading()
        if self._unparsed:
            self._unparsed = 0
            return
        # What comes behind the body is not for a parser that still waits for its end.
        self._parser = HttpRequestParser(
            self,
            self._loop,
            self._read_bufsize,
            max_line_size=self.max_line_size,
            max_field_size=self.max_field_size,
            max_headers=self.max_headers,
            payload_exception=web.RequestPayloadError,
            auto_decompress=False,
            max_msg_queue_size=self._max_msg_queue_size,
        )
        self._place.reset()

    def take_back(self, body: StreamReader, left: int) -> None:
        """See [`Lender.take_back`]. What is left is read and thrown away, as of any body that nobody reads."""
        if left:
            self._unparsed, self._thrown_away = left, True
        else:
            body.feed_eof()
        self._resume_transport_reading()

    def _park(self) -> None:
        """Keeps aiohttp's task asleep, if it waits for the next request, until it is known who is to have it."""
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            self._parked, self._waiter = waiter, None

    def _unpark(self) -> None:
        """Gives aiohttp's task what waits, now or when it comes."""
        waiter, self._parked, self._held_since = self._parked, None, None
        if waiter is not None:
            self._waiter = waiter
            if self._messages and not waiter.done():
                waiter.set_result(None)

    def _go_on(self) -> None:
        """Passes the next request on, if it is one for the fast path; waits a moment for its body."""
        if self._messages and self._fast is not None and not self._paused and not self._force_close:
            message, payload = self._messages[0]
            self._passing = self._fast.begin(message, payload, self)
            if self._passing is not None:
                self._messages.popleft()
                self._held_since = None
                return
            if not payload.is_eof() and (self._held_since is not None or self._fast.waits_for(message)):
                self._hold()
                return
        self._unpark()

    def _hold(self) -> None:
        if self._held_since is None:
            self._held_since = self._loop.time()
            if self._hold_timer is None:
                self._hold_timer = self._loop.call_later(_HOLD_SECONDS, self._let_go)

    def _let_go(self) -> None:
        """Wakes aiohttp's task for a request whose body takes longer. One timer serves many requests."""
        self._hold_timer = None
        if self._held_since is None:
            return
        due = self._held_since + _HOLD_SECONDS
        if self._loop.time() < due:
            self._hold_timer = self._loop.call_at(due, self._let_go)
            return
        if self._kept:
            data, self._kept = self._kept, b""
            self._feed(data, in_body=False)
        self._unpark()

    def passed(self) -> None:
        """The request on the fast path has been answered."""
        if self._manager is not None:
            self._manager.requests_count += 1
        if self._passing is not None and self._passing.message is not None:
            if self._parser is not None:
                self._parser.message_consumed()
            if self._buffer_paused and len(self._messages) <= self._msg_queue_resume_size:
                self._resume_reading_if_drained()
        self._passing = None
        if self._close or self._force_close:
            # The proxy stops: aiohttp's `shutdown` waits for its task, which ends with this.
            self.force_close()
            return
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        self._go_on()

    def take_over(self, passing: Passing) -> None:
        """The request on the fast path goes on the way of the others."""
        self.begun, self._passing = passing, None
        self._messages.appendleft(passing.message or passing.unparsed())
        self._unpark()

    def force_close(self) -> None:
        """Closes the connection at once."""
        if self._parked is not None:
            self._waiter, self._parked = self._parked, None
        super().force_close()

    def _process_keepalive(self) -> None:
        if self._passing is not None or self._kept:
            self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        super()._process_keepalive()

    def connection_lost(self, exc: BaseException | None) -> None:
        """The client is gone."""
        self._stop_timer()
        if self._hold_timer is not None:
            self._hold_timer.cancel()
            self._hold_timer = None
        for passing in (self._passing, self.begun):
            if passing is not None:
                passing.abandon()
        self._passing = self.begun = None
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
        fast: FastPath | None = None,
        **options: Any,
    ) -> None:
        super().__init__(handler, **options)
        self._head_seconds = head_seconds
        self._fast = fast

    def __call__(self) -> Connection:
        """A connection that has just been accepted."""
        return Connection(self, head_seconds=self._head_seconds, fast=self._fast, loop=self._loop, **self._kwargs)
