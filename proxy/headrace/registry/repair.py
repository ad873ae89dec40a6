"""Writes anew what the registry index has lost: documents, chunks of code, the index itself."""

from __future__ import annotations

import logging
from time import monotonic
from typing import TYPE_CHECKING

from headrace.registry.ledger import LONGEST_PAUSE, sample_of
from headrace.registry.store import CHUNK, UnfitError
from headrace_pipelines.errors import RegistryError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headrace.registry.ledger import Found
    from headrace.registry.store import Store
    from headrace_pipelines.registry import UdfRecord

log = logging.getLogger("headrace.registry")

IN_VAIN = 3
"""Repairs of one document after which a read checks that the index returns the document as written."""


class Mender:
    """Repairs what it is told of, as often as is due. `again` is when (by `time.monotonic`) there is more to do."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._anew = float("-inf")
        self._chunks: dict[str, tuple[int, ...]] = {}
        self.again = float("inf")

    async def documents(self, wrong: Mapping[str, Found | None], *, exists: bool) -> None:
        """Writes documents anew, by compare-and-set on what stands in their place. Raises RegistryError."""
        ledger = self._store.ledger
        due = [id_ for id_ in wrong if ledger.due(id_) <= monotonic()]
        self.again = min([float("inf"), *(ledger.due(id_) for id_ in wrong if id_ not in due)])
        if not due:
            return
        log.warning("the registry index lacks %d documents (%s): writing them anew", len(due), sample_of(due))
        if not exists:
            await self._store.ensure_index()
        self.again = monotonic()
        try:
            for id_ in due:
                await self._document(id_, wrong[id_])
        except UnfitError as error:
            await self.make_anew(error.reason)
        await self._store.refresh()

    async def _document(self, id_: str, stands: Found | None) -> None:
        ledger = self._store.ledger
        count = ledger.repairs(id_)
        if await self._store.repair(id_, stands):
            ledger.repaired += 1
            if count >= IN_VAIN and not await self._store.holds(id_):
                raise UnfitError(f"it does not give back the document [{id_}] as it was written")

    async def make_anew(self, why: str) -> None:
        """An index that is of no use is replaced, as we have everything that was in it; now and then only.

        Raises RegistryError if that is not so, or not yet.
        """
        if not self._store.ledger.complete:
            raise RegistryError(f"the registry index is of no use, and there is no copy of it: {why}")
        if monotonic() - self._anew < LONGEST_PAUSE:
            raise RegistryError(f"the registry index is of no use: {why}")
        self._anew = monotonic()
        log.error("the registry index is of no use and is made anew: %s", why)
        await self._store.make_anew()

    async def code(self, udfs: list[UdfRecord], codes: Mapping[str, bytes]) -> None:
        """Writes code anew of which chunks are missing or altered. Raises RegistryError."""
        there = await self._store.chunks()
        for record in {record.digest: record for record in udfs}.values():
            digest, code = record.digest, codes.get(record.digest)
            numbers = tuple(there.get(f"code:{digest}:{n}", -1) for n in range(-(-record.size // CHUNK)))
            if code is None or self._chunks.get(digest) == numbers:
                continue
            if -1 in numbers or not await self._whole(digest):
                await self._write(digest, code)
            else:
                self._chunks[digest] = numbers

    async def _whole(self, digest: str) -> bool:
        try:
            await self._store.code(digest)
        except RegistryError:
            return False
        return True

    async def _write(self, digest: str, code: bytes) -> None:
        id_, ledger = f"code:{digest}", self._store.ledger
        if ledger.due(id_) > monotonic():
            self.again = min(self.again, ledger.due(id_))
            return
        log.warning("the registry index lacks code with digest [%s]: writing it anew", digest)
        ledger.repairs(id_)
        await self._store.write_code(digest, code)
        await self._store.refresh()
        ledger.repaired += 1
        self.again = monotonic()
