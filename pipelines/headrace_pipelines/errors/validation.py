"""Errors of JSON that does not fit a type: the field at fault, the fields or values that exist, and the nearest one."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import inspect

from headrace_pipelines.errors import InvalidError

if TYPE_CHECKING:
    from collections.abc import Iterable

_UNKNOWN_FIELD = re.compile(r"Object contains unknown field `(.*)`")
_MISSING_FIELD = re.compile(r"Object missing required field `(.*)`")
_BAD_VALUE = re.compile(r"Invalid (?:enum )?value (.*)")
_STEP = re.compile(r"\[(\d+)\]|\[(\.\.\.)\]|\.?([^.\[\]]+)")
MAX_SHOWN = 100
"""Characters of a name or value of the sender that an error repeats."""


def explained(error: msgspec.ValidationError, wanted: Any, value: object, root: str = "") -> InvalidError:
    """An error of msgspec in our words: what is wrong, the path of the field, and the alternatives.

    `wanted`: the type that `value` was converted to. `value`: the decoded JSON, or its text. `root`: the path of
    `value` itself in what was sent.
    """
    text, _, path = str(error).partition(" - at `")
    path = path.rstrip("`").removeprefix("$")
    field = (root + path).removeprefix(".")
    found = _at(inspect.type_info(wanted), _decoded(value), path)
    if match := _UNKNOWN_FIELD.fullmatch(text):
        return InvalidError(unknown(match[1], _fields(found), "field"), _joined(field, match[1][:MAX_SHOWN]))
    if match := _MISSING_FIELD.fullmatch(text):
        return InvalidError(f"required field [{match[1]}] is missing", _joined(field, match[1]))
    if (match := _BAD_VALUE.fullmatch(text)) and (allowed := _values(found)):
        return InvalidError(bad_value(match[1].strip("'\""), allowed), field)
    return InvalidError(text, field)


def unknown(name: str, existing: Iterable[str], what: str) -> str:
    """The words for a name that is none of the `existing`: `unknown field [stagse]: did you mean [stages]? …`."""
    names = list(existing)
    hint = f": did you mean [{near}]?" if (near := nearest(name, names)) else "."
    listed = f" {what.capitalize()}s: {', '.join(names)}" if names else ""
    return f"unknown {what} [{name[:MAX_SHOWN]}]{hint}{listed}"


def bad_value(value: str, allowed: Iterable[str]) -> str:
    """The words for a value that is none of the `allowed`."""
    values = list(allowed)
    hint = f"; did you mean [{near}]?" if (near := nearest(value, values)) else ""
    return f"[{value[:MAX_SHOWN]}] is not one of {', '.join(values)}{hint}"


def nearest(name: str, existing: Iterable[str]) -> str | None:
    """The existing name that was probably meant; `None` if none is similar."""
    by_folded = {each.lower(): each for each in existing}
    found = difflib.get_close_matches(name[:MAX_SHOWN].lower(), by_folded, n=1)
    return by_folded[found[0]] if found else None


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _decoded(value: object) -> object:
    if not isinstance(value, bytes | msgspec.Raw):
        return value
    try:
        return msgspec.json.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _at(kind: inspect.Type, value: Any, path: str) -> inspect.Type | None:
    """The type at a path of msgspec, such as `.stages[0].config`; `None` where it cannot be told."""
    found: inspect.Type | None = _member(kind, value)
    for index, entry, name in _STEP.findall(path):
        if found is None:
            return None
        value = _inner(value, index, name)
        found = _below(found, index=bool(index), entry=bool(entry), name=name, value=value)
    return found


def _inner(value: Any, index: str, name: str) -> Any:
    if index:
        return value[int(index)] if isinstance(value, list) and int(index) < len(value) else None
    return value.get(name) if name and isinstance(value, dict) else None


def _below(kind: inspect.Type, *, index: bool, entry: bool, name: str, value: Any) -> inspect.Type | None:
    found: inspect.Type | None = None
    if index and isinstance(kind, inspect.ListType | inspect.VarTupleType):
        found = kind.item_type
    elif entry and isinstance(kind, inspect.DictType):
        found = kind.value_type
    elif isinstance(kind, inspect.StructType):
        found = next((field.type for field in kind.fields if field.encode_name == name), None)
    elif isinstance(kind, inspect.UnionType) and name in {each.tag_field for each in _tagged(kind)}:
        return kind
    return None if found is None else _member(found, value)


def _member(kind: inspect.Type, value: Any) -> inspect.Type:
    """The member of a union that `value` is meant for: by its tag, or by whether it is a list or an object."""
    while isinstance(kind, inspect.Metadata):
        kind = kind.type
    if not isinstance(kind, inspect.UnionType):
        return kind
    tagged = _tagged(kind)
    if isinstance(value, dict):
        for each in tagged:
            if len(tagged) == 1 or value.get(each.tag_field) == each.tag:
                return each
        others: tuple[type[inspect.Type], ...] = (inspect.DictType,)
    else:
        others = (inspect.ListType, inspect.VarTupleType) if isinstance(value, list) else _CHOICES
    return next((each for each in kind.types if isinstance(each, others)), kind)


_CHOICES = (inspect.EnumType, inspect.LiteralType)


def _tagged(kind: inspect.UnionType) -> list[inspect.StructType]:
    return [each for each in kind.types if isinstance(each, inspect.StructType)]


def _fields(kind: inspect.Type | None) -> list[str]:
    if not isinstance(kind, inspect.StructType):
        return []
    tag = [kind.tag_field] if kind.tag_field else []
    return tag + [field.encode_name for field in kind.fields]


def _values(kind: inspect.Type | None) -> list[str]:
    if isinstance(kind, inspect.EnumType):
        return [str(each.value) for each in kind.cls]
    if isinstance(kind, inspect.LiteralType):
        return [str(each) for each in kind.values]
    return [str(each.tag) for each in _tagged(kind)] if isinstance(kind, inspect.UnionType) else []
