"""JSON Schemas (2020-12) of what people write: pipelines, manifests of UDFs, associations.

The schema of a pipeline has the parameters of every built-in by the type of the pipeline, as the engine reads them, so
that an editor completes them. Schemas say types, names and simple bounds; the registry checks everything else.
"""

from __future__ import annotations

from typing import Any

import msgspec

from headrace_pipelines.definition import (
    MOST_ATTEMPTS,
    NAME,
    RETRYABLE,
    SCOPES,
    VERSION,
    FailurePolicy,
    PipelineType,
)
from headrace_pipelines.engine import native_schemas
from headrace_pipelines.registry import dead_letters
from headrace_pipelines.registry.association import PATTERN
from headrace_pipelines.stages.native import PIPELINE
from headrace_pipelines.udf.manifest import LANGUAGES, Manifest

DIALECT = "https://json-schema.org/draft/2020-12/schema"
Schema = dict[str, Any]
UDF_TYPES = ("python", "javascript", "wasm")
_DURATION = {
    "type": "string",
    "pattern": r"^\s*\d+(\.\d+)?\s*([nN][aA][nN][oO][sS]|[mM][iI][cC][rR][oO][sS]|[mM]?[sS]|[mMhHdD])\s*$",
}
_SIZE = {"type": "string", "pattern": r"^\s*\d+(\.\d+)?\s*([kKmMgG]?[bB]|[kKmMgG])\s*$"}
_NAME = {"type": "string", "pattern": f"^{NAME.pattern}$"}
_VERSION = {"type": "string", "pattern": f"^{VERSION.pattern}$"}
_TEXT = {"type": "string"}


def identified(kind: str, schema: Schema) -> Schema:
    """A schema with its dialect and its identity: `kind` as `headrace schema` calls it."""
    return {"$schema": DIALECT, "$id": f"urn:headrace:schema:{kind}", **schema}


def pipeline() -> Schema:
    """The schema of a pipeline as people write it; its name may be left out where a path or a file says it."""
    return identified("pipeline", {**_pipeline(), "$defs": definitions()})


def manifest() -> Schema:
    """The schema of the manifest of a UDF beside its code."""
    return identified("udf", {**_manifest(), "title": "Manifest of a UDF"})


def associations() -> Schema:
    """The schema of a file of associations: what is attached, by patterns of index names."""
    return identified(
        "associations",
        {
            "title": "Associations",
            "description": "Patterns of index names, with the pipelines that run on indexes of such a name.",
            "type": "object",
            "propertyNames": {"pattern": f"^{PATTERN.pattern}$"},
            "additionalProperties": association(),
        },
    )


def association() -> Schema:
    """The schema of what is attached to one pattern."""
    name = {"type": ["string", "null"]}
    slots = _object(
        {
            "default_pipeline": _described("The pipeline that a request may replace; `_none`: no pipeline.", name),
            "final_pipeline": _described("The pipeline that nothing switches off; `_none`: no pipeline.", name),
            "default": _described("The same as `default_pipeline`.", name),
            "final": _described("The same as `final_pipeline`.", name),
        }
    )
    kinds = {
        kind.value: _described(
            f"The {kind.value} pipeline: the name of the default one, or the default and the final one.",
            {"anyOf": [name, slots]},
        )
        for kind in PipelineType
    }
    priority = _described(
        "Of several patterns that match, the highest priority counts.", {"type": "integer", "default": 0}
    )
    return {
        **_object({"priority": priority, **kinds, "dead_letters": _optional(dead_letters.schema())}),
        "minProperties": 1,
    }


