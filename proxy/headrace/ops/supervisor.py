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

from headrace.ops import systemd

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

log = logging.getLogger("headrace.workers")

NUMBER, FOLDER = "HEADRACE_WORKER_NUMBER", "HEADRACE_WORKER_FOLDER"
PAUSE_SECONDS = 1.0
"""Seconds between the end of a worker and its restart: a worker that cannot start must not keep the machine busy."""
READY_SECONDS = 0.05
"""Seconds between two looks whether all workers listen."""
RESTARTS = "restarts"
"""The file in the folder of the sockets that has the number of restarts."""


def identity() -> tuple[int, Path] | None:
    """This worker's number and the folder of the sockets; `None` in a process that is no worker."""
    number, folder = os.environ.get(NUMBER), os.environ.get(FOLDER)
    return (int(number), Path(folder)) if number and folder else None


def restarts() -> int:
    """How many workers of this proxy have ended before their time and were started again."""
    found = identity()
    try:
        return int((found[1] / RESTARTS).read_text()) if found is not None else 0
    except (OSError, ValueError):
        return 0


async def supervise(count: int, arguments: Sequence[str], patience: Callable[[], float]) -> int:
    """Runs `count` workers with these arguments of the command line until SIGTERM or SIGINT; gives the exit status.

    SIGHUP and further SIGTERMs go to the workers. `patience`: the seconds that a worker may take to end.
    """
    folder = Path(tempfile.mkdtemp(prefix="headrace-"))
    try:
        return await _Workers(count, arguments, folder, patience).run()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class _Workers:
    """The running workers."""

    def __init__(self, count: int, arguments: Sequence[str], folder: Path, patience: Callable[[], float]) -> None:
        self._count = count
        self._arguments = arguments
        self._folder = folder
        self._patience = patience
        self._over = asyncio.Event()
        self._ending = signal.SIGTERM
        self._restarts = 0
        self._running: dict[int, asyncio.subprocess.Process] = {}

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end_all, number)
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        notifying = asyncio.create_task(self._notify_ready())
        codes = await asyncio.gather(*(self._keep(number) for number in range(self._count)))
        notifying.cancel()
        return max(codes, default=0)

    def _end_all(self, number: signal.Signals) -> None:
        if self._over.is_set():
            self._send(number)
            return
        systemd.stopping()
        self._ending = number
        self._over.set()

    def _reload(self) -> None:
        systemd.reloading()
        # One that is starting reads its settings anyway, and would die of the signal.
        self._send(signal.SIGHUP, serving=True)
        self._ready()

    def _send(self, number: signal.Signals, *, serving: bool = False) -> None:
        for worker, process in self._running.items():
            if process.returncode is None and (not serving or self._socket(worker).exists()):
                process.send_signal(number)

    async def _notify_ready(self) -> None:
        """Tells the service manager once every worker listens: each then has a socket for the others."""
        waiting = set(range(self._count))
        while waiting := {number for number in waiting if not self._socket(number).exists()}:  # noqa: ASYNC110 - files
            await asyncio.sleep(READY_SECONDS)
        self._ready()

    def _ready(self) -> None:
        systemd.ready(f"serving with {self._count} workers")

    def _socket(self, number: int) -> Path:
        """The socket of a worker for the others: it is there once the worker serves."""
        return self._folder / f"worker-{number}.sock"

    async def _keep(self, number: int) -> int:
        """One worker, started again whenever it ends before its time."""
        environment = {**os.environ, NUMBER: str(number), FOLDER: str(self._folder)}
        environment.pop(systemd.SOCKET, None)
        while True:
            process = self._running[number] = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "headrace", *self._arguments, env=environment, start_new_session=True
            )
            ended = asyncio.create_task(process.wait())
            asked = asyncio.create_task(self._over.wait())
            await asyncio.wait({ended, asked}, return_when=asyncio.FIRST_COMPLETED)
            asked.cancel()
            if self._over.is_set():
                return await self._end(process, ended)
            self._socket(number).unlink(missing_ok=True)
            self._count_restart()
            log.error("worker %d ended with status %s; it is started again", number, process.returncode)
            try:
                async with asyncio.timeout(PAUSE_SECONDS):
                    await self._over.wait()
                return process.returncode or 0
            except TimeoutError:
                continue

    def _count_restart(self) -> None:
        self._restarts += 1
        written = self._folder / f"{RESTARTS}.new"
        try:
            written.write_text(str(self._restarts))
            written.replace(self._folder / RESTARTS)
        except OSError as error:
            log.warning("the number of restarts could not be written: %s", error.strerror)

    async def _end(self, process: asyncio.subprocess.Process, ended: asyncio.Task[int]) -> int:
        """Ends a worker: in peace within its time and a bit more, else by force."""
        if process.returncode is None:
            process.send_signal(self._ending)
        try:
            async with asyncio.timeout(self._patience() + 5.0):
                return await asyncio.shield(ended)
        except TimeoutError:
            process.kill()
            return await ended
