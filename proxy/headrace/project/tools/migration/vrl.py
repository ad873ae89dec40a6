"""The plain statements of VRL, the language of Vector's `remap`, as stages."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headrace.project.tools.migration.model import (
    CONVERTED,
    DEEPEST,
    Comment,
    Finding,
    Item,
    Stage,
    Unsupported,
    composite,
    native,
)

if TYPE_CHECKING:
    from collections.abc import Callable

_PATH = r"(?:\.[A-Za-z_@][A-Za-z0-9_@]*)+"
_STRING = r'"(?:[^"\\]|\\["\\nt])*"'
_CONSTANT = rf"{_STRING}|-?[0-9]{{1,18}}(?:\.[0-9]{{1,18}})?|true|false"
_MOST_LINES = 2000
"""Maximum of lines of a program: each may become a stage."""
_CALLS = {
    "downcase": ("lowercase", {}),
    "upcase": ("uppercase", {}),
    "strip_whitespace": ("trim", {}),
    "to_int": ("convert", {"type": "long"}),
    "to_float": ("convert", {"type": "double"}),
    "to_string": ("convert", {"type": "string"}),
    "to_bool": ("convert", {"type": "boolean"}),
}
_NOTES = {
    "to_int": "only whole numbers are read; Vector also reads booleans, fractions and null",
    "to_float": "only numbers are read; Vector also reads booleans and null",
    "to_string": "Vector also makes null the empty text",
    "to_bool": "only true and false are read; Vector also reads t, yes, y, 1, numbers and null",
}
_BARE = re.compile(rf"{_STRING}|[srt]'(?:[^'\\\\]|\\\\.)*'")
_SET = re.compile(rf"({_PATH}) = ({_CONSTANT})")
_COPY = re.compile(rf"({_PATH}) = ({_PATH})")
_DELETE = re.compile(rf"del\(({_PATH})\)")
_CALL = re.compile(rf"({_PATH}) = ({'|'.join(_CALLS)})!?\(({_PATH})\)")
_TO_STRING = re.compile(rf"string!\(({_PATH})\)")
_JSON_ROOT = re.compile(r"\. (?:\|=|=) (?:object!\()?parse_json!\((?:string!\()?(\.[A-Za-z_]\w*)\)*")
_JSON = re.compile(rf"({_PATH}) = parse_json!\(({_PATH})\)")
_TEST = re.compile(rf"(!?)exists\(({_PATH})\)|({_PATH}) (==|!=) ({_CONSTANT})")


@dataclass
class _Line:
    text: str
    number: int


class Program:
    """A program: its stages in order, with findings for every statement. `first`: the line of its first statement."""

    def __init__(self, source: str, first: int) -> None:
        self.lines = [_Line(_code(text), first + i) for i, text in enumerate(source.split("\n"))]
        self.position = 0
        self.findings: list[Finding] = []
        if len(self.lines) > _MOST_LINES:
            raise Unsupported(f"the program has more than {_MOST_LINES} lines")
        for line in self.lines:
            if set(_BARE.sub("", line.text)) & {'"', "'"}:
                raise Unsupported("a text goes over several lines", line=line.number)
            if "${" in line.text:
                raise Unsupported("the program names an environment variable", line=line.number)

    def items(self, depth: int = 0) -> list[Item]:
        """The stages up to the end of the block, and comments for what is left."""
        result: list[Item] = []
        while self.position < len(self.lines):
            line = self.lines[self.position]
            self.position += 1
            if line.text == "}" and depth:
                return result
            if line.text.startswith("}"):
                raise Unsupported("a block with else has no conversion")
            if line.text:
                result += self.statement(line, depth)
        if depth:
            raise Unsupported("a block has no end")
        return result

    def statement(self, line: _Line, depth: int) -> list[Item]:
        """The stages of a statement. One that is not understood is left whole, with its block."""
        start, count = self.position, len(self.findings)
        try:
            if line.text.startswith("if ") and line.text.endswith("{"):
                return self.branch(line, depth)
            stage, reason = _plain(line.text)
        except Unsupported as error:
            del self.findings[count:]
            self.position = start
            return [self.left(line, error)]
        self.findings.append(Finding(line=line.number, part=line.text, status=CONVERTED, reason=reason))
        return [stage]

    def branch(self, line: _Line, depth: int) -> list[Item]:
        """`if condition { … }` without `else`."""
        if depth >= DEEPEST:
            raise Unsupported("blocks are nested too deep")
        condition = condition_of(line.text[2:-1].strip())
        items = self.items(depth + 1)
        self.findings.append(Finding(line=line.number, part=line.text, status=CONVERTED))
        stage = composite(f"if-{line.number}", items)
        if all(isinstance(item, Comment) for item in items):
            return items
        return [{"name": stage["name"], "type": stage["type"], "if": condition, **stage}]

    def left(self, line: _Line, error: Unsupported) -> Comment:
        """The comment for a statement up to the line that closes its brackets."""
        lines, depth = [line], _opened(line.text)
        while depth > 0 and self.position < len(self.lines):
            lines.append(self.lines[self.position])
            depth += _opened(lines[-1].text)
            self.position += 1
        self.findings.append(
            Finding(line=line.number, part=line.text, status=error.status, reason=error.reason),
        )
        text = "\n".join(each.text for each in lines[:40])
        return Comment(f"line {line.number}: {error.status}: {error.reason}\n{text}")


def condition_of(text: str) -> str:
    """The condition in CEL: tests of fields, joined by && or by ||. Raises Unsupported."""
    for operator in (" && ", " || "):
        parts = text.split(operator)
        if len(parts) > 1 or operator == " || ":
            found = [_TEST.fullmatch(part.strip()) for part in parts]
            if all(found):
                return operator.join(_test(each) for each in found if each)
    raise Unsupported("the condition has another form than exists(.field), .field == constant, && or ||")


def _test(found: re.Match[str]) -> str:
    if found[2]:
        return f"{_cel(found[2])} {'==' if found[1] else '!='} null"
    return f"{_cel(found[3])} {found[4]} {json.dumps(_constant(found[5]), ensure_ascii=False)}"


def _plain(text: str) -> tuple[Stage, str]:
    """The stage of a statement, and what differs."""
    for pattern, convert in _FORMS.items():
        if found := pattern.fullmatch(text):
            return convert(found)
    raise Unsupported("this form of a statement has no conversion")


def _set(found: re.Match[str]) -> tuple[Stage, str]:
    value = _constant(found[2])
    if isinstance(value, str) and "{{" in value:
        raise Unsupported("the text contains {{, which begins a template here")
    return native("set", field=_field(found[1]), value=value), ""


def _copy(found: re.Match[str]) -> tuple[Stage, str]:
    parameters = {"source_field": _field(found[2]), "target_field": _field(found[1])}
    note = "a missing field leaves the target alone; Vector makes it null"
    return native("copy", **parameters, ignore_missing=True, override_target=True), note


def _call(found: re.Match[str]) -> tuple[Stage, str]:
    function, more = _CALLS[found[2]]
    target, source = _field(found[1]), _field(found[3])
    where = {"target_field": target} if target != source else {}
    return native(function, field=source, **more, **where), _NOTES.get(found[2], "")


def _json_root(found: re.Match[str]) -> tuple[Stage, str]:
    if found[0].count("(") != found[0].count(")") or found[0].startswith(". ="):
        raise Unsupported("only `. |= parse_json!(.field)` keeps the other fields")
    return native("json", field=_field(found[1]), add_to_root=True), ""


def _json(found: re.Match[str]) -> tuple[Stage, str]:
    target, source = _field(found[1]), _field(found[2])
    return native("json", field=source, target_field=target), ""


def _delete(found: re.Match[str]) -> tuple[Stage, str]:
    return native("remove", field=_field(found[1]), ignore_missing=True), ""


def _field(path: str) -> str:
    field = path[1:]
    if field.split(".")[0] in ("_ctx", "_index", "_id", "_routing", "_ingest"):
        raise Unsupported(f"the name of the field has another meaning here: {field}")
    return field


def _cel(path: str) -> str:
    return "doc" + "".join(f"[{json.dumps(part)}]" for part in path[1:].split("."))


def _constant(text: str) -> Any:
    return json.loads(text)


def _code(text: str) -> str:
    """A line without a comment at its end; `string!(.a)` inside a call is the field itself, as both fail alike."""
    code = re.sub(rf"^((?:[^\"#]|{_STRING})*)#.*$", r"\1", text.strip()).strip()
    return _TO_STRING.sub(r"\1", code) if "(string!" in code else code


def _opened(text: str) -> int:
    bare = _BARE.sub("", text)
    return sum(bare.count(each) for each in "({[") - sum(bare.count(each) for each in ")}]")


_FORMS: dict[re.Pattern[str], Callable[[re.Match[str]], tuple[Stage, str]]] = {
    _SET: _set,
    _COPY: _copy,
    _DELETE: _delete,
    _CALL: _call,
    _JSON_ROOT: _json_root,
    _JSON: _json,
    re.compile("abort"): lambda _: (native("drop"), ""),
}
