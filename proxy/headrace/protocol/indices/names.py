"""The names of a cluster at one moment: indexes, aliases and data streams."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple


class Index(NamedTuple):
    """State and visibility of an index. `state` is `open` or `closed`."""

    state: str = "open"
    hidden: bool = False


class AliasOptions(NamedTuple):
    """The options of an alias for one of its indexes. `filter`: a query; `written`: the routing of documents."""

    filter: Any = None
    routing: str | None = None
    hidden: bool = False
    written: str | None = None


@dataclass(frozen=True)
class Names:
    """Names of the cluster. `aliases`: by alias, the indexes behind it; `streams`: backing indexes, the last writes."""

    indexes: dict[str, Index] = field(default_factory=dict)
    aliases: dict[str, dict[str, AliasOptions]] = field(default_factory=dict)
    write_indexes: dict[str, str] = field(default_factory=dict)
    streams: dict[str, list[str]] = field(default_factory=dict)

    @cached_property
    def names(self) -> list[str]:
        """All names, in order."""
        return sorted({*self.indexes, *self.aliases, *self.streams})

    @cached_property
    def owners(self) -> dict[str, str]:
        """The data stream of each backing index."""
        return {index: stream for stream, indexes in self.streams.items() for index in indexes}

    @cached_property
    def _aliases_of(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for alias, indexes in self.aliases.items():
            for index in indexes:
                found.setdefault(index, []).append(alias)
        return found

    def aliases_of(self, index: str) -> list[str]:
        """The aliases of an index."""
        return self._aliases_of.get(index, [])

    def knows(self, name: str) -> bool:
        """Whether the name is an index, an alias or a data stream."""
        return name in self.indexes or name in self.aliases or name in self.streams

    def behind(self, name: str) -> list[str]:
        """The indexes behind a plain name; an unknown name stands for itself."""
        if name in self.streams:
            return self.streams[name]
        return list(self.aliases[name]) if name in self.aliases else [name]

    def hidden(self, name: str) -> bool:
        """Whether a wildcard passes the name by: a hidden index, an alias that is hidden on all of its indexes."""
        if name in self.aliases:
            return all(options.hidden for options in self.aliases[name].values())
        return name in self.indexes and self.indexes[name].hidden

    @cached_property
    def narrowing(self) -> frozenset[str]:
        """The aliases that filter or route searches, so that their indexes do not say the same as their names."""
        return frozenset(
            alias
            for alias, indexes in self.aliases.items()
            if any(options.filter is not None or options.routing is not None for options in indexes.values())
        )
