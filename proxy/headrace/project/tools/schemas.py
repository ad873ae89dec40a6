"""JSON Schemas of the files of a project directory, and of settings: for editors and for checks elsewhere.

Files of a project may have `${var:NAME}` wherever a text, a number or a boolean stands, so their schemas allow it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from headrace.project.cases.read import SUBJECTS
from headrace.project.config import Config
from headrace.settings.documentation import schema as settings_schema
from headrace_pipelines.definition import NAME
from headrace_pipelines.registry import schemas

if TYPE_CHECKING:
    from collections.abc import Callable

Schema = dict[str, Any]
_VARIABLE: Schema = {"type": "string", "pattern": r"^\$\{var:[^}]*\}$"}
"""A text that is nothing but one variable, which may have a number or a boolean."""
_OBJECT: Schema = {"type": "object"}
_PATCH: Schema = {
    "type": "object",
    "properties": {
        "op": {"enum": ["add", "remove", "replace", "move", "copy", "test"]},
        "path": {"type": "string"},
        "from": {"type": "string"},
        "value": {},
    },
    "required": ["op", "path"],
}


def pipeline() -> Schema:
    """Of `pipelines/NAME.yaml`."""
    return _of_project(schemas.pipeline())


def udf() -> Schema:
    """Of `udfs/NAME.udf.yaml`, the manifest beside the code."""
    return _of_project(schemas.manifest())


def associations() -> Schema:
    """Of `associations.yaml`."""
    return _of_project(schemas.associations())


def cases() -> Schema:
    """Of `tests/NAME.cases.yaml`."""
    properties = {
        "pipeline": _text("The pipeline that the cases run."),
        "udf": _text("The UDF that the cases run."),
        "index": _text("The index whose pipelines the cases run."),
        **_of_cases(),
        "cases": {"description": "The cases.", "type": "array", "items": _case()},
    }
    subjects = [{"required": [subject]} for subject in SUBJECTS]
    whole = {"title": "Test cases", **_strict(properties), "oneOf": subjects, "$defs": {"document": _document()}}
    return _of_project(schemas.identified("cases", whole))


def project() -> Schema:
    """Of `headrace.toml` in a project directory."""
    (_,), components = msgspec.json.schema_components([Config], ref_template="#/$defs/{name}")
    whole = components.pop("Config")
    whole["title"], whole["description"] = "Project", "A project directory: its set and its targets."
    set_name, targets = whole["properties"]["set"], whole["properties"]["target"]
    set_name |= {"description": "Objects of the project carry this name on a proxy.", "pattern": f"^{NAME.pattern}$"}
    targets["description"] = "The proxies that the project is applied to, by name."
    target = components["Target"]
    target["description"] = "A proxy: its address, how to trust it and how to sign in."
    for name, text in _TARGET.items():
        target["properties"][name]["description"] = text
    target["properties"]["vars"]["additionalProperties"] = {"type": ["string", "number", "boolean"]}
    components["Sigv4"]["properties"]["region"]["description"] = "The region of the service."
    components["Sigv4"]["properties"]["service"]["description"] = "The name of the service in signatures."
    return schemas.identified("project", {**whole, "$defs": components})


def settings() -> Schema:
    """Of the TOML file with the settings of a proxy."""
    found = settings_schema()
    found.pop("$schema")
    return schemas.identified("settings", {**found, "title": "Settings of a proxy"})


KINDS: dict[str, Callable[[], Schema]] = {
    "pipeline": pipeline,
    "udf": udf,
    "cases": cases,
    "associations": associations,
    "settings": settings,
    "project": project,
}
"""The kinds of files that `headrace schema` describes."""
_TARGET = {
    "url": "The address of the proxy.",
    "user": "The name of the user.",
    "password": "The password; better in `password_file` or in the environment.",
    "password_file": "The file that holds the password.",
    "token": "The bearer token; better in `token_file` or in the environment.",
    "token_file": "The file that holds the bearer token.",
    "admin_token": "The admin token; better in `admin_token_file` or in the environment.",
    "admin_token_file": "The file that holds the admin token.",
    "ca": "The file with the certificates of authorities to trust.",
    "cert": "The file with the client certificate.",
    "key": "The file with the key of the client certificate.",
    "verify": "Whether certificates are checked.",
    "timeout": "The longest duration of a call in seconds.",
    "sigv4": "Signatures as AWS wants them.",
    "vars": "Variables of the files of the project, by name.",
}


def _text(description: str) -> Schema:
    return {"description": description, "type": "string"}


def _strict(properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _of_cases() -> Schema:
    """Members of a file that hold for all its cases, and that a case may have itself."""
    return {
        "now": {
            "description": "The time that stages see: a time of ISO 8601, or milliseconds since 1970.",
            "type": ["string", "integer"],
        },
        "params": {"description": "Parameters of the run.", **_OBJECT},
        "user": {"description": "The user of the request.", **_OBJECT},
        "ignore": {
            "description": "Paths that are not compared, such as `hits.hits[*]._score`.",
            "type": "array",
            "items": {"type": "string"},
        },
    }


def _document() -> Schema:
    metadata = {name: {"type": ["string", "integer", "null"]} for name in ("_index", "_id", "_routing")}
    return {
        "description": "A document, or its metadata with `_source`.",
        "type": "object",
        "if": {"required": ["_source"]},
        "then": {"properties": {**metadata, "_source": _OBJECT}, "additionalProperties": False},
    }


def _case() -> Schema:
    document = {"$ref": "#/$defs/document"}
    inputs = {
        "docs": {"description": "The documents, or one.", "anyOf": [document, {"type": "array", "items": document}]},
        "request": {"description": "The body of a search.", **_OBJECT},
        "response": {"description": "The body of a response.", **_OBJECT},
        "hit": {"description": "A hit of a response.", **_OBJECT},
    }
    expectations = {
        "expect": {
            "description": "The result: a list where there are several documents.",
            "type": ["object", "array", "null"],
        },
        "expect_patch": {"description": "The change as a JSON patch (RFC 6902).", "type": "array", "items": _PATCH},
        "expect_error": {"description": "A part of the reason, or members of the error.", "type": ["string", "object"]},
        "dropped": {"description": "The document is dropped.", "const": True},
        "moved_to": _text("The index that the document goes to."),
    }
    properties = {
        "name": _text("The name of the case."),
        **inputs,
        **expectations,
        **_of_cases(),
        "fixtures": {"description": "What stages look up.", **_OBJECT},
    }
    return {**_strict(properties), "oneOf": [{"required": [name]} for name in inputs]}


_SCALARS = {"string", "integer", "number", "boolean"}
_MAPS = ("properties", "$defs")
_LISTS = ("anyOf", "oneOf", "allOf")
_SINGLE = ("items", "additionalProperties", "then")


def _of_project(schema: Schema) -> Schema:
    found = _with_variables(schema)
    return {**found, "$defs": {**found.get("$defs", {}), "variable": _VARIABLE}}


def _with_variables(schema: Schema) -> Schema:
    """The schema where a variable may stand for every text, number and boolean; conditions stay as they are."""
    out = dict(schema)
    for key in _MAPS:
        if key in schema:
            out[key] = {name: _variable(each) for name, each in schema[key].items()}
    for key in _LISTS:
        if key in schema:
            out[key] = [_with_variables(each) for each in schema[key]]
    for key in _SINGLE:
        if isinstance(schema.get(key), dict):
            out[key] = _variable(schema[key])
    return out


def _variable(schema: Schema) -> Schema:
    kinds = {schema["type"]} if isinstance(schema.get("type"), str) else set(schema.get("type", ()))
    bounded = schema.keys() & {"enum", "const", "pattern", "minLength", "maxLength"}
    plain = kinds == {"string"} and not bounded
    choice = any("const" in each or "enum" in each for key in ("anyOf", "oneOf") for each in schema.get(key, ()))
    if plain or not (kinds & _SCALARS or bounded or choice):
        return _with_variables(schema)
    about: Schema = {key: schema[key] for key in ("description", "default") if key in schema}
    return {
        **about,
        "anyOf": [{key: value for key, value in schema.items() if key not in about}, {"$ref": "#/$defs/variable"}],
    }
