"""The copy of the registry on disk counts as a whole or not at all."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from headrace.registry.ledger import Ledger
from headrace.registry.local_copy import Copy
from headrace.registry.signatures import MANIFEST
from headrace_pipelines.errors import RegistryError
from tests.unit.headrace.registry.test_ledger import Index, in_force, signer

if TYPE_CHECKING:
    from pathlib import Path

FINAL, OTHER = "association:a", "association:b"


@pytest.fixture
def index(tmp_path: Path) -> Index:
    """An index with two documents, and a copy of it on disk."""
    index, ledger = Index(), Ledger(signer())
    for id_ in (FINAL, OTHER):
        index.change(ledger, id_, id_)
    Copy(tmp_path, signer()).write(ledger.entries.values())
    return index


def altered(folder: Path, id_: str, **fields: object) -> None:
    """Alters an entry of the copy, or removes it."""
    path = folder / "registry.json"
    entries = json.loads(path.read_text())["entries"]
    kept = [entry | fields if entry["id"] == id_ else entry for entry in entries if fields or entry["id"] != id_]
    path.write_text(json.dumps({"entries": kept}))


def test_a_whole_copy_is_whole(index: Index, tmp_path: Path):
    copied = Copy(tmp_path, signer()).read()
    assert copied is not None
    assert copied.whole
    assert {entry.id for entry in copied.entries} == {FINAL, OTHER, MANIFEST}


def test_a_copy_of_nothing_is_whole(tmp_path: Path):
    Copy(tmp_path, signer()).write([])
    copied = Copy(tmp_path, signer()).read()
    assert copied is not None
    assert (copied.entries, copied.whole) == ([], True)


@pytest.mark.parametrize("id_", [FINAL, MANIFEST])
@pytest.mark.parametrize("fields", [{"body": "{}"}, {"signature": "x"}])
def test_a_copy_whose_documents_do_not_verify_is_not_whole(
    index: Index, tmp_path: Path, id_: str, fields: dict[str, object]
):
    altered(tmp_path, id_, **fields)
    copied = Copy(tmp_path, signer()).read()
    assert copied is not None
    assert not copied.whole


def test_a_copy_without_a_document_of_its_manifest_is_not_whole(index: Index, tmp_path: Path):
    altered(tmp_path, FINAL)
    copied = Copy(tmp_path, signer()).read()
    assert copied is not None
    assert not copied.whole


def test_an_incomplete_copy_still_says_what_is_older(index: Index, tmp_path: Path):
    old = dict(index.sources)
    ledger = Ledger(signer())
    index.read(ledger)
    index.change(ledger, OTHER, "newer")
    Copy(tmp_path, signer()).write(ledger.entries.values())
    altered(tmp_path, FINAL, body="{}")
    copied = Copy(tmp_path, signer()).read()
    assert copied is not None
    ledger = Ledger(signer())
    ledger.restore(copied.entries, complete=copied.whole)
    lost = Index()
    with pytest.raises(RegistryError, match="missing or set back"):
        lost.read(ledger)
    assert not ledger.complete, "an index that is gone gives no whole registry"
    index.sources = old
    assert set(index.read(ledger)) == {OTHER, MANIFEST}, "set back past the proxies: to be repaired"
    assert in_force(ledger) == {FINAL: FINAL, OTHER: "newer"}
