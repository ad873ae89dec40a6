"""From index expressions to the concrete names that associations are kept under, by cached cluster metadata.

The view is at most a second old. It is read for each request while another request may change names, when a name is
not in it, and before a wildcard is resolved after a write that may have created an index: a new index must not pass
for one without a pipeline.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Any, Protocol

from headrace.protocol.indices.options import READ, IndicesOptions, split_expression
from headrace.protocol.indices.templates import Templates
from headrace.protocol.indices.view import Reading, View
from headrace_pipelines.errors import RegistryError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Sequence

    from headrace_pipelines.registry.association import Target

FRESH_SECONDS = 1.0
"""Seconds after which a view is read anew: the longest that a change made past this process goes unseen."""
AHEAD_SECONDS = 0.75
"""Seconds after which a view that a decision is made by is read anew beside the requests, so that few have to wait."""
MAX_MAPPINGS = 1000
"""Maximum number of indexes whose mappings are kept: one may have a megabyte."""
MAPPINGS_AT_ONCE = 20
"""Number of indexes in one request for mappings: their names, of 255 bytes at most, fit a request line."""
AGAIN_SECONDS = 0.05
"""Seconds between two reads for names that are not there, so that a client that asks for such names costs little."""


class Metadata(Protocol):
    """Where the view comes from."""

    async def resolve(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The answers of `GET /_alias` and `GET /_resolve/index/*` over indexes in every state."""
        ...

    async def templates(self) -> dict[str, Any]:
        """The cluster's index templates (`index`), legacy ones (`legacy`), and when indexes were `created`."""
        ...

    async def expand(self, expression: str) -> list[str]:
        """The indexes behind a date-math name, by the cluster's clock."""
        ...

    async def mappings(self, names: str) -> dict[str, Any]:
        """The answer of `GET /{names}/_mapping`."""
        ...

    async def version(self) -> str:
        """Changes whenever indexes, aliases or data streams do."""
        ...


def named(parts: Iterable[str]) -> list[str]:
    """Those parts of an expression that are names of indexes, aliases or data streams."""
    return [p for p in parts if "*" not in p and p != "_all" and not p.startswith(("-", "<"))]


def dated(part: str) -> bool:
    """Whether a part of an expression is date math."""
    return part.startswith("<") and part.endswith(">")


def expands(parts: Sequence[str]) -> bool:
    """Whether an expression has a wildcard, so that an index that is new may belong to it."""
    return not parts or "_all" in parts or any("*" in part for part in parts)


