"""Attached pipelines of indexes, patterns and templates, in six slots each (docs/reference/pipelines.md).

A slot is a type of pipeline and whether it is the default one, which a request may replace, or the final one, which
nothing switches off. For every slot the nearest answer counts: the index itself, the template it was created under, the
pattern of the highest priority, the proxy's own default.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec

from headrace_pipelines.cache import BoundedCache
from headrace_pipelines.definition import DeadLetters, PipelineType, check_dead_letters
from headrace_pipelines.errors import InvalidError
from headrace_pipelines.errors.validation import explained, unknown

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

NONE = "_none"
"""In a slot: no pipeline here, whatever patterns and defaults say."""
MOST_PERIODS = 20
"""Maximum number of earlier states that a template keeps for indexes that were created under them."""
PATTERN = re.compile(r"[^\s,\"/\\|?#<>:A-Z]{1,255}")
MAX_CACHED = 4096
"""Maximum number of cached results of [`Associations.find`]."""


class Slot(NamedTuple):
    """A type of pipeline, default or final."""

    kind: PipelineType
    final: bool = False

    @property
    def field(self) -> str:
        """Its name in stored records: `query`, `query_final`."""
        return FIELDS[self]

    @property
    def setting(self) -> str:
        """Its name among an index's settings."""
        return f"index.{self.kind.value}.{'final' if self.final else 'default'}_pipeline"


FIELDS = {
    Slot(kind, final): f"{kind.value}_final" if final else kind.value
    for final in (False, True)
    for kind in PipelineType
}
"""The names of slots in stored records."""
SLOTS = tuple(Slot(kind, final) for final in (False, True) for kind in PipelineType)
DOCUMENT_FINAL = Slot(PipelineType.DOCUMENT, final=True)
QUERY_FINAL = Slot(PipelineType.QUERY, final=True)
RESULT_FINAL = Slot(PipelineType.RESULT, final=True)


