"""The rest of a long body that a pipeline reads, from the socket into the memory where it stays.

aiohttp's way of such a body is in pieces: each is copied by the loop, by the parser, and when all are joined, and each
wakes the parser and whoever waits for it, whose code and objects the piece has driven out of the processor's cache. A
body whose length is known, and which is not encrypted, needs none of that: its protocol lends the socket
([`splicing.Lender`]), and the kernel copies what is there to where it is to be.
"""

from __future__ import annotations

import asyncio
import errno
import os
from typing import TYPE_CHECKING

from aiohttp.http import RawRequestMessage

from headrace.http1.bodies import KNOWN, declared_length, pieces_here
from headrace.http1.splice import Lender, file_numbers
from headrace_pipelines import Intake

if TYPE_CHECKING:
    from aiohttp.base_protocol import BaseProtocol
    from aiohttp.streams import StreamReader

_LEAST = 32 << 10
"""A rest of fewer bytes is not worth the system calls."""


class _Numbers:
    """Second file numbers of sockets: the loop has the transports' own for the transports."""

    def __init__(self) -> None:
        self.used = 0
        self._most: int | None = None

    def take(self, transport: asyncio.Transport) -> int:
        """One more number of a transport's socket. Raises OSError where there can be no more."""
        if self._most is None:
            self._most = file_numbers()
        if self.used >= self._most:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        number = os.dup(transport.get_extra_info("socket").fileno())
        self.used += 1
        return number

    def give(self, number: int) -> None:
        os.close(number)
        self.used -= 1


_numbers = _Numbers()


def possible(body: StreamReader) -> bool:
    """Whether the rest of a body can come that way: over a plain connection that can be lent."""
    client = body._protocol
    return KNOWN and isinstance(client, Lender) and client.plain()


def hold_back(client: BaseProtocol, message: object, body: StreamReader | None) -> None:
    """Leaves the rest of a body where it is until somebody reads its beginning, so that [`whole`] finds it there.

    Not of one of which nothing has arrived: reading goes on when its beginning is taken.
    """
    if body is None or body.is_eof() or not body._size or not isinstance(message, RawRequestMessage):
        return
    length = declared_length(message.raw_headers)
    if length is not None and length - body.total_bytes >= _LEAST:
        client.pause_reading()


async def whole(body: StreamReader, length: int, seconds: float) -> bytes | list[bytes]:
    """A body of `length` bytes, of which nothing has been read; what has arrived of it, where little is to come.

    Raises OSError when it breaks off: TimeoutError if it is not here in so many `seconds`.
    """
    begun, offset = pieces_here(body)
    lender = body._protocol
    if length - body.total_bytes < _LEAST or body.exception() is not None or not isinstance(lender, Lender):
        lender.resume_reading()
        return _cut(begun, offset)
    if lender.transport is None:
        raise ConnectionResetError("the sender is gone")
    try:
        number = _numbers.take(lender.transport)
    except OSError:
        lender.resume_reading()
        return _cut(begun, offset)
    intake = Intake(length, begun, offset)
    lender.lend(body)
    try:
        # Mostly the rest is there, while what is here of it is in the processor's cache.
        if not _receive(intake, number):
            await _rest(intake, number, seconds)
    finally:
        _numbers.give(number)
        lender.take_back(body, intake.left)
    return intake.whole()


def _cut(begun: list[bytes], offset: int) -> list[bytes]:
    """Pieces without what is before the body in the first one."""
    return [begun[0][offset:], *begun[1:]] if offset else begun


def _receive(intake: Intake, number: int) -> bool:
    """Takes what is there; whether the body is whole. Raises ConnectionResetError."""
    try:
        return intake.receive(number)
    except OSError as error:
        raise ConnectionResetError(f"the sender is gone: {error}") from None


async def _rest(intake: Intake, number: int, seconds: float) -> None:
    """Waits until the body is whole. Raises as [`whole`]."""
    loop = asyncio.get_running_loop()
    arrived: asyncio.Future[None] = loop.create_future()

    def end(error: OSError | None = None) -> None:
        loop.remove_reader(number)
        if not arrived.done():
            arrived.set_result(None) if error is None else arrived.set_exception(error)

    def receive() -> None:
        try:
            if _receive(intake, number):
                end()
        except OSError as error:
            end(error)

    loop.add_reader(number, receive)
    late = loop.call_later(seconds, end, TimeoutError())
    try:
        await arrived
    finally:
        late.cancel()
        loop.remove_reader(number)
