"""Long bodies from one socket to another inside the kernel, by Linux's `splice`, unseen by the process.

Between two unencrypted connections the bytes of a body that nobody looks at need not be copied into the process and
out again: that, and the pieces they would be cut into, are most of what a long body costs
(docs/decisions/026-long-bodies-stay-in-the-kernel.md). Whoever has read the beginning of such a body leaves its socket
alone for the rest ([`Source`]).
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import logging
import os
import resource
import socket
import sys
import termios
from contextlib import ExitStack, suppress
from functools import cache
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger("headrace.splicing")

_PIPE_BYTES = 1 << 20
"""Bytes of a pipe: the maximum for an unprivileged process. A kernel that refuses keeps its default."""
_KEPT = 16
"""Maximum number of idle pipes that are kept for the next body."""
_NUMBERS = 4
"""File numbers of one spliced body: two of the pipe, two of the duplicated sockets."""


class SilentError(TimeoutError):
    """Nothing came from the source for too long."""


class StuckError(TimeoutError):
    """The sink has not taken anything for too long."""


class StallTimeouts(NamedTuple):
    """Seconds without a byte from the source, and without one that the sink takes, after which a body is given up."""

    source: float | None
    sink: float | None


class Source(Protocol):
    """A body that is arriving, of which everything that is here has been taken."""

    @property
    def transport(self) -> asyncio.Transport | None:
        """The connection that it comes from; `None` once that is gone."""
        ...

    def suspend(self) -> None:
        """Leaves the connection's socket to somebody else."""
        ...

    def resume(self, left: int) -> None:
        """Goes on reading behind the body, of which `left` bytes have not been read."""
        ...


@cache
def works() -> bool:
    """Whether this system lets us: some sandboxes know no `splice`, or forbid it. Tried once, with one byte."""
    try:
        _try()
    except (OSError, AttributeError) as error:
        log.info("long bodies go through the process here: no splice (%s)", error)
        return False
    return True


def _try() -> None:
    """Moves a byte. Raises OSError, and AttributeError where Python has no `splice`."""
    here, there = socket.socketpair()
    with here, there:
        pipe = os.pipe()
        try:
            here.send(b"x")
            os.splice(there.fileno(), pipe[1], 1)
            os.splice(pipe[0], there.fileno(), 1)
        finally:
            _close(*pipe)


def possible(source: asyncio.BaseTransport | None, sink: asyncio.BaseTransport | None) -> bool:
    """Whether bytes can go from one connection to the other that way."""
    return works() and plain(source) and plain(sink)


def plain(transport: asyncio.BaseTransport | None) -> bool:
    """Whether what the connection's socket carries is what the other side reads and writes."""
    if transport is None or transport.is_closing() or transport.get_extra_info("sslcontext") is not None:
        return False
    found = transport.get_extra_info("socket")
    return found is not None and found.family in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX)


