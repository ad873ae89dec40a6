"""The names that the cluster has at one moment: indexes, aliases, data streams; and the templates that concern them."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from headrace.protocol.indices.expressions import Resolution, resolve
from headrace.protocol.indices.names import AliasOptions, Index, Names
from headrace.protocol.indices.options import READ, IndicesOptions, split_expression
from headrace_pipelines.cache import BoundedCache
from headrace_pipelines.registry.association import Target

if TYPE_CHECKING:
    from collections.abc import Iterable

    from headrace.protocol.indices.templates import Templates

MAX_RESOLUTIONS = 1024
"""Maximum number of expressions whose meaning one view keeps."""
MAX_KEY = 512
"""Maximum length in characters of an expression whose meaning is kept: longer ones rarely come again."""


@dataclass(frozen=True)
class Reading:
    """The indexes that a search over an expression reads, with the facts that associations depend on."""

    resolution: Resolution
    targets: tuple[Target, ...]
    """Each index, or the data stream that it is of, once."""
    registry: bool = False
    """Whether the registry's own index is among them."""
    remote: str = ""
    """A name of a remote cluster's index, if the expression has one."""

    @property
    def expression(self) -> str | None:
        """Names that say exactly what was resolved; `None` where names cannot."""
        forwarded = self.resolution.forwarded
        return None if forwarded is None else ",".join(forwarded)


@dataclass(frozen=True)
class View(Names):
    """Names of the cluster, with the templates that concern them and what expressions over them read."""

    templates: Templates | None = None
    registry: str = ""
    """The name of the registry's own index."""
    _readings: BoundedCache[tuple[str, IndicesOptions], Reading] = field(
        default_factory=partial(BoundedCache, MAX_RESOLUTIONS), compare=False
    )

    @classmethod
    def of(
        cls, aliases: dict[str, Any], names: dict[str, Any], templates: Templates | None = None, registry: str = ""
    ) -> View:
        """From the answers of `GET /_alias` and `GET /_resolve/index/*`, both over indexes in every state."""
        behind: dict[str, dict[str, AliasOptions]] = {}
        write: dict[str, str] = {}
        for index, shown in aliases.items():
            for alias, options in shown["aliases"].items():
                routing = options.get("search_routing")
                hidden, written = bool(options.get("is_hidden")), options.get("index_routing")
                said = AliasOptions(options.get("filter"), routing, hidden, written)
                behind.setdefault(alias, {})[index] = said
                if options.get("is_write_index"):
                    write[alias] = index
        for alias, indexes in behind.items():
            if len(indexes) == 1:
                write.setdefault(alias, next(iter(indexes)))
        found = {index: Index() for index in aliases}
        for each in names["indices"]:
            attributes = each.get("attributes", ())
            state = "closed" if "closed" in attributes else "open"
            found[each["name"]] = Index(state, "hidden" in attributes)
        streams = {each["name"]: _list(each["backing_indices"]) for each in names["data_streams"]}
        return cls(dict(sorted(found.items())), behind, write, streams, templates, registry)

    def target(self, name: str) -> Target:
        """An index or data stream, with what its associations depend on."""
        if self.templates is None:
            return Target(name)
        writes = self.streams[name][-1] if self.streams.get(name) else name
        created = self.templates.created.get(writes) if name in self.streams or name in self.indexes else None
        return Target(name, created, self.templates.concerning(name))

    def owner(self, index: str) -> Target:
        """An index, or the data stream that it is of."""
        return self.target(self.owners.get(index, index))

    def owners_of(self, indexes: Iterable[str]) -> tuple[Target, ...]:
        """Each index, or the data stream that it is of, once."""
        return tuple(map(self.target, dict.fromkeys(self.owners.get(index, index) for index in indexes)))

    def read(self, expression: str, options: IndicesOptions = READ) -> Reading:
        """The reading of an expression without date math. Raises MissingIndexError."""
        key = (expression, options)
        reading = self._readings.get(key)
        if reading is None:
            parts = split_expression(expression)
            resolution = resolve(self, parts, options)
            remote = next((part for part in parts if ":" in part), "")
            registry = self.registry in resolution.indexes
            reading = Reading(resolution, self.owners_of(resolution.indexes), registry, remote)
            if len(expression) <= MAX_KEY:
                self._readings.set(key, reading)
        return reading

    def write_index(self, name: str) -> str:
        """The index that a write to `name` goes to; the name of a data stream stays."""
        return name if name in self.streams else self.write_indexes.get(name, name)

    def written_by(self, name: str) -> Target | None:
        """The same with what associations depend on; `None` where this view does not know the name."""
        return self.owner(self.write_index(name)) if self.knows(name) else None


def _list(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)
