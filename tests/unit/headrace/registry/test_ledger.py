from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.registry.ledger import FIRST_PAUSE, LONGEST_PAUSE, Found, Ledger, listed_in
from headrace.registry.records_codec import Document
from headrace.registry.signatures import DELETED, MANIFEST, Entry, Signer, secrets_of
from headrace_pipelines.errors import RegistryError

INDEX = ".registry"
IDS = ("association:a", "association:b", "active:document:p")


def signer(*secrets: bytes) -> Signer:
    return Signer(list(secrets or (b"secret",)), INDEX)


def document(value: object = 1, kind: str = "association", name: str = "a") -> Document:
    return Document(kind=kind, name=name, body=json.dumps(value))


class Index:
    """A registry index as a dict, which anybody can write."""

    def __init__(self) -> None:
        self.sources: dict[str, object] = {}
        self.history: list[dict[str, object]] = []

    def put(self, entry: Entry) -> None:
        self.sources[entry.id] = entry.source
        self.history.append(entry.source)

    def read(self, ledger: Ledger) -> dict[str, Found | None]:
        ledger.start_reading()
        found = [Found(id_, source, n, 1) for n, (id_, source) in enumerate(self.sources.items())]
        return ledger.merge(ledger.verified(found))

    def change(self, ledger: Ledger, id_: str, value: object) -> Entry:
        newest = ledger.newest(id_)
        made = document(value) if value is not None else document(None, DELETED)
        entry = ledger.signer.sign(id_, made, newest.revision + 1 if newest else 1)
        self.put(entry)
        ledger.record(entry)
        sealed = ledger.manifest()
        if sealed is not None:
            known = ledger.newest(MANIFEST)
            manifest = ledger.signer.sign(MANIFEST, sealed, known.revision + 1 if known else 1)
            self.put(manifest)
            ledger.record(manifest)
        return entry


def in_force(ledger: Ledger) -> dict[str, object]:
    return {e.id: json.loads(e.body) for e in ledger.live if e.kind != MANIFEST}


def test_a_signature_holds_for_everything_that_a_document_says():
    one = signer()
    entry = one.sign("association:a", document(), 3)
    assert one.verified("association:a", entry.source) == entry
    changed = [
        {**entry.source, field: value}
        for field, values in {
            "kind": ["pattern", DELETED, ""], "name": ["b", ""], "body": ["2", "1 ", ""], "revision": [2, 4, 3 << 40],
            "signature": [entry.signature[:-1] + "x", entry.signature.upper(), entry.signature + "0"],
        }.items()
        for value in values
    ]  # fmt: skip
    assert len(changed) == 14
    for source in changed:
        assert isinstance(one.verified("association:a", source), str), source
    assert one.verified("association:b", entry.source) == "its signature is wrong"
    assert "another registry_secret" in str(signer(b"other").verified("association:a", entry.source))
    assert isinstance(Signer([b"secret"], ".other").verified("association:a", entry.source), str)


@pytest.mark.parametrize(("given", "expected"), [("", [b"file,bytes"]), ("a", [b"a"]), (" a , b,", [b"a", b"b"])])
def test_secrets_are_listed_by_commas(given: str, expected: list[bytes]):
    assert secrets_of(b"file,bytes", given) == expected


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
FIELD = st.sampled_from(["kind", "name", "body", "revision", "signature", "other"])


@given(st.lists(JSON | st.dictionaries(FIELD, JSON, max_size=6), max_size=12), st.booleans())
def test_junk_of_any_shape_is_ignored(junk: list[object], adopt: bool):
    index, ledger = Index(), Ledger(signer(), adopt=adopt)
    index.read(ledger)
    index.change(ledger, "association:a", 1)
    index.sources |= {f"junk:{n}": source for n, source in enumerate(junk)}
    for each in (ledger, Ledger(signer(), adopt=adopt)):
        assert index.read(each) == {}
        assert in_force(each) == {"association:a": 1}
        assert len(each.ignored) == len(junk)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["change", "delete", "replay", "move", "erase", "junk", "forge", "all", "restart"]),
        st.sampled_from(IDS),
        st.integers(0, 1_000),
    ),
    max_size=25,
)


@given(STEPS)
def test_only_changes_change_anything(steps: list[tuple[str, str, int]]):
    """Two proxies that read after every step, and one that starts at the end: all have what was changed last."""
    index, proxies, truth = Index(), [Ledger(signer()), Ledger(signer())], dict[str, object]()
    for proxy in proxies:
        index.read(proxy)
    for what, id_, n in steps:
        one = proxies[n % 2]
        old = index.history[n % len(index.history)] if index.history else {}
        match what:
            case "change":
                index.change(one, id_, n)
                truth[id_] = n
            case "delete" if id_ in truth:
                index.change(one, id_, None)
                del truth[id_]
            case "replay":
                for kept in IDS:
                    if signer().verified(kept, old) == old:
                        index.sources[kept] = old
            case "move":
                index.sources[id_] = old
            case "erase":
                index.sources.pop(id_, None)
                index.sources.pop(MANIFEST, None)
            case "junk":
                index.sources[id_] = {"kind": "association", "name": "a", "body": str(n)}
            case "forge":
                index.sources[id_] = signer(b"guess").sign(id_, document(n), 1 << 30).source
            case "all":
                index.sources.clear()
            case "restart":
                again = Ledger(signer())
                again.restore(one.entries.values())
                proxies[n % 2] = again
        for proxy in proxies:
            wrong = index.read(proxy)
            assert in_force(proxy) == truth, what
            for each in wrong:
                index.put(proxy.entries[each])
        assert all(index.read(proxy) == {} for proxy in proxies), "all is repaired"
    if index.history:
        fresh = Ledger(signer())
        index.read(fresh)
        assert in_force(fresh) == truth


