"""A collector of traces: OTLP over HTTP, on loopback."""

from __future__ import annotations

import gzip
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

if TYPE_CHECKING:
    from types import TracebackType


@dataclass(frozen=True)
class Received:
    """A span as it was received; times in nanoseconds since the epoch."""

    name: str
    trace_id: str
    id: str
    parent: str
    kind: int
    start: int
    end: int
    status: int
    attributes: dict[str, Any]
    events: list[tuple[str, dict[str, Any]]]


def _value(given: Any) -> Any:
    return getattr(given, given.WhichOneof("value"))


def _attributes(given: Any) -> dict[str, Any]:
    return {each.key: _value(each.value) for each in given}


@dataclass
class Collector:
    """Receives spans while it is entered."""

    spans: list[Received] = field(default_factory=list)
    resources: list[dict[str, Any]] = field(default_factory=list)
    url: str = ""

    async def __aenter__(self) -> Collector:
        app = web.Application()
        app.router.add_post("/v1/traces", self._receive)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/v1/traces"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

    async def _receive(self, request: web.Request) -> web.Response:
        body = await request.read()
        if body[:2] == b"\x1f\x8b":
            body = gzip.decompress(body)
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.resources.append(_attributes(resource.resource.attributes))
            for scope in resource.scope_spans:
                self.spans += [
                    Received(
                        span.name,
                        span.trace_id.hex(),
                        span.span_id.hex(),
                        span.parent_span_id.hex(),
                        span.kind,
                        span.start_time_unix_nano,
                        span.end_time_unix_nano,
                        span.status.code,
                        _attributes(span.attributes),
                        [(event.name, _attributes(event.attributes)) for event in span.events],
                    )
                    for span in scope.spans
                ]
        return web.Response()

    def trees(self) -> dict[str, list[Received]]:
        """The spans of each trace, roots first."""
        found: dict[str, list[Received]] = {}
        for span in sorted(self.spans, key=lambda span: span.start):
            found.setdefault(span.trace_id, []).append(span)
        return found
