"""The OpenAPI document, made of the operations and of the structs that they read and answer."""

from __future__ import annotations

import asyncio
import functools
import re
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import msgspec

from headrace.handlers.described.answers import Error
from headrace.handlers.described.operations import CODE, OPERATIONS, PARAMETERS, Operation
from headrace.http1.headers import ADMIN_HEADER
from headrace.server.reply import reply
from headrace_pipelines.registry import schemas

if TYPE_CHECKING:
    from aiohttp import web

    from headrace.server.request import RequestContext

Schema = dict[str, Any]
JSON, YAML = "application/json", "application/yaml"
_COMPONENT = "#/components/schemas/"
_PATH_PARAMETERS = {
    "name": "The name of the pipeline or the UDF.",
    "index": "A name of an index, or an expression.",
    "pattern": "A pattern of index names.",
    "id": "The id of a record, or a group of records.",
    "task": "The name of a task.",
}
_ABOUT = (
    "Endpoints of Headrace. All others are those of the OpenSearch cluster behind it. Every JSON answer comes in the "
    "media type that `Accept` or `format` names: JSON, YAML, CBOR or SMILE. `pretty` formats an answer; `filter_path` "
    "cuts it to some members, so that the schemas here do not hold. Where an admin token is set, changes need it in "
    f"the header `{ADMIN_HEADER}`."
)


async def description(context: RequestContext) -> web.StreamResponse:
    """The OpenAPI document: nothing in it depends on settings or on the registry."""
    return await reply(context, 200, await asyncio.to_thread(_encoded))


@functools.cache
def _encoded() -> bytes:
    return msgspec.json.encode(document())


def document() -> Schema:
    """The description of all our endpoints in OpenAPI 3.1."""
    types = _types()
    found, components = msgspec.json.schema_components(types, ref_template=_COMPONENT + "{name}")
    schema_of = dict(zip(map(repr, types), found, strict=True))
    paths: dict[str, Schema] = {}
    for (methods, path), operation in OPERATIONS.items():
        for method in methods.split("|"):
            paths.setdefault(path, {})[method.lower()] = _operation(method, path, operation, schema_of)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Headrace",
            "version": version("headrace"),
            "description": _ABOUT,
            "license": {"name": "Apache 2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{}, {"basic": []}, {"bearer": []}, {"admin": []}],
        "tags": [{"name": tag} for tag in dict.fromkeys(each.tag for each in OPERATIONS.values())],
        "paths": paths,
        "components": {"schemas": {**_tidied(components), **_definitions()}, "securitySchemes": _SECURITY},
    }


_SECURITY = {
    "basic": {"type": "http", "scheme": "basic", "description": "The caller's credentials for the cluster."},
    "bearer": {"type": "http", "scheme": "bearer", "description": "The caller's token for the cluster."},
    "admin": {"type": "apiKey", "in": "header", "name": ADMIN_HEADER, "description": "The admin token."},
}


def _types() -> list[Any]:
    """The types of all bodies and answers, once each."""
    found: dict[str, Any] = {repr(Error): Error}
    for operation in OPERATIONS.values():
        for each in (*_alternatives(operation.answer), operation.body):
            if each is not None and not isinstance(each, str):
                found[repr(each)] = each
    return list(found.values())


def _alternatives(answer: Any) -> tuple[Any, ...]:
    return answer if isinstance(answer, tuple) else (answer,)


def _definitions() -> dict[str, Schema]:
    """The schemas of definitions, those that `headrace schema` prints, as components."""
    pipeline, manifest = schemas.pipeline(), schemas.manifest()
    parts = {**pipeline.pop("$defs"), **{f"Udf{name}": each for name, each in manifest.pop("$defs").items()}}
    code = {
        "source": {"description": "The source in Python, JavaScript or WAT.", "type": ["string", "null"]},
        "wasm": {"description": "The compiled module in base64.", "type": ["string", "null"]},
        "abi": {"description": "The expected ABI; another one is refused.", "type": ["string", "null"]},
    }
    upload = {**manifest, "title": "Upload of a UDF", "properties": {**manifest["properties"], **code}}
    whole = {"Pipeline": pipeline, "UdfUpload": upload, "Association": schemas.association(), **parts}
    return {name: _embedded(schema) for name, schema in whole.items()}


