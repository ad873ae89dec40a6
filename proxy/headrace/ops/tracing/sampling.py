"""The tracer of a process as a request meets it: it decides which requests are traced.

The SDK of OpenTelemetry is imported where `otlp_endpoint` is set, and nowhere else.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from headrace.protocol.headers.trace_context import TRACE_PARENT, parent_of
from headrace_pipelines.errors import InvalidError

if TYPE_CHECKING:
    from headrace.ops.tracing.spans import RequestTrace, SpanFactory
    from headrace.settings import Settings
    from headrace_pipelines.http1 import RequestHead


class Tracer:
    """Samples requests by their parent, else by `ratio`, and traces them."""

    def __init__(self, spans: SpanFactory, ratio: float) -> None:
        self._spans = spans
        self.ratio = ratio

    def samples(self, head: RequestHead) -> bool:
        """Whether a request is traced. Asked once for a request: without a parent it is chance."""
        parent = parent_of(head.header(TRACE_PARENT))
        # Not a secret: which requests are traced may be guessed.
        return parent.sampled if parent is not None else random.random() < self.ratio  # noqa: S311

    def trace(self, head: RequestHead, path: str, client: str | None) -> RequestTrace:
        """The trace of a request that has just come. `path`: without the query; `client`: its address."""
        return self._spans.request(head, path, client)

    def close(self) -> None:
        """Sends what has not been sent. Blocks for some seconds where the collector does not answer."""
        self._spans.close()


def tracer_of(settings: Settings) -> Tracer | None:
    """The tracer of a process; `None` where traces are off. Raises InvalidError without the extra `otel`."""
    if not settings.otlp_endpoint:
        return None
    try:
        from headrace.ops.tracing.spans import SpanFactory
    except ModuleNotFoundError as error:
        raise InvalidError(
            f"needs the extra [otel] ({error.name} is not installed): pip install 'headrace[otel]'", "otlp_endpoint"
        ) from None
    return Tracer(SpanFactory(settings.otlp_endpoint), settings.trace_sample)
