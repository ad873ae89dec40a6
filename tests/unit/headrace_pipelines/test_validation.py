"""Errors of definitions name the field, the alternatives and the nearest one."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from headrace_pipelines.definition import parse
from headrace_pipelines.errors import InvalidError
from headrace_pipelines.registry import Snapshot
from headrace_pipelines.registry.compile import compile_pipeline
from headrace_pipelines.udf import manifest
from headrace_pipelines.udf.catalog import Catalog

SET: dict[str, Any] = {
    "name": "s",
    "type": "native",
    "config": {"function": "set", "parameters": {"field": "a", "value": 1}},
}


def refused(body: dict[str, Any]) -> InvalidError:
    with pytest.raises(InvalidError) as caught:
        parse(msgspec.json.encode({"type": "document", **body}), "p")
    return caught.value


@pytest.mark.parametrize(
    ("body", "field", "words"),
    [
        ({"stagse": [SET], "stages": [SET]}, "stagse", "unknown field [stagse]: did you mean [stages]? Fields: name, "),
        ({"stages": [SET | {"iff": "x"}]}, "stages[0].iff", "did you mean [if]? Fields: type, name, "),
        (
            {"stages": [SET | {"config": {"funktion": "set"}}]},
            "stages[0].config.funktion",
            "did you mean [function]? Fields: function, parameters",
        ),
        (
            {"stages": [SET | {"type": "python", "config": {"function": "set"}}]},
            "stages[0].config.function",
            "Fields: udf_name, udf_version, code",
        ),
        ({"stages": [SET | {"type": "nativ"}]}, "stages[0].type", "[nativ] is not one of "),
        ({"stages": [SET | {"type": "nativ"}]}, "stages[0].type", "did you mean [native]?"),
        ({"stages": [{"name": "s", "config": {}}]}, "stages[0].type", "required field [type] is missing"),
        ({"stages": [SET | {"retry": {"max_atempts": 1}}]}, "stages[0].retry.max_atempts", "mean [max_attempts]?"),
        ({"stages": [SET | {"on_failure": "retri"}]}, "stages[0].on_failure", "mean [retry]?"),
        (
            {"stages": [SET], "on_failure": [SET | {"onfailure": "abort"}]},
            "on_failure[0].onfailure",
            "mean [on_failure]?",
        ),
        (
            {"stages": [{"name": "c", "type": "composite", "config": {"stages": [SET | {"nmae": 1}]}}]},
            "stages[0].config.stages[0].nmae",
            "mean [name]?",
        ),
        ({"type": "documents", "stages": [SET]}, "type", "[documents] is not one of document, query, result; did"),
        ({"stages": [SET | {"name": 5}]}, "stages[0].name", "Expected `str`, got `int`"),
        ({"stages": [SET], "qqqq": 1}, "qqqq", "unknown field [qqqq]. Fields: name"),
        ({"stages": [SET], "x" * 5000: 1}, "x" * 100, "[" + "x" * 100 + "]"),
    ],
)
def test_faults_of_a_definition_name_the_alternatives(body: dict[str, Any], field: str, words: str):
    error = refused(body)
    assert error.field == field
    assert words in error.reason


def test_a_built_in_that_is_none_names_the_nearest():
    definition = parse(
        msgspec.json.encode(
            {"type": "document", "stages": [SET | {"config": {"function": "lowercas", "parameters": {}}}]}
        ),
        "p",
    )
    with pytest.raises(InvalidError) as caught:
        compile_pipeline(definition, Snapshot(), Catalog())
    assert "no built-in is called [lowercas]: did you mean [lowercase]? There are " in caught.value.reason


def test_faults_of_a_manifest_name_the_alternatives():
    body = {"language": "python", "source": "def process(doc): pass"}
    for wrong, field, words in (
        ({"limit": {}}, "limit", "did you mean [limits]?"),
        ({"limits": {"time_out": "1s"}}, "limits.time_out", "did you mean [timeout]? Fields: timeout, memory, fuel"),
        ({"isolation": "documents"}, "isolation", "[documents] is not one of document, instance, request; did you"),
        ({"language": "pyton"}, "language", "did you mean [python]?"),
        ({"source": "# @udf: nam=x\n"}, "source", "did you mean [name]?"),
    ):
        with pytest.raises(InvalidError) as caught:
            manifest.parse(msgspec.json.encode(body | wrong), "u")
        assert caught.value.field == field
        assert words in caught.value.reason