def definitions() -> dict[str, Schema]:
    """All parts of the schema of a pipeline, for `$defs`: stages by type of pipeline, and parameters of built-ins."""
    described = msgspec.json.decode(native_schemas())
    found: dict[str, Schema] = {"retry": _retry()}
    for kind in PipelineType:
        fitting = {each["name"]: each["schema"] for each in described if kind.value in each["kinds"]}
        if kind is PipelineType.DOCUMENT:
            fitting = {name: _nullable(schema) for name, schema in fitting.items()}
            fitting["foreach"]["properties"]["processor"] |= _reference("processor")
            found["processor"] = _processor(fitting)
            fitting[PIPELINE] = _reference_to_pipeline()
        found |= {f"{kind.value}.{name}": schema for name, schema in fitting.items()}
        found[f"{kind.value}.native"] = _native(kind, fitting)
        found[f"{kind.value}.udf"] = _udf(kind)
        found[f"{kind.value}.composite"] = _composite(kind)
        found[f"{kind.value}.on_failure"] = _on_failure(kind)
        found[f"{kind.value}.stage"] = _stage(kind)
    return found


def _reference(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


def _described(text: str, schema: Schema) -> Schema:
    return {"description": text, **schema}


def _object(properties: dict[str, Schema], required: tuple[str, ...] = ()) -> Schema:
    needed = {"required": list(required)} if required else {}
    return {"type": "object", "properties": properties, **needed, "additionalProperties": False}


def _optional(schema: Schema) -> Schema:
    """The schema of a value that may be null, which stands for an absent one."""
    if isinstance(kind := schema.get("type"), str):
        return {**schema, "type": [kind, "null"], **({"enum": [*schema["enum"], None]} if "enum" in schema else {})}
    if isinstance(kind, list) or not schema.keys() - {"description", "default"}:
        return schema
    about: Schema = {key: schema[key] for key in ("description", "default") if key in schema}
    rest = {key: value for key, value in schema.items() if key not in about}
    return {**about, "anyOf": [rest, {"type": "null"}]}


def _nullable(schema: Schema) -> Schema:
    """Parameters of a built-in on documents: one that is null is absent."""
    needed = schema.get("required", ())
    properties = {
        name: each if name in needed else _optional(each) for name, each in schema.get("properties", {}).items()
    }
    return {**schema, "properties": properties}


def _retry() -> Schema:
    classes = {"type": "array", "items": {"enum": list(RETRYABLE)}, "default": list(RETRYABLE)}
    return _described(
        "Retries of a document on which a stage failed.",
        _object(
            {
                "max_attempts": _described(
                    "Number of attempts, the first one included.",
                    {"type": "integer", "minimum": 1, "maximum": MOST_ATTEMPTS, "default": 3},
                ),
                "initial_delay": _described("The delay before the second attempt.", {**_DURATION, "default": "10ms"}),
                "max_delay": _described("The longest delay.", {**_DURATION, "default": "1s"}),
                "multiplier": _described(
                    "The growth of the delay.", {"type": "number", "minimum": 1, "maximum": 100, "default": 2.0}
                ),
                "retryable_errors": _described("The classes of failures that are tried again.", classes),
            }
        ),
    )


def _common(kind: PipelineType) -> dict[str, Schema]:
    """Members that pipelines and stages share."""
    return {
        "description": _described("A text for people.", {**_TEXT, "default": ""}),
        "enabled": _described("Whether it runs.", {"type": "boolean", "default": True}),
        "on_failure": _reference(f"{kind.value}.on_failure"),
        "retry": _described("Retries of a document on which a stage failed.", _optional(_reference("retry"))),
        "timeout": _optional(_described("The longest duration of a run, such as `250ms`.", _DURATION)),
    }


def _on_failure(kind: PipelineType) -> Schema:
    policies = [policy.value for policy in FailurePolicy]
    handlers = {"type": "array", "minItems": 1, "items": _reference(f"{kind.value}.stage")}
    return _described(
        "The policy for a document on which a stage failed, or the stages that handle the failure.",
        {"anyOf": [{"enum": [*policies, None]}, handlers]},
    )


def _stage(kind: PipelineType) -> Schema:
    types = ("native", *UDF_TYPES, "composite")
    configs = {"native": ("native",), "udf": UDF_TYPES, "composite": ("composite",)}
    properties = {
        "name": _described("The name of the stage, unique in its list.", {**_TEXT, "minLength": 1}),
        "type": _described(
            "The kind of the stage: `native` is a built-in, `python`, `javascript` and `wasm` are UDFs, `composite` is "
            "a list of stages or another pipeline.",
            {"enum": list(types)},
        ),
        "if": _optional(_described("The condition in CEL; the stage runs only where it is true.", _TEXT)),
        **_common(kind),
        "config": _described("What the stage runs.", {"type": "object"}),
    }
    chosen = [
        {
            "if": {"properties": {"type": {"enum": list(names)}}, "required": ["type"]},
            "then": {"properties": {"config": _reference(f"{kind.value}.{config}")}},
        }
        for config, names in configs.items()
    ]
    return {**_object(properties, ("name", "type", "config")), "allOf": chosen}


def _native(kind: PipelineType, fitting: dict[str, Schema]) -> Schema:
    names = [
        {"const": name, "description": schema["description"]} if "description" in schema else {"const": name}
        for name, schema in fitting.items()
    ]
    properties = {
        "function": _described("The name of the built-in.", {"oneOf": names}),
        "parameters": _described("The options of the built-in.", {"type": "object", "default": {}}),
    }
    chosen = [
        {
            "if": {"properties": {"function": {"const": name}}, "required": ["function"]},
            "then": {
                "properties": {"parameters": _reference(f"{kind.value}.{name}")},
                **({"required": ["parameters"]} if schema.get("required") else {}),
            },
        }
        for name, schema in fitting.items()
    ]
    return {**_object(properties, ("function",)), "allOf": chosen}


def _udf(kind: PipelineType) -> Schema:
    scopes = list(SCOPES[kind])
    properties = {
        "udf_name": _optional(_described("The name of an uploaded UDF.", {**_TEXT, "minLength": 1})),
        "udf_version": _optional(
            _described("Its version; `latest` follows uploads. Default: the latest when the pipeline is stored.", _TEXT)
        ),
        "code": _optional(_described("The code of the stage itself, in place of a name.", _TEXT)),
        "parameters": _described("The parameters of the UDF.", {"type": "object", "default": {}}),
        "scope": _optional(
            _described("What a call is for.", {"type": "string", "enum": scopes}),
        ),
        "protect": _described(
            "Whether it hides fields of inner hits and `top_hits`, too.", {"type": "boolean", "default": False}
        ),
        "view": _optional(
            _described("The form of a response: `flat` is without nesting.", {"type": "string", "enum": ["flat"]})
        ),
        "target_field": _optional(_described("The field that gets the result.", _TEXT)),
        "merge": _described("Whether the result is written over the input.", {"type": "boolean", "default": False}),
    }
    either = [{"required": ["udf_name"]}, {"required": ["code"]}]
    return {**_object(properties), "anyOf": either}


def _composite(kind: PipelineType) -> Schema:
    properties = {
        "stages": _optional(
            _described("The stages.", {"type": "array", "minItems": 1, "items": _reference(f"{kind.value}.stage")})
        ),
        "pipeline": _optional(_described("The name of another pipeline of the same type.", _TEXT)),
        "version": _optional(
            _described(
                "Its version; `latest` follows the active one. Default: the one active when this is stored.", _TEXT
            )
        ),
    }
    return {**_object(properties), "anyOf": [{"required": ["stages"]}, {"required": ["pipeline"]}]}


def _processor(fitting: dict[str, Schema]) -> Schema:
    """A built-in within `foreach`: its options, and what it says of its failures."""
    more = {
        "tag": _described("The name of the processor for handlers of its failure.", {}),
        "description": _described("A text for people.", {}),
        "ignore_failure": _described("Whether a failure leaves the element as it is.", {"type": ["boolean", "null"]}),
        "on_failure": _described(
            "The processors that handle a failure.",
            {"type": ["array", "null"], "minItems": 1, "items": _reference("processor")},
        ),
    }
    options = {
        name: {**schema, "properties": {**schema["properties"], **more}} for name, schema in sorted(fitting.items())
    }
    return {**_object(options), "minProperties": 1, "maxProperties": 1}


def _reference_to_pipeline() -> Schema:
    properties = {
        "name": _described("The name of the pipeline.", _TEXT),
        "ignore_missing_pipeline": _described(
            "Whether the pipeline may be missing.", {"type": "boolean", "default": False}
        ),
    }
    about = "Runs another document pipeline in its active version."
    return _described(about, _object(properties, ("name",)))


def _pipeline() -> Schema:
    common = _common(PipelineType.DOCUMENT)
    stages = {"type": "array", "minItems": 1, "items": {"type": "object"}}
    properties = {
        "name": _described("The name; the path or the file says it, too.", _NAME),
        "type": _described("Where the pipeline runs.", {"enum": [kind.value for kind in PipelineType]}),
        "version": _described("The version; default: the next number.", {"anyOf": [_VERSION, {"const": ""}]}),
        **common,
        "on_failure": {"description": "The policy for failures, or the stages that handle them."},
        "stages": _described("The stages, in the order in which they run.", stages),
        "dead_letters": _optional(dead_letters.schema()),
        "metadata": _described("Members for people and their tools.", {"type": "object", "default": {}}),
    }
    chosen = [
        {
            "if": {"properties": {"type": {"const": kind.value}}, "required": ["type"]},
            "then": {
                "properties": {
                    "stages": {"items": _reference(f"{kind.value}.stage")},
                    "on_failure": _reference(f"{kind.value}.on_failure"),
                    **({} if kind is PipelineType.DOCUMENT else {"dead_letters": {"type": "null"}}),
                }
            },
        }
        for kind in PipelineType
    ]
    return {"title": "Pipeline", **_object(properties, ("type", "stages")), "allOf": chosen}


_MANIFEST = {
    "name": "The name; the file or the path says it, too.",
    "version": "The version; default: the next number.",
    "language": "The language of the source.",
    "entry": "The function that is called.",
    "description": "A text for people.",
    "parameters": "The declared parameters.",
    "returns": "The type of the result of a compiled UDF with numbers.",
    "merge": "Whether the result is written over the input.",
    "metadata": "Whether documents show `_index`, `_id`, `_routing` and `_ctx` as members.",
    "view": "The form of a response: `flat` is without nesting.",
    "isolation": "How long a sandbox lives: for one document, one request, or until it fails.",
    "clock": "The clock of a compiled UDF.",
    "random": "The randomness of a compiled UDF.",
    "limits": "Limits of one document.",
    "fields": "The fields of hits that the UDF hides.",
    "tags": "Words for lists.",
    "category": "A word for lists.",
    "author": "A text for people.",
}
_PARAMETER = {
    "name": "The name of the parameter.",
    "type": "The type of its value.",
    "required": "Whether a stage has to say it.",
    "default": "The value where a stage says none.",
    "description": "A text for people.",
}
_LIMITS: dict[str, Schema] = {
    "timeout": _optional(_described("The longest duration of a call.", _DURATION)),
    "memory": _optional(_described("The most memory of a sandbox.", _SIZE)),
    "fuel": {"description": "The most metering points of a call."},
}


def _manifest() -> Schema:
    (_,), components = msgspec.json.schema_components([Manifest], ref_template="#/$defs/{name}")
    whole = components.pop("Manifest")
    properties = {name: _described(_MANIFEST[name], facts) for name, facts in whole["properties"].items()}
    properties["name"] = _described(_MANIFEST["name"], _NAME)
    properties["language"] = _described(_MANIFEST["language"], {"enum": list(LANGUAGES), "default": "wasm"})
    packages = {"type": "array", "items": {"type": "string"}}
    properties["packages"] = _described(
        "Zips or wheels beside a manifest of Python, or their base64 in a request.", packages
    )
    parameter = components["Parameter"]["properties"]
    for name, text in _PARAMETER.items():
        parameter[name] |= {"description": text}
    limits = components["LimitsConfig"]["properties"]
    for name, facts in _LIMITS.items():
        limits[name] = {**limits[name], **facts} if name == "fuel" else facts
    components["LimitsConfig"]["description"] = _MANIFEST["limits"]
    components["Parameter"]["description"] = "A declared parameter."
    return {
        **whole,
        "description": "The facts of a UDF beside its code.",
        "properties": properties,
        "required": [],
        "$defs": components,
    }
