"""Reports of the revisions in force: every process writes one to the registry index, while there are sets.

These documents are signed, but no part of the registry: no fingerprint, reading or repair sees them.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
import time
from typing import TYPE_CHECKING

import msgspec

from headrace.registry.records_codec import Document, text_of
from headrace.registry.signatures import Entry
from headrace_pipelines.errors import HeadraceError

if TYPE_CHECKING:
    from headrace.registry.store import Store

log = logging.getLogger("headrace.registry")

SEEN = "seen"
"""The kind of these documents."""
BEAT_SECONDS = 10.0
"""Seconds between two reports of a process that has nothing new to say."""
LOST_SECONDS = 30.0
"""Seconds after which a process that has not reported is taken for gone; clocks may differ by less."""
FORGOTTEN_SECONDS = 3600.0
"""Seconds after which the report of a process that is gone is removed: one hour."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The revisions that a process has in force, by set; `at` in seconds since the epoch, by the clock of its host."""

    host: str
    process: int
    at: float
    registry: str
    sets: dict[str, int]


class Presence:
    """The report of this process, and those of all."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._id = f"{SEEN}:{secrets.token_hex(8)}"
        self._told: dict[str, int] | None = None
        self._due = float("-inf")

    async def tell(self, state: str, sets: dict[str, int]) -> None:
        """Writes the report, if there is something new or it is due; a failure is for the next time."""
        if (not sets and self._told is None) or (sets == self._told and time.monotonic() < self._due):
            return
        self._due = time.monotonic() + BEAT_SECONDS
        report = Report(host=socket.gethostname(), process=os.getpid(), at=time.time(), registry=state, sets=sets)
        document = Document(kind=SEEN, name=SEEN, body=text_of(report))
        try:
            await self._store.overwrite(self._store.ledger.signer.sign(self._id, document, 1))
            self._told = dict(sets)
        except HeadraceError as error:
            log.debug("the revisions in force could not be reported: %s", error.reason)

    async def end(self) -> None:
        """Removes the report."""
        if self._told is not None:
            await self._remove(self._id)

    async def reports(self) -> list[Report]:
        """The reports of all processes that are there. Raises RegistryError where the cluster does not answer.

        The newest documents are read, and what no proxy has signed is ignored: whoever can write the index hides a
        process only with more than MOST_SEEN documents between two of its reports.
        """
        found = []
        async for id_, source in self._store.seen():
            report = self._read(id_, source)
            if report is None:
                continue
            age = time.time() - report.at
            if age < LOST_SECONDS:
                found.append(report)
            elif age > FORGOTTEN_SECONDS:
                await self._remove(id_)
        return sorted(found, key=lambda report: (report.host, report.process))

    def _read(self, id_: str, source: object) -> Report | None:
        """A report that a proxy with our secret wrote, of a version that says the same."""
        entry = self._store.ledger.signer.verified(id_, source)
        if not isinstance(entry, Entry):
            return None
        try:
            return msgspec.json.decode(entry.body, type=Report)
        except msgspec.DecodeError:
            return None

    async def _remove(self, id_: str) -> None:
        try:
            await self._store.drop(id_)
        except HeadraceError as error:
            log.debug("a report of revisions in force could not be removed: %s", error.reason)
