from __future__ import annotations

import json

import pytest

from headrace_pipelines.definition import PipelineType, decode, encode, parse
from headrace_pipelines.errors import InvalidError
from headrace_pipelines.registry import Snapshot
from headrace_pipelines.registry.pins import Now, pinned, pinned_as
from headrace_pipelines.udf import manifest
from tests.conftest import native, wasm
from tests.support import wat
from tests.unit.headrace_pipelines.registry.test_registry import pipeline, records, udf

NAMING = {"name": "c", "type": "composite", "config": {"pipeline": "inner"}}
HANDLED = {**native("h", "set", field="x", value=1), "on_failure": [wasm("in_handler", "u")]}
NESTED = {"name": "n", "type": "composite", "config": {"stages": [wasm("in_composite", "u"), HANDLED]}}
FLOATING = {**wasm("floating", "u"), "config": {"udf_name": "u", "udf_version": "latest"}}
OLD = {**wasm("old", "u"), "config": {"udf_name": "u", "udf_version": "1"}}
INLINE = {"name": "own", "type": "python", "config": {"code": "pass"}}


def snapshot() -> Snapshot:
    one, _ = udf("u", wat.LOOP)
    two, _ = udf("u", wat.TRAP, version="2")
    return Snapshot(records(pipeline("inner", wasm("w", "u"), version="7"), udfs=[one, two]))


def definition(*stages, **fields):
    return decode(json.dumps({"name": "a", "type": "document", "stages": list(stages), **fields}).encode())


def versions_in(value) -> dict[str, str | None]:
    """Stage names and the version that each names, wherever they stand."""
    found = {}
    if isinstance(value, dict):
        config = value.get("config", {})
        if "udf_name" in config or "pipeline" in config:
            found[value["name"]] = config.get("udf_version") or config.get("version")
        for inner in value.values():
            found |= versions_in(inner)
    for inner in value if isinstance(value, list) else []:
        found |= versions_in(inner)
    return found


def test_every_place_that_names_a_udf_or_a_pipeline_gets_the_version_of_the_moment():
    given = definition(wasm("top", "u"), NESTED, NAMING, FLOATING, OLD, INLINE, on_failure=[wasm("in_policy", "u")])
    found = pinned(given, Now(snapshot()))
    assert versions_in(json.loads(encode(found))) == {
        "top": "2", "in_composite": "2", "in_handler": "2", "c": "7", "floating": "latest", "old": "1",
        "in_policy": "2",
    }  # fmt: skip
    assert pinned(found, Now(snapshot())) == found


def test_a_name_that_is_missing_stays_without_a_version():
    given = definition(wasm("top", "nowhere"), {**NAMING, "config": {"pipeline": "nowhere"}})
    assert pinned(given, Now(snapshot())) == given


def test_what_was_stored_is_the_same_with_the_pins_of_then():
    stored = definition(OLD, {**NAMING, "config": {"pipeline": "inner", "version": "3"}}, FLOATING)
    given = definition({**OLD, "config": {"udf_name": "u"}}, NAMING, FLOATING)
    assert pinned_as(given, stored) == stored
    assert pinned_as(definition(OLD, NAMING, FLOATING), stored) == stored
    assert pinned_as(definition(NAMING, FLOATING), stored) != stored
    other = definition({**OLD, "config": {"udf_name": "other"}}, NAMING, FLOATING)
    assert pinned_as(other, stored) != stored


def test_latest_is_no_version():
    with pytest.raises(InvalidError, match="stands for the latest"):
        parse(json.dumps({"type": "document", "version": "latest", "stages": [OLD]}).encode(), "a")
    with pytest.raises(InvalidError, match="stands for the latest"):
        manifest.raw(b"(module)", "u", "latest", "wat")


def test_a_version_that_is_named_is_in_use():
    one, _ = udf("u", wat.LOOP)
    two, _ = udf("u", wat.TRAP, version="2")
    pinned_inner = {**NAMING, "config": {"pipeline": "inner", "version": "1"}}
    found = Snapshot(
        records(pipeline("inner", OLD), pipeline("outer", pinned_inner), pipeline("loose", FLOATING), udfs=[one, two])
    )
    document = PipelineType.DOCUMENT
    assert found.users_of_version(document, "inner", "1") == ["pipeline [outer@1]"]
    assert found.users_of_version(document, "inner", "2") == []
    assert found.users_of_udf("u", "1") == ["pipeline [inner@1]"]
    assert found.users_of_udf("u", "2") == [], "what floats goes on with another one"
    assert set(found.users_of_udf("u", None)) == {"pipeline [inner@1]", "pipeline [loose@1]"}
