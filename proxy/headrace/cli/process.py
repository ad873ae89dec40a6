"""The process of `headrace serve`: one proxy until a signal, or a supervisor of several workers."""

from __future__ import annotations

import asyncio
import gc
import logging
import resource
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

import uvloop

from headrace.app import Proxy
from headrace.ops import supervisor, systemd
from headrace.ops.logs import lines
from headrace_pipelines import keep_buffers
from headrace_pipelines.errors import InvalidError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace.settings import Loaded, Settings, Sources

log = logging.getLogger("headrace.proxy")


def run(loaded: Loaded, sources: Sources, arguments: Sequence[str]) -> int:
    """Serves until SIGTERM or SIGINT; returns the exit status. `arguments` start the workers, if there are several.

    `loaded` is what `sources` said; SIGHUP reads them again. Raises OSError where an address cannot be listened on.
    """
    settings = loaded.settings
    lines.configure(settings)
    # Until there is something to reload.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    keep_buffers()
    _raise_file_limit()
    worker = supervisor.identity()
    if worker is None or not worker[0]:
        for warning in loaded.warnings:
            log.warning("%s", warning)
    if settings.workers > 1 and worker is None:
        return uvloop.run(supervisor.supervise(settings.workers, arguments, lambda: _patience(settings, sources)))
    _freeze_modules()
    uvloop.run(serve(loaded, sources))
    return 0


def _patience(settings: Settings, sources: Sources) -> float:
    """The most seconds that a worker may take to end, under the settings of its start or of its last reload."""
    read = [settings]
    with suppress(InvalidError):
        read.append(sources.load().settings)
    return max(each.seconds("drain_delay") + each.seconds("shutdown_grace") for each in read)


def _raise_file_limit() -> None:
    """Takes as many file numbers as the system allows: each connection needs one, and a shell's default is 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _freeze_modules() -> None:
    """Takes what imports have made out of garbage collection: it lives as long as the process.

    A full collection looks at each object while no request goes on, and most of a small registry's process are these.
    """
    gc.collect()
    gc.freeze()


async def serve(loaded: Loaded, sources: Sources) -> None:
    """Runs a proxy until SIGTERM or SIGINT, then drains and stops it.

    SIGHUP reloads it. A second SIGTERM, or SIGINT, ends the drain.
    """
    loop, over, urgent = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()
    proxy = Proxy(loaded, sources)
    reloads: set[asyncio.Task[None]] = set()

    def terminate() -> None:
        (urgent if over.is_set() else over).set()

    def interrupt() -> None:
        over.set()
        urgent.set()

    def reload() -> None:
        task = loop.create_task(_reload(proxy))
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    loop.add_signal_handler(signal.SIGTERM, terminate)
    loop.add_signal_handler(signal.SIGINT, interrupt)
    try:
        await proxy.start()
        loop.add_signal_handler(signal.SIGHUP, reload)
        systemd.ready(f"serving on {proxy.url}")
        await over.wait()
        systemd.stopping()
        await proxy.drain(urgent)
    finally:
        await proxy.stop()


async def _reload(proxy: Proxy) -> None:
    try:
        await proxy.reload()
    except InvalidError:
        return  # It is in the log.
    except Exception:
        log.exception("the reload failed")
