"""The cluster as a traced request sees it: each exchange has a span, and carries it in its head."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.http1.headers import without
from headrace.protocol.headers.trace_context import TRACE_PARENT, TRACE_STATE

if TYPE_CHECKING:
    from headrace.ops.tracing.spans import Exchange, RequestTrace
    from headrace.upstream.client import Answer, Upstream
    from headrace.upstream.pending import PendingResponse
    from headrace.upstream.response import StreamedResponse
    from headrace.upstream.sending import Body, Text

_REPLACED = frozenset({TRACE_PARENT, TRACE_STATE})


class TracedUpstream:
    """[`Upstream`] for one request."""

    def __init__(self, upstream: Upstream, trace: RequestTrace) -> None:
        self._upstream = upstream
        self._trace = trace

    async def send(
        self,
        method: str,
        target: str,
        head: bytes,
        body: Body,
        *,
        safe: bool = False,
        sent: PendingResponse | None = None,
    ) -> StreamedResponse:
        """As [`Upstream.send`]; the exchange ends with the request, since its response is still to be streamed."""
        exchange = self._trace.exchange(method, target)
        try:
            response = await self._upstream.send(method, target, _joined(head, exchange), body, safe=safe, sent=sent)
        except Exception as error:
            exchange.end(error)
            raise
        exchange.answered(response.status)
        return response

    async def read(
        self,
        method: str,
        target: str,
        head: bytes,
        body: Text | None,
        *,
        safe: bool = False,
        sent: PendingResponse | None = None,
    ) -> Answer:
        """As [`Upstream.read`]."""
        exchange = self._trace.exchange(method, target)
        try:
            answer = await self._upstream.read(method, target, _joined(head, exchange), body, safe=safe, sent=sent)
        except Exception as error:
            exchange.end(error)
            raise
        exchange.answered(answer.status)
        exchange.end(None)
        return answer


def _joined(head: bytes, exchange: Exchange) -> bytes:
    """Header lines in which the exchange stands for the caller's place in the trace."""
    return without(head, _REPLACED) + exchange.lines()
