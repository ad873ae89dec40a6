"""A bounded cache with a validity key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Hashable

K = TypeVar("K", bound="Hashable")
V = TypeVar("V")


class BoundedCache(Generic[K, V]):
    """Holds at most `size` entries; a further one replaces the oldest. Not for use from several threads at once."""

    __slots__ = ("_entries", "_size", "_validity")

    def __init__(self, size: int) -> None:
        self._size = size
        self._entries: dict[K, V] = {}
        self._validity: tuple[object, ...] = ()

    def valid_for(self, *objects: object) -> BoundedCache[K, V]:
        """This cache, emptied unless `objects` are the ones of the last call: entries follow from them alone."""
        validity = self._validity
        if len(validity) != len(objects) or any(a is not b for a, b in zip(validity, objects, strict=True)):
            self._entries.clear()
            self._validity = objects
        return self

    def get(self, key: K) -> V | None:
        """The entry of a key, if there is one."""
        return self._entries.get(key)

    def set(self, key: K, value: V) -> None:
        """Adds or replaces an entry."""
        entries = self._entries
        if len(entries) >= self._size and key not in entries:
            del entries[next(iter(entries))]
        entries[key] = value

    def __len__(self) -> int:
        return len(self._entries)
