"""Our index settings inside OpenSearch's: taken out of what goes to the cluster, put back into what it answers.

The settings are `index.{document,query,result}.{default,final}_pipeline`, nested, dotted or mixed, with or without
`index.`, as OpenSearch reads its own.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from headrace_pipelines.definition import PipelineType, members_of
from headrace_pipelines.errors import InvalidError, UnparsableError
from headrace_pipelines.registry.association import NONE, SLOTS, Slot

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace_pipelines.registry.association import Slots

_OURS = re.compile(r"(?:index\.)?(query|document|result)\.(default|final)_pipeline")
_ON_THE_WAY = ("index", "query", "document", "result", "index.query", "index.document", "index.result")

Found = dict[Slot, str | None]


def extract(settings: bytes) -> tuple[bytes, Found]:
    """The settings object without ours, and ours by slot (`None` clears). Raises InvalidError."""
    found: Found = {}
    kept = _strip(_object(settings, "settings"), "", found)
    return msgspec.json.encode(kept), found


def _object(text: bytes | msgspec.Raw, what: str) -> dict[str, msgspec.Raw]:
    try:
        return members_of(bytes(text))
    except UnparsableError:
        raise InvalidError(f"[{what}] must be a JSON object") from None


def _strip(members: dict[str, msgspec.Raw], prefix: str, found: Found) -> dict[str, msgspec.Raw]:
    kept: dict[str, msgspec.Raw] = {}
    for name, value in members.items():
        path = f"{prefix}.{name}" if prefix else name
        if match := _OURS.fullmatch(path):
            found[Slot(PipelineType(match.group(1)), match.group(2) == "final")] = _name(value, path)
        elif path in _ON_THE_WAY and bytes(value).lstrip().startswith(b"{"):
            inner = _strip(_object(value, path), path, found)
            if inner or bytes(value).strip() == b"{}":
                kept[name] = msgspec.Raw(msgspec.json.encode(inner))
        else:
            kept[name] = value
    return kept


def _name(value: msgspec.Raw, path: str) -> str | None:
    name = msgspec.json.decode(value)
    if name in (None, ""):
        return None
    if not isinstance(name, str):
        raise InvalidError("must be the name of a pipeline, or null", path)
    return name


def extract_from_create(body: bytes) -> tuple[bytes, Found]:
    """As [`extract`], for the body of `PUT /{index}`, whose settings are one member."""
    members = _object(body, "body")
    if "settings" not in members:
        return body, {}
    settings, found = extract(bytes(members["settings"]))
    if not found:
        return body, {}
    members["settings"] = msgspec.Raw(settings)
    return msgspec.json.encode(members), found


def extract_from_update(body: bytes) -> tuple[bytes, Found]:
    """As [`extract`], for the body of `PUT /{index}/_settings`: the settings, or an object with `settings` in it."""
    members = _object(body, "body")
    if set(members) == {"settings"}:
        rest, found = extract(bytes(members["settings"]))
        return (msgspec.json.encode({"settings": msgspec.Raw(rest)}) if found else body), found
    rest, found = extract(body)
    return (rest if found else body), found


def extract_from_template(body: bytes, *, legacy: bool) -> tuple[bytes, Found]:
    """As [`extract`], for the body of a template, whose settings are in `template`, or in a legacy one at the top."""
    if legacy:
        return extract_from_create(body)
    members = _object(body, "body")
    if "template" not in members or not bytes(members["template"]).lstrip().startswith(b"{"):
        return body, {}
    template, found = extract_from_create(bytes(members["template"]))
    if not found:
        return body, {}
    members["template"] = msgspec.Raw(template)
    return msgspec.json.encode(members), found


class Form(NamedTuple):
    """How an answer shows settings: with dotted names or not, those that fit a pattern, with the defaults or not."""

    flat: bool = False
    pattern: str = "*"
    defaults: bool = False

    def fits(self, slot: Slot) -> bool:
        """Whether the setting of a slot is asked for."""
        return any(part == "_all" or fnmatchcase(slot.setting, part) for part in self.pattern.split(","))


def add_slots(indexes: dict[str, Any], slots: Callable[[str], Slots], form: Form) -> None:
    """Puts our settings into what `GET /{index}` or `_settings` answers."""
    for name, shown in indexes.items():
        if isinstance(shown, dict):
            show(shown, slots(name), form)


def show(shown: dict[str, Any], bound: Slots, form: Form) -> None:
    """Writes the slots into the `settings` of an object, and those that are empty into its `defaults`."""
    for slot in filter(form.fits, SLOTS):
        name = bound.name(slot)
        if name is not None:
            _write(shown.setdefault("settings", {}), slot, name, flat=form.flat)
        elif form.defaults:
            _write(shown.setdefault("defaults", {}), slot, NONE, flat=form.flat)


def _write(settings: dict[str, Any], slot: Slot, name: str, *, flat: bool) -> None:
    if flat:
        settings[slot.setting] = name
    else:
        kind = settings.setdefault("index", {}).setdefault(slot.kind.value, {})
        kind["final_pipeline" if slot.final else "default_pipeline"] = name
