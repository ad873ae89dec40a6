"""Pipelines as YAML with comments: the text that a person goes on to edit."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from headrace.project.tools.migration.model import Comment, nothing, stages_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headrace.project.tools.migration.model import Item

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")
_WORDS = frozenset("null true false yes no on off y n".split())  # noqa: SIM905
_UNPRINTABLE = re.compile("[\x7f-\x9f\u2028\u2029\ufeff]")


def written(fields: dict[str, Any], items: list[Item]) -> str:
    """The text of a pipeline file: its fields, then its stages with the comments in their places."""
    lines = [f"{key}: {scalar(value)}" for key, value in fields.items()]
    lines.append("stages:")
    kept = items if stages_of(items) else [*items, nothing()]
    lines += _items(kept, "  ")
    return "\n".join(lines) + "\n"


def scalar(value: Any) -> str:
    """A value in one line: plain where YAML 1.1 and 1.2 read the same text, else as JSON."""
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    text = json.dumps(value, ensure_ascii=False).replace("${var:", "$${var:")
    return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _items(items: list[Item], indent: str) -> Iterator[str]:
    for item in items:
        if isinstance(item, Comment):
            for line in item.text.splitlines() or [""]:
                yield f"{indent}# {_UNPRINTABLE.sub('?', line)}".rstrip()
        else:
            lines = list(_members(item, indent + "  "))
            yield f"{indent}- {lines[0].lstrip()}"
            yield from lines[1:]


def _members(value: dict[str, Any], indent: str) -> Iterator[str]:
    for key, member in value.items():
        name = scalar(key)
        if key in ("stages", "on_failure") and isinstance(member, list):
            yield f"{indent}{name}:"
            yield from _items(member, indent + "  ")
        elif isinstance(member, dict) and member:
            yield f"{indent}{name}:"
            yield from _members(member, indent + "  ")
        else:
            yield f"{indent}{name}: {scalar(member)}"
