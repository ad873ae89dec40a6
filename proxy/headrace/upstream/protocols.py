"""The two sides' connections, as protocols of the loop: aiohttp's, which do less.

Internal API of aiohttp, as in `connections.py`, under the same pin.
"""

from __future__ import annotations

from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from aiohttp.base_protocol import BaseProtocol
from aiohttp.client_proto import ResponseHandler

from headrace.http1.head_limits import sound
from headrace.http1.headers import answer_lines
from headrace.http1.heads import Heads, Place
from headrace.http1.splice import Lender
from headrace.upstream.exchanges import CHUNK
from headrace_pipelines.errors import UpstreamError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    import aiohttp
    from aiohttp.http import RawResponseMessage

    from headrace.http1.bodies import Headers


class Sparing(BaseProtocol):
    """What both sides' protocols do less often than aiohttp's."""

    __slots__ = ()

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Goes on reading after a pause; asked for at the end of every body, also where nothing was paused."""
        if resume_parser or self._reading_paused or self._buffer_paused:
            super().resume_reading(resume_parser)


class Whole(NamedTuple):
    """An answer that has arrived whole.

    `raw_headers`: but for the value of `Content-Length`, which may be that of an answer before; `body` has the length.
    `lines`: what [`answer_lines`] gives of it, if that is known.
    """

    status: int
    reason: str
    raw_headers: Headers
    body: bytes
    lines: bytes | None = None


class _Answered(NamedTuple):
    """What is remembered with the head of an answer: all of it but the body."""

    status: int
    reason: str
    raw_headers: Headers
    lines: bytes


class _Arriving(NamedTuple):
    """An answer with a known head, of whose body some is here."""

    known: _Answered
    pieces: list[bytes]
    length: int


class NodeProtocol(Sparing, Lender, ResponseHandler):
    """A connection to a node.

    One timer looks now and then whether the node is late, instead of one for each piece, as aiohttp has them.
    `listener`, where there is one, is called when something of an answer has arrived, or none will.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._late_at: float | None = None
        self.listener: Callable[[], None] | None = None
        self.without_body: bool | None = None
        """Whether its parser is for answers to `HEAD`; `None` before the first request."""
        self.first = b""
        """The head of the request that is being answered."""
        self.place = Place(answers=True)
        self._heads: Heads[_Answered] = Heads()
        self._arriving: _Arriving | None = None
        self.compares = False
        """Whether an answer with a head like one before, and no long body, may come as a [`Whole`] with no message."""

    def data_received(self, data: bytes) -> None:
        """Bytes from the node."""
        if self._arriving is not None:
            self._arrive(self._arriving, data)
            return
        if self.compares and self.place.left == 0 and self._like_one_before(data):
            return
        before = len(self._buffer)
        super().data_received(data)
        # What an answer to `HEAD` says of its body does not come.
        if not self.without_body:
            begun = [item[0] for item, _ in islice(self._buffer, before, None)] if len(self._buffer) > before else ()
            self.place.fed(data, begun, over=self._payload is None or self._payload.is_eof())
            if self.place.odd:
                self.force_close()
        if self.listener is not None and self._buffer:
            self.listener()

    def _like_one_before(self, data: bytes) -> bool:
        """Takes what begins with a head like one before, and is to have no long body."""
        found = self._heads.find(data)
        if found is None:
            if not self._heads.hopeful:
                self.place.give_up()
            return False
        known, start, length = found
        here = len(data) - start
        if here == length:
            self._whole(known, data[start:])
        elif here < length <= CHUNK:
            self._arriving = _Arriving(known, [data[start:]], length - here)
            self._reschedule_timeout()
        else:
            return False
        return True

    def _arrive(self, arriving: _Arriving, data: bytes) -> None:
        """Takes more of a body."""
        known, pieces, length = arriving
        pieces.append(data[:length])
        if len(data) < length:
            self._arriving = _Arriving(known, pieces, length - len(data))
            self._reschedule_timeout()
            return
        if len(data) > length:
            self.force_close()
        self._arriving = None
        self._whole(known, b"".join(pieces))

    def _whole(self, known: _Answered, body: bytes) -> None:
        self._drop_timeout()
        whole: Any = Whole(known.status, known.reason, known.raw_headers, body, known.lines)
        self.feed_data((None, whole), 0)  # type: ignore[arg-type]
        if self.listener is not None:
            self.listener()

    @property
    def parser_fits(self) -> bool:
        """Whether its parser has nothing left in it, as far as that has to be known."""
        return self.place.left == 0 or not self._heads.hopeful

    def learn(self, message: RawResponseMessage) -> None:
        """Remembers the head of an answer that has been parsed last."""
        if self.place.left == 0 and self._heads.learning:
            with suppress(UpstreamError):
                lines = answer_lines(message.raw_headers)
                known = _Answered(message.code, message.reason, message.raw_headers, lines)
                self._heads.learn(self.place.head, message.raw_headers, known)

    def answered(self, status: int) -> None:
        """Has the connection closed if the node reads nothing more of it after this answer."""
        if not sound(status, self.first):
            self.force_close()

    def set_exception(self, exc: BaseException, *cause: BaseException) -> None:
        """The connection cannot be used any more."""
        self._arriving = None
        super().set_exception(exc, *cause)
        if self.listener is not None:
            self.listener()

    def lend(self, body: aiohttp.StreamReader) -> None:
        """See [`Lender.lend`]."""
        self._drop_timeout()
        self._pause_transport_reading()

    def take_back(self, body: aiohttp.StreamReader, left: int) -> None:
        """See [`Lender.take_back`]."""
        # An exchange whose body has no end is not whole, and closes the connection.
        if not left:
            # The parser is in the middle of the body still.
            self._parser = None
            body.feed_eof()
            self._resume_transport_reading()

    def _reschedule_timeout(self) -> None:
        timeout = self._read_timeout
        if not timeout:
            self._drop_timeout()
            return
        self._late_at = self._loop.time() + timeout
        if self._read_timeout_handle is None:
            self._read_timeout_handle = self._loop.call_at(self._late_at, self._look)

    def _drop_timeout(self) -> None:
        self._late_at = None

    def _look(self) -> None:
        self._read_timeout_handle = None
        if self._late_at is None:
            return
        if self._loop.time() < self._late_at:
            self._read_timeout_handle = self._loop.call_at(self._late_at, self._look)
        else:
            self._on_read_timeout()

    def connection_lost(self, exc: BaseException | None) -> None:
        """The node is gone."""
        super().connection_lost(exc)
        if self._read_timeout_handle is not None:
            self._read_timeout_handle.cancel()
            self._read_timeout_handle = None
