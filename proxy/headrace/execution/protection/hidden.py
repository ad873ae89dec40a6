"""The fields that a result pipeline hides, and every other field of a mapping that holds the same values."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

UNFIT, UNFIT_PATHS = "_unfit", "_fields"
"""How the targets of `fit_mapping` begin, and how the lists of paths beside them end."""
FLAT_OBJECT_PARTS = ("_value", "_valueAndPath")
"""Sub-fields of a `flat_object`, which hold the values of all its keys."""


@dataclass(frozen=True, slots=True)
class HiddenFields:
    """Names of fields, and patterns of names. `names` is sorted; `parents` are the objects that hold any of them."""

    names: tuple[str, ...] = ()
    exact: frozenset[str] = frozenset()
    patterns: tuple[str, ...] = ()
    parents: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.names)

    @classmethod
    def of(cls, names: Iterable[str]) -> HiddenFields:
        """These names and patterns, without a mapping."""
        every = sorted({name for name in names if name})
        exact = frozenset(name for name in every if "*" not in name)
        parents = {parent for name in every for parent in _above(name)}
        return cls(tuple(every), exact, tuple(n for n in every if "*" in n), frozenset(parents))

    def covers(self, field: str) -> bool:
        """Whether reading `field` (a name or a wildcard pattern) can show a hidden value.

        It does where `field` is hidden, is below a hidden object, or is an object above a hidden field.
        """
        if not self.names:
            return False
        if field in self.exact or field in self.parents:
            return True
        if "*" in field or self.patterns:
            return self._matches(field)
        at = field.find(".")
        while at >= 0:
            if field[:at] in self.exact:
                return True
            at = field.find(".", at + 1)
        return False

    def _matches(self, field: str) -> bool:
        """By patterns: any name that both allow, or that one allows and the other has above or below it."""
        return any(
            meet(field, name) or meet(field, f"{name}.*") or any(meet(field, above) for above in _above(name))
            for name in self.names
        )

    @property
    def sources(self) -> list[str]:
        """The entries for `_source.excludes` that leave every hidden field out."""
        return [each for name in self.names for each in (name, f"{name}.*")]


def _above(name: str) -> Iterator[str]:
    """The objects that hold a field; of a pattern, those that it names."""
    at = name.find(".")
    while at >= 0 and "*" not in name[:at]:
        yield name[:at]
        at = name.find(".", at + 1)


@lru_cache(maxsize=4096)
def meet(left: str, right: str) -> bool:
    """Whether some text matches both patterns, in which `*` is any text."""
    states = {(0, 0)}
    seen = set(states)
    while states:
        i, j = states.pop()
        if i == len(left) and j == len(right):
            return True
        for step in _steps(left, right, i, j):
            if step not in seen:
                seen.add(step)
                states.add(step)
    return False


def _steps(left: str, right: str, i: int, j: int) -> Iterator[tuple[int, int]]:
    left_star, right_star = left[i : i + 1] == "*", right[j : j + 1] == "*"
    if left_star:
        yield i + 1, j
        if j < len(right) and not right_star:
            yield i, j + 1
    if right_star:
        yield i, j + 1
        if i < len(left) and not left_star:
            yield i + 1, j
    if not left_star and not right_star and i < len(left) and j < len(right) and left[i] == right[j]:
        yield i + 1, j + 1


def hidden_fields(names: Iterable[str], mappings: Iterable[Mapping[str, Any]]) -> HiddenFields:
    """`names` with every field that repeats their values: multi-fields, aliases, `copy_to` targets, derived fields.

    A mapping is the object with `properties` as `GET /{index}/_mapping` answers it. Multi-fields and the fields of
    objects are below their name, and so are covered by it. A derived field's script may read any field: all are hidden.
    """
    found = {_plain(name) for name in names} - {""}
    if not found:
        return HiddenFields()
    fields = [each for mapping in mappings for each in _fields(mapping)]
    patterns = [name for name in found if "*" in name]
    found |= {path for path, _ in fields if any(meet(path, pattern) for pattern in patterns)}
    found |= {path for path, field in fields if field.get("type") == "derived" or _holds_any(path)}
    while True:
        covered = HiddenFields.of(found)
        more = {right for path, field in fields for right in _repeated(path, field, covered)}
        if more <= found:
            return covered
        found |= more


def _holds_any(path: str) -> bool:
    """Whether a field holds values of any other field: what did not fit the mapping (the built-in `fit_mapping`)."""
    return path.startswith(UNFIT) and not path.endswith(UNFIT_PATHS)


def _plain(name: str) -> str:
    """A name without positions in lists (`people.0.ssn`, `people[0].ssn`), which the mapping does not know."""
    parts = name.replace("[*]", "").replace("[", ".").replace("]", "").split(".")
    return ".".join(part for part in parts if part and not part.isdigit())


def _fields(mapping: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each field with its full name; derived ones have the type `derived`."""
    yield from _properties("", mapping.get("properties"))
    derived = mapping.get("derived")
    if isinstance(derived, dict):
        yield from ((name, {"type": "derived"}) for name in derived)


def _properties(prefix: str, properties: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if not isinstance(properties, dict):
        return
    for name, field in properties.items():
        if isinstance(field, dict):
            yield prefix + name, field
            yield from _properties(f"{prefix}{name}.", field.get("properties"))


def _repeated(path: str, field: Mapping[str, Any], hidden: HiddenFields) -> Iterator[str]:
    """Names of other fields that show what is hidden, because of this field."""
    kind = field.get("type")
    if kind == "alias":
        target = field.get("path")
        if isinstance(target, str) and hidden.covers(target):
            yield path
    elif kind == "flat_object" and hidden.covers(path):
        yield from (f"{path}.{part}" for part in FLAT_OBJECT_PARTS)
    elif _is_below(path, hidden):
        targets = field.get("copy_to") or []
        yield from [targets] if isinstance(targets, str) else targets


def _is_below(path: str, hidden: HiddenFields) -> bool:
    """Whether the field itself is hidden, not merely an object above a hidden field."""
    return (hidden.covers(path) and path not in hidden.parents) or path in hidden.exact
