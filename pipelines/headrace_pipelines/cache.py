"""A bounded cache with a validity key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

K = TypeVar("K", bound="Hashable")
V = TypeVar("V")


class BoundedCache(Generic[K, V]):
    """Holds at most `size` entries; a further one replaces the oldest. Not for use from several threads at once."""

    __slots__ = ("_entries", "_first", "_second", "_size", "get")

    def __init__(self, size: int) -> None:
        self._size = size
        self._entries: dict[K, V] = {}
        self.get: Callable[[K], V | None] = self._entries.get
        """Gives the entry of a key, if there is one; bound once, since a method would cost each request more."""
        self._first: object = None
        self._second: object = None

    def valid_for(self, first: object, second: object = None) -> BoundedCache[K, V]:
        """This cache, emptied unless the objects are those of the last call: entries follow from them alone."""
        if self._first is not first or self._second is not second:
            self._entries.clear()
            self._first, self._second = first, second
        return self

    def set(self, key: K, value: V) -> None:
        """Adds or replaces an entry."""
        entries = self._entries
        if len(entries) >= self._size and key not in entries:
            del entries[next(iter(entries))]
        entries[key] = value

    def __len__(self) -> int:
        return len(self._entries)
