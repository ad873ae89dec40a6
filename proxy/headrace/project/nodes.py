"""The tree of a YAML text: nodes with their positions, from PyYAML's events.

The tree is made without recursion, so that a file of nothing but brackets ends in an error. JSON is read by the same
reader, for its positions.
"""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from headrace.project.problems import Problem, ProjectError

if TYPE_CHECKING:
    from collections.abc import Iterator

DEEPEST = 200
"""Maximum nesting of a file: it bounds recursion, and definitions nest far less."""
_LOADER = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")
_BREAKS = {0x85: 0xF0085, 0x2028: 0xF2028, 0x2029: 0xF2029}
"""Characters that end lines in YAML 1.1 alone, and what stands for them while PyYAML reads."""
_NOT_BREAKS = {value: key for key, value in _BREAKS.items()}
_PART = re.compile(r"\[(\d+)\]|\.?([^.\[\]]+)|\.|\[|\]")


class Position(NamedTuple):
    """A position in a file, from 1."""

    line: int
    column: int


@dataclass(eq=False, slots=True)
class Node:
    """A value of a file. `start` and `end`: offsets in the text; `tag`: what the file says, or nothing.

    `alias`: it is written somewhere else, and here is `*NAME`.
    """

    at: Position
    start: int
    end: int
    tag: str | None
    alias: bool = field(default=False, kw_only=True)


@dataclass(eq=False, slots=True)
class Scalar(Node):
    """A text, quoted (`plain` is false) or not."""

    text: str
    plain: bool


@dataclass(eq=False, slots=True)
class Items(Node):
    """A list; `flow`: in brackets."""

    flow: bool
    items: list[Node] = field(default_factory=list)


@dataclass(eq=False, slots=True)
class Members(Node):
    """A mapping, as pairs in the order of the file; `flow`: in braces."""

    flow: bool
    pairs: list[tuple[Node, Node]] = field(default_factory=list)


def compose(text: str, name: str, *, is_json: bool = False) -> Node | None:
    """The root of a text that holds one document; `None` for an empty one. Raises ProjectError with the position."""
    if is_json:
        # Where JSON is no YAML: tabs, and characters in two escapes. Nothing moves by this.
        text = _SURROGATE.sub(r"\\u0020", text.replace("\t", " "))
    text = text.translate(_BREAKS)
    try:
        return _Composer(name, text).root(yaml.parse(text, Loader=_LOADER))
    except yaml.MarkedYAMLError as error:
        raise _unreadable(error, name) from None
    except yaml.YAMLError as error:
        raise ProjectError([Problem(file=name, reason=f"is not YAML: {error}")]) from None


class _Composer:
    """Builds the tree with a stack of what is open."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.text = text
        self.anchors: dict[str, Node] = {}
        self.open: list[Items | Members] = []
        self.keys: list[Node | None] = []
        self.names: list[str | None] = []
        self.found: Node | None = None

    def root(self, events: Iterator[Any]) -> Node | None:
        documents = 0
        for event in events:
            if isinstance(event, ScalarEvent | SequenceStartEvent | MappingStartEvent):
                self.node(event)
            elif isinstance(event, SequenceEndEvent | MappingEndEvent):
                self.close(event)
            elif isinstance(event, AliasEvent):
                self.alias(event)
            elif isinstance(event, DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise self.error(event, "holds more than one document", "write one file for each of them")
        return self.found

    def node(self, event: Any) -> None:
        mark = event.start_mark
        end = event.end_mark.index
        if isinstance(event, ScalarEvent) and event.style in ("|", ">"):
            # PyYAML's end of a block is where the next token begins.
            end = mark.index + len(self.text[mark.index : end].rstrip())
        options = (Position(mark.line + 1, mark.column + 1), mark.index, end, event.tag)
        node: Node
        if isinstance(event, ScalarEvent):
            node = Scalar(*options, event.value.translate(_NOT_BREAKS), not event.style)
        elif isinstance(event, SequenceStartEvent):
            node = Items(*options, bool(event.flow_style))
        else:
            node = Members(*options, bool(event.flow_style))
        if event.anchor is not None and not isinstance(node, Scalar):
            # It is not there for itself: an alias inside of it finds nothing.
            self.anchors.pop(event.anchor, None)
        elif event.anchor is not None:
            self.anchors[event.anchor] = node
        self.add(node)
        if isinstance(node, Items | Members):
            if len(self.open) >= DEEPEST:
                raise self.error(event, f"is nested deeper than {DEEPEST}")
            self.open.append(node)
            self.keys.append(None)
            self.names.append(event.anchor)

    def alias(self, event: Any) -> None:
        if event.anchor not in self.anchors:
            raise self.error(event, f"alias [{event.anchor}] names nothing that ends before it")
        node = copy.copy(self.anchors[event.anchor])
        mark = event.start_mark
        node.at, node.alias = Position(mark.line + 1, mark.column + 1), True
        node.start, node.end = mark.index, event.end_mark.index
        self.add(node)

    def add(self, node: Node) -> None:
        if not self.open:
            self.found = node
            return
        parent = self.open[-1]
        if isinstance(parent, Items):
            parent.items.append(node)
        elif self.keys[-1] is None:
            self.keys[-1] = node
        else:
            parent.pairs.append((self.keys[-1], node))
            self.keys[-1] = None

    def close(self, event: Any) -> None:
        node = self.open.pop()
        self.keys.pop()
        anchor = self.names.pop()
        if anchor is not None:
            self.anchors[anchor] = node
        children = node.items if isinstance(node, Items) else [value for _, value in node.pairs]
        # The end of a block is where the next token begins: that of its last part is nearer.
        node.end = event.end_mark.index if node.flow or not children else children[-1].end

    def error(self, event: Any, reason: str, hint: str = "") -> ProjectError:
        mark = event.start_mark
        problem = Problem(file=self.name, line=mark.line + 1, column=mark.column + 1, reason=reason, hint=hint)
        return ProjectError([problem])


def _unreadable(error: yaml.MarkedYAMLError, name: str) -> ProjectError:
    mark = error.problem_mark or error.context_mark
    reason = error.problem or error.context or "unreadable"
    hint = "indent with spaces, and quote text that begins with a special character" if "token" in reason else ""
    line, column = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
    return ProjectError([Problem(file=name, line=line, column=column, reason=f"is not YAML: {reason}", hint=hint)])


def split(path: str) -> list[str | int]:
    """The parts of a path: `stages[0].config` is `["stages", 0, "config"]`."""
    return [int(number) if number else word for number, word in _PART.findall(path) if number or word]


def step(node: Node, parts: list[str | int]) -> tuple[Node | None, Node, int] | None:
    """Key and value of the next part of a path, and how many parts they are: a key may have dots in it."""
    first = parts[0]
    if isinstance(node, Items):
        return (None, node.items[first], 1) if isinstance(first, int) and first < len(node.items) else None
    if not isinstance(node, Members):
        return None
    keys = {key.text: (key, value) for key, value in node.pairs if isinstance(key, Scalar)}
    for count in range(len(parts), 0, -1):
        found = keys.get(".".join(str(part) for part in parts[:count]))
        if found is not None:
            return *found, count
    return None


def walk(node: Node | None, path: str) -> tuple[Node | None, Node | None, bool]:
    """Key and value at a path, or of its last part that exists; and whether all of it exists."""
    key, parts = None, split(path)
    while parts and node is not None:
        found = step(node, parts)
        if found is None:
            return key, node, False
        key, node, used = found
        parts = parts[used:]
    return key, node, node is not None
