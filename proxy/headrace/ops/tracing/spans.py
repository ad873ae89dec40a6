"""The spans of a request, by the SDK of OpenTelemetry.

A request is a SERVER span; below it are an INTERNAL span for each run of a pipeline, below that one for each run of a
stage, and a CLIENT span for each exchange with the cluster. Names of attributes are those of OpenTelemetry's semantic
conventions for HTTP and databases, and `headrace.…`. No values of documents, no queries.
"""

from __future__ import annotations

import os
import threading
import time
from importlib.metadata import version
from typing import TYPE_CHECKING

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import PROCESS_PID, SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from headrace.ops.logs.lines import shown
from headrace.protocol.headers.trace_context import TRACE_PARENT, TRACE_STATE

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.context import Context
    from opentelemetry.trace import Span, Tracer

    from headrace_pipelines import Batch, Execution, RunOptions, StageTime
    from headrace_pipelines.http1 import RequestHead
    from headrace_pipelines.registry import Pipeline

MAX_EVENTS = 10
"""Events of failed documents on the span of a stage: more would say the same."""
FLUSH_SECONDS = 2.0
"""Seconds at the end of a process for spans that have not been sent: a collector that is gone must not hold it up."""
_HEADERS = TraceContextTextMapPropagator()


class SpanFactory:
    """Makes spans and sends them to a collector, in batches on a thread of the SDK.

    Headers, certificates, time-outs and the queue of the exporter are set by OpenTelemetry's own variables (`OTEL_…`).
    """

    def __init__(self, endpoint: str) -> None:
        own: dict[str, str | int] = {SERVICE_VERSION: version("headrace"), PROCESS_PID: os.getpid()}
        if not os.environ.get("OTEL_SERVICE_NAME"):
            own[SERVICE_NAME] = "headrace"
        # Which requests are traced is decided before, once for the whole tree.
        self._provider = TracerProvider(sampler=ALWAYS_ON, resource=Resource.create(own), shutdown_on_exit=False)
        self._exporter = OTLPSpanExporter(endpoint=endpoint)
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter))
        self._tracer = self._provider.get_tracer("headrace", version("headrace"))

    def request(self, head: RequestHead, path: str, client: str | None) -> RequestTrace:
        """The trace of a request."""
        carrier = {
            name.decode(): value.decode("latin-1")
            for name in (TRACE_PARENT, TRACE_STATE)
            if (value := _joined(head, name))
        }
        attributes = {"http.request.method": head.method, "url.path": path, "client.address": client or ""}
        if opaque := head.header(b"x-opaque-id"):
            attributes["headrace.x_opaque_id"] = shown(opaque)
        parent = _HEADERS.extract(carrier)
        span = self._tracer.start_span(head.method, parent, SpanKind.SERVER, attributes)
        return RequestTrace(self._tracer, span, set_span_in_context(span, parent))

    def close(self) -> None:
        """Sends what has not been sent, within FLUSH_SECONDS, and ends the thread."""
        ending = threading.Thread(target=self._provider.shutdown, daemon=True)
        ending.start()
        ending.join(FLUSH_SECONDS)
        # It ends the pause between two attempts, which may be longer. Its types are missing in the library.
        self._exporter.shutdown()  # type: ignore[no-untyped-call]
        ending.join(FLUSH_SECONDS)


def _joined(head: RequestHead, name: bytes) -> bytes:
    """The values of a header, which may come in several lines (RFC 9110, section 5.3)."""
    return b",".join(value for each, value in head.raw_headers if each.lower() == name)


