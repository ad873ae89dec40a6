"""The options of a plugin: each is read by the conversion that knows it, and the rest is reported."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from headrace.project.tools.migration.logstash.parser import Hash, Plugin, reference
from headrace.project.tools.migration.model import Unsupported

if TYPE_CHECKING:
    from collections.abc import Iterator

_IGNORED = frozenset(("id", "enable_metric"))
"""Options of every plugin that change nothing in a document."""
_SPRINTF = re.compile(r"%\{([^}]*)\}")
_VARIABLE = re.compile(r"\$\{[A-Za-z_]")


class Options:
    """The options of a plugin, by name. `finish` raises Unsupported for those that no conversion has read."""

    def __init__(self, plugin: Plugin) -> None:
        self.values: dict[str, tuple[Any, int]] = {}
        for name, value, line in plugin.options:
            if name in self.values:
                raise Unsupported(f"the option [{name}] is there twice", line=line)
            _refuse_variables(value, line)
            self.values[name] = (value, line)
        for name in _IGNORED:
            self.values.pop(name, None)

    def raw(self, name: str, default: Any = None) -> Any:
        """The value of an option, which counts as read."""
        return self.values.pop(name, (default, 0))[0]

    def text(self, name: str, default: str = "") -> str:
        """A text, without references."""
        value = self.raw(name, default)
        if not isinstance(value, str) or _SPRINTF.search(value):
            raise Unsupported(f"the option [{name}] must be a text without references")
        return value

    def field(self, name: str, default: str = "") -> str:
        """A dotted path of a field; empty where the option is absent."""
        text = self.text(name, default)
        return dotted(text) if text else ""

    def flag(self, name: str, *, default: bool) -> bool:
        """A boolean."""
        value = self.raw(name, default)
        words = {"true": True, "false": False}
        if isinstance(value, bool):
            return value
        if value not in words:
            raise Unsupported(f"the option [{name}] must be true or false")
        return words[value]

    def texts(self, name: str, default: tuple[str, ...] = ()) -> list[str]:
        """A list of texts; one text is a list of it."""
        value = self.raw(name, list(default))
        values = value if isinstance(value, list) and not isinstance(value, Hash) else [value]
        if any(not isinstance(each, str) for each in values):
            raise Unsupported(f"the option [{name}] must hold texts")
        return values

    def pairs(self, name: str) -> list[tuple[str, Any]]:
        """The entries of a hash, also in the older form of a list of names and values in turn."""
        value = self.raw(name, Hash())
        if isinstance(value, Hash):
            return [(key, each) for key, each, _ in value]
        if not isinstance(value, list) or len(value) % 2 or any(not isinstance(key, str) for key in value[::2]):
            raise Unsupported(f"the option [{name}] must be a hash")
        return list(zip(value[::2], value[1::2], strict=True))

    def finish(self) -> None:
        """Raises Unsupported for options that are left."""
        if self.values:
            name, (_, line) = next(iter(self.values.items()))
            raise Unsupported(f"the option [{name}] has no counterpart", line=line)


def dotted(text: str) -> str:
    """`[a][b]` or `a` as a dotted path. Raises Unsupported for metadata of Logstash and for references."""
    if "%{" in text:
        raise Unsupported(f"the name of a field contains a reference: {text}")
    parts = reference(text).path
    if parts[0] == "@metadata":
        raise Unsupported("[@metadata] belongs to Logstash: a document has no such field")
    if any(part in ("", "_ctx", "_index", "_id", "_routing", "_ingest") for part in parts):
        raise Unsupported(f"the name of the field has another meaning here: {text}")
    return ".".join(parts)


def template(value: Any) -> tuple[Any, list[str]]:
    """A value whose `%{field}` are templates, and the fields that it reads. Raises Unsupported for dates."""
    if isinstance(value, int | float):
        return value, []
    if not isinstance(value, str):
        raise Unsupported("the value must be a text or a number")
    if "{{" in value:
        raise Unsupported("the value contains {{, which begins a template here")
    fields: list[str] = []

    def replaced(found: re.Match[str]) -> str:
        if found[1].startswith("+") or not found[1]:
            raise Unsupported(f"the reference {found[0]} is a date: use the built-in date with output_format")
        fields.append(dotted(found[1]))
        return f"{{{{{{{fields[-1]}}}}}}}"

    return _SPRINTF.sub(replaced, value), fields


def _texts_in(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, tuple | list):
        for each in value:
            yield from _texts_in(each)


def _refuse_variables(value: Any, line: int) -> None:
    if any(_VARIABLE.search(text) for text in _texts_in(value)):
        raise Unsupported("the value names an environment variable: write the value, or ${secret:NAME}", line=line)
