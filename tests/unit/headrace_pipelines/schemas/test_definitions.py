"""The schema of a pipeline accepts and refuses what the parser does, member by member."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from headrace_pipelines.definition import parse
from headrace_pipelines.errors import InvalidError
from headrace_pipelines.registry import schemas
from tests.support.native_parameters import variants

VALIDATOR = Draft202012Validator(schemas.pipeline())
RETRY = {"max_attempts": 2, "initial_delay": "1ms", "max_delay": "1s", "multiplier": 1.5, "retryable_errors": ["trap"]}
TRIM = {"name": "t", "type": "native", "config": {"function": "trim", "parameters": {"field": "a"}}}
STAGE: dict[str, Any] = {
    **TRIM,
    "description": "d",
    "enabled": True,
    "if": "true",
    "on_failure": "continue",
    "retry": RETRY,
    "timeout": "1s",
}
UDF = {
    "udf_name": "u",
    "udf_version": "1",
    "parameters": {},
    "scope": "hit",
    "protect": False,
    "target_field": "f",
    "merge": True,
}
WHOLE: dict[str, Any] = {
    "name": "p",
    "type": "document",
    "stages": [STAGE],
    "version": "1",
    "description": "d",
    "enabled": True,
    "on_failure": [TRIM],
    "retry": RETRY,
    "timeout": "1s",
    "metadata": {},
}


def with_stage(stage: Any, kind: str = "document") -> dict[str, Any]:
    return {"type": kind, "stages": [stage]}


def with_config(config: Any, kind: str, type_: str) -> dict[str, Any]:
    return with_stage({"name": "s", "type": type_, "config": config}, kind)


CASES: dict[str, list[dict[str, Any]]] = {
    "pipeline": list(variants(WHOLE)),
    "stage": [with_stage(each) for each in variants(STAGE)],
    "retry": [with_stage({**TRIM, "retry": each}) for each in variants(RETRY)],
    "native": [with_config(each, "document", "native") for each in variants(TRIM["config"])],  # type: ignore[arg-type]
    "udf": [with_config(each, "result", "python") for each in variants(UDF)],
    "stages": [with_config(each, "query", "composite") for each in variants({"stages": [TRIM]})],
    "reference": [with_config(each, "query", "composite") for each in variants({"pipeline": "p", "version": "1"})],
}
BEYOND = ("exactly one of", "required: the name of an uploaded UDF", "leave udf_name", "but the path names")
"""Reasons of the parser that are about several members, where one of them may be null."""


def refusal(definition: dict[str, Any]) -> str | None:
    name = definition.get("name")
    try:
        parse(json.dumps(definition).encode(), name if isinstance(name, str) else "p")
    except InvalidError as error:
        return error.reason
    return None


@pytest.mark.parametrize("part", CASES)
def test_schema_and_parser_agree(part):
    for definition in CASES[part]:
        reason = refusal(definition)
        faults = [f"{error.json_path}: {error.message}" for error in VALIDATOR.iter_errors(definition)]
        if reason is None:
            # What a function is, and which options it has, is not the parser's to say.
            assert all(
                ".config.function" in fault or ".config.parameters" in fault or "'parameters' is" in fault
                for fault in faults
            ), (definition, faults)
        elif not any(text in reason for text in BEYOND):
            assert faults, (definition, reason)
