"""The schemas of parameters say of types, names and requirements what the engine says, for every built-in."""

from __future__ import annotations

import json
from functools import cache
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

from headrace_pipelines._wasm import Native
from headrace_pipelines.registry import schemas
from headrace_pipelines.stages.native import FUNCTIONS, PIPELINE
from tests.node.stages import generated_natives
from tests.support.native_parameters import VALID, variants

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

CASES = [(name, kind) for name, kinds in FUNCTIONS.items() for kind in kinds if name != PIPELINE]
OF_TYPES = ("invalid type", "unknown field", "missing field", "required property is missing", "unknown variant")
"""Errors of the engine that a schema has to foresee, by a part of their text."""
DRAWN = 300
"""Random parameters for each built-in."""


@cache
def definitions() -> dict[str, Any]:
    found = schemas.definitions()
    Draft202012Validator.check_schema({"$defs": found})
    return found


@cache
def validator(name: str, kind: str) -> Validator:
    return Draft202012Validator({"$ref": f"#/$defs/{kind}.{name}", "$defs": definitions()})


def refusal(name: str, kind: str, parameters: dict[str, Any]) -> str | None:
    try:
        Native(name, kind, json.dumps(parameters).encode())
    except ValueError as error:
        return str(error)
    return None


def agree(name: str, kind: str, parameters: dict[str, Any]) -> bool:
    """Whether both say the same; fails where one knows better than the other about types."""
    reason = refusal(name, kind, parameters)
    valid = validator(name, kind).is_valid(parameters)
    if reason is None:
        assert valid, f"the engine accepts {parameters}, {next(validator(name, kind).iter_errors(parameters)).message}"
    elif any(part in reason for part in OF_TYPES):
        assert not valid, f"the schema accepts {parameters}, the engine says: {reason}"
    return valid


def own(name: str, kind: str) -> dict[str, Any]:
    """The valid parameters for a type of pipeline."""
    parameters = dict(VALID[name])
    if (name, kind) == ("split", "result"):
        parameters.pop("ignore_missing", None)
    return parameters


def test_every_built_in_has_valid_parameters_here_with_every_option():
    assert VALID.keys() == FUNCTIONS.keys() - {PIPELINE}
    for name, kind in CASES:
        options = definitions()[f"{kind}.{name}"]["properties"]
        left = options.keys() - VALID[name].keys()
        assert left <= {"exclude_field", "ignore_missing"}, (name, left)
        assert refusal(name, kind, own(name, kind)) is None


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_schema_and_engine_agree_on_changed_parameters(name, kind):
    valid = [agree(name, kind, parameters) for parameters in variants(own(name, kind))]
    assert valid[0]
    assert not valid[1]


@pytest.mark.parametrize("name", sorted(generated_natives.OPTIONS))
def test_schema_and_engine_agree_on_drawn_parameters(name):
    random = Random(f"schema {name}")
    for kind in FUNCTIONS[name]:
        if name == "sort" and kind == "result":
            continue
        for _ in range(DRAWN):
            parameters = generated_natives.options(random, name)
            agree(name, kind, parameters)


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_every_option_is_described_in_a_sentence(name, kind):
    schema = definitions()[f"{kind}.{name}"]
    for described in (schema, *schema["properties"].values()):
        assert described["description"].endswith("."), described
        assert "\n" not in described["description"], described
