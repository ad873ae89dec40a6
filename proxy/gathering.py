"""The rest of a long body that a pipeline reads, from the socket into the memory where it stays.

aiohttp's way of such a body is in pieces: each is copied by the loop, by the parser, and when all are joined, and each
wakes the parser and whoever waits for it, whose code and objects the piece has driven out of the processor's cache. A
body whose length is known, and which is not encrypted, needs none of that: its protocol lends the socket
([`splicing.Lender`]), and the kernel copies what is there to where it is to be.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from pipelines import Intake
from proxy.bodies import KNOWN, declared_length, pieces_here
from proxy.splicing import Lender, plain

if TYPE_CHECKING:
    from aiohttp.base_protocol import BaseProtocol
    from aiohttp.http import RawRequestMessage
    from aiohttp.streams import StreamReader

_LEAST = 32 << 10
"""A rest of fewer bytes is not worth the system calls."""


def possible(body: StreamReader) -> bool:
    """Whether the rest of a body can come that way: over a plain connection that can be lent."""
    client = body._protocol
    return KNOWN and isinstance(client, Lender) and plain(client.transport)


def hold_back(client: BaseProtocol, message: RawRequestMessage, body: StreamReader) -> None:
    """Leaves the rest of a body where it is until somebody reads its beginning, so that [`whole`] finds it there.

    Of a body of which nothing has arrived nobody would say so.
    """
    length = declared_length(message.raw_headers)
    if body._size and length is not None and length - body.total_bytes >= _LEAST and possible(body):
        client.pause_reading()


async def whole(body: StreamReader, length: int) -> bytes | list[bytes]:
    """A body of `length` bytes, of which nothing has been read; what has arrived of it, where little is to come.

    Raises OSError when it breaks off.
    """
    begun = pieces_here(body)
    lender = body._protocol
    if length - body.total_bytes < _LEAST or body.exception() is not None or not isinstance(lender, Lender):
        return begun
    if lender.transport is None:
        raise ConnectionResetError("the sender is gone")
    loop, intake = asyncio.get_running_loop(), Intake(length, begun)
    arrived: asyncio.Future[None] = loop.create_future()
    # The loop has the transport's own number for the transport.
    number = os.dup(lender.transport.get_extra_info("socket").fileno())

    def receive() -> None:
        try:
            if not intake.receive(number):
                return
        except OSError as error:
            arrived.set_exception(error)
        else:
            arrived.set_result(None)
        loop.remove_reader(number)

    lender.lend(body)
    loop.add_reader(number, receive)
    try:
        await arrived
    finally:
        loop.remove_reader(number)
        os.close(number)
        lender.take_back(body, intake.left)
    return intake.whole()
