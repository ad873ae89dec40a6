from __future__ import annotations

import hashlib
import json

import pytest

from headrace.registry.records_codec import (
    Document,
    holder_documents,
    pipeline_document,
    records_of,
    text_of,
    udf_document,
)
from headrace_pipelines.definition import PipelineType, decode
from headrace_pipelines.errors import InvalidError, MissingError
from headrace_pipelines.registry import PipelineRecord, Records, Snapshot, UdfRecord, build, key, version_order
from headrace_pipelines.registry.association import Association
from headrace_pipelines.udf.catalog import Catalog
from headrace_pipelines.udf.manifest import Manifest
from tests.conftest import native, wasm
from tests.support import wat

DOCUMENT, QUERY = PipelineType.DOCUMENT, PipelineType.QUERY
SET = native("s", "set", field="x", value=1)


def documents_of(records: Records) -> list[Document]:
    """The documents of records, as the registry stores them."""
    return [
        *map(pipeline_document, records.pipelines),
        *map(udf_document, records.udfs),
        *holder_documents(records),
        *(Document(kind="active", name=name, body=text_of(version)) for name, version in records.active.items()),
    ]


def pipeline(name: str, *stages, kind: str = "document", version: str = "1", created: str = "2026-01-01", **fields):
    definition = {"name": name, "type": kind, "version": version, "stages": list(stages), **fields}
    return PipelineRecord(definition=decode(json.dumps(definition).encode()), created=created)


def udf(name: str, code: str, version: str = "1") -> tuple[UdfRecord, dict[str, bytes]]:
    digest = hashlib.sha256(code.encode()).hexdigest()
    record = UdfRecord(
        manifest=Manifest(name=name, version=version, language="wat"),
        digest=digest, size=len(code), abi="field", entry="filter", exports=[], created="2026-01-01",
    )  # fmt: skip
    return record, {digest: code.encode()}


def records(*pipelines, udfs=(), associations=()):
    active = {key(p.definition.type, p.definition.name): p.definition.version for p in pipelines}
    return Records(pipelines=list(pipelines), active=active, udfs=list(udfs), associations=list(associations))


def test_versions_are_ordered_as_people_expect():
    shuffled = ["10", "9", "1.2.0", "1.10.0", "1.2.0-rc1", "2.0.0"]
    assert sorted(shuffled, key=version_order) == ["1.2.0-rc1", "1.2.0", "1.10.0", "2.0.0", "9", "10"]


def test_what_has_not_changed_is_taken_over():
    one, codes = udf("u", wat.LOOP)
    first = build(records(pipeline("a", wasm("w", "u")), pipeline("b", SET), udfs=[one]), codes, Catalog(), Snapshot())
    second = build(
        records(pipeline("a", wasm("w", "u")), pipeline("b", SET), pipeline("c", SET), udfs=[one]),
        codes,
        Catalog(),
        first,
    )
    for name in ("a", "b"):
        assert second.active(DOCUMENT, name) is first.active(DOCUMENT, name)
    other, more = udf("u", wat.TRAP, version="2")
    third = build(
        records(pipeline("a", wasm("w", "u")), pipeline("b", SET), udfs=[one, other]),
        {**codes, **more},
        Catalog(),
        second,
    )
    assert third.active(DOCUMENT, "a") is not first.active(DOCUMENT, "a"), "a newer UDF is taken up"
    assert third.active(DOCUMENT, "a").stats is first.active(DOCUMENT, "a").stats
    assert third.active(DOCUMENT, "b") is first.active(DOCUMENT, "b")


def test_a_composite_follows_the_pipeline_that_it_names():
    naming = {"name": "c", "type": "composite", "config": {"pipeline": "inner"}}
    first = build(records(pipeline("inner", SET), pipeline("outer", naming)), {}, Catalog(), Snapshot())
    second = build(records(pipeline("inner", SET, version="2"), pipeline("outer", naming)), {}, Catalog(), first)
    assert second.active(DOCUMENT, "outer") is not first.active(DOCUMENT, "outer")


def test_a_pipeline_that_cannot_run_says_why_and_stops_nothing_else():
    snapshot = build(records(pipeline("bad", wasm("w", "gone")), pipeline("good", SET)), {}, Catalog(), Snapshot())
    assert "UDF [gone] is missing" in snapshot.active(DOCUMENT, "bad").fault.reason
    assert snapshot.active(DOCUMENT, "good").fault is None


def test_finding_by_name_and_type():
    both = records(pipeline("x", SET), pipeline("x", native("q", "filter_query", query={}), kind="query"))
    snapshot = build(both, {}, Catalog(), Snapshot())
    with pytest.raises(InvalidError, match="several types"):
        snapshot.find("x")
    assert snapshot.find("x", kind=QUERY).definition.type is QUERY
    with pytest.raises(MissingError, match=r"no version \[7\]"):
        snapshot.find("x", "7", QUERY)
    with pytest.raises(MissingError, match="missing"):
        snapshot.find("y")


def test_who_uses_what():
    one, _ = udf("u", wat.LOOP)
    naming = {
        "name": "c",
        "type": "composite",
        "config": {"stages": [{"name": "d", "type": "composite", "config": {"pipeline": "a"}}]},
    }
    snapshot = Snapshot(
        records(
            pipeline("a", wasm("w", "u")),
            pipeline("b", naming),
            udfs=[one],
            associations=[Association(index="i", document="a")],
        )
    )
    assert snapshot.users_of_pipeline(DOCUMENT, "a") == ["index [i]", "pipeline [b@1]"]
    assert snapshot.users_of_udf("u", None) == ["pipeline [a@1]"]
    assert snapshot.users_of_udf("u", "1") == ["pipeline [a@1]"], "the only version that there is"
    assert snapshot.bound_types == {DOCUMENT}


def test_the_copy_on_disk_gives_everything_back():
    one, _ = udf("u", wat.LOOP)
    all_ = records(
        pipeline("a", wasm("w", "u", n=1), metadata={"x": [1]}, timeout="1s"),
        udfs=[one],
        associations=[Association(index="i", document="a")],
    )
    assert records_of(documents_of(all_)) == all_
