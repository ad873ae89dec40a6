"""JSON Schemas of the files of a project: they accept what `headrace validate` accepts, and what the pages show."""

from __future__ import annotations

import json
import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from click.testing import CliRunner
from jsonschema import Draft202012Validator

from headrace.cli.commands.directory.schema import KINDS
from headrace.cli.root import root
from headrace.project.cases import read
from headrace.project.tools import scaffold, schemas
from headrace_pipelines.definition import (
    CompositeConfig,
    NativeConfig,
    NativeStage,
    PipelineDefinition,
    RetryConfig,
    UdfConfig,
)
from headrace_pipelines.registry import schemas as definitions
from tests.docs import blocks

ROOT = Path(__file__).parents[4]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
_BODY = re.compile(r"(?:-d|--data-binary) '(?=\{)")
_FILE = re.compile(r"cat > (?P<name>\S+) <<'(?P<end>\w+)'\n(?P<text>.*?)\n\s*(?P=end)\n", re.S)
_KINDS = {"pipelines/": "pipeline", ".cases.yaml": "cases", "associations.yaml": "associations", ".udf.yaml": "udf"}


@cache
def validator(kind: str) -> Draft202012Validator:
    schema = schemas.KINDS[kind]()
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def faults(kind: str, value: Any) -> list[str]:
    return [f"{error.json_path}: {error.message}" for error in validator(kind).iter_errors(value)]


def stage(
    function: str, parameters: dict[str, Any] | None = None, kind: str = "document", **more: Any
) -> dict[str, Any]:
    config: dict[str, Any] = {"function": function, **({} if parameters is None else {"parameters": parameters})}
    return {"type": kind, "stages": [{"name": "s", "type": "native", "config": config, **more}]}


@pytest.mark.parametrize("kind", KINDS)
def test_a_schema_has_an_identity_and_describes_every_member(kind):
    schema = json.loads(CliRunner().invoke(root, ["schema", kind]).output)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["$id"] == f"urn:headrace:schema:{kind}"
    assert schema == json.loads(json.dumps(schemas.KINDS[kind]()))
    for name, member in schema.get("properties", {}).items():
        assert member.get("description"), name
    assert validator(kind)


def test_the_command_and_the_module_have_the_same_kinds():
    assert tuple(schemas.KINDS) == KINDS


@pytest.mark.parametrize(
    ("part", "struct"),
    [
        ("document.udf", UdfConfig),
        ("document.native", NativeConfig),
        ("document.composite", CompositeConfig),
        ("document.stage", NativeStage),
        ("retry", RetryConfig),
        ("", PipelineDefinition),
    ],
)
def test_the_schema_of_a_pipeline_has_the_members_of_its_structs(part, struct):
    schema = definitions.pipeline()
    schema = schema["$defs"][part] if part else schema
    names = {field.encode_name: field for field in msgspec.structs.fields(struct)}
    assert schema["properties"].keys() == names.keys() | ({"type"} if struct is NativeStage else set())
    needed = {name for name, field in names.items() if field.required and name != "name"}
    assert needed <= set(schema.get("required", ()))


def test_the_schema_of_cases_has_the_members_that_the_reader_knows():
    schema = validator("cases").schema
    assert schema["properties"].keys() == set(read._FILE_FIELDS)
    assert schema["properties"]["cases"]["items"]["properties"].keys() == set(read._FIELDS)


@pytest.mark.parametrize(
    "valid",
    [
        stage("grok", {"field": "message", "patterns": ["%{IP:ip}"]}),
        stage("drop"),
        stage("set", {"field": "a", "value": None})
        and stage("set", {"field": "a", "value": {"b": 1}, "override": None}),
        stage("set", {"field": "a", "value": 1, "override": "${var:override}"}),
        stage("pipeline", {"name": "p"}),
        stage("mask", {"fields": "a"}, "result"),
        stage("foreach", {"field": "l", "processor": {"uppercase": {"field": "_ingest._value", "tag": "t"}}}),
        stage("trim", {"field": "a"}, on_failure="continue", retry={"max_attempts": 2}, timeout="1s"),
        stage("trim", {"field": "a"}, on_failure=stage("set", {"field": "e", "value": "x"})["stages"]),
        {
            "type": "document",
            "stages": [{"name": "c", "type": "composite", "config": {"stages": stage("drop")["stages"]}}],
        },
        {
            "type": "document",
            "stages": [{"name": "u", "type": "python", "config": {"udf_name": "titles", "parameters": {"x": 1}}}],
        },
        {
            "type": "result",
            "stages": [{"name": "u", "type": "wasm", "config": {"udf_name": "t", "scope": "hit", "protect": True}}],
        },
    ],
)
def test_a_valid_pipeline(valid):
    assert faults("pipeline", valid) == []


