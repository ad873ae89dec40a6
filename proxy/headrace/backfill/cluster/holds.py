"""Settings of indexes that jobs change for a while: several may need one at once, and the last one sets it back.

A document for each setting of an index has the jobs that need it, and its value before the first of them. A process
changes that document by compare-and-set, and nobody joins while another one sets the setting back. Whoever ends in
order sets it back although jobs that no process has are named there: they acquire it again when they go on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from headrace.backfill.cluster.records import path_of, read_stored, write_stored
from headrace.client.errors import ClientError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace.backfill.cluster.link import Link

RETRY_SECONDS = 0.2
"""Seconds between two looks at a setting that another job sets back: that takes one call."""


AtWork = Callable[[Collection[str]], AbstractSet[str]]
Version = tuple[int, int] | None
"""Of the document of a setting; `None` where there is none."""


class _Shared(msgspec.Struct, kw_only=True, frozen=True):
    """`before`: the value before the jobs (empty: none). `restoring`: the job that sets it back now."""

    index: str
    setting: str
    before: str = ""
    jobs: list[str] = []
    restoring: str = ""
    kind: Literal["hold"] = "hold"


class Hold:
    """The need of a job for a `value` of a setting.

    `at_work`: those of some jobs that a process has; it may take its time to see that.

    Each method raises ClientError and UnreachableError.
    """

    def __init__(
        self, link: Link, job: str, index: str, setting: str, value: str, *, store: str, at_work: AtWork
    ) -> None:
        self.index = index
        self._link = link
        self._job = job
        self._setting = setting
        self._value = value
        self._store = store
        self._at_work = at_work

    def acquire(self) -> str:
        """Joins the jobs that need the value; returns that before them (empty: none). The value is not set yet."""
        while True:
            shared, version = self._read()
            if shared.restoring not in ("", self._job) and self._at_work({shared.restoring}):
                time.sleep(RETRY_SECONDS)
                continue
            current = self.current()
            # A value that somebody else has set meanwhile is the one to set back.
            inherited = current == self._value and (shared.jobs or shared.restoring)
            before = shared.before if inherited else current
            jobs = sorted({*shared.jobs, self._job})
            if self._write(msgspec.structs.replace(shared, before=before, jobs=jobs, restoring=""), version):
                return before

    def others(self) -> tuple[set[str], Version]:
        """The other jobs that need the value, where this one does, and the version of the document that says so."""
        shared, version = self._read()
        needed = self._job in (*shared.jobs, shared.restoring)
        return {*shared.jobs} - {self._job} if needed else set(), version

    def release(self, gone: AbstractSet[str] = frozenset(), asked: Version = None) -> None:
        """Leaves the jobs that need the value, and sets it back where none of them is at work.

        `gone`: jobs that were found not to be at the version `asked`. At a later one they are asked about again.
        """
        while True:
            shared, version = self._read()
            if self._job not in (*shared.jobs, shared.restoring):
                return
            others = [job for job in shared.jobs if job != self._job]
            if version != asked:
                gone = {*others} - self._at_work(others)
            others = [job for job in others if job not in gone]
            restoring = "" if others else self._job
            if not self._write(msgspec.structs.replace(shared, jobs=others, restoring=restoring), version):
                continue
            if others:
                return
            if self.current() == self._value != shared.before:
                self._set(shared.before or None)
            shared, version = self._read()
            if shared.restoring == self._job:
                self._write(msgspec.structs.replace(shared, restoring=""), version)
            return

    def settle(self) -> None:
        """Leaves the jobs that need the value, which is to stay whatever becomes of them."""
        while True:
            shared, version = self._read()
            jobs = [job for job in shared.jobs if job != self._job]
            if self._write(msgspec.structs.replace(shared, before=self._value, jobs=jobs), version):
                return

    def in_force(self) -> bool:
        """Whether the setting has had the value since it was set: nobody has taken this job for one that ended."""
        return self._job in self._read()[0].jobs and self.current() == self._value

    def current(self) -> str:
        """The value of the setting now (empty: none)."""
        path = path_of(self.index, "_settings", self._setting)
        answer: dict[str, Any] = self._link.json("GET", path, {"flat_settings": "true"})
        found = [about.get("settings", {}).get(self._setting, "") for about in answer.values()]
        return str(found[0]) if found else ""

    def apply(self) -> None:
        """Sets the value, once the job has joined those that need it."""
        self._set(self._value)

    def _set(self, value: str | None) -> None:
        self._link.json("PUT", path_of(self.index, "_settings"), None, {self._setting: value})

    @property
    def _id(self) -> str:
        return f"hold:{self._setting}:{self.index}"

    def _read(self) -> tuple[_Shared, Version]:
        stored = read_stored(self._link, self._store, self._id)
        if stored is None:
            return _Shared(index=self.index, setting=self._setting), None
        return msgspec.json.decode(stored.source, type=_Shared), stored.version

    def _write(self, shared: _Shared, version: Version) -> bool:
        """Whether the document is stored; not where another process has changed it since."""
        try:
            write_stored(self._link, self._store, self._id, version, shared)
        except ClientError as error:
            if error.status != 409:
                raise
            return False
        return True


def release(holds: Sequence[Hold], at_work: AtWork) -> None:
    """Releases several holds of a job; the jobs of all of them are asked about at once. Raises as [`Hold.release`]."""
    needed = [hold.others() for hold in holds]
    others = {job for jobs, _ in needed for job in jobs}
    gone = others - at_work(others) if others else set()
    for hold, (_, asked) in zip(holds, needed, strict=True):
        hold.release(gone, asked)
