"""Log lines of the process, on standard error. No bodies, no credentials."""

from __future__ import annotations

import asyncio
import logging
import sys

FORMAT = "%(asctime)s %(levelname)-7s %(name)s %(message)s"


def configure(level: str) -> None:
    """Sets the root logger up once, at start."""
    logging.basicConfig(stream=sys.stderr, level=level.upper(), format=FORMAT, force=True)
    logging.getLogger("opensearch").setLevel(logging.ERROR)
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)


def set_level(level: str) -> None:
    """Changes the level of a process that runs; libraries keep theirs."""
    logging.getLogger().setLevel(level.upper())


class LimitedLog:
    """A logger for lines that clients cause: at most so many in a while, and then the number of those left out."""

    def __init__(self, logger: logging.Logger, lines: int = 10, seconds: float = 10.0) -> None:
        self._logger = logger
        self._lines = lines
        self._seconds = seconds
        self._written = 0
        self._window: asyncio.TimerHandle | None = None

    def info(self, text: str, *values: object) -> None:
        """Writes or counts a line. Called on the event loop."""
        if self._window is None:
            self._window = asyncio.get_running_loop().call_later(self._seconds, self._end_window)
        self._written += 1
        if self._written <= self._lines:
            self._logger.info(text, *values)

    def _end_window(self) -> None:
        omitted, self._written, self._window = self._written - self._lines, 0, None
        if omitted > 0:
            self._logger.info("%d more lines like these within %g s are left out", omitted, self._seconds)
