"""The revisions of a set are taken from the ledger on the loop, which changes it at any time."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

from headrace.registry import sets
from headrace.registry.records_codec import revision_document
from headrace.registry.signatures import Entry, Signer
from headrace_pipelines.registry import Records
from headrace_pipelines.registry.records import Head, Revision

REVISION = Revision(set="app", revision=1, token="t", created="2026")


class WatchedLedger:
    """A ledger that is read on the thread of the loop only."""

    def __init__(self) -> None:
        self._thread = threading.get_ident()
        self._entry = Signer([b"secret"], "index").sign(REVISION.id, revision_document(REVISION), 1)

    @property
    def live(self) -> list[Entry]:
        assert threading.get_ident() == self._thread
        return [self._entry]


async def test_history_takes_the_entries_on_the_loop():
    heads = {"app": Head(revision=1, id=REVISION.id, kept=[REVISION.id])}
    snapshot = SimpleNamespace(records=Records(heads=heads))
    registry: Any = SimpleNamespace(snapshot=snapshot, ledger=WatchedLedger())
    assert await sets.history(registry, "app") == [REVISION]
    assert await sets.history(registry, "other") == []
