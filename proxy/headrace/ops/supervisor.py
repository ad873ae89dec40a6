"""Several processes on one port (`--workers`): a parent that starts them, starts lost ones again, and ends them all.

Workers share the port by SO_REUSEPORT, so that the kernel spreads connections; each has its own sandboxes and
statistics, which they add up when asked (`headrace.ops.peers`). The parent serves nothing.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

log = logging.getLogger("headrace.workers")

NUMBER, FOLDER = "HEADRACE_WORKER_NUMBER", "HEADRACE_WORKER_FOLDER"
PAUSE_SECONDS = 1.0
"""Seconds between the end of a worker and its restart: a worker that cannot start must not keep the machine busy."""


def identity() -> tuple[int, Path] | None:
    """This worker's number and the folder of the sockets; `None` in a process that is no worker."""
    number, folder = os.environ.get(NUMBER), os.environ.get(FOLDER)
    return (int(number), Path(folder)) if number and folder else None


async def supervise(count: int, arguments: Sequence[str], grace: float) -> int:
    """Runs `count` workers with these arguments of the command line until SIGTERM or SIGINT; gives the exit status."""
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, over.set)
    folder = Path(tempfile.mkdtemp(prefix="headrace-"))
    try:
        keepers = [asyncio.create_task(_keep(n, folder, arguments, over, grace)) for n in range(count)]
        codes = await asyncio.gather(*keepers)
        return max(codes, default=0)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _keep(number: int, folder: Path, arguments: Sequence[str], over: asyncio.Event, grace: float) -> int:
    """One worker, started again whenever it ends before its time."""
    environment = {**os.environ, NUMBER: str(number), FOLDER: str(folder)}
    while True:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "headrace", *arguments, env=environment, start_new_session=True
        )
        ended = asyncio.create_task(process.wait())
        asked = asyncio.create_task(over.wait())
        await asyncio.wait({ended, asked}, return_when=asyncio.FIRST_COMPLETED)
        asked.cancel()
        if over.is_set():
            return await _end(process, ended, grace)
        log.error("worker %d ended with status %s; it is started again", number, process.returncode)
        try:
            async with asyncio.timeout(PAUSE_SECONDS):
                await over.wait()
            return process.returncode or 0
        except TimeoutError:
            continue


async def _end(process: asyncio.subprocess.Process, ended: asyncio.Task[int], grace: float) -> int:
    """Ends a worker: in peace within `grace` and a bit more, else by force."""
    if process.returncode is None:
        process.terminate()
    try:
        async with asyncio.timeout(grace + 5.0):
            return await asyncio.shield(ended)
    except TimeoutError:
        process.kill()
        return await ended