@pytest.mark.parametrize(
    ("invalid", "where"),
    [
        (stage("grok", {"field": "message"}), "parameters"),
        (stage("grok", {"field": "message", "pattern": ["x"], "patterns": ["x"]}), "parameters"),
        (stage("grok"), "config"),
        (stage("grock", {"field": "a", "patterns": ["x"]}), "function"),
        (stage("mask", {"fields": "a"}), "function"),
        (stage("grok", {"field": "a", "patterns": ["x"]}, "result"), "function"),
        (stage("trim", {"field": "a"}, on_failure="ignore"), "on_failure"),
        (stage("trim", {"field": "a"}, on_failure=[]), "on_failure"),
        (stage("trim", {"field": "a"}, on_failure=stage("trim")["stages"]), "on_failure"),
        (stage("trim", {"field": "a"}, timeout="5 parsecs"), "timeout"),
        (stage("trim", {"field": "a"}, retry={"max_attempts": 0}), "retry"),
        (stage("foreach", {"field": "l", "processor": {"uppercase": {}}}), "processor"),
        (stage("trim", {"field": "a"}, unheard=1), "stages"),
        ({"type": "document", "stages": []}, "stages"),
        ({"type": "documents", "stages": stage("drop")["stages"]}, "type"),
        ({"type": "document", "stages": [{"name": "c", "type": "composite", "config": {"stages": stage("grok")["stages"]}}]}, "config"),
        ({"type": "document", "stages": [{"name": "u", "type": "python", "config": {}}]}, "config"),
        ({"type": "document", "stages": [{"name": "u", "type": "python", "config": {"udf_name": "t", "scope": "hit"}}]}, "scope"),
    ],
)  # fmt: skip
def test_an_invalid_pipeline_is_refused_where_it_is_wrong(invalid, where):
    found = faults("pipeline", invalid)
    assert found
    assert any(where in fault for fault in found), found


@pytest.mark.parametrize(
    ("kind", "valid", "invalid"),
    [
        ("associations", {"app-*": {"priority": 1, "document": "a", "query": {"final_pipeline": "b"}}}, {"app-*": {"documents": "a"}}),
        ("cases", {"pipeline": "p", "cases": [{"docs": {"a": 1}, "expect": {"a": 1}}]}, {"pipeline": "p", "cases": [{"expect": {}}]}),
        ("cases", {"udf": "u", "cases": [{"docs": [{"_id": "1", "_source": {}}], "dropped": True}]}, {"udf": "u", "index": "i", "cases": []}),
        ("cases", {"index": "i", "cases": [{"response": {}, "expect_error": "x"}]}, {"udf": "u", "cases": [{"docs": {"_source": {}, "x": 1}}]}),
        ("udf", {"description": "x", "limits": {"timeout": "1s", "memory": "8mb"}}, {"limits": {"timeout": "1 parsec"}}),
        ("udf", {"parameters": [{"name": "by", "type": "string"}]}, {"parameters": [{"name": "by", "type": "text"}]}),
        ("project", {"set": "shop", "target": {"dev": {"url": "http://localhost", "vars": {"a": 1}}}}, {"set": "Shop"}),
        ("project", {}, {"target": {"dev": {"adress": "x"}}}),
        ("settings", {"upstream": "http://localhost:9201"}, {"upstreams": "x"}),
    ],
)  # fmt: skip
def test_other_files(kind, valid, invalid):
    assert faults(kind, valid) == []
    assert faults(kind, invalid)


def test_the_files_of_a_new_project(tmp_path):
    scaffold.write(tmp_path)
    checked = 0
    for path in tmp_path.rglob("*.yaml"):
        kind = kind_of(path.relative_to(tmp_path).as_posix())
        if kind:
            assert faults(kind, yaml.safe_load(path.read_text())) == [], path
            checked += 1
    assert checked == 4
    for path in (*tmp_path.rglob("*.yaml"), tmp_path / "headrace.toml"):
        if named := re.match(r"#(?: yaml-language-server: \$schema=|:schema )(\S+)\n", path.read_text()):
            schema = json.loads((path.parent / named[1]).read_text())
            assert schema["$id"].rpartition(":")[2] in (kind_of(path.as_posix()), "project")
            checked += 1
    assert checked == 9
    assert faults("project", tomllib.loads((tmp_path / "headrace.toml").read_text())) == []


def kind_of(name: str) -> str | None:
    return next((kind for part, kind in _KINDS.items() if part in name), None)


def pipelines_in(body: Any) -> list[dict[str, Any]]:
    """The definitions in the body of a request: itself, one to try, or those of a set."""
    found = [body, body.get("pipeline"), *body.get("pipelines", ())] if isinstance(body, dict) else []
    return [each for each in found if isinstance(each, dict) and "stages" in each and "type" in each]


def shown() -> list[tuple[str, str, Any]]:
    """Kind and value of every definition and file that the pages show, with its place."""
    found: list[tuple[str, str, Any]] = []
    for page in PAGES:
        for block in blocks.read(page, page.name):
            if block.kind == "sh":
                for match in _BODY.finditer(block.text):
                    body, _ = json.JSONDecoder().raw_decode(block.text[match.end() :])
                    found += [(block.place, "pipeline", each) for each in pipelines_in(body)]
                for match in _FILE.finditer(block.text):
                    if kind := kind_of(match["name"]):
                        found.append((block.place, kind, yaml.safe_load(match["text"])))
            elif block.kind in ("yaml", "json") and not block.compared and not block.file:
                found += [(block.place, "pipeline", each) for each in pipelines_in(yaml.safe_load(block.text))]
            elif block.file and (kind := kind_of(block.file)):
                found.append((block.place, kind, yaml.safe_load(block.text)))
    return found


SHOWN = shown()


def test_the_pages_show_many_definitions():
    assert len(SHOWN) >= 16
    assert {kind for _, kind, _ in SHOWN} >= {"pipeline", "associations"}


@pytest.mark.parametrize(("place", "kind", "value"), SHOWN, ids=[place for place, _, _ in SHOWN])
def test_what_the_pages_show_is_valid(place, kind, value):
    assert faults(kind, value) == []
