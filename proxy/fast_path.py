"""Requests that no pipeline can concern, from the client's bytes to the node's in one callback and back in another.

aiohttp's server makes a task, a request and several futures for each request, and as much again waits for the answer:
more than everything else that a small one costs (docs/decisions/025-a-fast-path-for-what-passes.md). Here a request
goes on at once if it has arrived whole, its route passes it while there are no pipelines of certain types, and a
connection to the node is open. Whatever is not as plain as that goes, or goes on, the way of all requests:
[`Passing`] is handed over with its request on the way, so that nothing is sent twice and every error has one shape.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from aiohttp import hdrs
from aiohttp.http import RawRequestMessage

from pipelines.errors import HeadraceError, RegistryError
from proxy import routes, upstream
from proxy.connections import declared_length
from proxy.handlers import registry_guard
from proxy.handlers.call import UNCOUNTED
from proxy.protocol.target import Target

if TYPE_CHECKING:
    from aiohttp.streams import StreamReader

    from pipelines import Snapshot
    from proxy.connections import Begun
    from proxy.handlers.call import Parts
    from proxy.server import Connection

_KNOWN = 1024
"""So many targets are remembered."""


class _Way(NamedTuple):
    """What is known of a method and target: the surface that counts it, and the target as it is sent on."""

    surface: str
    target: str


class FastPath:
    """Passes requests on for a proxy."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._most = min(UNCOUNTED, parts.max_body)
        self._snapshot: Snapshot | None = None
        self._ways: dict[tuple[str, str], _Way | None] = {}

    @classmethod
    def of(cls, parts: Parts) -> FastPath | None:
        """The fast path of a proxy, if it has one: not for old clients, whose requests are changed on their way."""
        return cls(parts) if parts.upstream.sends_now and not parts.settings.elasticsearch_compat else None

    def begin(self, message: Any, payload: StreamReader, client: Connection) -> Passing | None:
        """Sends a request on; `None`, with nothing touched, for one that is not for this path.

        `message`, `payload`: as aiohttp's parser gives them. `client` is told how it ends.
        """
        if not payload.is_eof() or (way := self._fitting(message)) is None:
            return None
        lines = upstream.request_lines(message.raw_headers, client.remote)
        parts = self._parts
        sent = parts.upstream.send_now(message.method, way.target, lines, payload, self._most)
        return Passing(parts, sent, way.surface, client, (message, payload)) if sent is not None else None

    def waits_for(self, message: Any) -> bool:
        """Whether the request is one for this path once its body is here, which many clients send behind the head."""
        if self._fitting(message) is None:
            return False
        length = declared_length(message.raw_headers)
        return length is not None and length <= self._most

    def _fitting(self, message: Any) -> _Way | None:
        if (
            not isinstance(message, RawRequestMessage)
            or message.should_close
            or message.chunked
            or message.upgrade
            or hdrs.EXPECT in message.headers
        ):
            return None
        return self._way(message.method, message.path)

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
        if key in self._ways:
            return self._ways[key]
        if len(self._ways) >= _KNOWN:
            self._ways.clear()
        way = self._ways[key] = self._found(snapshot, method, Target.parse(target))
        return way

    def _found(self, snapshot: Snapshot, method: str, target: Target) -> _Way | None:
        registry = self._parts.settings.registry_index
        # Names of pipelines in a request are for its handler to judge, and so is whatever might mean the registry.
        if not target.raw_path.startswith("/") or "pipeline" in target.raw or method == hdrs.METH_HEAD:
            return None
        if registry_guard.might_name(target, registry):
            return None
        route = routes.match(method, target.segments)
        if not routes.passes(route, method, target.segments, snapshot.types):
            return None
        return _Way(route.surface, target.raw)


class Passing:
    """A request on the fast path. `failure`: the answer that came cannot be sent back."""

    __slots__ = ("_client", "_in_flight", "_parts", "failure", "message", "sent", "started", "surface")

    def __init__(
        self, parts: Parts, sent: Begun, surface: str, client: Connection, message: tuple[Any, StreamReader]
    ) -> None:
        self._parts = parts
        self._client = client
        self.sent = sent
        self.surface = surface
        self.message = message
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

    def abandon(self) -> None:
        """The client is gone: so is its exchange."""
        self._end()
        self.sent.close()

    def _end(self) -> None:
        if self._in_flight:
            self._in_flight = False
            self._parts.metrics.end()
