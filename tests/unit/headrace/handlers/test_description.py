"""The description of the endpoints and the table of routes say the same; parameters are those that handlers read."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from typing import TYPE_CHECKING, Any

import pytest
from openapi_spec_validator import validate

from headrace.handlers import routes
from headrace.handlers.described.document import document
from headrace.handlers.described.operations import OPERATIONS, PARAMETERS

if TYPE_CHECKING:
    from headrace.server.router import Route

OURS = [
    route
    for route in routes.TABLE
    if "_pipeline" in route.path.split("/")
    or route.path.split("/")[1] in routes._OURS
    or route.path in ("/_cat/pipelines", "/_cat/udfs")
]
READ = ("get", "flag")
"""Methods of a target that read a parameter."""
SHAPING = {"filter_path", "pretty"}
"""Parameters of every answer, which the text of the description explains."""


def key(route: Route) -> tuple[str, str]:
    return ("|".join(sorted(route.methods.split("|"))), route.path)


def described(methods: str, path: str) -> dict[str, Any]:
    return document()["paths"][path][methods.split("|")[0].lower()]


def test_every_route_of_ours_is_described_and_nothing_else_is():
    rows = {("|".join(sorted(methods.split("|"))), path) for methods, path in OPERATIONS}
    assert rows == {key(route) for route in OURS}
    assert len(rows) > 35
    assert set(document()["paths"]) == {route.path for route in OURS}


def test_the_document_is_valid_and_every_part_of_it_is_used():
    whole = document()
    validate(whole)
    used = set(re.findall(r"#/components/schemas/([\w.]+)", str(whole)))
    assert used <= whole["components"]["schemas"].keys()
    # Documents of YAML, and all parts of a schema, stand behind the others.
    assert whole["components"]["schemas"].keys() - used <= {"UdfParameter", "UdfLimitsConfig"}
    ids = [each["operationId"] for item in whole["paths"].values() for each in item.values()]
    assert len(ids) == len(set(ids))


def test_every_parameter_of_the_list_is_used():
    assert set(PARAMETERS) == {name for operation in OPERATIONS.values() for name in operation.query}


@pytest.mark.parametrize("route", OURS, ids=lambda route: f"{route.methods} {route.path}")
def test_path_parameters_and_query_parameters_are_those_of_the_route(route):
    methods, path = next(each for each in OPERATIONS if ("|".join(sorted(each[0].split("|"))), each[1]) == key(route))
    parameters = described(methods, path)["parameters"]
    in_path = [each["name"] for each in parameters if each["in"] == "path"]
    assert in_path == re.findall(r"\{(\w+)\}", route.path)
    in_query = {each["name"] for each in parameters if each["in"] == "query"}
    literal, words = read_by(route.handler)
    assert literal - SHAPING <= in_query, "a handler reads a parameter that is not described"
    assert in_query <= literal | words, "a described parameter is read by no handler"


def test_a_parameter_that_only_a_helper_reads_is_found():
    literal, _ = read_by(next(each.handler for each in OURS if each.path == "/_pipeline/{name}/_activate"))
    assert literal >= {"version", "type", "force"}


def read_by(handler: Any) -> tuple[set[str], set[str]]:
    """Names that a handler, or what it calls, reads as parameters; and texts in functions that read names by a variable."""
    literal: set[str] = set()
    words: set[str] = set()
    left, seen = [handler], set()
    while left:
        function = left.pop()
        if function in seen:
            continue
        seen.add(function)
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                if isinstance(node.func, ast.Attribute) and node.func.attr in READ and is_target(node.func.value):
                    (name, *_) = node.args
                    if isinstance(name, ast.Constant):
                        literal.add(name.value)
                    else:
                        words |= {each.value for each in ast.walk(tree) if isinstance(each, ast.Constant)}
                found = resolved(node.func, function.__globals__)
                if inspect.isfunction(found) and found.__module__.startswith("headrace.handlers.admin"):
                    left.append(found)
    return literal, words


def is_target(node: ast.expr) -> bool:
    return (isinstance(node, ast.Attribute) and node.attr == "target") or (
        isinstance(node, ast.Name) and node.id == "target"
    )


def resolved(node: ast.expr, names: dict[str, Any]) -> Any:
    if isinstance(node, ast.Name):
        return names.get(node.id)
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return getattr(names.get(node.value.id), node.attr, None)
    return None
