"""What is in force of sets, without a node: visibility of versions, what is missing, pins that come back."""

from __future__ import annotations

import json

import pytest

from headrace.registry.records_codec import REVISION, heads_document, pipeline_document, records_of, revision_document
from headrace_pipelines.definition import PipelineType, decode
from headrace_pipelines.errors import RegistryError
from headrace_pipelines.registry import PipelineRecord, Records
from headrace_pipelines.registry.association import Pattern
from headrace_pipelines.registry.pins import pinned, unpinned
from headrace_pipelines.registry.records import Head, Revision
from headrace_pipelines.registry.sets import merged, needed
from tests.conftest import native, wasm


def version(name: str, number: str, *stages: dict, of: str = "", tag: str = "") -> PipelineRecord:
    stages = stages or (native("s", "set", field="x", value=number),)
    definition = {"name": name, "type": "document", "version": number, "stages": list(stages)}
    return PipelineRecord(definition=decode(json.dumps(definition).encode()), created="2026", set=of, tag=tag)


def revision(
    *records: PipelineRecord, number: int = 1, versions: tuple[PipelineRecord, ...] = (), **fields
) -> Revision:
    return Revision(
        set="app",
        revision=number,
        token="t",
        created="2026",
        pipelines={record.name: record.id for record in records},
        versions=[record.id for record in (*records, *versions)],
        **fields,
    )


def test_a_set_goes_before_what_was_stored_by_hand():
    hand, listed, hidden = (
        version("a", "1"),
        version("a", "2", of="app", tag="#x"),
        version("a", "3", of="app", tag="#y"),
    )
    stored = Records(
        pipelines=[hand, listed, hidden],
        active={"document:a": "1", "document:b": "1"},
        patterns=[Pattern(pattern="p-*", document="b"), Pattern(pattern="q-*", document="b")],
    )
    assert merged(stored, {}).pipelines == [hand], "without its set nothing of it is visible"
    records = merged(stored, {"app": revision(listed, patterns=[Pattern(pattern="p-*", document="a")])})
    assert records.pipelines == [hand, listed]
    assert records.active == {"document:a": "2", "document:b": "1"}
    assert records.patterns == [Pattern(pattern="p-*", document="a"), Pattern(pattern="q-*", document="b")]
    assert records.missing == []


def test_of_two_with_one_version_the_listed_one_counts():
    hand, listed = version("a", "1"), version("a", "1", native("s", "drop"), of="app", tag="#x")
    for stored in ([hand, listed], [listed, hand]):
        assert merged(Records(pipelines=stored), {"app": revision(listed)}).pipelines == [listed]


def test_what_a_revision_lists_and_nobody_has_is_missing():
    assert merged(Records(), {"app": revision(version("a", "1"))}).missing == ["pipeline:document:a@1"]


def test_without_a_revision_in_force_there_is_no_registry():
    there = revision(version("a", "1"))
    heads = heads_document({"app": Head(revision=1, id=there.id, kept=[there.id])})
    documents = [pipeline_document(version("a", "1")), revision_document(there), heads]
    assert records_of(documents).sets == {"app": there}
    with pytest.raises(RegistryError, match=r"lacks revisions of sets: revision:app@1#t"):
        records_of([documents[0], heads])
    for broken in ("{", '{"app": {"revision": "x"}}'):
        with pytest.raises(RegistryError, match="cannot be read"):
            records_of([*documents[:2], type(heads)(kind=heads.kind, name=heads.name, body=broken)])


def test_an_unreadable_revision_that_no_head_names_is_nothing():
    there = revision(version("a", "1"))
    heads = heads_document({"app": Head(revision=1, id=there.id, kept=[there.id])})
    junk = type(heads)(kind=REVISION, name="app", body="{")
    documents = [pipeline_document(version("a", "1")), junk, revision_document(there), heads]
    assert records_of(documents).sets == {"app": there}
    with pytest.raises(RegistryError, match=r"lacks revisions of sets: .*cannot be read"):
        records_of([documents[0], junk, heads])


def test_what_is_needed_follows_pins():
    inner = version("inner", "1", of="app", tag="#i")
    naming = {"name": "c", "type": "composite", "config": {"pipeline": "inner", "version": "1"}}
    outer, old = version("outer", "2", naming, of="app", tag="#o"), version("outer", "1", of="app", tag="#p")
    assert needed([revision(outer)], [inner, outer, old]) == {outer.id, inner.id}
    assert needed([], [inner, outer, old, version("hand", "1", naming)]) == {inner.id, "pipeline:document:hand@1"}


class _Versions:
    def udf(self, name: str) -> str | None:
        return {"u": "3", "v": "1"}.get(name)

    def pipeline(self, kind: PipelineType, name: str) -> str | None:
        return "5" if name == "inner" else None


def test_pins_to_what_is_in_force_come_back():
    naming = {"name": "c", "type": "composite", "config": {"pipeline": "inner"}}
    old = {**wasm("o", "v"), "config": {"udf_name": "v", "udf_version": "0"}}
    latest = {**wasm("l", "u"), "config": {"udf_name": "u", "udf_version": "latest"}}
    handled = {**wasm("h", "u"), "on_failure": [wasm("i", "v")]}
    definition = version("a", "1", wasm("w", "u"), naming, old, latest, handled).definition
    stored = pinned(definition, _Versions())
    assert stored != definition
    assert unpinned(stored, _Versions()) == definition
