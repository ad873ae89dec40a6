"""The ledger: the newest signed state of each document of the registry that this proxy has seen.

Of every document the ledger keeps the newest one whose signature holds, deletions included. So a document that was
altered, deleted or set back past the proxies changes nothing: it is reported, and written anew. A proxy that knows
nothing yet has the manifest for that: the signed list of all ids with their revisions, written after every change.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Any

import msgspec

from headrace.registry.records_codec import KINDS, Document, text_of
from headrace.registry.signatures import DELETED, MANIFEST, Entry
from headrace_pipelines.errors import RegistryError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from headrace.registry.signatures import Signer

log = logging.getLogger("headrace.registry")

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
"""Seconds between two repairs of one document: somebody who goes on overwriting it is not answered write by write."""
CALM_SECONDS = 120.0
"""Seconds since its last repair after which the next repair of a document has no pause."""
IN_VAIN = 3
"""Writes over the manifest with one key after which whoever does that is taken for another proxy."""
_RIVAL = (
    "another proxy keeps the registry with another registry_secret (its key is [%s], the one of this proxy [%s]), and "
    "each undoes what the other writes: give both the same secret, and start them again"
)
_MOST_CLAIMED = 1 << 40
"""Upper bound of revisions that an unsigned document may claim; changes do not reach it."""
MOST_NAMED = 20
"""Maximum number of ignored documents that one reading logs by name."""


@dataclass(frozen=True)
class Found:
    """A document as it is in the index; its `source` may be anything."""

    id: str
    source: Any
    seq_no: int
    primary_term: int


Verified = tuple[Found, "Entry | str"]


@dataclass
class _Repairs:
    """How often a document was repaired of late, and when it may be next."""

    count: int = 0
    last: float = float("-inf")

    @property
    def due(self) -> float:
        pause = min(FIRST_PAUSE * 2 ** (self.count - 1), LONGEST_PAUSE) if self.count else 0.0
        return self.last + pause


@dataclass
class _Foreign:
    """A key of somebody else, and which writes of the manifest had it, by their numbers."""

    key: str
    seen: set[int] = field(default_factory=set)


class Ledger:
    """The newest signed documents by id. `ignored`: what else is in the index, and why it does not count."""

    def __init__(self, signer: Signer, *, adopt: bool = False) -> None:
        self.signer = signer
        self.entries: dict[str, Entry] = {}
        self.ignored: dict[str, str] = {}
        self.repaired = 0
        self.rival: str | None = None
        """The key of another proxy that writes its own documents over ours again and again."""
        self.complete = False
        """Whether this proxy has had a whole registry, from the index or from its copy."""
        self._adopt = adopt
        self._first = True
        self._written: set[str] = set()
        self._repairs: dict[str, _Repairs] = {}
        self._foreign: _Foreign | None = None

    @property
    def live(self) -> list[Entry]:
        """The entries in force: no deletions."""
        return [entry for entry in self.entries.values() if entry.live]

    def newest(self, id_: str, found: Entry | None = None) -> Entry | None:
        """The newer one of what is known and what was found."""
        recorded = self.entries.get(id_)
        return max((e for e in (recorded, found) if e is not None), key=lambda e: e.order, default=None)

    def record(self, entry: Entry) -> None:
        """Takes in what this proxy has written."""
        self.entries[entry.id] = entry
        self._written.add(entry.id)

    def restore(self, entries: Iterable[Entry], *, complete: bool = True) -> None:
        """Takes in the copy on disk; from one that lacks documents the first reading has to make a whole registry."""
        self.entries = {entry.id: entry for entry in entries}
        self.complete = complete

    def exchange(self, secrets: list[bytes]) -> None:
        """Other secrets from now on; the next reading signs anew what the first of them has not signed."""
        self.signer.replace(secrets)
        self._first = True

    def start_reading(self) -> None:
        """The index is about to be read: what is written from now on may be missing there."""
        self._written.clear()

    def verified(self, found: Iterable[Found]) -> list[Verified]:
        """Each document with its entry, or why it is none. Needs no lock: run it off the loop."""
        return [(each, self.signer.verified(each.id, each.source, self.entries.get(each.id))) for each in found]

    def merge(self, verified: list[Verified]) -> dict[str, Found | None]:
        """Takes in what was read of the whole index; gives the documents to repair, and what stands in their place.

        Raises RegistryError if this proxy knows nothing yet and cannot tell whether what it reads is whole.
        """
        places = {each.id: each for each, _ in verified}
        good = {each.id: entry for each, entry in verified if isinstance(entry, Entry)}
        ignored = {each.id: why for each, why in verified if isinstance(why, str)}
        if not self.complete:
            try:
                adopted = self._first_reading(verified, good)
            except RegistryError:
                self._report(ignored)
                raise
            ignored = {id_: why for id_, why in ignored.items() if id_ not in adopted}
        for id_, entry in good.items():
            recorded = self.entries.get(id_)
            if recorded is None or entry.order > recorded.order:
                self.entries[id_] = entry
            elif entry.order < recorded.order and id_ not in self._written:
                ignored[id_] = f"it is an older state (revision {entry.revision}; {recorded.revision} is in force)"
        self._report({id_: why for id_, why in ignored.items() if id_ not in self._written})
        if self._first:
            self._resign()
            self._first = False
        wrong = {i for i, entry in self.entries.items() if good.get(i) != entry and i not in self._written}
        self._calm(wrong)
        self._see_rival(places.get(MANIFEST) if MANIFEST in wrong else None)
        return {id_: places.get(id_) for id_ in wrong}

    def _first_reading(self, verified: list[Verified], good: dict[str, Entry]) -> set[str]:
        """The first look at a registry of which there is no whole copy; gives the ids of what was adopted."""
        ours = [(each, why) for each, why in verified if isinstance(why, str) and _looks_ours(each.source)]
        present = {id_: entry for id_ in good | self.entries if (entry := self.newest(id_, good.get(id_))) is not None}
        manifest = present.get(MANIFEST)
        if self._adopt and (ours or present) and (manifest is None or lacking(manifest, present)):
            self._adopt_all(ours, present)
            self.complete = True
            return {each.id for each, _ in ours}
        if manifest is not None:
            if missing := lacking(manifest, present):
                raise RegistryError(
                    f"{len(missing)} documents of the registry are missing or set back ({sample_of(missing)}); a proxy "
                    "that has a copy writes them anew. If there is none, see registry_adopt_unsigned"
                )
        elif ours or present:
            raise RegistryError(_unsure(ours))
        self.complete = True
        return set()

    def _adopt_all(self, ours: list[tuple[Found, str]], good: dict[str, Entry]) -> None:
        """Signs what an older version, or a proxy with another secret, has left, and what is there as all there is."""
        log.warning("registry_adopt_unsigned: the registry is taken as it stands, %d documents are signed", len(ours))
        for each, _ in ours:
            source = each.source
            document = Document(kind=source["kind"], name=source["name"], body=source["body"])
            self.entries[each.id] = self.signer.sign(each.id, document, _revision(source) + 1)
        listed = {id_: entry.revision for id_, entry in (good | self.entries).items() if id_ != MANIFEST}
        before = [entry.revision for entry in (good.get(MANIFEST), self.entries.get(MANIFEST)) if entry is not None]
        manifest = Document(kind=MANIFEST, name=MANIFEST, body=text_of(listed))
        self.entries[MANIFEST] = self.signer.sign(MANIFEST, manifest, max(before, default=0) + 1)

    def _resign(self) -> None:
        """Signs entries of an older secret with the first secret, once at start and after an exchange of secrets."""
        for id_, entry in self.entries.items():
            if self.signer.old(entry):
                self.entries[id_] = self.signer.sign(id_, entry, entry.revision + 1)

    def _report(self, ignored: dict[str, str]) -> None:
        new = [(id_, why) for id_, why in ignored.items() if self.ignored.get(id_) != why]
        for id_, why in new[:MOST_NAMED]:
            log.error("the document [%.200r] in the registry index is ignored: %s", id_, why)
        if len(new) > MOST_NAMED:
            log.error("and so are %d more documents in the registry index", len(new) - MOST_NAMED)
        self.ignored = ignored

    def _calm(self, wrong: set[str]) -> None:
        now = monotonic()
        for id_ in [i for i, r in self._repairs.items() if i not in wrong and now - r.last > CALM_SECONDS]:
            del self._repairs[id_]

    def _see_rival(self, manifest: Found | None) -> None:
        """Notes who writes over the manifest, which every proxy keeps; `None` where it is ours."""
        key = self.signer.foreign(manifest.source) if manifest is not None else None
        if manifest is not None and key is not None:
            if self._foreign is None or self._foreign.key != key:
                self._foreign = _Foreign(key)
            self._foreign.seen.add(manifest.seq_no)
        elif not self._repairs:
            self._foreign = None
        rival = self._foreign.key if self._foreign is not None and len(self._foreign.seen) >= IN_VAIN else None
        if rival is not None and rival != self.rival:
            log.error(_RIVAL, rival, self.signer.key_id)
        self.rival = rival

    def require_sole(self) -> None:
        """Raises RegistryError where a proxy with another secret would undo a change."""
        if self.rival is not None:
            raise RegistryError(_RIVAL % (self.rival, self.signer.key_id))

    def due(self, id_: str) -> float:
        """When (by `time.monotonic`) a document may be repaired."""
        repairs = self._repairs.get(id_)
        return repairs.due if repairs is not None else float("-inf")

    def repairs(self, id_: str) -> int:
        """Notes that a document is being repaired; says how often it was of late."""
        repairs = self._repairs.setdefault(id_, _Repairs())
        repairs.count += 1
        repairs.last = monotonic()
        return repairs.count

    def manifest(self, found: Entry | None = None) -> Document | None:
        """The manifest that is to be written; `None` if the one that is known, or was found, has everything."""
        wanted = {id_: entry.revision for id_, entry in sorted(self.entries.items()) if id_ != MANIFEST}
        recorded = self.newest(MANIFEST, found)
        listed = listed_in(recorded) if recorded is not None else {}
        if not wanted or all(listed.get(id_, 0) >= revision for id_, revision in wanted.items()):
            return None
        return Document(kind=MANIFEST, name=MANIFEST, body=text_of(listed | wanted))


def _revision(source: dict[str, Any]) -> int:
    """The revision that a document of unknown origin claims, if it is one."""
    claimed = source.get("revision")
    if isinstance(claimed, int) and not isinstance(claimed, bool) and 0 < claimed < _MOST_CLAIMED:
        return claimed
    return 0


def listed_in(manifest: Entry) -> dict[str, int]:
    """The ids that a manifest lists, with their revisions."""
    return msgspec.json.decode(manifest.body, type=dict[str, int])


def lacking(manifest: Entry, entries: dict[str, Entry]) -> list[str]:
    """The ids of which `entries` has nothing, or something older than the manifest lists."""
    listed = listed_in(manifest)
    return [id_ for id_, revision in listed.items() if id_ not in entries or entries[id_].revision < revision]


def _looks_ours(source: object) -> bool:
    """Whether a proxy may have written it: an older one, or one with another secret."""
    if not isinstance(source, dict):
        return False
    texts = all(isinstance(source.get(field), str) for field in ("kind", "name", "body"))
    return texts and source["kind"] in (*KINDS, DELETED, MANIFEST)


def _unsure(ours: list[tuple[Found, str]]) -> str:
    if any("signature" in each.source for each, _ in ours):
        return (
            f"{len(ours)} documents of the registry were signed with another registry_secret; give this proxy the one "
            "that the others have. If it is lost, see registry_adopt_unsigned"
        )
    if ours:
        return (
            f"{len(ours)} documents of the registry have no signature: an older version wrote them. Start once with "
            "registry_adopt_unsigned=true to sign what is there"
        )
    return (
        "the registry has no manifest, so that documents may be missing; a proxy that has a copy writes it anew. "
        "If there is none, see registry_adopt_unsigned"
    )


def sample_of(ids: list[str]) -> str:
    """The first of some ids, for a line of the log."""
    return ", ".join(ids[:3]) + (", …" if len(ids) > 3 else "")
