"""From index expressions to the concrete names that associations are kept under, by cached cluster metadata.

Rules: design "Which pipelines apply" (docs/pipelines.md). Expressions are only read here; what is forwarded stays as
the client wrote it. The view is at most a second old, and read anew when a name is not in it, so that an alias made a
moment ago is not taken for an index without a pipeline.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Protocol

from pipelines.association import Target
from pipelines.errors import RegistryError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

FRESH_SECONDS = 1.0
AGAIN_SECONDS = 0.05
REMEMBERED = 1024
"""So many expressions are remembered for as long as a view lives."""


class Metadata(Protocol):
    """Where the view comes from."""

    async def resolve(self) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """The answers of `GET /_alias` and `GET /_data_stream`."""
        ...

    async def templates(self) -> dict[str, Any]:
        """The cluster's index templates (`index`), legacy ones (`legacy`), and when indexes were `created`."""
        ...

    async def expand(self, expression: str) -> list[str]:
        """What the cluster makes of a date-math name."""
        ...


@dataclass(frozen=True)
class Templates:
    """What the cluster's templates say of names: (patterns, priority, keys from weak to strong); creation dates."""

    index: list[tuple[list[str], int, list[str]]] = field(default_factory=list)
    legacy: list[tuple[list[str], int, list[str]]] = field(default_factory=list)
    created: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, answer: dict[str, Any]) -> Templates:
        """From the cluster's answers."""
        index = []
        for shown in answer["index"]:
            template = shown["index_template"]
            components = [f"component:{name}" for name in template.get("composed_of") or []]
            keys = [*components, f"index:{shown['name']}"]
            index.append((template["index_patterns"], int(template.get("priority") or 0), keys))
        legacy = [
            (template["index_patterns"], int(template.get("order") or 0), [f"legacy:{name}"])
            for name, template in answer["legacy"].items()
        ]
        return cls(index, legacy, answer["created"])

    def concerning(self, name: str) -> list[str]:
        """Keys of the templates that an index of this name is created under, strongest first.

        Of index templates that of the highest priority alone counts, with its components; where there is none, all
        legacy ones that match, by their order.
        """
        fitting = [t for t in self.index if any(fnmatchcase(name, pattern) for pattern in t[0])]
        if fitting:
            return max(fitting, key=lambda t: t[1])[2][::-1]
        old = [t for t in self.legacy if any(fnmatchcase(name, pattern) for pattern in t[0])]
        return [key for t in sorted(old, key=lambda t: -t[1]) for key in t[2]]


@dataclass(frozen=True)
class View:
    """Names of the cluster: indexes, aliases with indexes and write index, data streams with backing indexes."""

    indexes: frozenset[str] = frozenset()
    aliases: dict[str, list[str]] = field(default_factory=dict)
    write_indexes: dict[str, str] = field(default_factory=dict)
    streams: dict[str, list[str]] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)
    """The data stream of each backing index."""
    templates: Templates | None = None
    _read: dict[str, list[Target] | None] = field(default_factory=dict, compare=False)
    """What [`read_by`] has said."""

    @classmethod
    def of(cls, aliases: dict[str, Any], streams: list[dict[str, Any]], templates: Templates | None = None) -> View:
        """From the cluster's answers."""
        behind: dict[str, list[str]] = {}
        write: dict[str, str] = {}
        for index, shown in aliases.items():
            for alias, options in shown["aliases"].items():
                behind.setdefault(alias, []).append(index)
                if options.get("is_write_index"):
                    write[alias] = index
        for alias, indexes in behind.items():
            if len(indexes) == 1:
                write.setdefault(alias, indexes[0])
        backing = {s["name"]: [i["index_name"] for i in s["indices"]] for s in streams}
        owners = {index: stream for stream, indexes in backing.items() for index in indexes}
        return cls(frozenset(aliases), behind, write, backing, owners, templates)

    def knows(self, name: str) -> bool:
        """Whether the name is an index, an alias or a data stream."""
        return name in self.indexes or name in self.aliases or name in self.streams

    def concrete(self, name: str) -> list[str]:
        """The indexes behind a plain name; an unknown name stands for itself."""
        if name in self.streams:
            return [name, *self.streams[name]]
        return sorted(self.aliases.get(name, [name]))

    def target(self, name: str) -> Target:
        """An index or data stream, with what its associations depend on."""
        if self.templates is None:
            return Target(name)
        writes = self.streams[name][-1] if self.streams.get(name) else name
        created = self.templates.created.get(writes) if name in self.streams or name in self.indexes else None
        return Target(name, created, self.templates.concerning(name))

    def matching(self, pattern: str) -> list[str]:
        """The indexes behind a wildcard; dot names only for patterns that begin with a dot."""
        found: list[str] = []
        for name in (*self.indexes, *self.aliases, *self.streams):
            if fnmatchcase(name, pattern) and (pattern.startswith(".") or not name.startswith(".")):
                found += self.concrete(name)
        return found

    def behind(self, parts: Iterable[str]) -> list[str]:
        """The indexes behind the parts of an expression, date math resolved: names, wildcards, exclusions."""
        found: dict[str, None] = {}
        for part in parts:
            if part.startswith("-") and found:
                for name in self._one(part[1:]):
                    found.pop(name, None)
            else:
                found.update(dict.fromkeys(self._one(part)))
        return list(found)

    def _one(self, part: str) -> list[str]:
        if ":" in part:
            return []
        if part == "_all":
            return self.matching("*")
        return self.matching(part) if "*" in part else self.concrete(part)

    def write_index(self, name: str) -> str:
        """The index that a write to `name` goes to; the name of a data stream stays."""
        return name if name in self.streams else self.write_indexes.get(name, name)

    def owner(self, index: str) -> Target:
        """An index, or the data stream that it is of."""
        return self.target(self.owners.get(index, index))

    def owners_of(self, indexes: Iterable[str]) -> list[Target]:
        """Each index, or the data stream that it is of, once."""
        return [self.target(name) for name in dict.fromkeys(self.owners.get(index, index) for index in indexes)]

    def read_by(self, expression: str) -> list[Target] | None:
        """What a search over `expression` reads; `None` where this view does not know all of its names."""
        if expression not in self._read:
            if len(self._read) >= REMEMBERED:
                self._read.clear()
            parts = parts_of(expression)
            dated = any(part.startswith(("<", "-<")) for part in parts)
            known = not dated and all(map(self.knows, plain_names(parts)))
            self._read[expression] = self.owners_of(self.behind(parts)) if known else None
        return self._read[expression]

    def written_by(self, name: str) -> list[Target] | None:
        """The same for a write to `name`."""
        return [self.owner(self.write_index(name))] if self.knows(name) else None


