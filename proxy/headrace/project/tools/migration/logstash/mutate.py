"""The filter `mutate`: its operations in the order in which Logstash runs them, and the options of every filter."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from headrace.project.tools.migration.logstash.conditions import path
from headrace.project.tools.migration.logstash.options import dotted, template
from headrace.project.tools.migration.logstash.parser import reference
from headrace.project.tools.migration.logstash.patterns import portable
from headrace.project.tools.migration.model import Stage, Unsupported, native

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace.project.tools.migration.logstash.options import Options

_CONVERTED = {"integer": "long", "float": "double", "string": "string", "boolean": "boolean"}
_NOTES = {
    "integer": "a text that is not a whole number stays as it is; Logstash reads its first digits, or 0",
    "float": "a text that is not a number stays as it is; Logstash reads its first digits, or 0",
    "boolean": "only true and false are read; Logstash also reads t, yes, y, 1, f, no, n and 0",
}
Notes = list[str]


def operations(options: Options, notes: Notes) -> list[Stage]:
    """The stages of a `mutate`. Raises Unsupported."""
    stages: list[Stage] = []
    for name, convert in _ORDER.items():
        if name in options.values:
            stages += convert(options, notes)
    return stages


def common(options: Options, notes: Notes) -> list[Stage]:
    """The stages of the options that every filter has, which run where the filter succeeds."""
    stages: list[Stage] = []
    for key, value in options.pairs("add_field"):
        stages += _added(key, value, notes)
    removed = options.texts("remove_field")
    if removed:
        stages.append(native("remove", field=[dotted(each) for each in removed], ignore_missing=True))
    tags = options.texts("add_tag")
    if tags:
        stages.append(
            native("append", field="tags", value=[_value(tag, notes) for tag in tags], allow_duplicates=False)
        )
    return stages


def _added(key: str, value: Any, notes: Notes) -> list[Stage]:
    """Logstash makes a list where the field exists, and a single value where it does not."""
    field, text = dotted(key), _value(value, notes)
    more = native("append", f"add-{field}", field=field, value=text)
    more["if"] = f"{path(reference(key))} != null"
    return [more, native("set", f"add-{field}", field=field, value=text, override=False)]


def _value(value: Any, notes: Notes) -> Any:
    text, fields = template(value)
    if fields:
        notes.append(f"a missing [{fields[0]}] is the empty text; Logstash writes the reference itself")
    return text


def _tolerant(stage: Stage) -> Stage:
    """A stage that leaves a field of another type alone, as Logstash does."""
    if stage["config"]["function"] != "join":
        stage["config"]["parameters"]["ignore_missing"] = True
    return {**stage, "on_failure": "continue"}


def _rename(options: Options, _notes: Notes) -> list[Stage]:
    return [
        native("rename", field=dotted(old), target_field=_field(new), ignore_missing=True, override_target=True)
        for old, new in options.pairs("rename")
    ]


def _copy(options: Options, _notes: Notes) -> list[Stage]:
    return [
        native("copy", source_field=dotted(old), target_field=_field(new), ignore_missing=True, override_target=True)
        for old, new in options.pairs("copy")
    ]


def _update(options: Options, notes: Notes) -> list[Stage]:
    return [
        native("set", field=dotted(key), value=_value(value, notes)) | {"if": f"{path(reference(key))} != null"}
        for key, value in options.pairs("update")
    ]


def _replace(options: Options, notes: Notes) -> list[Stage]:
    return [native("set", field=dotted(key), value=_value(value, notes)) for key, value in options.pairs("replace")]


def _convert(options: Options, notes: Notes) -> list[Stage]:
    return [converted(dotted(key), kind, notes) for key, kind in options.pairs("convert")]


def converted(field: str, kind: Any, notes: Notes) -> Stage:
    """The stage that converts a field to a type of Logstash. Raises Unsupported for another type."""
    if not isinstance(kind, str) or kind not in _CONVERTED:
        raise Unsupported(f"the type [{kind}] has no counterpart")
    if kind in _NOTES and _NOTES[kind] not in notes:
        notes.append(_NOTES[kind])
    return _tolerant(native("convert", field=field, type=_CONVERTED[kind]))


def _gsub(options: Options, _notes: Notes) -> list[Stage]:
    values = options.texts("gsub")
    if len(values) % 3:
        raise Unsupported("gsub must have a field, a pattern and a replacement in turn")
    stages = []
    for field, pattern, replacement in zip(values[::3], values[1::3], values[2::3], strict=True):
        if "%{" in pattern or "%{" in replacement:
            raise Unsupported("gsub with a reference has no counterpart")
        expression = portable(pattern).replace("(?m)", "(?dm)", 1)
        stages.append(
            _tolerant(native("gsub", field=dotted(field), pattern=expression, replacement=_replacement(replacement)))
        )
    return stages


def _replacement(text: str) -> str:
    """The references to groups of Ruby (a backslash and a digit) as those of Java."""
    result = re.sub(r"\\([0-9])", "\0\\1", text)
    if "\\" in result:
        raise Unsupported("the replacement has a backslash that is no reference to a group")
    return result.replace("$", r"\$").replace("\0", "$")


def _each(function: str, option: str) -> Callable[[Options, Notes], list[Stage]]:
    def convert(options: Options, _notes: Notes) -> list[Stage]:
        return [_tolerant(native(function, field=dotted(field))) for field in options.texts(option)]

    return convert


def _split(options: Options, _notes: Notes) -> list[Stage]:
    stages = []
    for field, separator in options.pairs("split"):
        if not isinstance(separator, str) or separator in ("", " ") or "\\" in separator:
            raise Unsupported("this separator of split has another meaning in Ruby")
        stages.append(_tolerant(native("split", field=dotted(field), separator=_literal(separator))))
    return stages


def _literal(text: str) -> str:
    """A regular expression of Java that finds this text."""
    return re.sub(r"([\[\](){}.*+?^$|])", r"\\\1", text)


def _join(options: Options, _notes: Notes) -> list[Stage]:
    pairs = options.pairs("join")
    if any(not isinstance(separator, str) for _, separator in pairs):
        raise Unsupported("the separator of join must be a text")
    return [_tolerant(native("join", field=dotted(field), separator=separator)) for field, separator in pairs]


def _field(value: Any) -> str:
    if not isinstance(value, str):
        raise Unsupported("the new name must be a text")
    return dotted(value)


_ORDER = {
    "rename": _rename,
    "update": _update,
    "replace": _replace,
    "convert": _convert,
    "gsub": _gsub,
    "uppercase": _each("uppercase", "uppercase"),
    "lowercase": _each("lowercase", "lowercase"),
    "strip": _each("trim", "strip"),
    "split": _split,
    "join": _join,
    "copy": _copy,
}
"""The order in which Logstash runs the operations of one `mutate`, whatever the order of the text is."""
