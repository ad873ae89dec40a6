"""The syntax tree of a Logstash pipeline configuration."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from headrace.project.tools.migration.logstash.lexer import Token, tokens
from headrace.project.tools.migration.model import DEEPEST, MigrationError

if TYPE_CHECKING:
    from collections.abc import Callable

SECTIONS = ("input", "filter", "output")
COMPARISONS = ("==", "!=", "<", ">", "<=", ">=", "=~", "!~")
_PARTS = re.compile(r"\[([^\[\]]+)\]")


@dataclass(frozen=True)
class Reference:
    """`[a][b]`: a field by its path."""

    path: tuple[str, ...]


@dataclass(frozen=True)
class Regex:
    """`/pattern/`."""

    pattern: str


@dataclass(frozen=True)
class Operation:
    """An operator with its operands; operands are operations, references, patterns, lists and constants."""

    name: str
    operands: tuple[Any, ...]


class Hash(list[tuple[str, Any, int]]):
    """The entries of a hash as `(key, value, line)`, in their order; keys may repeat."""


@dataclass
class Plugin:
    """A plugin and its options as `(name, value, line)`; `end` is its last line."""

    name: str
    line: int
    options: list[tuple[str, Any, int]] = field(default_factory=list)
    end: int = 0


@dataclass
class Branch:
    """`if … else if … else`: cases as `(condition, items, line)`; the condition of `else` is None."""

    line: int
    cases: list[tuple[Any, list[Plugin | Branch], int]] = field(default_factory=list)
    end: int = 0


def reference(text: str) -> Reference:
    """The reference of `a`, `[a]` or `[a][b]`."""
    parts = tuple(part.strip() for part in _PARTS.findall(text))
    return Reference(parts or (text,))


def parse(text: str) -> list[tuple[str, list[Plugin | Branch], int]]:
    """The sections of a configuration as `(name, items, line)`. Raises MigrationError."""
    return _Parser(tokens(text)).sections()


class _Parser:
    def __init__(self, stream: list[Token]) -> None:
        self.stream = stream
        self.position = 0
        self.depth = 0

    @property
    def head(self) -> Token:
        return self.stream[self.position]

    def next(self) -> Token:
        token = self.head
        self.position = min(self.position + 1, len(self.stream) - 1)
        return token

    def accept(self, text: str) -> bool:
        if self.head.kind in ("op", "word") and self.head.text == text:
            self.position += 1
            return True
        return False

    def expect(self, text: str) -> None:
        if not self.accept(text):
            found = f"[{self.head.text}]" if self.head.kind != "end" else "the end of the file"
            raise MigrationError(f"expects [{text}] and finds {found}", self.head.line)

    def nested(self, inner: Callable[[], Any]) -> Any:
        self.depth += 1
        if self.depth > DEEPEST:
            raise MigrationError(f"is nested deeper than {DEEPEST} levels", self.head.line)
        result = inner()
        self.depth -= 1
        return result

    def sections(self) -> list[tuple[str, list[Plugin | Branch], int]]:
        result = []
        while self.head.kind != "end":
            token = self.next()
            if token.kind != "word" or token.text not in SECTIONS:
                raise MigrationError(f"expects one of {', '.join(SECTIONS)} and finds [{token.text}]", token.line)
            result.append((token.text, self.block(), token.line))
        return result

    def block(self) -> list[Plugin | Branch]:
        self.expect("{")
        items: list[Plugin | Branch] = []
        while not self.accept("}"):
            items.append(self.nested(self.item))
        return items

    def item(self) -> Plugin | Branch:
        token = self.next()
        if token.kind not in ("word", "string"):
            found = "the end of the file" if token.kind == "end" else f"[{token.text}]"
            raise MigrationError(f"expects a plugin and finds {found}", token.line)
        return self.branch(token) if token.text == "if" and token.kind == "word" else self.plugin(token)

    def branch(self, first: Token) -> Branch:
        branch = Branch(first.line)
        branch.cases.append((self.condition(), self.block(), first.line))
        while self.head.text == "else" and self.head.kind == "word":
            line = self.next().line
            if self.accept("if"):
                branch.cases.append((self.condition(), self.block(), line))
                continue
            branch.cases.append((None, self.block(), line))
            break
        branch.end = self.stream[self.position - 1].line
        return branch

    def plugin(self, name: Token) -> Plugin:
        plugin = Plugin(name.text, name.line)
        self.expect("{")
        while not self.accept("}"):
            option = self.next()
            if option.kind not in ("word", "string", "number"):
                found = "the end of the file" if option.kind == "end" else f"[{option.text}]"
                raise MigrationError(f"expects an option and finds {found}", option.line)
            self.expect("=>")
            plugin.options.append((option.text, self.nested(self.value), option.line))
            self.accept(",")
        plugin.end = self.stream[self.position - 1].line
        return plugin

    def value(self) -> Any:
        token = self.next()
        if token.kind == "string":
            return token.text
        if token.kind == "number":
            return _number(token.text)
        if token.kind == "selector":
            return [_constant(part.strip()) for part in _PARTS.findall(token.text)]
        if token.kind == "word":
            return self.plugin(token) if self.head.text == "{" and self.head.kind == "op" else token.text
        if token == Token("op", "[", token.line):
            return self.array()
        if token == Token("op", "{", token.line):
            return self.hash()
        raise MigrationError(f"expects a value and finds [{token.text}]", token.line)

    def array(self) -> list[Any]:
        values = []
        while not self.accept("]"):
            values.append(self.nested(self.value))
            if not self.accept(","):
                self.expect("]")
                break
        return values

    def hash(self) -> Hash:
        entries = Hash()
        while not self.accept("}"):
            key = self.next()
            if key.kind not in ("string", "word", "number", "selector"):
                raise MigrationError(f"expects a key and finds [{key.text}]", key.line)
            self.expect("=>")
            entries.append((key.text, self.nested(self.value), key.line))
            self.accept(",")
        return entries

    def condition(self) -> Any:
        left = self.nested(self.term)
        parts, operators = [left], []
        while self.head.kind == "word" and self.head.text in ("and", "or", "nand", "xor"):
            operators.append(self.next().text)
            parts.append(self.nested(self.term))
        if len(set(operators)) <= 1:
            return Operation(operators[0], tuple(parts)) if operators else left
        return Operation("mixed", (*parts, *operators))

    def term(self) -> Any:
        if self.accept("!"):
            return Operation("not", (self.nested(self.term),))
        if self.accept("("):
            inner = self.condition()
            self.expect(")")
            return inner
        left = self.operand()
        if self.head.kind == "op" and self.head.text in COMPARISONS:
            return Operation(self.next().text, (left, self.operand()))
        if self.accept("in"):
            return Operation("in", (left, self.operand()))
        if self.head.text == "not" and self.head.kind == "word":
            self.next()
            self.expect("in")
            return Operation("not", (Operation("in", (left, self.operand())),))
        return left

    def operand(self) -> Any:
        token = self.head
        if token.kind == "selector":
            self.next()
            return reference(token.text)
        if token.kind == "regex":
            return Regex(self.next().text)
        return self.nested(self.value)


def _number(text: str) -> int | float:
    if len(text) > 300:
        raise MigrationError("a number has more than 300 digits")
    return float(text) if "." in text else int(text)


def _constant(text: str) -> Any:
    return _number(text) if re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", text) else text
