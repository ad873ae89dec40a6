"""How long the target remembers what it deletes: a late write of an older copy must find the deletion."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from headrace.backfill.cluster.holds import Hold

SETTING = "index.gc_deletes"
SECONDS = 1200
"""Seconds for which a deletion is remembered while a job runs: twice the patience of a worker, so that no write of it
comes later; the default of the cluster is 60."""
VALUE = f"{SECONDS}s"
_DEFAULT = 60.0
_UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_TIME = re.compile(r"(\d+)(d|h|m|s|ms)")


def _seconds(text: str) -> float:
    """The seconds of a time of the cluster; 0 for one that this module does not read."""
    found = _TIME.fullmatch(text.strip())
    return int(found[1]) * _UNITS[found[2]] if found is not None else 0.0


@contextmanager
def remembered_deletes(hold: Hold) -> Iterator[Callable[[], None]]:
    """The target remembers deletions for longer within the block, and as before once no job needs it.

    Gives what looks whether that is so still, and sees to it: somebody may have changed the setting, or have taken this
    job for one that ended. A job that ends early leaves the setting for the one that goes on.
    Raises ClientError, UnreachableError.
    """

    def remember() -> None:
        before = hold.acquire()
        if (_seconds(before) if before else _DEFAULT) < SECONDS:
            hold.apply()

    def ensure() -> None:
        if not hold.in_force():
            remember()

    remember()
    yield ensure
    hold.release()
