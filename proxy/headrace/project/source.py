"""YAML and JSON files of a project, with the line and the column of every value.

YAML is read by the core schema of YAML 1.2, so that it means what the same words mean in JSON: `no`, `on`, dates and
`0777` with a leading zero are not booleans, dates or octal numbers. Keys are text.
"""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any

import yaml

from headrace.project.nodes import Items, Members, Node, Position, Scalar, compose, walk
from headrace.project.problems import Problem, ProjectError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MOST_BYTES = 16 << 20
"""Maximum of bytes of a file: its nodes take about fifty times as much memory."""
MOST_VALUES = 2_000_000
"""Maximum of values of a file with aliases followed: it bounds what a small file can grow to."""
LONGEST_INTEGER = 4000
"""Maximum of digits of a whole number: Python converts no longer ones."""
_CORE = "tag:yaml.org,2002:"
_INTEGER = re.compile(r"[-+]?[0-9]+")
_BASED = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_JSON = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_WORDS: dict[str, Any] = dict.fromkeys(("", "~", "null", "Null", "NULL"))
_WORDS |= dict.fromkeys(("true", "True", "TRUE"), True) | dict.fromkeys(("false", "False", "FALSE"), False)
_BREAKS = frozenset("\x85\u2028\u2029")
"""Characters that are ends of lines in YAML 1.1, which PyYAML writes."""
_TAGGED: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "null": (type(None),),
}


class Source:
    """A file: its text, its value as JSON has it, and where each part of the value stands.

    `name`: the path relative to the directory, with `/`.
    """

    def __init__(self, name: str, text: str, node: Node | None, value: Any) -> None:
        self.name = name
        self.text = text
        self.node = node
        self.value = value

    @classmethod
    def read(cls, path: Path, name: str) -> Source:
        """The file at `path`. Raises ProjectError with the position of what cannot be read."""
        return cls.parse(read_text(path, name), name)

    @classmethod
    def parse(cls, text: str, name: str) -> Source:
        """The text of a file; JSON if the name says so. Raises ProjectError."""
        if name.endswith(".json"):
            return cls(name, text, _positions(text, name), _json(text, name))
        node = compose(text, name)
        return cls(name, text, node, _Reader(name).value(node))

    def find(self, field: str) -> Node | None:
        """The node at a path; `None` where the file has none."""
        _, node, whole = walk(self.node, field)
        return node if whole else None

    def locate(self, field: str, *, key: bool = False) -> Position:
        """The position of the value at a path such as `stages[0].config`, or of its key.

        A path that leads further than the file has the position of its last part that exists.
        """
        name, node, whole = walk(self.node, field)
        if key and whole and name is not None:
            return name.at
        return node.at if node is not None else Position(1, 1)

    def problem(self, reason: str, field: str = "", hint: str = "", *, key: bool = False) -> Problem:
        """A problem at a path of this file."""
        line, column = self.locate(field, key=key)
        return Problem(file=self.name, line=line, column=column, field=field, reason=reason, hint=hint)


def read_text(path: Path, name: str) -> str:
    """The text of a file. Raises ProjectError for one that is too large, unreadable or not UTF-8."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ProjectError([Problem(file=name, reason=f"the file has more than {MOST_BYTES} bytes")])
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ProjectError([Problem(file=name, reason=f"the file is not UTF-8: {error.reason}")]) from None
    except OSError as error:
        raise ProjectError([Problem(file=name, reason=f"cannot be read: {error.strerror}")]) from None


class _Reader:
    """Makes JSON values of nodes. Raises ProjectError for what JSON has no value for."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.left = MOST_VALUES

    def value(self, node: Node | None) -> Any:
        if node is None:
            return None
        self.left -= 1
        if self.left < 0:
            raise self.error(node, f"the file has more than {MOST_VALUES} values, aliases followed")
        if isinstance(node, Scalar):
            return self.scalar(node)
        if node.tag not in (None, "!", _CORE + ("seq" if isinstance(node, Items) else "map")):
            raise self.error(node, f"has the tag [{node.tag}], for which JSON has no value", "remove the tag")
        if isinstance(node, Items):
            return [self.value(each) for each in node.items]
        return dict(self.members(node)) if isinstance(node, Members) else None

    def members(self, node: Members) -> Iterator[tuple[str, Any]]:
        keys: dict[str, Node] = {}
        for key, value in node.pairs:
            if not isinstance(key, Scalar):
                raise self.error(key, "a key must be text")
            if key.text == "<<" and key.plain:
                raise self.error(key, "merge keys are not of YAML 1.2", "write the members out")
            if key.text in keys:
                line = keys[key.text].at.line
                raise self.error(key, f"key [{key.text}] is there twice, first in line {line}")
            keys[key.text] = key
            yield key.text, self.value(value)

    def scalar(self, node: Scalar) -> Any:
        if (node.tag is None and not node.plain) or node.tag in ("!", f"{_CORE}str"):
            return node.text
        found = plain(node.text)
        if found is _REFUSED:
            raise self.error(node, f"[{node.text}] is a number that JSON does not have")
        kind = (node.tag or "").removeprefix(_CORE)
        if node.tag is None or isinstance(found, _TAGGED.get(kind, ())):
            return found
        raise self.error(node, f"has the tag [{node.tag}], for which JSON has no value", "remove the tag")

    def error(self, node: Node, reason: str, hint: str = "") -> ProjectError:
        line, column = node.at
        return ProjectError([Problem(file=self.name, line=line, column=column, reason=reason, hint=hint)])


