"""Requests that no pipeline can concern, from the client's bytes to the node's in one callback and back in another.

aiohttp's server makes a task, a request and several futures for each request, and as much again waits for the answer:
more than everything else that a small one costs (docs/decisions/025-a-fast-path-for-what-passes.md). Here a request
goes on at once if it has arrived whole, there are no pipelines that its route or its index would need, and a
connection to the node is open. Whatever is not as plain as that goes, or goes on, the way of all requests:
[`Passing`] is handed over with its request on the way, so that nothing is sent twice and every error has one shape.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from aiohttp import hdrs
from aiohttp.streams import EMPTY_PAYLOAD

from headrace.execution.expressions import expansion, forwardable
from headrace.execution.protection.lookups import SIGNS
from headrace.handlers import routes
from headrace.http1 import headers
from headrace.http1.bodies import declared_length, mentions
from headrace.http1.known import comparable, says_json
from headrace.protocol import parameters
from headrace.protocol.indices.expressions import NOTHING
from headrace.protocol.indices.view import View
from headrace.protocol.target import MAX_LENGTH, Target
from headrace.security import registry_guard
from headrace.server.request import UNCOUNTED
from headrace.upstream import client as upstream
from headrace.upstream.exchanges import CHUNK
from headrace_pipelines.errors import HeadraceError, RegistryError

if TYPE_CHECKING:
    from aiohttp.streams import StreamReader

    from headrace.http1.known import Known
    from headrace.server.connection import Connection
    from headrace.server.request import Parts
    from headrace.upstream.connections import Begun
    from headrace_pipelines import Snapshot
    from headrace_pipelines.association import Slot

_GATHERED = range(128 << 10, 768 << 10)
"""Bodies of so many bytes that have not arrived whole are cheaper received into one piece of memory, by their handler,
and sent at once, than moved past the process (docs/decisions/026-long-bodies-stay-in-the-kernel.md)."""
_KNOWN = 1024
"""So many targets are remembered."""


class _Way(NamedTuple):
    """What is known of a method and target: the surface that counts it, and the target as it is sent on.

    `reads`: it only reads, whatever the method. `words`: one of these is in a body that its handler has to read.
    `creates`: it may make an index.
    """

    surface: str
    target: str
    reads: bool
    words: tuple[bytes, ...] = ()
    creates: bool = False
    names: tuple[bytes, ...] = ()
    """The same for bodies that have arrived whole: longer ones pass the process by."""


class _Found(NamedTuple):
    """A way, or that there is none. `view`: of the cluster's names, if only that one says so."""

    way: _Way | None
    view: View | None = None


_NONE = _Found(None)
_STALE = View()
"""In place of a view that is not there yet."""


