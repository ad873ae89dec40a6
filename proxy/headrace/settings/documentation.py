"""The settings described: for the help of the command line, for the JSON Schema, and for what a reload changes."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from headrace.settings.fields import Settings, of_kind
from headrace.settings.sources import FILE, TABLE_OF_TARGETS

if TYPE_CHECKING:
    from headrace.settings.facts import Kind


class SettingDoc(NamedTuple):
    """A setting. `summary` is Markdown; `values` of a choice; `file_option`: the name that gives a secret's file."""

    name: str
    summary: str
    default: str
    group: str
    kind: Kind
    reload: bool
    values: tuple[str, ...] = ()
    file_option: str = ""


def documented() -> list[SettingDoc]:
    """All settings in the order of the reference, which has a section for each group."""
    return [_documented(name, facts) for name, facts in _properties().items()]


def schema() -> dict[str, Any]:
    """The JSON Schema of a TOML file with settings; a secret may be given by its file (`admin_token_file`)."""
    whole = msgspec.json.schema(Settings)
    found: dict[str, Any] = whole["$defs"]["Settings"]
    for secret in of_kind("secret"):
        found["properties"][secret + FILE] = {
            "type": "string",
            "description": f"The file that holds `{secret}`.",
            "x-group": found["properties"][secret]["x-group"],
            "x-kind": "file",
        }
    found["properties"][TABLE_OF_TARGETS] = {
        "type": "object",
        "description": "Targets of the command line, by name; the proxy does not read them.",
    }
    found["additionalProperties"] = False
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **found}


@functools.cache
def restart_needed() -> frozenset[str]:
    """The settings that only a restart changes."""
    return frozenset(doc.name for doc in documented() if not doc.reload)


def _properties() -> dict[str, Any]:
    properties: dict[str, Any] = msgspec.json.schema(Settings)["$defs"]["Settings"]["properties"]
    return properties


def _documented(name: str, facts: dict[str, Any]) -> SettingDoc:
    kind = next(kind for kind in _KINDS if name in of_kind(kind))
    default = facts["default"]
    return SettingDoc(
        name,
        facts["description"],
        str(default).lower() if isinstance(default, bool) else str(default),
        facts["x-group"],
        kind,
        facts["x-reload"],
        tuple(str(value) for value in facts.get("enum", ())),
        name + FILE if kind == "secret" else "",
    )


_KINDS: tuple[Kind, ...] = (
    "text",
    "choice",
    "switch",
    "count",
    "fraction",
    "duration",
    "size",
    "address",
    "file",
    "folder",
    "secret",
)
