"""Keeps the mappings of indexes compiled, and reads them anew: at intervals, and after a refusal.

A mapping is read with the proxy's own credentials when the first document goes to its index. The engine finds it by the
name that documents have of the index: an alias, a data stream or date math stands for its write index.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from headrace_pipelines import Mapping, Mappings
from headrace_pipelines.errors import HeadraceError

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable

    from headrace.protocol.indices.resolver import IndexResolver

log = logging.getLogger("headrace.mappings")

REFRESH_SECONDS = 15.0
"""Seconds after which a mapping is read anew, while its documents go on."""
AGAIN_SECONDS = 1.0
"""The same for an index that was not there, or whose mapping could not be read."""
MAX_BYTES = 64 << 20
"""Bytes of all compiled mappings, about: those beyond count as unknown."""
MAX_NAMES = 1000
"""Maximum number of names with a mapping; the one that was used least recently makes room."""
AT_ONCE = 8
"""Mappings that are read at the same time: a bulk may name thousands of indexes."""
UNREADABLE, TOO_LARGE = "unreadable", "too_large"
"""Why a mapping is unknown."""


class Source(Protocol):
    """Where mappings come from. Every method raises RegistryError when the cluster does not answer."""

    async def fit_mapping(self, index: str) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """The mapping of an index and its flat settings; `None` where it is not there."""
        ...

    async def template_mapping(self, index: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """The same of an index that would be created."""
        ...

    async def add_fields(self, index: str, properties: dict[str, Any]) -> bool:
        """Adds fields to the mapping of an index; false where the cluster refuses."""
        ...


@dataclass
class _Kept:
    """A name with a mapping; `None`: it is unknown."""

    mapping: Mapping | None = None
    nbytes: int = 0
    index: str = ""
    read_at: float = float("-inf")
    seconds: float = AGAIN_SECONDS
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    prepared: set[str] = field(default_factory=set)
    """Targets that were added to the mapping, or refused."""


class MappingKeeper:
    """The mappings that documents are fitted to, by the names of their indexes."""

    def __init__(self, source: Source, resolver: IndexResolver) -> None:
        self._source = source
        self._resolver = resolver
        self._kept: dict[str, _Kept] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._reading = asyncio.Semaphore(AT_ONCE)
        self.mappings = Mappings()
        self.unknown = {UNREADABLE: 0, TOO_LARGE: 0}
        """How often a mapping was not at hand, by the reason."""

    @property
    def nbytes(self) -> int:
        """Bytes of all mappings at hand, about."""
        return sum(kept.nbytes for kept in self._kept.values())

    def has(self, name: str) -> bool:
        """Whether the mapping of an index is at hand."""
        kept = self._kept.get(name)
        return kept is not None and kept.mapping is not None

    def opaque(self, name: str) -> list[str]:
        """Dotted paths of the fields of an index that may refuse a value which only the cluster can judge."""
        kept = self._kept.get(name)
        return kept.mapping.opaque() if kept is not None and kept.mapping is not None else []

    async def ready(self, names: Iterable[str | None], targets: Iterable[str] = ()) -> None:
        """Has the mappings of these indexes at hand; one that is old is read anew meanwhile.

        `targets`: fields that a mapping is to have, as `flat_object`, with a list of names beside each.
        """
        wanted = {name for name in names if name} | set(self.mappings.missing())
        waiting, fields = [], set(targets)
        for name in wanted:
            kept = self._kept.pop(name, None) or _Kept()
            self._kept[name] = kept
            prepared = fields <= kept.prepared
            if prepared and time.monotonic() - kept.read_at <= kept.seconds:
                continue
            reading = self._read(name, kept, tuple(fields))
            # The form of a target is decided by the first document.
            if not prepared or kept.read_at == float("-inf"):
                waiting.append(reading)
            else:
                self._spawn(reading)
        if waiting:
            await asyncio.gather(*waiting)
        self._evict()

    async def renew(self, names: Iterable[str | None]) -> None:
        """Reads the mappings of these indexes anew, after the cluster refused a document."""
        now = time.monotonic()
        kept = {name: self._kept.setdefault(name, _Kept()) for name in names if name}
        await asyncio.gather(*(self._read(name, each, (), since=now) for name, each in kept.items()))
        self._evict()

    async def stop(self) -> None:
        """Ends the reading that is in progress."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _spawn(self, reading: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(reading)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _evict(self) -> None:
        while len(self._kept) > MAX_NAMES:
            name = next(iter(self._kept))
            del self._kept[name]
            self.mappings.set(name, None)

    async def _read(self, name: str, kept: _Kept, targets: tuple[str, ...], since: float | None = None) -> None:
        """Reads the mapping of one name; those who wait meanwhile have the same."""
        asked = time.monotonic() if since is None else since
        async with kept.turn:
            if kept.read_at >= asked and set(targets) <= kept.prepared:
                return
            try:
                async with self._reading:
                    await self._compile(name, kept, targets)
            except (HeadraceError, ValueError) as error:
                log.warning("the mapping of [%s] is unknown: %s", name, error)
                large = isinstance(error, ValueError)
                self.unknown[TOO_LARGE if large else UNREADABLE] += 1
                if large or kept.mapping is None:
                    self._hold(name, kept, None)
                kept.seconds = REFRESH_SECONDS if large else AGAIN_SECONDS
            kept.prepared |= set(targets)
            kept.read_at = time.monotonic()

    async def _compile(self, name: str, kept: _Kept, targets: tuple[str, ...]) -> None:
        index = (await self._resolver.members(await self._resolver.write_index(name)))[-1]
        found = await self._source.fit_mapping(index)
        mapping = await _compiled(found or await self._source.template_mapping(index))
        missing = [target for target in targets if not mapping.has(target)]
        if found is not None and missing and await self._add(index, missing, mapping):
            found = await self._source.fit_mapping(index)
            if found is not None:
                mapping = await _compiled(found)
        if self.nbytes - kept.nbytes + mapping.nbytes > MAX_BYTES:
            raise ValueError(f"all mappings together take more than {MAX_BYTES} bytes")
        self._hold(name, kept, mapping)
        kept.index = index
        kept.seconds = AGAIN_SECONDS if found is None else REFRESH_SECONDS

    async def _add(self, index: str, targets: list[str], mapping: Mapping) -> bool:
        properties: dict[str, Any] = {target: {"type": "flat_object"} for target in targets}
        lists = [f"{target}_fields" for target in targets]
        properties |= {name: {"type": "keyword"} for name in lists if not mapping.has(name)}
        added = await self._source.add_fields(index, properties)
        # Searches have to know the fields, which masks hide.
        self._resolver.forget()
        return added

    def _hold(self, name: str, kept: _Kept, mapping: Mapping | None) -> None:
        kept.mapping, kept.nbytes = mapping, 0 if mapping is None else mapping.nbytes
        if self._kept.get(name) is kept:
            # One that has made room while it was read is not counted any more.
            self.mappings.set(name, mapping)


async def _compiled(found: tuple[dict[str, Any], dict[str, Any]]) -> Mapping:
    """Raises ValueError for a mapping that is too large, or no mapping."""
    mapping, settings = found
    return await asyncio.to_thread(Mapping, msgspec.json.encode(mapping), msgspec.json.encode(settings))