class IndexResolver:
    """Resolves expressions; asks the cluster only when an answer depends on it."""

    def __init__(
        self, metadata: Metadata, wants_templates: Callable[[], bool] = lambda: False, registry: str = ""
    ) -> None:
        self._metadata = metadata
        self._registry = registry
        self._wants_templates = wants_templates
        self._view = View()
        self._read_at = float("-inf")
        self._version = ""
        self._writes = self._verified = 0
        self._changes = 0
        self._changing = 0
        self.tell_others: Callable[[], AbstractAsyncContextManager[None]] = nullcontext
        """The context in which other workers read names anew, while a request may change them."""
        self._mappings: dict[str, dict[str, Any]] = {}
        self._mapped_at = float("-inf")
        self._turn = asyncio.Lock()
        self._begun = self._latest = 0
        """The number of reads that have begun, and which of them the view is of."""
        self._ahead: asyncio.Task[None] | None = None

    def forget(self) -> None:
        """Marks the view as outdated, after a request that may have changed indexes or aliases."""
        self._changes += 1
        self._read_at = self._mapped_at = float("-inf")

    @asynccontextmanager
    async def changing(self, *, told: bool = False) -> AsyncIterator[None]:
        """Takes no view for fresh while a request may change names, here and, if they are `told`, in other workers."""
        self._changing += 1
        try:
            async with self.tell_others() if told else nullcontext():
                yield
        finally:
            self._changing -= 1
            self.forget()

    def suspect(self) -> None:
        """Says that an index may have been made, by a write to a name that nobody looked at."""
        self._writes += 1

    @property
    def _suspected(self) -> bool:
        return self._writes != self._verified

    @property
    def fresh(self) -> View | None:
        """The view at hand, while it is no older than a second and complete."""
        old = self._changing or time.monotonic() - self._read_at > FRESH_SECONDS
        return None if old or (self._view.templates is None and self._wants_templates()) else self._view

    def read_ahead(self) -> None:
        """Has a view that soon is outdated read anew; nobody waits for it, and it does not fail."""
        if time.monotonic() - self._read_at > AHEAD_SECONDS and (self._ahead is None or self._ahead.done()):
            self._ahead = asyncio.get_running_loop().create_task(self._read_quietly())

    async def _read_quietly(self) -> None:
        # The next one who waits for a view meets the error.
        with suppress(Exception):
            await self._read()

    def close(self) -> None:
        """Ends what is read beside the requests."""
        if self._ahead is not None:
            self._ahead.cancel()

    def current(self, expression: str, options: IndicesOptions = READ) -> Reading | None:
        """The reading of `expression` by the view at hand; `None` if that may be outdated. Raises MissingIndexError."""
        view = self.fresh
        if view is None:
            return None
        parts = split_expression(expression)
        if any(part.startswith("<") for part in parts) or (self._suspected and expands(parts)):
            return None
        return view.read(expression, options) if all(map(view.knows, named(parts))) else None

    async def view(self, names: Iterable[str] = ()) -> View:
        """A view no older than a second that knows `names`, if the cluster does. Raises RegistryError."""
        age = time.monotonic() - self._read_at
        unknown = any(not self._view.knows(name) for name in names)
        unknown = unknown or (self._view.templates is None and self._wants_templates())
        if self._changing or (unknown and age > AGAIN_SECONDS):
            await self._read(anew=True)
        elif age > FRESH_SECONDS:
            await self._read()
        return self._view

    async def _read(self, *, anew: bool = False) -> None:
        """Reads the view, once for all who wait for it; a change in the meantime leaves it outdated.

        `anew`: what it says is not to be older than the call, so that a read that is under way does not do.
        """
        latest = self._begun if anew else self._latest
        async with self._turn:
            if self._latest > latest and self._read_at != float("-inf"):
                return
            self._begun += 1
            number, changes = self._begun, self._changes
            try:
                aliases, names = await self._metadata.resolve()
                templates = Templates.of(await self._metadata.templates()) if self._wants_templates() else None
            except RegistryError:
                if self._read_at == float("-inf") and not self._view.indexes:
                    raise
                return
            view = View.of(aliases, names, templates, self._registry)
            self._latest = number
            if view != self._view:
                # Else what has been made of it stays known.
                self._view = view
            if changes == self._changes:
                self._read_at = time.monotonic()

    async def _verify(self) -> None:
        """Reads the view anew if the cluster's names have changed since. Raises RegistryError."""
        writes, version = self._writes, await self._metadata.version()
        if version != self._version:
            self.forget()
            await self._read()
            if self._read_at == float("-inf"):
                return
        self._version, self._verified = version, writes

    async def reading(self, expression: str, options: IndicesOptions = READ) -> Reading:
        """The reading of `expression` for a search. Raises MissingIndexError, RegistryError."""
        reading = self.current(expression, options)
        if reading is not None:
            return reading
        parts = await self._without_date_math(split_expression(expression))
        if self._suspected and expands(parts):
            await self._verify()
        view = await self.view(named(parts))
        return view.read(",".join(parts), options)

    async def targets(self, expression: str, options: IndicesOptions = READ) -> tuple[Target, ...]:
        """The indexes and data streams that a search over `expression` reads; backing indexes as their data stream."""
        return (await self.reading(expression, options)).targets

    async def concrete(self, expression: str, options: IndicesOptions = READ) -> list[str]:
        """The indexes that a search over `expression` reads; unknown names stand for themselves."""
        return list((await self.reading(expression, options)).resolution.indexes)

    async def mappings(self, indexes: Iterable[str]) -> list[dict[str, Any]]:
        """The mappings of indexes, no older than a second. Raises RegistryError."""
        now, changes = time.monotonic(), self._changes
        if self._changing or now - self._mapped_at > FRESH_SECONDS or len(self._mappings) > MAX_MAPPINGS:
            self._mappings, self._mapped_at = {}, now
        wanted = list(indexes)
        found = {index: self._mappings[index] for index in wanted if index in self._mappings}
        missing = [index for index in wanted if index not in found]
        for start in range(0, len(missing), MAPPINGS_AT_ONCE):
            names = missing[start : start + MAPPINGS_AT_ONCE]
            answer = await self._metadata.mappings(",".join(names))
            found |= {name: self._mapping(name, answer) for name in names}
        if changes == self._changes:
            self._mappings |= found
        return list(found.values())

    def _mapping(self, index: str, answer: dict[str, Any]) -> dict[str, Any]:
        if index not in answer and index in self._view.indexes:
            raise RegistryError(f"the mapping of [{index}] cannot be read, by which fields of it are hidden")
        mapping: dict[str, Any] = answer.get(index, {}).get("mappings", {})
        return mapping

    async def write_index(self, name: str) -> str:
        """The index that a write to `name` goes to: of an alias its write index, of a data stream its own name."""
        if dated(name):
            name = next(iter(await self._metadata.expand(name)), name)
        return (await self.view([name])).write_index(name)

    async def write_target(self, name: str) -> Target:
        """The index or data stream that a write to `name` goes to, with what its associations depend on."""
        view = self.fresh
        target = view.written_by(name) if view is not None else None
        if target is not None:
            return target
        index = await self.write_index(name)
        return (await self.view([index])).owner(index)

    async def members(self, name: str) -> list[str]:
        """The names that the hits of an index or data stream carry."""
        view = await self.view([name])
        return view.streams.get(name) or [name]

    async def _without_date_math(self, parts: list[str]) -> list[str]:
        """`<logs-{now/d}>` as the index that it stands for today, by the cluster's clock."""
        out: list[str] = []
        for part in parts:
            out += await self._metadata.expand(part) if dated(part) else [part]
        return out