class FastPath:
    """Passes requests on for a proxy."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._most = min(CHUNK, parts.max_body)
        self._snapshot: Snapshot | None = None
        self._ways: dict[tuple[str, str], _Found] = {}

    @classmethod
    def of(cls, parts: Parts) -> FastPath | None:
        """The fast path of a proxy, if it has one: not for old clients, whose requests are changed on their way."""
        return cls(parts) if parts.upstream.sends_now and not parts.settings.elasticsearch_compat else None

    def begin(self, message: Any, payload: StreamReader, client: Connection) -> Passing | None:
        """Sends a request on; `None`, with nothing touched, for one that is not for this path.

        `message`, `payload`: as aiohttp's parser gives them. `client` is told how it ends.
        """
        length = None
        if not payload.is_eof():
            # A long one goes past the process, as it comes.
            length = declared_length(message.raw_headers)
            if length is None or length <= UNCOUNTED or length in _GATHERED:
                return None
        way = self._fitting(message)
        if way is None or (way.words and length is not None):
            return None
        if way.words and not self._readable(message, payload, way.words):
            return None
        if way.names and length is None and not self._unnamed(message, payload, way.names):
            return None
        lines = headers.request_lines(message.raw_headers, client.remote)
        parts = self._parts
        sent = parts.upstream.send_now(message.method, way.target, lines, payload, self._most, length)
        return Passing(parts, sent, way, client, (message, payload)) if sent is not None else None

    def _readable(self, message: Any, payload: StreamReader, words: tuple[bytes, ...]) -> bool:
        """Whether a body is plain enough to say that none of these words is in it."""
        if hdrs.CONTENT_ENCODING in message.headers or any(mentions(payload, word) for word in words):
            return False
        return len(words) == 1 or says_json(message)

    def _unnamed(self, message: Any, payload: StreamReader, names: tuple[bytes, ...]) -> bool:
        """Whether a body is JSON with none of these in it: other types spell them otherwise."""
        return says_json(message) and not any(mentions(payload, name) for name in names)

    def way_of(self, known: Known) -> _Way | None:
        """What [`begin_known`] has to be told of a request; `None` for one that is not for this path."""
        return self._way(known.method, known.target)

    def begin_known(self, known: Known, way: _Way, data: bytes, start: int, client: Connection) -> Passing | None:
        """[`begin`] for a request whose head is known, and whose body begins at `start` and is whole."""
        if way.words and (known.encoded or any(data.find(word, start) >= 0 for word in way.words)):
            return None
        if len(way.words) > 1 and not known.json:
            return None
        if way.names and (not known.json or any(data.find(name, start) >= 0 for name in way.names)):
            return None
        parts = self._parts
        sent = parts.upstream.send_now(known.method, way.target, known.lines(), data[start:] or None, self._most)
        return Passing(parts, sent, way, client, None, (known, len(data) - start)) if sent is not None else None

    def waits_for(self, message: Any) -> bool:
        """Whether the request is one for this path once its body is here, which many clients send behind the head."""
        if self._fitting(message) is None:
            return False
        length = declared_length(message.raw_headers)
        return length is not None and length <= UNCOUNTED

    def _fitting(self, message: Any) -> _Way | None:
        return self._way(message.method, message.path) if comparable(message) else None

    def _way(self, method: str, target: str) -> _Way | None:
        """What is known of a target as long as the registry is what it is; `None` for one that is not passed."""
        try:
            snapshot = self._parts.registry.snapshot
        except RegistryError:
            return None
        if snapshot is not self._snapshot:
            self._ways.clear()
            self._snapshot = snapshot
        key = (method, target)
        found = self._ways.get(key)
        if found is None or (found.view is not None and found.view is not self._parts.resolver.fresh):
            if len(target) > MAX_LENGTH:
                return self._find(snapshot, method, Target.parse(target)).way
            if len(self._ways) >= _KNOWN:
                self._ways.clear()
            found = self._ways[key] = self._find(snapshot, method, Target.parse(target))
        return found.way

    def _find(self, snapshot: Snapshot, method: str, target: Target) -> _Found:
        registry = self._parts.settings.registry_index
        # Names of pipelines in a request are for its handler to judge, and so is whatever might mean the registry.
        named = "pipeline" in target.raw_path or any("pipeline" in name for name in target.values)
        if named or not target.plain or target.has_any(("index", "source")) or method == hdrs.METH_HEAD:
            return _NONE
        if registry_guard.might_name(target, registry):
            return _NONE
        route = routes.match(method, target.raw_segments)
        if routes.passes(route, method, target.raw_segments, snapshot):
            creates = snapshot.protects and route.handler is routes.BULK
            if creates and target.has_any(routes.SHOWS):
                return _NONE
            bulk = route.handler is routes.BULK and self._parts.registry.holds
            names = registry_guard.spellings(registry) if bulk else ()
            words = routes.UPDATES if creates else ()
            return _Found(_Way(route.surface, target.raw, route.reads, words, creates=creates, names=names))
        concern = routes.CONCERNS.get(route.handler)
        if concern is None or concern.reach is None or "index" not in route.params or target.has_any(concern.unless):
            return _NONE
        slots = [s for s in snapshot.bound if s.kind in concern.kinds or (s.final and s.kind in concern.finals)]
        if not slots and not snapshot.protects:
            return _Found(_Way(route.surface, target.raw, route.reads, concern.words))
        view = self._parts.resolver.fresh
        if view is None:
            # Its handler has the cluster asked.
            return _Found(None, _STALE)
        way = self._over_indexes(snapshot, route, concern, target, slots)
        return _Found(way, view)

    def _over_indexes(
        self, snapshot: Snapshot, route: routes.Route, concern: routes.Concern, target: Target, slots: list[Slot]
    ) -> _Way | None:
        """The way of a request over indexes none of which has a pipeline that concerns it, by the view at hand."""
        expression, resolver = route.params["index"], self._parts.resolver
        try:
            if snapshot.protects:
                parameters.check(route.parameters, target)
            if concern.reach == "written":
                view = resolver.fresh
                written = view.written_by(expression) if view is not None else None
                if written is None or any(snapshot.associations.find(slot, written) for slot in slots):
                    return None
                return _Way(route.surface, target.raw, route.reads, concern.words)
            reading = resolver.current(expression, expansion(target.values))
        except HeadraceError:
            return None
        if reading is None or reading.registry or (snapshot.protects and reading.remote):
            return None
        if any(snapshot.associations.find(slot, each) for slot in slots for each in reading.targets):
            return None
        if not snapshot.protects:
            return _Way(route.surface, target.raw, route.reads, concern.words)
        names = forwardable(reading)
        if names is None or reading.resolution.aliased or reading.resolution.forwarded == NOTHING:
            return None
        sent = target if names == expression else target.at_indexes(names, instead=True)
        return _Way(route.surface, sent.raw, route.reads, (*concern.words, *SIGNS))


class Passing:
    """A request on the fast path.

    `message`: as aiohttp's parser gives it, or `None` for one that it has not seen; then `known` is its head, and the
    length of its body. `failure`: the answer that came cannot be sent back.
    """

    __slots__ = (
        "_client",
        "_creates",
        "_in_flight",
        "_known",
        "_parts",
        "failure",
        "message",
        "reads",
        "sent",
        "started",
        "surface",
    )

    def __init__(
        self,
        parts: Parts,
        sent: Begun,
        way: _Way,
        client: Connection,
        message: tuple[Any, StreamReader] | None,
        known: tuple[Known, int] | None = None,
    ) -> None:
        self._parts = parts
        self._client = client
        self.sent = sent
        self.surface = way.surface
        self.reads = way.reads
        self._creates = way.creates
        self.message = message
        self._known = known
        self.failure: HeadraceError | None = None
        self.started = parts.metrics.begin()
        self._in_flight = True
        sent.listen(self._look)

    def _look(self) -> None:
        """Answers the client if the answer is here; hands over if it will not come this way."""
        whole = self.sent.whole()
        if whole is None:
            if not self.sent.soon:
                self._hand_over()
            return
        transport = self._client.transport
        if transport is None:
            # It has just gone; its connection will say so.
            return
        try:
            upstream.write_whole(transport, whole)
        except HeadraceError as error:
            self.failure = error
            self._hand_over()
            return
        self._end()
        self._parts.metrics.count(self.surface, whole.status, self.started)
        self._client.passed()

    def _hand_over(self) -> None:
        self.sent.listen(None)
        self._end()
        self._client.take_over(self)

    def unparsed(self) -> tuple[Any, StreamReader]:
        """The message of one that aiohttp's parser has not seen; its body has left."""
        if self._known is None:
            raise TypeError("it has been parsed")
        known, length = self._known
        return known.message(length), EMPTY_PAYLOAD

    def abandon(self) -> None:
        """The client is gone: so is its exchange."""
        self._end()
        self.sent.close()

    def _end(self) -> None:
        if self._in_flight:
            self._in_flight = False
            if self._creates:
                self._parts.resolver.suspect()
            self._parts.metrics.end()