class Slots(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The pipelines of something, by slot; `_none` for none."""

    document: str | None = None
    query: str | None = None
    result: str | None = None
    document_final: str | None = None
    query_final: str | None = None
    result_final: str | None = None

    def name(self, slot: Slot) -> str | None:
        """The name in the slot."""
        name: str | None = getattr(self, slot.field)
        return name

    @property
    def empty(self) -> bool:
        """Whether nothing is attached."""
        return not any(self.name(slot) for slot in SLOTS)

    @property
    def shown(self) -> dict[str, dict[str, str]]:
        """As the API shows it: `{"document": {"default_pipeline": "a"}}`."""
        out: dict[str, dict[str, str]] = {}
        for slot in SLOTS:
            if (name := self.name(slot)) is not None:
                options = "final_pipeline" if slot.final else "default_pipeline"
                out.setdefault(slot.kind.value, {})[options] = name
        return out


def merged(holders: Iterable[Slots]) -> Slots:
    """In each slot what the first holder has that has anything there."""
    found: dict[str, str] = {}
    for holder in holders:
        for slot in SLOTS:
            if (name := holder.name(slot)) is not None:
                found.setdefault(slot.field, name)
    return Slots(**found)


class Association(Slots, frozen=True, kw_only=True):
    """The pipelines of one index or data stream; of a `deleted` one they come back when it is restored."""

    index: str
    deleted: bool = False


class Pattern(Slots, frozen=True, kw_only=True):
    """The pipelines of all indexes whose names match; of several patterns the highest priority counts."""

    pattern: str
    priority: int = 0
    dead_letters: DeadLetters | None = None

    @property
    def body(self) -> dict[str, Any]:
        """As a body of the API says it, without the pattern itself."""
        body: dict[str, Any] = {"priority": self.priority, **self.shown}
        if self.dead_letters is not None:
            body["dead_letters"] = msgspec.json.decode(msgspec.json.encode(self.dead_letters))
        return body


_KEYS = {"default": False, "default_pipeline": False, "final": True, "final_pipeline": True}
"""The members of a slot's object, and whether they mean the final slot."""
_MEMBERS = ("priority", *(kind.value for kind in PipelineType), "dead_letters")
"""The members of a pattern's body."""


def pattern_of(name: str, body: object) -> Pattern:
    """A pattern from a body such as `{"priority": 5, "document": "a", "query": {"final_pipeline": "b"}}`.

    Raises InvalidError that names the field; `pattern` stands for the name itself.
    """
    if not PATTERN.fullmatch(name) or name.startswith((".", "_", "-", "+")):
        raise InvalidError(
            f"[{name}] is not an index pattern: one name in small letters, with * for any characters, "
            "that does not begin with a dot (hidden indexes are attached by name)",
            "pattern",
        )
    if not isinstance(body, dict):
        raise InvalidError("must be an object with priority, document, query, result, dead_letters")
    found: dict[str, Any] = {}
    for field_, value in body.items():
        if field_ == "priority":
            if not isinstance(value, int) or isinstance(value, bool):
                raise InvalidError("must be a whole number", "priority")
            found["priority"] = value
        elif field_ == "dead_letters":
            found["dead_letters"] = _dead_letters_of(value)
        elif field_ in (kind.value for kind in PipelineType):
            found |= _slots_of(PipelineType(field_), value)
        else:
            raise InvalidError(unknown(field_, _MEMBERS, "field"), field_)
    new = Pattern(pattern=name, **found)
    if new.empty and new.dead_letters is None:
        raise InvalidError("names no pipeline; delete the association instead")
    return new


def _dead_letters_of(value: object) -> DeadLetters | None:
    try:
        found = msgspec.convert(value, DeadLetters | None)
    except msgspec.ValidationError as error:
        raise explained(error, DeadLetters, value, root="dead_letters") from None
    if found is not None:
        check_dead_letters(found)
    return found


def _slots_of(kind: PipelineType, value: object) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, pipeline in value.items() if isinstance(value, dict) else [("default_pipeline", value)]:
        if key not in _KEYS:
            raise InvalidError(unknown(key, _KEYS, "field"), f"{kind.value}.{key}")
        if pipeline is not None and not isinstance(pipeline, str):
            raise InvalidError("must be the name of a pipeline, or null", f"{kind.value}.{key}")
        found[Slot(kind, _KEYS[key]).field] = pipeline
    return found


class Period(Slots, frozen=True, kw_only=True):
    """The slots of a template since a time, in milliseconds since the epoch by the cluster's clock."""

    since: int


TemplateKind = Literal["index", "component", "legacy"]


class Template(msgspec.Struct, frozen=True, kw_only=True):
    """A template of the cluster with its periods: an index keeps the slots in force when it was created."""

    kind: TemplateKind
    name: str
    periods: list[Period]

    @property
    def key(self) -> str:
        """`kind:name`."""
        return f"{self.kind}:{self.name}"

    @property
    def current(self) -> Slots:
        """The slots for an index that is created now."""
        return self.periods[-1] if self.periods else Slots()

    def at(self, created: int | None) -> Slots:
        """The slots of an index with this creation date; `None`: one that does not exist yet."""
        if created is None:
            return self.current
        past = [period for period in self.periods if period.since <= created]
        return past[-1] if past else Slots()

    def changed(self, slots: Slots, now: int) -> Template:
        """With other slots from now on."""
        if slots == Slots(**{s.field: self.current.name(s) for s in SLOTS}):
            return self
        period = Period(since=now, **{s.field: slots.name(s) for s in SLOTS})
        return msgspec.structs.replace(self, periods=[*self.periods, period][-MOST_PERIODS:])


class Attached(NamedTuple):
    """The pipeline of a slot by name, and why: `index`, `template`, `pattern` or `default`, with the name of that."""

    name: str
    source: str
    by: str


@dataclass(frozen=True)
class Target:
    """An index or data stream as far as associations depend on it.

    `templates`: those of the cluster that concern it, as `kind:name`, strongest first. `created` in milliseconds since
    the epoch, `None` while it does not exist.
    """

    name: str
    created: int | None = None
    templates: Sequence[str] = ()


@dataclass(frozen=True)
class Associations:
    """All of them; immutable."""

    indexes: dict[str, Association] = field(default_factory=dict)
    deleted: dict[str, Association] = field(default_factory=dict)
    """Associations of deleted indexes, for their restore."""
    patterns: list[Pattern] = field(default_factory=list)
    templates: dict[str, Template] = field(default_factory=dict)
    defaults: Slots = field(default_factory=Slots)
    _nearest_cache: BoundedCache[tuple[Slot, str], tuple[Attached | None]] = field(
        default_factory=partial(BoundedCache, MAX_CACHED), compare=False
    )
    """Results of [`find`] for indexes without templates."""

    @classmethod
    def of(
        cls,
        indexes: Iterable[Association],
        patterns: Iterable[Pattern],
        templates: Iterable[Template],
        defaults: Slots,
    ) -> Associations:
        """From the stored records and the proxy's settings."""
        held: tuple[dict[str, Association], dict[str, Association]] = ({}, {})
        for each in indexes:
            held[each.deleted][each.index] = each
        ordered = sorted(patterns, key=lambda p: (-p.priority, p.pattern))
        return cls(*held, ordered, {t.key: t for t in templates}, defaults)

    def held(self) -> set[tuple[Slot, str]]:
        """Every slot in which something is attached anywhere, with each name that it holds."""
        holders: list[Slots] = [*self.indexes.values(), *self.patterns, self.defaults]
        holders += [period for template in self.templates.values() for period in template.periods]
        named = ((slot, holder.name(slot)) for holder in holders for slot in SLOTS)
        return {(slot, name) for slot, name in named if name is not None and name != NONE}

    def bound(self, slot: Slot) -> bool:
        """Whether anything is attached in this slot, anywhere."""
        return any(held == slot for held, _ in self.held())

    @property
    def has_dead_letters(self) -> bool:
        """Whether a pattern has dead letters."""
        return any(pattern.dead_letters is not None for pattern in self.patterns)

    def dead_letters(self, index: str) -> DeadLetters | None:
        """Those of an index or data stream: of the pattern of the highest priority that says anything of them."""
        if index.startswith("."):
            return None
        for pattern in self.patterns:
            if pattern.dead_letters is not None and fnmatchcase(index, pattern.pattern):
                return pattern.dead_letters
        return None

    def find(self, slot: Slot, target: Target) -> Attached | None:
        """The pipeline of a slot of an index, the nearest holder first. Names with a dot first obey no pattern."""
        if target.templates:
            return self._nearest(slot, target)
        key = (slot, target.name)
        cached = self._nearest_cache.get(key)
        if cached is None:
            cached = (self._nearest(slot, target),)
            self._nearest_cache.set(key, cached)
        return cached[0]

    def _nearest(self, slot: Slot, target: Target) -> Attached | None:
        for name, source, by in self._candidates(slot, target):
            if name is not None:
                return None if name == NONE else Attached(name, source, by)
        return None

    def _candidates(self, slot: Slot, target: Target) -> Iterable[tuple[str | None, str, str]]:
        own = self.indexes.get(target.name)
        yield (own.name(slot) if own else None), "index", target.name
        if target.name.startswith("."):
            return
        for key in target.templates:
            if (template := self.templates.get(key)) is not None:
                yield template.at(target.created).name(slot), "template", template.name
        for pattern in self.patterns:
            if fnmatchcase(target.name, pattern.pattern):
                yield pattern.name(slot), "pattern", pattern.pattern
        yield self.defaults.name(slot), "default", "settings of this proxy"

    def settings(self, target: Target) -> Slots:
        """The slots that an index shows among its settings: its own, and those from its templates."""
        own = self.indexes.get(target.name)
        held: list[Slots] = [own] if own is not None else []
        if not target.name.startswith("."):
            found = (self.templates.get(key) for key in target.templates)
            held += [template.at(target.created) for template in found if template is not None]
        return merged(held)

    def users(self, kind: PipelineType, name: str) -> list[str]:
        """The holders that have a pipeline attached, in words."""
        slots = [slot for slot in SLOTS if slot.kind is kind]

        def uses(holder: Slots) -> bool:
            return any(holder.name(slot) == name for slot in slots)

        found = [f"index [{a.index}]" for a in self.indexes.values() if uses(a)]
        found += [f"pattern [{p.pattern}]" for p in self.patterns if uses(p)]
        found += [f"{t.kind} template [{t.name}]" for t in self.templates.values() if uses(t.current)]
        return found + (["the settings of this proxy"] if uses(self.defaults) else [])
