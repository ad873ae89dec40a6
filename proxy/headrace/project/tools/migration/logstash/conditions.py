"""Conditions of Logstash in CEL."""

from __future__ import annotations

import json
import re
from typing import Any

from headrace.project.tools.migration.logstash.parser import Operation, Reference, Regex
from headrace.project.tools.migration.logstash.patterns import portable
from headrace.project.tools.migration.model import Unsupported

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_RESERVED = frozenset(
    (
        "as",
        "break",
        "const",
        "continue",
        "else",
        "false",
        "for",
        "function",
        "if",
        "import",
        "in",
        "let",
        "loop",
        "package",
        "namespace",
        "null",
        "return",
        "true",
        "var",
        "void",
        "while",
    )
)
"""Words that CEL reserves."""
_FLIPPED = {"==": "==", "!=": "!=", "<": ">", ">": "<", "<=": ">=", ">=": "<="}


def cel(node: Any) -> str:
    """The condition in CEL. A missing field makes a comparison false, as in Logstash. Raises Unsupported."""
    if isinstance(node, Reference):
        return f"({path(node)} != null && {path(node)} != false)"
    if not isinstance(node, Operation):
        raise Unsupported("the condition is a constant")
    if node.name in ("and", "or"):
        joined = (" && " if node.name == "and" else " || ").join(cel(part) for part in node.operands)
        return f"({joined})"
    if node.name == "not":
        return f"!({cel(node.operands[0])})"
    if node.name in ("nand", "xor"):
        if len(node.operands) > 2:
            raise Unsupported(f"the condition has several {node.name}: set parentheses")
        left, right = (cel(part) for part in node.operands)
        return f"!({left} && {right})" if node.name == "nand" else f"(({left}) != ({right}))"
    if node.name == "mixed":
        raise Unsupported("the condition mixes operators: set parentheses")
    return _comparison(node.name, *node.operands)


def path(reference: Reference) -> str:
    """A field of the document in CEL; null where it is missing. Raises Unsupported for metadata of Logstash."""
    if reference.path[0] == "@metadata":
        raise Unsupported("[@metadata] belongs to Logstash: a document has no such field")
    text = "doc"
    for part in reference.path:
        plain = _NAME.fullmatch(part) and part not in _RESERVED
        text += f".{part}" if plain else f"[{json.dumps(part, ensure_ascii=False)}]"
    return text


def _comparison(name: str, left: Any, right: Any) -> str:
    if name == "in":
        return _member(left, right)
    if name in ("=~", "!~"):
        return _match(name, left, right)
    if not isinstance(left, Reference) and isinstance(right, Reference):
        left, right, name = right, left, _FLIPPED[name]
    if not isinstance(left, Reference):
        raise Unsupported("the condition compares constants")
    value = path(right) if isinstance(right, Reference) else _constant(right)
    if name in ("==", "!="):
        return f"{path(left)} {name} {value}"
    guards = [f"{path(each)} != null" for each in (left, right) if isinstance(each, Reference)]
    return f"({' && '.join(guards)} && {path(left)} {name} {value})"


def _constant(value: Any) -> str:
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            raise Unsupported("a number of the condition is too large")
        return json.dumps(value, ensure_ascii=False)
    raise Unsupported("the condition compares with something that is no text and no number")


def _member(left: Any, right: Any) -> str:
    if isinstance(left, Reference) and isinstance(right, list):
        return f"{path(left)} in [{', '.join(_constant(value) for value in right)}]"
    if isinstance(left, str) and isinstance(right, Reference):
        field, text = path(right), _constant(left)
        return f"({field} != null && (type({field}) == list ? {text} in {field} : {field}.contains({text})))"
    raise Unsupported("this form of [in] has no counterpart")


def _match(name: str, left: Any, right: Any) -> str:
    if not isinstance(left, Reference) or not isinstance(right, Regex | str):
        raise Unsupported("the condition matches something that is no field")
    pattern = portable(right.pattern if isinstance(right, Regex) else right)
    found = f"(type({path(left)}) == string && {path(left)}.matches({json.dumps(pattern, ensure_ascii=False)}))"
    return found if name == "=~" else f"!{found}"