def parts_of(expression: str) -> list[str]:
    """An index expression at its commas; an empty one means all indexes."""
    return [part for part in expression.split(",") if part] or ["_all"]


def plain_names(parts: Iterable[str]) -> list[str]:
    """Those parts of an expression that are names of indexes, aliases or data streams."""
    return [p for p in parts if "*" not in p and p != "_all" and not p.startswith(("-", "<"))]


class IndexResolver:
    """Resolves expressions; asks the cluster only when an answer depends on it."""

    def __init__(self, metadata: Metadata, wants_templates: Callable[[], bool] = lambda: False) -> None:
        self._metadata = metadata
        self._wants_templates = wants_templates
        self._view = View()
        self._read_at = float("-inf")
        self._turn = asyncio.Lock()

    def forget(self) -> None:
        """To be called when a request may have changed indexes or aliases."""
        self._read_at = float("-inf")

    @property
    def fresh(self) -> View | None:
        """The view at hand, while it is no older than a second and complete."""
        old = time.monotonic() - self._read_at > FRESH_SECONDS
        return None if old or (self._view.templates is None and self._wants_templates()) else self._view

    async def view(self, names: Iterable[str] = ()) -> View:
        """A view no older than a second that knows `names`, if the cluster does. Raises RegistryError."""
        age = time.monotonic() - self._read_at
        unknown = any(not self._view.knows(name) for name in names)
        unknown = unknown or (self._view.templates is None and self._wants_templates())
        if age > FRESH_SECONDS or (unknown and age > AGAIN_SECONDS):
            before = self._read_at
            async with self._turn:
                if self._read_at == before:
                    await self._read()
        return self._view

    async def _read(self) -> None:
        try:
            aliases, streams = await self._metadata.resolve()
            templates = Templates.of(await self._metadata.templates()) if self._wants_templates() else None
        except RegistryError:
            if self._read_at == float("-inf") and not self._view.indexes:
                raise
            return
        view = View.of(aliases, streams, templates)
        if view != self._view:
            # Else what has been made of it stays known.
            self._view = view
        self._read_at = time.monotonic()

    async def write_index(self, name: str) -> str:
        """The index that a write to `name` goes to: of an alias its write index, of a data stream its own name."""
        if name.startswith("<"):
            name = (await self._metadata.expand(name))[0]
        return (await self.view([name])).write_index(name)

    async def write_target(self, name: str) -> Target:
        """The index or data stream that a write to `name` goes to, with what its associations depend on."""
        view = self.fresh
        known = view.written_by(name) if view is not None else None
        if known is not None:
            return known[0]
        index = await self.write_index(name)
        return (await self.view([index])).owner(index)

    async def targets(self, expression: str) -> list[Target]:
        """The indexes and data streams that a search over `expression` reads; backing indexes as their data stream."""
        view = self.fresh
        known = view.read_by(expression) if view is not None else None
        if known is not None:
            return known
        indexes = await self.concrete(expression)
        return self._view.owners_of(indexes)

    async def members(self, name: str) -> list[str]:
        """The names that the hits of an index or data stream carry."""
        view = await self.view([name])
        return view.streams.get(name) or [name]

    async def concrete(self, expression: str) -> list[str]:
        """The indexes that a search over `expression` reads: lists, wildcards, exclusions, aliases, data streams.

        Remote clusters and unknown names are left out or stand for themselves; no association reaches them by accident.
        """
        parts = await self._without_date_math(parts_of(expression))
        return (await self.view(plain_names(parts))).behind(parts)

    async def _without_date_math(self, parts: list[str]) -> list[str]:
        """`<logs-{now/d}>` as the index that it stands for today, by the cluster's clock."""
        out: list[str] = []
        for part in parts:
            mark = "-" if part.startswith("-<") else ""
            dated = part.removeprefix(mark).startswith("<")
            out += [mark + name for name in await self._metadata.expand(part.removeprefix(mark))] if dated else [part]
        return out
