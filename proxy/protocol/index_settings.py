"""Our index settings inside OpenSearch's: taken out of what goes to the cluster, put back into what it answers.

The settings are `index.{document,query,result}.default_pipeline`, nested, dotted or mixed, with or without `index.`, as
OpenSearch reads its own.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import msgspec

from pipelines.definition import PipelineType
from pipelines.errors import InvalidError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipelines.registry import Association

_OURS = re.compile(r"(?:index\.)?(query|document|result)\.(default|final)_pipeline")
_ON_THE_WAY = ("index", "query", "document", "result", "index.query", "index.document", "index.result")

Found = dict[PipelineType, str | None]


def take(settings: bytes) -> tuple[bytes, Found]:
    """The settings object without ours, and ours by type (`None` clears). Raises InvalidError."""
    found: Found = {}
    kept = _strip(_object(settings, "settings"), "", found)
    return msgspec.json.encode(kept), found


def _object(text: bytes | msgspec.Raw, what: str) -> dict[str, msgspec.Raw]:
    try:
        return msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    except msgspec.DecodeError:
        raise InvalidError(f"[{what}] must be a JSON object") from None


def _strip(members: dict[str, msgspec.Raw], prefix: str, found: Found) -> dict[str, msgspec.Raw]:
    kept: dict[str, msgspec.Raw] = {}
    for name, value in members.items():
        path = f"{prefix}.{name}" if prefix else name
        if match := _OURS.fullmatch(path):
            if match.group(2) == "final":
                raise InvalidError("final pipelines are not available in this version", path)
            found[PipelineType(match.group(1))] = _name(value, path)
        elif path in _ON_THE_WAY and bytes(value).lstrip().startswith(b"{"):
            inner = _strip(_object(value, path), path, found)
            if inner or bytes(value).strip() == b"{}":
                kept[name] = msgspec.Raw(msgspec.json.encode(inner))
        else:
            kept[name] = value
    return kept


def _name(value: msgspec.Raw, path: str) -> str | None:
    name = msgspec.json.decode(value)
    if name in (None, "_none", ""):
        return None
    if not isinstance(name, str):
        raise InvalidError("must be the name of a pipeline, or null", path)
    return name


def take_from_create(body: bytes) -> tuple[bytes, Found]:
    """As [`take`], for the body of `PUT /{index}`, whose settings are one member."""
    members = _object(body, "body")
    if "settings" not in members:
        return body, {}
    settings, found = take(bytes(members["settings"]))
    if not found:
        return body, {}
    members["settings"] = msgspec.Raw(settings)
    return msgspec.json.encode(members), found


def take_from_update(body: bytes) -> tuple[bytes, Found]:
    """As [`take`], for the body of `PUT /{index}/_settings`: the settings, or an object with `settings` in it."""
    members = _object(body, "body")
    if set(members) == {"settings"}:
        rest, found = take(bytes(members["settings"]))
        return (msgspec.json.encode({"settings": msgspec.Raw(rest)}) if found else body), found
    rest, found = take(body)
    return (rest if found else body), found


def put_back(
    answer: bytes, association: Callable[[str], Association | None], *, flat: bool, pattern: str = "*"
) -> bytes:
    """A `GET /{index}` or `_settings` answer with our settings in it; `pattern` is the setting name asked for."""
    indexes: dict[str, Any] = msgspec.json.decode(answer)
    for name, shown in indexes.items():
        bound = association(name)
        if bound is None or not isinstance(shown, dict):
            continue
        for kind in PipelineType:
            full = f"index.{kind.value}.default_pipeline"
            pipeline = bound.name(kind)
            if pipeline is None or not any(fnmatchcase(full, p) for p in pattern.split(",")):
                continue
            settings = shown.setdefault("settings", {})
            if flat:
                settings[full] = pipeline
            else:
                settings.setdefault("index", {}).setdefault(kind.value, {})["default_pipeline"] = pipeline
    return msgspec.json.encode(indexes)