_REFUSED = object()


def plain(text: str) -> Any:
    """The value of a text without quotes, by the core schema of YAML 1.2."""
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text) if len(text) <= LONGEST_INTEGER else _REFUSED
    if _BASED.fullmatch(text):
        return int(text[2:], 8 if text[1] == "o" else 16)
    if _FLOAT.fullmatch(text):
        number = float(text)
        return number if math.isfinite(number) else _REFUSED
    return _REFUSED if _NOT_JSON.fullmatch(text) else text


def _positions(text: str, name: str) -> Node | None:
    """The nodes of a JSON text; `None` where it is no YAML either: keys of more than 1,024 characters."""
    try:
        return compose(text, name, is_json=True)
    except ProjectError:
        return None


class _TwiceError(Exception):
    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


class _Dumper(yaml.SafeDumper):
    """Quotes what YAML 1.2 reads as something else than text, or PyYAML would break; writes no anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text_node(dumper: _Dumper, text: str) -> yaml.Node:
    style = '"' if plain(text) != text or not _BREAKS.isdisjoint(text) else None
    if style is None and "\n" in text:
        style = '"' if text.startswith((" ", "\n")) or text.endswith("\n\n") else "|"
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style)


_Dumper.add_representer(str, _text_node)


def dump(value: Any, *, flow: bool = False, width: int = 1 << 30) -> str:
    """A JSON value as YAML that `Source` reads as the same value, in blocks or in one line, without a line end."""
    text = yaml.dump(value, Dumper=_Dumper, default_flow_style=flow, sort_keys=False, allow_unicode=True, width=width)
    return str(text).rstrip("\n").removesuffix("\n...")


def _json(text: str, name: str) -> Any:
    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            names = [key for key, _ in pairs]
            raise _TwiceError(next(key for key in names if names.count(key) > 1))
        return found

    def refused(word: str) -> Any:
        raise ProjectError([Problem(file=name, reason=f"[{word}] is a number that JSON does not have")])

    try:
        return json.loads(text, object_pairs_hook=members, parse_constant=refused)
    except json.JSONDecodeError as error:
        problem = Problem(file=name, line=error.lineno, column=error.colno, reason=f"is not JSON: {error.msg}")
        raise ProjectError([problem]) from None
    except _TwiceError as error:
        line, column = _second(text, error.key, name)
        problem = Problem(file=name, line=line, column=column, reason=f"key [{error.key}] is there twice")
        raise ProjectError([problem]) from None
    except (RecursionError, ValueError) as error:
        raise ProjectError([Problem(file=name, reason=f"is not JSON: {error}")]) from None


def _second(text: str, key: str, name: str) -> Position:
    """The position of the second member of a name in one object of a JSON text."""
    root = _positions(text, name)
    waiting = [root] if root is not None else []
    while waiting:
        each = waiting.pop()
        if isinstance(each, Members):
            found = [name for name, _ in each.pairs if isinstance(name, Scalar) and name.text == key]
            if len(found) > 1:
                return found[1].at
            waiting += [value for _, value in each.pairs]
        elif isinstance(each, Items):
            waiting += each.items
    return Position(1, 1)