@given(STEPS)
def test_one_that_knows_nothing_takes_all_or_refuses(steps: list[tuple[str, str, int]]):
    """Whatever is done to a registry before it starts, short of setting all of it back, it never runs a part of it."""
    index, ledger = Index(), Ledger(signer())
    index.read(ledger)
    for n, id_ in enumerate(IDS):
        index.change(ledger, id_, n)
    index.change(ledger, IDS[0], None)
    truth = in_force(ledger)
    for what, id_, n in steps:
        old = index.history[n % len(index.history)]
        if what in ("replay", "move"):
            index.sources[id_] = old
        elif what == "erase":
            index.sources.pop(id_, None)
        elif what in ("junk", "forge"):
            index.sources[id_] = {"kind": "deleted", "name": "a", "body": "null"}
    fresh = Ledger(signer())
    with contextlib.suppress(RegistryError):
        index.read(fresh)
    assert in_force(fresh) == (truth if fresh.complete else {})


def test_what_is_read_while_it_is_written_is_no_forgery():
    index, ledger = Index(), Ledger(signer())
    index.read(ledger)
    index.change(ledger, "association:a", 1)
    ledger.start_reading()
    stale = [Found(id_, source, 1, 1) for id_, source in index.sources.items()]
    index.change(ledger, "association:a", 2)
    assert ledger.merge(ledger.verified(stale)) == {}
    assert ledger.ignored == {}
    assert in_force(ledger) == {"association:a": 2}


def test_a_registry_without_signatures_is_taken_on_somebody_s_word_only():
    index = Index()
    index.sources["association:a"] = {"kind": "association", "name": "a", "body": "1"}
    index.sources["junk"] = {"x": 1}
    with pytest.raises(RegistryError, match=r"older version wrote them\. Start once with registry_adopt_unsigned=true"):
        index.read(Ledger(signer()))
    adopting = Ledger(signer(), adopt=True)
    wrong = index.read(adopting)
    assert set(wrong) == {"association:a", MANIFEST}
    assert in_force(adopting) == {"association:a": 1}
    for id_ in wrong:
        index.put(adopting.entries[id_])
    later = Ledger(signer(), adopt=True)
    index.sources["association:b"] = {"kind": "association", "name": "b", "body": "1"}
    assert index.read(later) == {}
    assert in_force(later) == {"association:a": 1}, "the second time there is nothing to adopt"


def test_a_lost_secret_and_missing_documents_are_adopted_likewise():
    index, lost = Index(), Ledger(signer(b"lost"))
    index.read(lost)
    index.change(lost, "association:a", 1)
    index.change(lost, "association:b", 1)
    index.change(lost, "association:b", None)
    with pytest.raises(RegistryError, match="signed with another registry_secret; give this proxy the one"):
        index.read(Ledger(signer()))
    adopting = Ledger(signer(), adopt=True)
    for id_ in index.read(adopting):
        index.put(adopting.entries[id_])
    assert in_force(adopting) == {"association:a": 1}
    assert index.read(adopting) == {}
    del index.sources["association:a"]
    with pytest.raises(RegistryError, match=r"1 documents of the registry are missing or set back \(association:a\)"):
        index.read(Ledger(signer()))
    last = Ledger(signer(), adopt=True)
    for id_ in index.read(last):
        index.put(last.entries[id_])
    fresh = Ledger(signer())
    assert index.read(fresh) == {}
    assert in_force(fresh) == {}


def test_secrets_are_changed_in_three_steps():
    index, old = Index(), Ledger(signer(b"old"))
    index.read(old)
    index.change(old, "association:a", 1)
    both = Ledger(signer(b"old", b"new"))
    assert index.read(both) == {}
    turned = Ledger(signer(b"new", b"old"))
    wrong = index.read(turned)
    assert set(wrong) == {"association:a", MANIFEST}
    for id_ in wrong:
        index.put(turned.entries[id_])
    assert index.read(both) == {}, "one that runs takes both, and signs nothing anew"
    assert in_force(both) == {"association:a": 1}
    assert index.read(Ledger(signer(b"new"))) == {}


def test_the_manifest_is_a_lower_bound():
    index, ledger = Index(), Ledger(signer())
    index.read(ledger)
    index.change(ledger, "association:a", 1)
    unsealed = ledger.signer.sign("association:a", document(2), 2)
    index.put(unsealed)
    fresh = Ledger(signer())
    assert index.read(fresh) == {}
    assert in_force(fresh) == {"association:a": 2}
    sealed = fresh.manifest()
    assert sealed is not None
    assert listed_in(fresh.signer.sign(MANIFEST, sealed, 2)) == {"association:a": 2}


def test_repairs_of_one_document_grow_rarer(monkeypatch: pytest.MonkeyPatch):
    clock = 1000.0
    monkeypatch.setattr("headrace.registry.ledger.monotonic", lambda: clock)
    ledger = Ledger(signer())
    pauses = []
    for _ in range(10):
        ledger.repairs("x")
        pauses.append(ledger.due("x") - clock)
    assert pauses[:3] == [FIRST_PAUSE, 2 * FIRST_PAUSE, 4 * FIRST_PAUSE]
    assert max(pauses) == LONGEST_PAUSE