def file_numbers() -> int:
    """The file numbers that spliced bodies may use together: a quarter, so that connections always find some."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if limit < 0 else limit // 4


class Pipes:
    """Pipes that bytes go through, kept for the next body.

    `most`: maximum number of pipes in use; the default is what [`file_numbers`] allows.
    """

    def __init__(self, most: int | None = None) -> None:
        self._most = file_numbers() // _NUMBERS if most is None else most
        self._used = 0
        self._free: list[tuple[int, int]] = []

    def acquire(self) -> tuple[int, int]:
        """An empty pipe: its end to read and its end to write. Raises OSError where there can be no more."""
        if self._used >= self._most:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        pipe = self._free.pop() if self._free else self._new()
        self._used += 1
        return pipe

    @staticmethod
    def _new() -> tuple[int, int]:
        pipe = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        # The kernel limits the pages of all pipes of a user; a pipe of the default size works too.
        with suppress(OSError):
            fcntl.fcntl(pipe[1], fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        return pipe

    def release(self, pipe: tuple[int, int], *, empty: bool) -> None:
        """Takes a pipe back; one that is not empty is of no use any more."""
        self._used -= 1
        if empty and len(self._free) < _KEPT:
            self._free.append(pipe)
        else:
            _close(*pipe)

    def close(self) -> None:
        """Closes those that are kept."""
        while self._free:
            _close(*self._free.pop())


async def move(pipes: Pipes, source: Source, sink: asyncio.Transport, count: int, patience: StallTimeouts) -> bool:
    """Moves the rest of a body, as [`Splice`] does, and waits for its end; whether it could. Raises OSError."""
    ended: asyncio.Future[OSError | None] = asyncio.get_running_loop().create_future()

    def end(error: OSError | None) -> None:
        if not ended.done():
            ended.set_result(error)

    try:
        splice = Splice(pipes, source, sink, count, end, patience)
    except OSError:
        return False
    try:
        error = await ended
    finally:
        splice.cancel()
    if error is not None:
        raise error
    return True


class Splice:
    """The rest of a body on its way from one connection to another, from now until [`done`].

    Nothing else may read the one or write the other meanwhile. `count`: bytes to come, at least one. `then` is told
    how it ended: nothing, or OSError when one of the two broke off (SilentError, StuckError when it lost its
    `patience`). Raises OSError where there are no more file numbers: then nothing has happened.
    """

    def __init__(
        self,
        pipes: Pipes,
        source: Source,
        sink: asyncio.Transport,
        count: int,
        then: Callable[[OSError | None], object],
        patience: StallTimeouts,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._pipes, self._source, self._sink, self._then = pipes, source, sink, then
        self._left = count
        """Bytes that have not been read from the source."""
        self._held = 0
        """Bytes in the pipe."""
        self._full = True
        """Whether it is the sink that is waited for: with what its transport was given before, to begin with."""
        self._patience = patience
        self._since = self._loop.time()
        """When the sink last took something, or its turn began or ended."""
        self._timer: asyncio.TimerHandle | None = None
        self._queued = -1
        self._done = False
        transport = source.transport
        if transport is None:
            raise ConnectionResetError("the sender is gone")
        # The loop has the transports' own numbers for the transports. These two keep the connections open, too: they
        # must not outlive this.
        with ExitStack() as undo:
            self._from = os.dup(transport.get_extra_info("socket").fileno())
            undo.callback(os.close, self._from)
            self._to = os.dup(sink.get_extra_info("socket").fileno())
            undo.callback(os.close, self._to)
            self._out, self._in = pipes.acquire()
            undo.pop_all()
        source.suspend()
        self._check_progress()
        self._loop.add_writer(self._to, self._flush)

    def done(self) -> bool:
        """Whether it has ended."""
        return self._done

    def cancel(self) -> None:
        """Ends it where it is; nobody is told."""
        if self._done:
            return
        self._done = True
        if self._timer is not None:
            self._timer.cancel()
        self._loop.remove_reader(self._from)
        self._loop.remove_writer(self._to)
        _close(self._from, self._to)
        self._pipes.release((self._out, self._in), empty=not self._held)
        self._source.resume(self._left)

    def _end(self, error: OSError | None) -> None:
        self.cancel()
        self._then(error)

    def _flush(self) -> None:
        """Begins once all that the transport was given before has left."""
        if self._sink.is_closing():
            self._end(ConnectionResetError("the receiver is gone"))
        elif not self._sink.get_write_buffer_size():
            self._swap_sides()

    def _swap_sides(self) -> None:
        """Waits for the other one of the two."""
        self._full = not self._full
        self._since = self._loop.time()
        if self._full:
            self._loop.remove_reader(self._from)
            self._loop.add_writer(self._to, self._go_on)
        else:
            self._loop.remove_writer(self._to)
            self._loop.add_reader(self._from, self._fill)

    def _fill(self) -> None:
        """Takes what the source has."""
        try:
            count = os.splice(self._from, self._in, min(self._left, _PIPE_BYTES), flags=os.SPLICE_F_NONBLOCK)
        except BlockingIOError:
            return
        except OSError as error:
            self._end(error)
            return
        if not count:
            self._end(ConnectionResetError("the sender is gone"))
            return
        self._left -= count
        self._held = count
        if not self._pass_on() and not self._done:
            self._swap_sides()

    def _go_on(self) -> None:
        """Goes on after the other side took no more."""
        if self._pass_on() and not self._done:
            self._swap_sides()

    def _pass_on(self) -> bool:
        """Gives the sink what is in the pipe; whether it took it all."""
        try:
            while self._held:
                self._held -= os.splice(self._out, self._to, self._held, flags=os.SPLICE_F_NONBLOCK)
                self._since = self._loop.time()
        except BlockingIOError:
            return False
        except OSError as error:
            self._end(error)
            return False
        if not self._left:
            self._end(None)
        return True

    def _check_progress(self) -> None:
        """Gives up after too long a time without a byte; one timer looks again instead of being set for each."""
        now, (limit, opposite) = self._loop.time(), self._patience
        if self._full:
            limit, opposite = opposite, limit
        if limit is not None and now >= self._since + limit and self._full and self._is_taking():
            self._since = now
        if limit is not None and now >= self._since + limit:
            self._end(StuckError("nothing is taken") if self._full else SilentError("nothing comes"))
            return
        # By then the other side may have become the one that is waited for.
        times = [*([] if limit is None else [self._since + limit]), *([] if opposite is None else [now + opposite])]
        if times:
            self._timer = self._loop.call_at(min(times), self._check_progress)

    def _is_taking(self) -> bool:
        """Whether the sink has taken something since the last look: a slow one lets nothing be written for long."""
        before, self._queued = self._queued, queued(self._to)
        return self._queued != before


def queued(number: int) -> int:
    """Bytes that a connection's other side has not taken of what the system has to send."""
    return int.from_bytes(fcntl.ioctl(number, termios.TIOCOUTQ, bytes(4)), sys.byteorder)


def untaken(transport: asyncio.Transport) -> int:
    """The same with what the transport holds, where its socket can be asked."""
    found = transport.get_extra_info("socket")
    with suppress(OSError, AttributeError):
        return transport.get_write_buffer_size() + queued(found.fileno())
    return transport.get_write_buffer_size()


def _close(*numbers: int) -> None:
    for number in numbers:
        os.close(number)
