"""What a tap never shows: fields that masks hide, paths that the caller hides, and copies of their values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from headrace.execution import choice
from headrace.execution.protection import HiddenFields, hidden_fields
from headrace.execution.taps import patches
from headrace.protocol.indices.options import READ
from headrace_pipelines import PipelineType
from headrace_pipelines.errors import HeadraceError, MissingIndexError
from headrace_pipelines.registry.association import RESULT_FINAL, Slot

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from headrace.server.components import Components
    from headrace_pipelines.registry.association import Target

EVERYTHING = "*"
"""The pattern under which every field is hidden: of indexes that cannot be judged."""
HIDDEN = '"…"'.encode()
"""What stands in place of a value that is not shown."""
SHORT = 4
"""Characters from which on a hidden text is looked for within other texts: shorter ones are in any text."""
MAX_VALUES = 256
"""Hidden values that are looked for; of an input with more nothing is shown: each costs some 60 microseconds for a text
of 64 KiB, while other threads wait."""
RESULT_SLOTS = (Slot(PipelineType.RESULT), RESULT_FINAL)
"""The slots whose pipelines hide fields."""


async def hidden_of(components: Components, index: str) -> HiddenFields:
    """The fields of an index, or of the indexes of an expression, that masks hide; all where that cannot be judged."""
    try:
        snapshot = components.registry.snapshot
        if snapshot.bound.isdisjoint(RESULT_SLOTS):
            return HiddenFields()
        targets, indexes = await _targets(components, index)
        names: set[str] = set()
        for held in choice.assignments(snapshot, targets, RESULT_SLOTS):
            for name in held.names:
                for pipeline in snapshot.versions_met(PipelineType.RESULT, name):
                    if pipeline.definition.enabled and (held.slot.final or pipeline.protects):
                        names |= pipeline.hides
        return hidden_fields(names, await components.resolver.mappings(indexes)) if names else HiddenFields()
    except (HeadraceError, OSError):
        return HiddenFields.of([EVERYTHING])


def may_mask(components: Components) -> bool:
    """Whether any index may have a mask; true where the registry cannot be read."""
    try:
        return not components.registry.snapshot.bound.isdisjoint(RESULT_SLOTS)
    except HeadraceError:
        return True


async def _targets(components: Components, index: str) -> tuple[Iterable[Target], Iterable[str]]:
    resolver = components.resolver
    try:
        reading = resolver.current(index, READ) or await resolver.reading(index, READ)
    except MissingIndexError:
        # It may have been made by the write that is shown; it is judged by the patterns that its name meets.
        return [await resolver.write_target(index)], []
    return reading.targets, reading.resolution.indexes


@dataclass
class Concealer:
    """Leaves fields out of JSON texts; `names` are those that were left out.

    A value of such a field is left out wherever else it stands: a stage may have copied it, or is about to. With too
    many values nothing is shown.
    """

    hidden: HiddenFields
    names: set[str] = field(default_factory=set)
    _values: set[str] = field(default_factory=set)
    _present: list[str] = field(default_factory=list)

    def learn(self, text: bytes) -> None:
        """Notes the values of hidden fields in a text. Raises msgspec.DecodeError."""
        for path, value in _leaves(text, ""):
            if self.is_hidden(path) and len(value) > 1:
                self._values.add(value)
            if len(self._values) > MAX_VALUES:
                self.names.add(EVERYTHING)
                return

    def without(self, text: bytes) -> bytes:
        """A text without what is hidden. Raises msgspec.DecodeError."""
        if self._too_many:
            return b"null"
        # One search over the whole text for each value; the values that it has none of are not looked for in its parts.
        whole = "\n".join(value for _, value in _leaves(text, ""))
        self._present = [value for value in self._values if len(value) >= SHORT and value in whole]
        kept = self._kept(text, "")
        return HIDDEN if kept is None else kept

    def shows(self, value: str) -> bool:
        """Whether a text beside the documents may be shown."""
        self._present = [each for each in self._values if len(each) >= SHORT]
        return not (self._too_many or EVERYTHING in self.hidden.patterns or self._repeats(value))

    @property
    def _too_many(self) -> bool:
        return len(self._values) > MAX_VALUES

    def is_hidden(self, path: str) -> bool:
        """Whether masks hide the field, or an object that it is in."""
        hidden = self.hidden
        return hidden.covers(path) and (path in hidden.exact or path not in hidden.parents)

    def _kept(self, text: bytes, path: str) -> bytes | None:
        """A value as it may be shown; `None` for one that may not."""
        kind = text[:1]
        if kind == b"{":
            shown = {}
            for name, value in patches.members(text).items():
                below = f"{path}.{name}" if path else name
                if self.is_hidden(below):
                    self.names.add(below)
                elif (kept := self._kept(value, below)) is not None:
                    shown[name] = msgspec.Raw(kept)
            return msgspec.json.encode(shown)
        if kind == b"[":
            # Elements keep their positions: what stages make of the list is compared with them.
            kept_all = [self._kept(value, path) for value in patches.elements(text)]
            return msgspec.json.encode([msgspec.Raw(HIDDEN if each is None else each) for each in kept_all])
        return None if self._repeats(_leaf(text)) else text

    def _repeats(self, value: str) -> bool:
        """Whether a value is, or contains, one of a hidden field."""
        return value in self._values or any(each in value for each in self._present)


def _leaf(text: bytes) -> str:
    return str(msgspec.json.decode(text)) if text[:1] == b'"' else text.decode()


def _leaves(text: bytes, path: str) -> Iterator[tuple[str, str]]:
    kind = text[:1]
    if kind == b"{":
        for name, value in patches.members(text).items():
            yield from _leaves(value, f"{path}.{name}" if path else name)
    elif kind == b"[":
        for value in patches.elements(text):
            yield from _leaves(value, path)
    elif text not in (b"true", b"false", b"null"):
        yield path, _leaf(text)
