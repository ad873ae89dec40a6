"""The current snapshot of the registry: polled from the store, kept on disk, swapped as a whole.

A request reads [`LiveRegistry.snapshot`] once. Changes made through this process are there when its call returns;
those of other replicas within the poll interval. When the cluster does not serve the registry, the last good state
stays; at start it comes from disk. An index that was lost is written anew from it.
"""

from __future__ import annotations

import asyncio
import logging
import os
from typing import TYPE_CHECKING, TypeVar

import msgspec

from pipelines.association import Association, Pattern, Slots, Template
from pipelines.errors import ConflictError, HeadraceError, RegistryError
from pipelines.registry import Records, Snapshot, build
from pipelines.udf.catalog import digest as digest_of
from proxy.store import pack, unpack

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from pipelines.udf.catalog import Catalog
    from proxy.store import Store

log = logging.getLogger("headrace.registry")

ATTEMPTS = 5
H = TypeVar("H", Association, Pattern, Template)


class LiveRegistry:
    """Holds the snapshot and keeps it current. `state` is "current", "cached" (cluster unreachable) or "none"."""

    def __init__(
        self, store: Store, catalog: Catalog, folder: Path, poll: float, defaults: Slots | None = None
    ) -> None:
        self.store = store
        self.catalog = catalog
        self._folder = folder
        self._poll = poll
        self._snapshot = Snapshot(defaults=defaults or Slots())
        self._fingerprint: str | None = None
        self._task: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()
        self.state = "none"
        self.tell_others: Callable[[], Awaitable[None]] | None = None

    @property
    def snapshot(self) -> Snapshot:
        """The registry now. Raises RegistryError when nothing is known of it: no pipeline may be bypassed."""
        if self.state == "none":
            raise RegistryError(
                "the registry of pipelines cannot be read and no copy is on disk, "
                "so this request might bypass a pipeline"
            )
        return self._snapshot

    @property
    def protects(self) -> bool:
        """Whether anything may be protected: it is, or nothing is known of the registry."""
        return self.state == "none" or self._snapshot.protects

    @property
    def holds(self) -> bool:
        """Whether there may be anything in the registry."""
        return self.state == "none" or self._snapshot.records != Records()

    async def start(self) -> None:
        """Reads the copy on disk, then the registry itself, and begins to poll."""
        copied = await self._from_disk()
        try:
            await self.refresh()
        except RegistryError as error:
            log.warning("%s", error.reason)
            if copied:
                self.state = "cached"
                log.warning("serving the copy of the registry in %s", self._folder)
            else:
                log.error("no copy of the registry in %s: what pipelines may concern is refused", self._folder)
        self._task = asyncio.create_task(self._keep_current(), name="registry poll")

    async def stop(self) -> None:
        """Ends the polling."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _keep_current(self) -> None:
        while True:
            await asyncio.sleep(self._poll)
            try:
                await self.refresh()
            except HeadraceError as error:
                if self.state == "current":
                    log.warning("%s; the last good registry stays in force", error.reason)
                    self.state = "cached"
            except Exception:
                log.exception("the registry could not be refreshed; the last good one stays in force")

    async def refresh(self) -> None:
        """Takes over what has changed in the store. Raises RegistryError."""
        async with self._turn:
            fingerprint = await self.store.fingerprint()
            if fingerprint == self._fingerprint:
                self.state = "current"
                return
            if not fingerprint and self._snapshot.records != Records():
                log.warning("the registry index is gone; writing it anew from the last good state")
                await self.store.ensure_index()
                await self.store.republish(self._snapshot.records, dict(self._snapshot.codes))
            records, self._fingerprint = await self.store.load()
            await self._install(records, await self._codes(records))
            self.state = "current"
            self._to_disk(records)

    async def changed(self) -> None:
        """To be called after a change: takes it over here and, before the caller is answered, in the other workers."""
        await self.refresh()
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

    async def _install(self, records: Records, codes: dict[str, bytes]) -> None:
        before = self._snapshot
        self._snapshot = await asyncio.to_thread(build, records, codes, self.catalog, before)
        self.catalog.keep_only({r.digest for r in records.udfs}, {r.manifest.label for r in records.udfs})
        log.info("registry: %d pipelines, %d UDFs", len(records.active), len(records.udfs))

    async def _codes(self, records: Records) -> dict[str, bytes]:
        """The code of every UDF, from memory, disk or the store; without it the pipelines that use it fail."""
        codes: dict[str, bytes] = {}
        for digest in {record.digest for record in records.udfs}:
            known = self._snapshot.codes.get(digest) or self._code_on_disk(digest)
            if known is None:
                try:
                    known = await self.store.code(digest)
                    self._keep(f"udf/{digest}.bin", known)
                except RegistryError as error:
                    log.error("%s", error.reason)
                    continue
            codes[digest] = known
        return codes

    def _code_on_disk(self, digest: str) -> bytes | None:
        path = self._folder / "udf" / f"{digest}.bin"
        if not path.is_file():
            return None
        code = path.read_bytes()
        return code if digest_of(code) == digest else None

    def _to_disk(self, records: Records) -> None:
        self._keep("registry.json", pack(records))
        kept = {f"{record.digest}.bin" for record in records.udfs}
        for path in (self._folder / "udf").glob("*.bin"):
            if path.name not in kept:
                path.unlink(missing_ok=True)

    def _keep(self, name: str, data: bytes) -> None:
        """Writes a file of the copy; a disk that does not take it costs the copy, not the registry."""
        try:
            write_private(self._folder / name, data)
        except OSError as error:
            log.warning("[%s] could not be copied to %s: %s", name, self._folder, error.strerror)

    async def _from_disk(self) -> bool:
        """Installs the copy on disk; false if there is none that can be read."""
        path = self._folder / "registry.json"
        if not path.is_file():
            return False
        try:
            records = unpack(path.read_bytes())
        except (OSError, ValueError, HeadraceError) as error:
            log.error("the copy of the registry in %s cannot be read: %s", path, error)
            return False
        codes = {record.digest: self._code_on_disk(record.digest) for record in records.udfs}
        await self._install(records, {digest: code for digest, code in codes.items() if code is not None})
        return True


def write_private(path: Path, data: bytes) -> None:
    """Writes a file that only this user can read, at once or not at all."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
    temporary.replace(path)
