"""The current snapshot of the registry: polled from the store, kept on disk, swapped as a whole.

A request reads [`LiveRegistry.snapshot`] once. Changes made through this process are there when its call returns;
those of other replicas within the poll interval. When the cluster does not serve the registry, the last good state
stays; at start it comes from disk. What the index has lost is written anew from it.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, TypeVar

import msgspec

from headrace.registry.changes import Changes
from headrace.registry.ledger import sample_of
from headrace.registry.local_copy import Copy
from headrace.registry.presence import Presence
from headrace.registry.records_codec import records_of
from headrace.registry.repair import Mender
from headrace.registry.store import UnfitError
from headrace_pipelines.errors import ConflictError, HeadraceError, RegistryError
from headrace_pipelines.registry import Records, Snapshot, UdfRecord, build
from headrace_pipelines.registry.association import Association, Pattern, Slots, Template
from headrace_pipelines.registry.records import version_in

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping
    from pathlib import Path

    from headrace.registry.ledger import Found
    from headrace.registry.store import Store
    from headrace_pipelines.udf.catalog import Catalog

log = logging.getLogger("headrace.registry")

ATTEMPTS = 5
"""Attempts at a change that loses compare-and-set races."""
WHOLE_SECONDS = 60.0
"""Seconds between complete readings with an unchanged fingerprint: a recreated index may have the old fingerprint."""
STOPPING_SECONDS = 20.0
"""Maximum seconds that a stopping process waits for a refresh in progress."""
PAUSE_SECONDS = 1.0
"""Seconds between two attempts to repair an index that cannot be written."""
UPLOAD_SECONDS = 600.0
"""Seconds for which code is kept here that no version names yet: the upload of a set takes less."""
READINGS = 4
"""Readings of the index after which what a set lacks is taken for lost: each sees what the one before missed."""
H = TypeVar("H", Association, Pattern, Template)


class LiveRegistry:
    """Holds the snapshot and keeps it current. `state` is "current", "cached" (cluster unreachable) or "none"."""

    def __init__(
        self, store: Store, catalog: Catalog, folder: Path, poll: float, defaults: Slots | None = None
    ) -> None:
        self.store = store
        self.ledger = store.ledger
        self.catalog = catalog
        self._copy = Copy(folder, store.ledger.signer)
        self._mender = Mender(store)
        self.presence = Presence(store)
        self.poll = poll
        """Seconds between two questions for changes."""
        self._snapshot = Snapshot(defaults=defaults or Slots())
        self._fingerprint: str | None = None
        self._again = 0.0
        self._confirmed = -inf
        self.read_at: float | None = None
        """When the registry was last read whole, by `time.monotonic`."""
        self._copied: list[str] | None = None
        self._uploaded: dict[str, float] = {}
        """When code was written that no version names yet, by its digest."""
        self._task: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()
        self._refreshes = Changes()
        self.state = "none"
        self.why = "the registry of pipelines cannot be read"
        self.tell_others: Callable[[], Awaitable[None]] | None = None

    @property
    def snapshot(self) -> Snapshot:
        """The registry now. Raises RegistryError when nothing is known of it: no pipeline may be bypassed."""
        if self.state == "none":
            raise RegistryError(f"{self.why}, and no whole copy is on disk, so this request might bypass a pipeline")
        return self._snapshot

    @property
    def protects(self) -> bool:
        """Whether anything may be protected: it is, or nothing is known of the registry."""
        return self.state == "none" or self._snapshot.protects

    @property
    def holds(self) -> bool:
        """Whether there may be anything in the registry."""
        records = self._snapshot.records
        held = (records.pipelines, records.active, records.udfs, records.associations, records.patterns)
        return self.state == "none" or any(held) or bool(records.templates)

    @property
    def revisions(self) -> dict[str, int]:
        """The revisions of sets that are in force here, by their names."""
        return {name: revision.revision for name, revision in self._snapshot.records.sets.items()}

    def numbers(self, what: str) -> list[int]:
        """The numbers of all versions of `pipeline:KEY` or `udf:NAME`, also of those in the history of a set alone."""
        versions = (version_in(entry.id) for entry in self.ledger.live if entry.id.startswith(f"{what}@"))
        return [int(version) for version in versions if version.isdigit()]

    async def start(self) -> None:
        """Reads the copy on disk, then the registry itself, and begins to poll."""
        copied = await self._from_disk()
        try:
            await self.refresh()
        except RegistryError as error:
            folder = self._copy.folder
            if copied:
                self.state = "cached"
                log.warning("%s; the copy in %s is in force until it can be read", error.reason, folder)
            else:
                self.why = error.reason
                log.warning(
                    "%s, and %s has no whole copy of it: until it can be read, requests that pipelines may concern are "
                    "answered with 503",
                    error.reason,
                    folder,
                )
        self._task = asyncio.create_task(self._keep_current(), name="registry poll")

    async def stop(self) -> None:
        """Ends the polling."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._refreshes.finish(STOPPING_SECONDS)
        await self.presence.end()

    async def _keep_current(self) -> None:
        while True:
            await asyncio.sleep(self.poll)
            try:
                await self.refresh()
                await self.presence.tell(self.state, self.revisions)
            except HeadraceError as error:
                self._failed(error)
            except Exception:
                log.exception("the registry could not be refreshed; the last good one stays in force")

    def _failed(self, error: HeadraceError) -> None:
        if self.state == "none":
            self.why = error.reason
        elif self.state == "current":
            log.warning("%s; the last good registry stays in force", error.reason)
            self.state = "cached"

    async def refresh(self) -> None:
        """Takes over what has changed in the store, in a task of its own: who waits may go. Raises RegistryError."""
        await self._refreshes.run(self._in_turn())

    async def confirm(self, seconds: float) -> None:
        """Takes over what has changed, if the store was last asked longer ago than that; one call serves all waiters.

        The last good state stays where the store cannot be read.
        """
        if self.is_older(seconds):
            await self._refreshes.run(self._confirm_in_turn(monotonic() - seconds))

    def is_older(self, seconds: float) -> bool:
        """Whether the store can be read, and was last asked longer ago than that."""
        return self.state == "current" and self._confirmed < monotonic() - seconds

    async def _confirm_in_turn(self, asked_after: float) -> None:
        async with self._turn:
            if self.state == "current" and self._confirmed < asked_after:
                try:
                    await self._read_changes()
                except HeadraceError as error:
                    self._failed(error)

    async def _in_turn(self) -> None:
        async with self._turn:
            await self._read_changes()

    async def _read_changes(self) -> None:
        asked = monotonic()
        fingerprint = await self.store.fingerprint()
        if fingerprint != self._fingerprint or monotonic() >= self._again:
            self._again = await self._read(fingerprint)
            self._fingerprint = fingerprint
        self.state = "current"
        self._confirmed = asked

    async def _read(self, fingerprint: str) -> float:
        """Reads everything, installs it, and then repairs; gives when (by `time.monotonic`) to do so again."""
        wrong, records = await self._records(fingerprint)
        codes = await self._codes(records)
        if records != self._snapshot.records or codes.keys() != self._snapshot.codes.keys() or self.state == "none":
            await self._install(records, codes)
        await self._to_disk(records)
        self.read_at = monotonic()
        again = monotonic() + WHOLE_SECONDS
        if len(codes) < len({record.digest for record in records.udfs}):
            again = monotonic()
        return min(again, await self._mended(wrong, records, exists=bool(fingerprint)))

    async def _records(self, fingerprint: str) -> tuple[dict[str, Found | None], Records]:
        """What the index has, or this proxy of it, and what is to be repaired. Raises RegistryError.

        A search may see the document that puts a set in force before what that names, which was written earlier: the
        next one sees it.
        """
        for reading in range(1, READINGS + 1):
            self.ledger.start_reading()
            try:
                found = await self.store.documents() if fingerprint else []
            except UnfitError as error:
                await self._mender.make_anew(error.reason)
                found = []
            wrong = self.ledger.merge(await asyncio.to_thread(self.ledger.verified, found))
            try:
                records = await asyncio.to_thread(records_of, self.ledger.live)
                if not records.missing:
                    break
            except RegistryError:
                if reading == READINGS:
                    raise
            if fingerprint:
                await self.store.refresh()
        if records.missing:
            log.error(
                "the registry lacks %d versions that sets have in force (%s): what needs them fails",
                len(records.missing), sample_of(records.missing),
            )  # fmt: skip
        return wrong, records

    async def _mended(self, wrong: dict[str, Found | None], records: Records, *, exists: bool) -> float:
        """Repairs the index, if it lets itself be repaired; gives when to look again."""
        try:
            await self._mender.documents(wrong, exists=exists)
            if exists:
                await self._mender.code(records.udfs, self._snapshot.codes)
            if not wrong:
                await self.store.seal()
        except HeadraceError as error:
            log.warning("the registry index could not be repaired; the last good state is in force: %s", error.reason)
            return monotonic() + PAUSE_SECONDS
        return self._mender.again

    async def _seal(self) -> None:
        """Writes the manifest; a change that is written is one without it, too, and the next poll writes it."""
        try:
            await self.store.seal()
        except HeadraceError as error:
            log.warning("the manifest of the registry could not be written: %s", error.reason)

    async def recompile(self, defaults: Slots) -> None:
        """Compiles all pipelines anew, under the present limits and secrets of the catalogue."""
        async with self._turn:
            before = self._snapshot
            self._snapshot = await asyncio.to_thread(
                partial(build, before.records, before.codes, self.catalog, before, defaults, reuse=False)
            )

    def reread(self) -> None:
        """Has the next refresh read, verify and sign everything anew."""
        self._fingerprint = None

    async def changed(self) -> None:
        """To be called after a change: takes it over here and, before the caller is answered, in the other workers."""
        try:
            await self._seal()
            await self.refresh()
        finally:
            if self.tell_others is not None:
                await self.tell_others()

    async def change(self, holder: type[H], name: str, change: Callable[[H | None], H | None]) -> H | None:
        """Changes what is attached to an index, a pattern or a template, by compare-and-set; gives what was before.

        Raises ConflictError when others keep changing it at the same time.
        """
        await self.store.ensure_index()
        for attempt in range(ATTEMPTS):
            before = await self.store.attached(holder, name)
            old: H | None = msgspec.convert(before.value, holder) if before.value else None
            new = change(old)
            try:
                if new != old:
                    await self.store.attach(holder, name, new, before)
                break
            except ConflictError:
                if attempt == ATTEMPTS - 1:
                    raise
        await self.changed()
        return old

    async def write_code(self, digest: str, code: bytes) -> None:
        """Stores code in the index, and here: what another proxy removes there at the same time is written anew."""
        # A refresh that has read no version with it must not take it away here.
        self._uploaded[digest] = monotonic()
        await asyncio.to_thread(self._copy.write_code, digest, code)
        await self.store.write_code(digest, code)

    async def supply_code(self, codes: Mapping[str, bytes]) -> None:
        """Stores code that was sent once more, where a version in force lacks it."""
        lacking = {record.digest for record in self._snapshot.records.udfs} - self._snapshot.codes.keys()
        for digest in lacking & codes.keys():
            await self.write_code(digest, codes[digest])
        if lacking & codes.keys():
            self.reread()
            await self.changed()

    async def drop_code(self, records: Iterable[UdfRecord]) -> None:
        """Removes the code of versions that were removed, unless a stored version has it, visible or not."""
        removed = {record.digest: record for record in records}
        if removed:
            await self.refresh()
        for digest, record in removed.items():
            if not any(entry.kind == "udf" and digest in entry.body for entry in self.ledger.live):
                await self.store.remove_code(record)

    async def _install(self, records: Records, codes: dict[str, bytes]) -> None:
        before = self._snapshot
        self._snapshot = await asyncio.to_thread(build, records, codes, self.catalog, before)
        self.catalog.keep_only({r.digest for r in records.udfs}, {r.manifest.label for r in records.udfs})
        log.info("registry: %d pipelines, %d UDFs", len(records.active), len(records.udfs))

    async def _codes(self, records: Records) -> dict[str, bytes]:
        """The code of every UDF, from memory, disk or the store; without it the pipelines that use it fail."""
        codes: dict[str, bytes] = {}
        for digest in {record.digest for record in records.udfs}:
            code = self._snapshot.codes.get(digest) or await asyncio.to_thread(self._copy.code, digest)
            if code is None:
                try:
                    code = await self.store.code(digest)
                    await asyncio.to_thread(self._copy.write_code, digest, code)
                except RegistryError as error:
                    log.error("%s", error.reason)
                    continue
            codes[digest] = code
        return codes

    async def _to_disk(self, records: Records) -> None:
        """Copies what has changed since the last time."""
        entries = sorted(self.ledger.entries.values(), key=lambda entry: entry.id)
        signatures = [entry.signature for entry in entries]
        if signatures != self._copied:
            await asyncio.to_thread(self._copy.write, entries)
            await self._drop_copies({record.digest for record in records.udfs})
            self._copied = signatures

    async def _drop_copies(self, named: set[str]) -> None:
        """Removes the copies of code that no version names, and no upload is about to name."""
        oldest = monotonic() - UPLOAD_SECONDS
        self._uploaded = {digest: at for digest, at in self._uploaded.items() if digest not in named and at > oldest}
        await asyncio.to_thread(self._copy.keep_only, lambda digest: digest in named or digest in self._uploaded)

    async def _from_disk(self) -> bool:
        """Installs the copy on disk; false if there is none that can be read, and that has the whole registry."""
        copied = await asyncio.to_thread(self._copy.read)
        if copied is None:
            return False
        self.ledger.restore(copied.entries, complete=copied.whole)
        if not copied.whole:
            log.error("the copy of the registry in %s is not whole, and not in force", self._copy.folder)
            return False
        try:
            records = await asyncio.to_thread(records_of, self.ledger.live)
        except RegistryError as error:
            log.error("the copy of the registry in %s is of no use: %s", self._copy.folder, error.reason)
            return False
        codes = {record.digest: await asyncio.to_thread(self._copy.code, record.digest) for record in records.udfs}
        await self._install(records, {digest: code for digest, code in codes.items() if code is not None})
        return True