def _embedded(value: Any) -> Any:
    """A schema with its references to components of the document, and without an identity of its own."""
    if isinstance(value, dict):
        kept = {key: _embedded(each) for key, each in value.items() if key not in ("$schema", "$id")}
        if isinstance(target := kept.get("$ref"), str):
            name = target.rpartition("/")[2]
            kept["$ref"] = _COMPONENT + (f"Udf{name}" if name in ("Parameter", "LimitsConfig") else name)
        return kept
    return [_embedded(each) for each in value] if isinstance(value, list) else value


def _tidied(components: dict[str, Schema]) -> dict[str, Schema]:
    """Components with descriptions in one line, and with the definitions that their structs keep as text."""
    for schema in components.values():
        if "description" in schema:
            schema["description"] = re.sub(r"\s+", " ", schema["description"]).strip()
    pipeline, udf, association = ({"$ref": _COMPONENT + name} for name in ("Pipeline", "UdfUpload", "Association"))
    components["TrialRequest"]["properties"]["pipeline"] = pipeline
    components["TrialDocument"]["properties"]["_source"] = {"type": "object"}
    components["UdfTrialRequest"]["properties"]["parameters"] = {"type": "object"}
    of_set = components["SetRequest"]["properties"]
    of_set["pipelines"]["items"], of_set["udfs"]["items"] = pipeline, udf
    of_set["associations"]["additionalProperties"] = association
    return components


def _operation(method: str, path: str, operation: Operation, schema_of: dict[str, Schema]) -> Schema:
    success = {str(status): _answer(operation, schema_of) for status in operation.statuses}
    error = schema_of[repr(Error)]
    if path.startswith("/{index}"):
        # Names that begin with `_` are endpoints of the cluster, which answers them itself.
        error = {"anyOf": [error, {"type": "object", "required": ["error"]}]}
    failure = {"description": "The request failed.", "content": _typed(error)}
    out: Schema = {
        "operationId": _id(method, path),
        "summary": operation.summary,
        "tags": [operation.tag],
        "parameters": [*_path_parameters(path), *map(_query_parameter, operation.query)],
        "responses": {**success, "default": failure},
    }
    if operation.description:
        out["description"] = operation.description
    if operation.body is not None:
        out["requestBody"] = _body(operation, schema_of)
    return out


def _id(method: str, path: str) -> str:
    """`put_pipeline_name` for `PUT /_pipeline/{name}`."""
    return "_".join([method.lower(), *re.findall(r"[a-z]+", path)])


def _typed(schema: Schema) -> Schema:
    return {JSON: {"schema": schema}, YAML: {"schema": schema}}


def _answer(operation: Operation, schema_of: dict[str, Schema]) -> Schema:
    found = [schema_of[repr(each)] for each in _alternatives(operation.answer) if each is not None]
    content = _typed(found[0] if len(found) == 1 else {"anyOf": found}) if found else {}
    for text in operation.texts:
        content[text] = {"schema": {"type": "string"}}
    return {"description": f"{operation.summary}: done.", "content": content}


def _body(operation: Operation, schema_of: dict[str, Schema]) -> Schema:
    if isinstance(operation.body, str):
        content = _typed({"$ref": _COMPONENT + operation.body})
    else:
        content = _typed(schema_of[repr(operation.body)])
    if operation.body == "UdfUpload":
        content |= {media: {"schema": {"type": "string", "format": "binary"}} for media in CODE}
    return {"required": not operation.optional, "content": content}


def _path_parameters(path: str) -> list[Schema]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": _PATH_PARAMETERS[name],
            "schema": {"type": "string", "minLength": 1},
        }
        for name in re.findall(r"\{(\w+)\}", path)
    ]


def _query_parameter(key: str) -> Schema:
    parameter = PARAMETERS[key]
    name = re.split("[:!]", key.removeprefix("new_"))[0]
    required = {"required": True} if parameter.required else {}
    return {"name": name, "in": "query", "description": parameter.description, **required, "schema": parameter.schema}
