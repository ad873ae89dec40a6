"""The names that the cluster has at one moment: indexes, aliases, data streams; and the templates that concern them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from headrace.protocol.indices.expressions import Resolution, matcher, resolve
from headrace.protocol.indices.options import READ, IndicesOptions, split_expression
from headrace_pipelines.registry.association import Target

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_RESOLUTIONS = 1024
"""Maximum number of expressions whose meaning one view keeps."""
MAX_KEY = 512
"""Maximum length in characters of an expression whose meaning is kept: longer ones rarely come again."""


class Index(NamedTuple):
    """State and visibility of an index. `state` is `open` or `closed`."""

    state: str = "open"
    hidden: bool = False


class AliasOptions(NamedTuple):
    """What an alias does to searches of one of its indexes. `filter`: a query; `written`: the routing of documents."""

    filter: Any = None
    routing: str | None = None
    hidden: bool = False
    written: str | None = None


_Template = tuple[list[str], int, list[str]]


class _Said(msgspec.Struct):
    """What the body of a template says of names."""

    index_patterns: list[str] | str
    priority: int | None = None
    order: int | None = None
    composed_of: list[str] | None = None


@dataclass(frozen=True)
class Templates:
    """What the cluster's templates say of names: (patterns, priority, keys from weak to strong); creation dates."""

    index: list[_Template] = field(default_factory=list)
    legacy: list[_Template] = field(default_factory=list)
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

    def with_template(self, kind: str, name: str, body: bytes) -> Templates:
        """With a template of this body in place of the one so called; without any, where the body says too little.

        A component template changes nothing here: it is known by its name.
        """
        if kind == "component":
            return self
        try:
            said = msgspec.json.decode(body, type=_Said)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return Templates(created=self.created)
        patterns = [said.index_patterns] if isinstance(said.index_patterns, str) else said.index_patterns
        kept = self.without(kind, [name])
        if kind == "legacy":
            return replace(kept, legacy=[*kept.legacy, (patterns, said.order or 0, [f"legacy:{name}"])])
        keys = [*(f"component:{each}" for each in said.composed_of or []), f"index:{name}"]
        return replace(kept, index=[*kept.index, (patterns, said.priority or 0, keys)])

    def without(self, kind: str, names: list[str]) -> Templates:
        """Without the templates of a kind whose names match one of these patterns."""

        def left(templates: list[_Template]) -> list[_Template]:
            return [t for t in templates if not any(matcher(f"{kind}:{each}")(t[2][-1]) for each in names)]

        return replace(self, index=left(self.index), legacy=left(self.legacy))

    def keys(self, name: str) -> list[str]:
        """Keys of an index template and its components, strongest first; empty for one that is not there."""
        return next((keys[::-1] for _, _, keys in self.index if keys[-1] == f"index:{name}"), [])

    def concerning(self, name: str) -> list[str]:
        """Keys of the templates that an index of this name is created under, strongest first.

        Of index templates that of the highest priority alone counts, with its components; where there is none, all
        legacy ones that match, by their order.
        """
        fitting = [t for t in self.index if any(matcher(pattern)(name) for pattern in t[0])]
        if fitting:
            return max(fitting, key=lambda t: t[1])[2][::-1]
        old = [t for t in self.legacy if any(matcher(pattern)(name) for pattern in t[0])]
        return [key for t in sorted(old, key=lambda t: -t[1]) for key in t[2]]


@dataclass(frozen=True)
class Reading:
    """What a search over an expression reads, with what associations depend on."""

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
class View:
    """Names of the cluster. `aliases`: by alias, the indexes behind it; `streams`: backing indexes, the last writes."""

    indexes: dict[str, Index] = field(default_factory=dict)
    aliases: dict[str, dict[str, AliasOptions]] = field(default_factory=dict)
    write_indexes: dict[str, str] = field(default_factory=dict)
    streams: dict[str, list[str]] = field(default_factory=dict)
    templates: Templates | None = None
    registry: str = ""
    """The name of the registry's own index."""
    _readings: dict[tuple[str, IndicesOptions], Reading] = field(default_factory=dict, compare=False)

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
        """What a search over `expression` reads, which has no date math. Raises MissingIndexError."""
        key = (expression, options)
        reading = self._readings.get(key)
        if reading is None:
            parts = split_expression(expression)
            resolution = resolve(self, parts, options)
            remote = next((part for part in parts if ":" in part), "")
            registry = self.registry in resolution.indexes
            reading = Reading(resolution, self.owners_of(resolution.indexes), registry, remote)
            if len(expression) <= MAX_KEY:
                if len(self._readings) >= MAX_RESOLUTIONS:
                    self._readings.clear()
                self._readings[key] = reading
        return reading

    def write_index(self, name: str) -> str:
        """The index that a write to `name` goes to; the name of a data stream stays."""
        return name if name in self.streams else self.write_indexes.get(name, name)

    def written_by(self, name: str) -> Target | None:
        """The same with what associations depend on; `None` where this view does not know the name."""
        return self.owner(self.write_index(name)) if self.knows(name) else None


def _list(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)
