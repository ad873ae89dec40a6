"""Log lines of the process, on standard error. No bodies, no credentials."""

from __future__ import annotations

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