class RequestTrace:
    """The SERVER span of a request, which is also the observer of its pipelines (`ops.observers.RunObserver`)."""

    def __init__(self, tracer: Tracer, span: Span, context: Context) -> None:
        self._tracer = tracer
        self._span = span
        self._context = context
        self._open: list[Exchange] = []

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits."""
        return format(self._span.get_span_context().trace_id, "032x")

    def route(self, method: str, template: str, surface: str) -> None:
        """The request is one for this route: a path with variables, empty for paths that have no route."""
        self._span.update_name(f"{method} {template}" if template else method)
        self._span.set_attribute("headrace.surface", surface)
        if template:
            self._span.set_attribute("http.route", template)

    def end(self, status: int) -> None:
        """The request has been answered."""
        for exchange in self._open:
            exchange.end(None)
        self._span.set_attribute("http.response.status_code", status)
        if status >= 500:
            self._span.set_status(Status(StatusCode.ERROR))
        self._span.end()

    def skip(self, pipeline: Pipeline, documents: int, make: Callable[[], Batch]) -> None:
        """What does not run has no span."""

    def start(self, pipeline: Pipeline, batch: Batch, again: Callable[[], Batch], options: RunOptions) -> PipelineSpan:
        """A pipeline begins to run."""
        span = self._tracer.start_span(f"pipeline {pipeline.label}", self._context)
        return PipelineSpan(self._tracer, span, set_span_in_context(span, self._context), pipeline, batch)

    def exchange(self, method: str, target: str) -> Exchange:
        """An exchange with the cluster begins; it ends with the request at the latest."""
        exchange = Exchange(self._tracer, self._context, method, target)
        self._open.append(exchange)
        return exchange


class PipelineSpan:
    """The span of one run of a pipeline; the spans of its stages are made from the times of the report."""

    def __init__(self, tracer: Tracer, span: Span, context: Context, pipeline: Pipeline, batch: Batch) -> None:
        self._tracer = tracer
        self._span = span
        self._context = context
        # Wall time less monotonic time: the times of stages are monotonic.
        self._offset_ns = time.time_ns() - time.monotonic_ns()
        self._before = batch.counts
        self._after = self._before
        definition = pipeline.definition
        span.set_attributes(
            {
                "headrace.pipeline.name": definition.name,
                "headrace.pipeline.version": definition.version,
                "headrace.pipeline.type": definition.type.value,
            }
        )

    def read(self, batch: Batch) -> None:
        """Notes what became of the documents."""
        self._after = batch.counts

    def finish(self, execution: Execution | None) -> None:
        """Ends the span, with those of its stages."""
        (live, failed, dropped), (left, failed_now, dropped_now) = self._before, self._after
        self._span.set_attributes(
            {
                "headrace.documents.in": live,
                "headrace.documents.out": left,
                "headrace.documents.dropped": max(dropped_now - dropped, 0),
                "headrace.documents.failed": max(failed_now - failed, 0),
            }
        )
        if execution is None:
            self._span.set_status(Status(StatusCode.ERROR))
        for timed in execution.stages if execution is not None else ():
            self._stage(timed)
        self._span.end()

    def _stage(self, timed: StageTime) -> None:
        kind, what = timed.stage.runner.does
        run, start = timed.run, timed.start_ns + self._offset_ns
        attributes: dict[str, str | int] = {
            "headrace.stage.kind": kind,
            "headrace.documents.in": run.documents,
            "headrace.documents.failed": run.failures,
            "headrace.documents.dropped": run.dropped,
        }
        if kind == "native":
            attributes["headrace.function"] = what
        else:
            udf, _, number = what.rpartition("@")
            attributes |= {"headrace.udf.name": udf, "headrace.udf.version": number, "headrace.fuel": run.fuel}
        name = f"stage {timed.stage.label}"
        span = self._tracer.start_span(name, self._context, attributes=attributes, start_time=start)
        end = start + timed.duration_ns
        for error in run.errors[:MAX_EVENTS]:
            span.add_event("document_failed", {"error.type": error[1]}, end)
        span.end(end)


class Exchange:
    """The CLIENT span of one exchange with the cluster."""

    def __init__(self, tracer: Tracer, parent: Context, method: str, target: str) -> None:
        path = target.partition("?")[0]
        segments = [segment for segment in path.split("/") if segment]
        operation = next((segment[1:] for segment in segments if segment.startswith("_")), method.lower())
        attributes = {"db.system.name": "opensearch", "db.operation.name": operation, "http.request.method": method}
        if segments and not segments[0].startswith("_") and not any(each in segments[0] for each in ",*"):
            attributes["db.collection.name"] = segments[0]
        self._span = tracer.start_span(f"opensearch {operation}", parent, SpanKind.CLIENT, attributes)
        self._context = set_span_in_context(self._span, parent)

    def lines(self) -> bytes:
        """The header lines that make the cluster's work part of the trace."""
        carrier: dict[str, str] = {}
        _HEADERS.inject(carrier, self._context)
        return "".join(f"{name}: {value}\r\n" for name, value in carrier.items()).encode("latin-1")

    def answered(self, status: int) -> None:
        """The head of the response is here."""
        self._span.set_attribute("http.response.status_code", status)
        if status >= 500:
            self._span.set_status(Status(StatusCode.ERROR))

    def end(self, error: Exception | None) -> None:
        """The exchange is over. Further calls do nothing."""
        if not self._span.is_recording():
            return
        if error is not None:
            self._span.set_attribute("error.type", type(error).__name__)
            self._span.set_status(Status(StatusCode.ERROR))
        self._span.end()
