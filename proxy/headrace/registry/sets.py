"""Sets in the registry index: one document says which revisions are in force, and everything else goes before it.

A revision and the versions that it lists are written first; nothing shows them. Then the document of all heads is
written by compare-and-set, and with that every reader sees the whole set. A process that dies before leaves versions
behind that the next attempt uses, or that are removed after it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import msgspec

from headrace.registry.records_codec import (
    REVISION,
    Document,
    heads_document,
    pipeline_document,
    revision_document,
    revisions_of,
    stored_records,
    udf_document,
)
from headrace.registry.signatures import DELETED
from headrace_pipelines.errors import ConflictError, HeadraceError
from headrace_pipelines.registry import PipelineRecord, UdfRecord
from headrace_pipelines.registry.records import Head, VersionRecord
from headrace_pipelines.registry.sets import MOST_REVISIONS, Basis, needed

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Mapping

    from headrace.registry.live import LiveRegistry
    from headrace.registry.signatures import Entry
    from headrace.registry.store import Store, VersionedValue
    from headrace_pipelines.registry.records import Revision

log = logging.getLogger("headrace.registry")
T = TypeVar("T")

HEADS = "sets:in_force"
"""The id of the document that puts sets in force."""
MOST_SETS = 100
"""Maximum number of sets: it bounds the document that every change of a set writes anew."""
ATTEMPTS = 5
"""Attempts at a change of a set while other sets are changed at the same time."""
WRITERS = 8
"""Documents that are written at once."""


class LostRaceError(ConflictError):
    """Another change of sets came first."""


@dataclass(frozen=True)
class Opened:
    """The registry, to be changed as it stands: it is written only if no set was changed since."""

    marker: VersionedValue
    heads: dict[str, Head]
    basis: Basis
    entries: dict[str, Entry]
    """The newest documents by id that the basis is made of, deletions included."""

    def revision(self, name: str) -> int:
        """The number of the revision of a set that is in force; 0 for a set that there is not."""
        return self.heads[name].revision if name in self.heads else 0


async def opened(registry: LiveRegistry, name: str) -> Opened:
    """The registry as it stands now, for a change of a set. Raises LostRaceError, RegistryError."""
    for _ in range(ATTEMPTS):
        marker = await registry.store.read(HEADS)
        await registry.refresh()
        snapshot, newest = registry.snapshot, dict(registry.ledger.entries)
        entries = [entry for entry in newest.values() if entry.live]
        stored = await asyncio.to_thread(stored_records, entries)
        heads = msgspec.convert(marker.value or {}, dict[str, Head])
        if stored.heads == heads == snapshot.records.heads:
            kept = heads[name].kept if name in heads else []
            history = await asyncio.to_thread(revisions_of, entries, kept)
            basis = Basis(stored, snapshot, registry.catalog, tuple(history.values()))
            return Opened(marker, heads, basis, newest)
    raise LostRaceError("sets were changed by other requests at the same time; try again")


async def history(registry: LiveRegistry, name: str) -> list[Revision]:
    """The kept revisions of a set, oldest first; empty for a set that there is not."""
    head, entries = registry.snapshot.records.heads.get(name), registry.ledger.live
    if head is None:
        return []
    return list((await asyncio.to_thread(revisions_of, entries, head.kept)).values())


async def commit(
    registry: LiveRegistry,
    at: Opened,
    revision: Revision,
    staged: Iterable[VersionRecord] = (),
    codes: Mapping[str, bytes] | None = None,
    released: Iterable[str] = (),
) -> None:
    """Brings a revision in force, with versions that are to be stored; LostRaceError if a set was changed since.

    `released`: labels of what leaves the set: what was stored by hand of it before must not come back. So documents of
    that kind go before the head is written, while the set still hides them, and each by compare-and-set with the
    document that the plan was made of: what somebody has stored since stays.
    """
    store = registry.store
    await store.ensure_index()
    records = list(staged)
    await _write_staged(registry, at, revision, records, list(released))
    # Code after the documents that name it: who removes code of others sees these first.
    digests = {record.digest for record in records if isinstance(record, UdfRecord)}
    sent = {d: code for d, code in (codes or {}).items() if d in digests or d not in registry.snapshot.codes}
    await _all(registry.write_code(digest, code) for digest, code in sent.items())
    kept = at.heads[revision.set].kept if revision.set in at.heads else []
    head = Head(revision=revision.revision, id=revision.id, kept=[*kept, revision.id][-MOST_REVISIONS:])
    gone = spare(at) if revision.set not in at.heads and len(at.heads) >= MOST_SETS else None
    heads = {name: each for name, each in at.heads.items() if name != gone}
    try:
        await store.save(at.marker, heads_document({**heads, revision.set: head}))
    except ConflictError:
        raise _lost(revision.set) from None
    await registry.changed()
    await _collect(registry, revision.set)
    if gone is not None:
        await _collect(registry, gone, at.entries)


def spare(at: Opened) -> str | None:
    """The set without objects that was emptied first: its history goes where a new set has no room otherwise."""
    empty = [each for each in at.basis.visible.sets.values() if not (each.pipelines or each.udfs or each.patterns)]
    return min(empty, key=lambda each: each.created).set if empty else None


async def _write_staged(
    registry: LiveRegistry, at: Opened, revision: Revision, records: list[VersionRecord], released: list[str]
) -> None:
    """Writes everything that goes before the head, but code. Raises LostRaceError."""
    store = registry.store
    hand = _over_hand(at, records, released)
    before = await _unchanged(registry, at, revision, released, hand)
    entries: list[Entry] = []
    try:
        # In order, not at once: of two changes of the same documents one loses before it has written anything.
        for id_, document in hand.items():
            entries.append(await store.stage(before[id_], document))
    except ConflictError:
        await store.refresh()
        raise _lost(revision.set) from None
    documents = [(record.id, _document(record)) for record in records if record.tag]
    documents.append((revision.id, revision_document(revision)))
    entries += await _all(_stage(store, id_, document) for id_, document in documents)
    await store.refresh()
    for entry in entries:
        registry.ledger.record(entry)


async def edit(registry: LiveRegistry, name: str, change: Callable[[Opened, Revision], Edit]) -> None:
    """Changes the revision of a set that is in force by hand, as often as other changes come between."""
    for attempt in range(ATTEMPTS):
        try:
            at = await opened(registry, name)
            base = at.basis.visible.sets.get(name)
            if base is None:
                raise ConflictError(f"the set [{name}] is no more; try again")
            edited = change(at, base)
            await commit(registry, at, edited.revision, edited.staged, released=edited.released)
            return
        except LostRaceError:
            if attempt == ATTEMPTS - 1:
                raise


@dataclass(frozen=True)
class Edit:
    """A change by hand: the next revision, versions to store, and labels of what leaves the set."""

    revision: Revision
    staged: tuple[VersionRecord, ...] = ()
    released: tuple[str, ...] = ()


def by_hand(base: Revision, label: str, created: str, user: str, action: str) -> Revision:
    """The next revision after `base`, still with the same objects, by somebody who changes one of them."""
    number = base.revision + 1
    return msgspec.structs.replace(
        base,
        revision=number,
        token=secrets.token_hex(8),
        created=created,
        user=user,
        action="by_hand",
        source=type(base.source)(),
        drift={**base.drift, label: number},
        changes=[f"{action} {label}"],
    )


_OF_HAND = {"pipeline": "active", "association": "pattern"}
"""Kinds of documents by which something is in force that no set has, by the kind of object."""


def _over_hand(at: Opened, staged: Iterable[VersionRecord], released: Iterable[str]) -> dict[str, Document]:
    """Returns the documents that a change writes over those stored by hand, by their ids in order."""
    found = {record.id: _document(record) for record in staged if not record.tag}
    for label in released:
        kind, _, name = label.partition(" ")
        entry = at.entries.get(f"{_OF_HAND[kind]}:{name}") if kind in _OF_HAND else None
        if entry is not None and entry.live:
            found[entry.id] = Document(kind=DELETED, name=entry.name, body="null")
    return dict(sorted(found.items()))


async def _unchanged(
    registry: LiveRegistry, at: Opened, revision: Revision, released: Iterable[str], hand: Iterable[str]
) -> dict[str, VersionedValue]:
    """Documents as they stand, by id. Raises LostRaceError if one is not what it was when the registry was opened.

    Documents of what is released are among them that there were not: somebody may have stored them since.
    """
    labels = [label.partition(" ") for label in released]
    ids = {HEADS, *hand} | {f"{_OF_HAND[kind]}:{name}" for kind, _, name in labels if kind in _OF_HAND}
    before = await _all(registry.store.read(id_) for id_ in sorted(ids))
    if any(each.entry != at.entries.get(each.id) for each in before):
        await registry.store.refresh()
        raise _lost(revision.set)
    return {each.id: each for each in before}


async def _stage(store: Store, id_: str, document: Document) -> Entry:
    """Writes a document that nothing in force names yet, and whose id has its content, over what stands there."""
    for _ in range(ATTEMPTS - 1):
        with contextlib.suppress(ConflictError):
            return await store.stage(await store.read(id_), document)
    return await store.stage(await store.read(id_), document)


def _lost(name: str) -> LostRaceError:
    return LostRaceError(f"the set [{name}], or what leaves it, was changed by another request at the same time")


def _document(record: VersionRecord) -> Document:
    if isinstance(record, PipelineRecord):
        return pipeline_document(record)
    if isinstance(record, UdfRecord):
        return udf_document(record)
    raise TypeError(type(record))


async def _all(writes: Iterable[Coroutine[object, object, T]]) -> list[T]:
    """Does writes at the same time, and raises the first error once all have ended."""
    turn = asyncio.Semaphore(WRITERS)

    async def write(each: Coroutine[object, object, T]) -> T:
        async with turn:
            return await each

    results = await asyncio.gather(*map(write, writes), return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return [result for result in results if not isinstance(result, BaseException)]


async def _collect(registry: LiveRegistry, name: str, before: Mapping[str, Entry] | None = None) -> None:
    """Removes what no kept revision of a set lists and no attempt can need: it was staged for an earlier revision.

    `before`: the documents of a set that is gone; its name may have begun anew since, with the same numbers.
    """
    try:
        heads, entries = registry.snapshot.records.heads, registry.ledger.live
        dead = await asyncio.to_thread(_dead, entries, name, heads)
        if before is not None:
            dead = [entry for entry in dead if before.get(entry.id) == entry]
        gone = [entry for entry in dead if await _remove_unchanged(registry, entry)]
        await registry.drop_code(msgspec.json.decode(e.body, type=UdfRecord) for e in gone if e.kind == "udf")
        if dead:
            await registry.changed()
    except HeadraceError as error:
        log.warning("old revisions of the set [%s] could not be removed: %s", name, error.reason)


def _dead(entries: list[Entry], name: str, heads: Mapping[str, Head]) -> list[Entry]:
    head = heads.get(name)
    kept, latest = (head.kept, head.revision) if head else ([], sys.maxsize)
    revisions = revisions_of(entries, {*kept, *(each.id for each in heads.values())})
    stored = stored_records(entries)
    records: list[VersionRecord] = [*stored.pipelines, *stored.udfs]
    listed = needed(revisions.values(), records)
    listed |= {id_ for each in heads.values() for id_ in revisions[each.id].versions}
    dead = {r.id for r in records if r.set == name and r.staged <= latest and r.id not in listed}
    for entry in entries:
        if entry.kind == REVISION and entry.name == name and entry.id not in kept:
            number = int(entry.id.partition("@")[2].partition("#")[0])
            dead |= {entry.id} if number <= latest else set()
    return [entry for entry in entries if entry.id in dead]


async def _remove_unchanged(registry: LiveRegistry, entry: Entry) -> bool:
    """Deletes a document unless somebody has written it anew; says whether it did."""
    before = await registry.store.read(entry.id)
    if before.entry != entry:
        return False
    try:
        await registry.store.save(before, Document(kind=DELETED, name=entry.name, body="null"))
    except ConflictError:
        return False
    return True
