"""The manifest that a Python UDF declares with the decorator `headrace.udf.udf`, read without running the code."""

from __future__ import annotations

import ast
import warnings
from typing import Any

from headrace.project.problems import Problem, ProjectError

DECORATOR = "udf"
TEXTS = ("name", "version", "description", "returns", "category", "author", "tags", "fields")
FACTS = (*TEXTS, "merge", "metadata", "isolation", "view")
LIMITS = ("timeout", "memory", "fuel")
_TYPES = {"str": "string", "int": "integer", "float": "number", "bool": "boolean", "dict": "object", "list": "array"}
"""The declared type of a parameter by the annotation of its field."""
_NO_DEFAULT = object()


def declared(source: str, file: str) -> dict[str, Any]:
    """The fields of the manifest in the decorator's arguments; empty without the decorator, or for no Python.

    Raises ProjectError with the position of an argument that is no constant, or of a parameter of another type.
    """
    if f"@{DECORATOR}" not in source and f".{DECORATOR}(" not in source:
        return {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        # The sandbox says what is wrong.
        return {}
    for node in tree.body:
        for decorator in node.decorator_list if isinstance(node, ast.FunctionDef) else []:
            if isinstance(decorator, ast.Call) and _is_named(decorator.func):
                return _Reader(tree, file).manifest(decorator)
    return {}


def _is_named(node: ast.expr) -> bool:
    return (isinstance(node, ast.Name) and node.id == DECORATOR) or (
        isinstance(node, ast.Attribute) and node.attr == DECORATOR
    )


class _Reader:
    def __init__(self, tree: ast.Module, file: str) -> None:
        self.tree = tree
        self.file = file

    def manifest(self, call: ast.Call) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for argument in call.keywords:
            if argument.arg == "params":
                found["parameters"] = self.parameters(argument.value)
            elif argument.arg in FACTS:
                found[argument.arg] = self.constant(argument.value)
            elif argument.arg in LIMITS:
                found.setdefault("limits", {})[argument.arg] = self.constant(argument.value)
            else:
                names = ", ".join(("params", *FACTS, *LIMITS))
                raise self.error(
                    argument.value, f"[{argument.arg}] is no argument of the decorator", f"there are {names}"
                )
        return found

    def parameters(self, node: ast.expr) -> list[dict[str, Any]]:
        """The declared parameters: fields of the class that is named."""
        classes = {each.name: each for each in self.tree.body if isinstance(each, ast.ClassDef)}
        if not isinstance(node, ast.Name) or node.id not in classes:
            raise self.error(node, "params must name a class of this file")
        fields = [each for each in classes[node.id].body if isinstance(each, ast.AnnAssign)]
        return [self.parameter(each) for each in fields if isinstance(each.target, ast.Name)]

    def parameter(self, field: ast.AnnAssign) -> dict[str, Any]:
        assert isinstance(field.target, ast.Name)  # noqa: S101 - others are left out
        found: dict[str, Any] = {"name": field.target.id, "type": self.type(field.annotation)}
        default = _NO_DEFAULT if field.value is None else self.default(field.value)
        if default is _NO_DEFAULT:
            return {**found, "required": True}
        return found if default is None else {**found, "default": default}

    def type(self, node: ast.expr) -> str:
        """The JSON type of an annotation such as `str`, `list[str]` or `int | None`."""
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            sides = [each for each in (node.left, node.right) if not _is_none(each)]
            if len(sides) == 1:
                return self.type(sides[0])
        if isinstance(node, ast.Subscript):
            node = node.value
        if isinstance(node, ast.Name) and node.id in _TYPES:
            return _TYPES[node.id]
        raise self.error(node, f"is no type of a parameter; there are {', '.join(_TYPES)}")

    def default(self, node: ast.expr) -> Any:
        """A default; that of `field(default_factory=list)` is the empty value, which needs no declaration."""
        return None if isinstance(node, ast.Call) else self.constant(node)

    def constant(self, node: ast.expr) -> Any:
        try:
            return ast.literal_eval(node)
        except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
            raise self.error(node, "must be a constant: it is read without running the code") from None

    def error(self, node: ast.AST, reason: str, hint: str = "") -> ProjectError:
        line, column = getattr(node, "lineno", 1), getattr(node, "col_offset", 0) + 1
        return ProjectError([Problem(file=self.file, line=line, column=column, reason=reason, hint=hint)])


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None
