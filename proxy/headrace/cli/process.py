"""The process of `headrace serve`: one proxy until a signal, or a supervisor of several workers."""

from __future__ import annotations

import asyncio
import resource
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

import uvloop

from headrace.app import Proxy
from headrace.ops import logging as proxy_logging
from headrace.ops import supervisor
from headrace_pipelines import keep_buffers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace.settings import Settings


def run(settings: Settings, arguments: Sequence[str]) -> int:
    """Serves until SIGTERM or SIGINT; returns the exit status. `arguments` start the workers, if there are several.

    Raises OSError where an address cannot be listened on.
    """
    proxy_logging.configure(settings.log_level)
    keep_buffers()
    _raise_file_limit()
    if settings.workers > 1 and supervisor.identity() is None:
        return uvloop.run(supervisor.supervise(settings.workers, arguments, settings.seconds("shutdown_grace")))
    uvloop.run(serve(settings))
    return 0


def _raise_file_limit() -> None:
    """Takes as many file numbers as the system allows: each connection needs one, and a shell's default is 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def serve(settings: Settings) -> None:
    """Runs a proxy until SIGTERM or SIGINT, then stops it cleanly."""
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, over.set)
    proxy = Proxy(settings)
    try:
        await proxy.start()
        await over.wait()
    finally:
        await proxy.stop()
