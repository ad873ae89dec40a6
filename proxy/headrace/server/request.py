"""The request context of a handler: target, forwarding, and calls to the cluster with the caller's credentials."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from aiohttp import hdrs, web
from multidict import CIMultiDict

from headrace.http1 import headers as header_lines
from headrace.ops.observers import run_observed
from headrace.ops.tracing.upstream import TracedUpstream
from headrace.protocol.headers.credentials import user_of
from headrace.protocol.media import types
from headrace.protocol.media.plain import plain_media
from headrace.protocol.media.types import Media
from headrace.protocol.target import Target
from headrace.server.received import ReceivedRequest
from headrace.server.response import SMALL, relay
from headrace_pipelines import RunOptions
from headrace_pipelines.errors import HeadraceError, StageError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from headrace.ops.observers import RunObserver
    from headrace.ops.tracing.spans import RequestTrace
    from headrace.upstream.client import Answer, Upstream
    from headrace.upstream.pending import PendingResponse
    from headrace.upstream.sending import Body, Text
    from headrace_pipelines import Batch, Execution
    from headrace_pipelines.registry import Pipeline, Snapshot
    from headrace_pipelines.udf.secrets import Secrets

_DROPPED = {
    (changed, plain): frozenset([b"content-encoding"] * changed + [b"accept-encoding"] * plain)
    for changed in (False, True)
    for plain in (False, True)
}
"""Headers that are not sent on beside a body that is not as it came, and where the answer has to be plain."""


class StaleNamesError(HeadraceError):
    """The view of the cluster's names was outdated: the request is dealt with anew by a fresh one."""


def _traced(batch: Batch, trace_id: str) -> Batch:
    """The batch, whose documents now have `ctx.trace_id`."""
    batch.set_context("trace_id", b'"%b"' % trace_id.encode())
    return batch


@dataclass
class RequestContext(ReceivedRequest):
    """A request with the decisions of its handler, and its calls to the cluster."""

    response_headers: CIMultiDict[str] = field(default_factory=CIMultiDict)
    """Headers of ours for the response."""
    surface: str = "refused"
    """The label of the request in the metrics."""
    reads: bool = False
    """Whether its route changes nothing, whatever the method."""
    audit: dict[str, str] | None = None
    """Facts for the audit log, where the request asks for a change, or for what only administrators may see."""
    asks_for_change: bool = False
    narrowed: bool = False
    """Whether the target has names from the view at hand in place of those of the client."""
    restarted: bool = False
    observers: tuple[RunObserver, ...] = ()
    """What sees the pipeline runs of this request: a trace, a tap."""
    trace: RequestTrace | None = None
    admission: Any = None
    """What the request has of quotas (`security.quotas.Admission`), where it counts in any."""
    explain: Callable[[bytes], Awaitable[bytes]] | None = None
    """Adds to the JSON of an answer what the pipelines did, where the request asks for that."""
    choose_versions: Callable[[RequestContext, Snapshot], Snapshot] | None = None
    """Chooses the versions of pipelines that searches of this request meet, where rollouts run."""
    _chosen: tuple[Snapshot, Snapshot] | None = None
    arrived: float = field(default_factory=time.time)
    """When the request arrived, in seconds since 1970: it meets the steps of rollouts that have begun then."""
    answer_whole: Callable[[Text, bool], Awaitable[web.StreamResponse]] | None = None
    """Takes the place of [`forward`] where the answer has to be at hand as a whole."""

    @property
    def _cluster(self) -> Upstream | TracedUpstream:
        """The cluster, for the exchanges of this request."""
        cluster = self.components.upstream
        return cluster if self.trace is None else TracedUpstream(cluster, self.trace)

    @property
    def safe(self) -> bool:
        """Whether the request changes nothing in the cluster, so that it may be sent twice."""
        return self.reads or self.method in ("GET", "HEAD")

    async def run_pipeline(
        self,
        pipeline: Pipeline,
        batch: Batch,
        again: Callable[[], Batch],
        options: RunOptions | None = None,
        then: Callable[[Batch], object] | None = None,
    ) -> Execution:
        """Runs a pipeline over a batch of this request (`Runner.run`) under its observers."""
        runner = self.components.runner
        if not self.observers:
            return await runner.run(pipeline, batch, again, options, then)
        if self.trace is not None:
            trace_id = self.trace.trace_id
            make, batch = again, _traced(batch, trace_id)
            again = lambda: _traced(make(), trace_id)  # noqa: E731 - it stands for what it wraps
        return await run_observed(runner, self.observers, pipeline, batch, again, options or RunOptions(), then)

    def restart(self) -> None:
        """Takes back what has been made of the request, whose body stays at hand."""
        self.target, self.params = Target.parse(self.head.target), {}
        if self._body_from_parameter:
            self._body, self._body_from_parameter = None, False
        self.narrowed, self.restarted = False, True
        for name in ("X-Pipeline", "X-Pipeline-Conflict", "Warning"):
            self.response_headers.popall(name, None)

    def arrive_again(self) -> None:
        """Has what follows meet the steps of rollouts that have begun now."""
        self.arrived, self._chosen = time.time(), None

    def _check_names(self, status: int) -> None:
        """Raises StaleNamesError, once, where the cluster does not find names that we have put into the target."""
        if status == 404 and self.narrowed and self.safe and not self.restarted:
            raise StaleNamesError("the cluster's names have changed")

    @property
    def snapshot(self) -> Snapshot:
        """The registry now, as this request sees it; take it once in a request. Raises RegistryError."""
        snapshot = self.components.registry.snapshot
        if self.choose_versions is None or not snapshot.has_rollouts:
            return snapshot
        if self._chosen is None or self._chosen[0] is not snapshot:
            self._chosen = snapshot, self.choose_versions(self, snapshot)
        return self._chosen[1]

    @property
    def secrets(self) -> Secrets:
        """The secrets of stages (`${secret:NAME}`), which no answer may show."""
        return self.components.registry.catalog.secrets

    @property
    def user(self) -> str:
        """The user that the request names, for records of changes: never a password, never a token."""
        return user_of(self.request.headers.get(hdrs.AUTHORIZATION, ""))

    def stage_error(self, status: int, kind: str, reason: str, pipeline: str, stage: str) -> StageError:
        """The error of a run; the arguments are those of a failure of a batch."""
        return self.components.stage_error(status, kind, reason, pipeline, stage)

    @property
    def headers(self) -> CIMultiDict[str]:
        """A copy of the headers to send on."""
        headers = header_lines.request_headers(self.head.raw_headers, self.request.remote)
        if self.components.settings.elasticsearch_compat:
            plain_media(headers)
        return headers

    @property
    def forward_lines(self) -> bytes:
        """The header lines to send on where nothing of them changes."""
        if self.components.settings.elasticsearch_compat:
            return header_lines.lines_of(self.headers)
        return self.head.forward_lines(self.request.remote)

    def add_audit_facts(self, **facts: str) -> None:
        """Facts for the line of the audit log."""
        self.audit = (self.audit or {}) | facts

    async def forward_streaming(self) -> web.StreamResponse:
        """Forwards the request unread and streams the answer back."""
        if self.answer_whole is not None:
            return await self.answer_whole(self._body if self._body is not None else await self.body(), False)
        if self._body_from_parameter or self._is_rewritten(self._body):
            return await self.forward(self._body or b"", changed=self._body_from_parameter)
        arriving = self.inbound.body
        body: Body = None
        if arriving.exists:
            small = arriving.length is not None and arriving.length <= min(SMALL, self.components.max_body)
            body = await self.body() if small or self._body is not None else arriving
        return await self._forward(self.forward_lines, body)

    async def _forward(self, head: bytes, body: Body, sent: PendingResponse | None = None) -> web.StreamResponse:
        """Sends the request with this head and body, unless it is `sent`, and streams the answer back."""
        response = await self._cluster.send(self.method, self.target.raw, head, body, safe=self.safe, sent=sent)
        try:
            self._check_names(response.status)
            return await relay(self.request, self.components.upstream, response, self.response_headers)
        finally:
            response.release()

    async def resume_forwarded(self, sent: PendingResponse) -> web.StreamResponse:
        """Takes over from the fast path: the request has left, its answer is to be waited for."""
        return await self._forward(self.forward_lines, sent.body, sent=sent)

    async def read_forwarded(self, sent: PendingResponse) -> Answer:
        """The same with the answer read whole; it was asked for uncompressed."""
        lines = self._forward_lines_for(b"", changed=True, plain=True)
        body = sent.body if isinstance(sent.body, bytes) else None
        return await self._cluster.read(self.method, self.target.raw, lines, body, safe=self.safe, sent=sent)

    async def forward(self, body: Text, *, changed: bool) -> web.StreamResponse:
        """Forwards the request with a body at hand and streams the answer back."""
        if self.answer_whole is not None:
            return await self.answer_whole(body, changed)
        if not changed and self._is_rewritten(body):
            body, changed = self._text or b"", True
        return await self._forward(self._forward_lines_for(body, changed=changed), body)

    def _is_rewritten(self, body: Text | None) -> bool:
        """Whether a body is the one that came, and what was read of it is to be sent in its place.

        Where something is protected the cluster must not read anything else in it.
        """
        decoded = self.binary_media is not None and self._text is not None and body is self._body
        return decoded and self.components.registry.protects

    async def forward_buffered(self, body: Text, *, changed: bool = True, unfiltered: bool = False) -> Answer:
        """Forwards the request with a body at hand and reads the whole answer, asked for uncompressed.

        `unfiltered`: without the client's `filter_path`, for answers that are worked on; [`reply`] applies it last.
        """
        if not changed and self._is_rewritten(body):
            body, changed = self._text or b"", True
        target = self.target.without("filter_path") if unfiltered else self.target
        if self.response_media is not Media.JSON:
            target = target.without("format")
        head = self._forward_lines_for(body, changed=changed, plain=True)
        answer = await self._cluster.read(self.method, target.raw, head, body, safe=self.safe)
        self._check_names(answer.status)
        return answer

    async def call_cluster(self, method: str, path: str, body: bytes | None = None) -> Answer:
        """A call of ours to the cluster with the caller's credentials; `body` is JSON."""
        headers = self.headers_for(b"", changed=True)
        for name in (hdrs.ACCEPT_ENCODING, hdrs.CONTENT_TYPE, hdrs.ACCEPT):
            headers.popall(name, None)
        if body is not None:
            headers[hdrs.CONTENT_TYPE] = "application/json"
        return await self._cluster.read(method, path, header_lines.lines_of(headers), body)

    async def write_bulk(self, body: Text, params: dict[str, str], authorization: str | None = None) -> Answer:
        """Sends a `_bulk` in place of this request, with its credentials, or with nothing of it but `authorization`."""
        if authorization is None:
            headers = self.headers_for(body, changed=True)
        else:
            headers = CIMultiDict({hdrs.AUTHORIZATION: authorization})
        for name in (hdrs.ACCEPT_ENCODING, hdrs.ACCEPT):
            headers.popall(name, None)
        headers[hdrs.CONTENT_TYPE] = "application/x-ndjson"
        query = f"?{urlencode(params)}" if params else ""
        return await self._cluster.read("POST", f"/_bulk{query}", header_lines.lines_of(headers), body)

    @cached_property
    def response_media(self) -> Media:
        """The media type that the answer is asked for in."""
        headers = self.request.headers
        accept, sent = headers.get(hdrs.ACCEPT), headers.get(hdrs.CONTENT_TYPE)
        elasticsearch = self.components.settings.elasticsearch_compat
        return types.asked_for(self.target, accept, sent, elasticsearch=elasticsearch)

    def _forward_lines_for(self, body: Text, *, changed: bool, plain: bool = False) -> bytes:
        """[`headers_for`] as lines; `plain`: the answer is asked for uncompressed, and in JSON."""
        changed = changed or self._body_from_parameter
        transcoded = changed and self.binary_media is not None
        if transcoded or (plain and self.response_media is not Media.JSON):
            headers = self.headers_for(body, changed=changed)
            if transcoded:
                headers[hdrs.CONTENT_TYPE] = "application/json"
            headers[hdrs.ACCEPT] = "application/json" if plain else self.response_media.value
            if plain:
                headers.popall(hdrs.ACCEPT_ENCODING, None)
            return header_lines.lines_of(headers)
        if self.components.settings.elasticsearch_compat or (changed and body and not self.inbound.body.exists):
            headers = self.headers_for(body, changed=changed)
            if plain:
                headers.popall(hdrs.ACCEPT_ENCODING, None)
            return header_lines.lines_of(headers)
        return self._forward_lines_without(_DROPPED[changed, plain])

    def _forward_lines_without(self, dropped: frozenset[bytes]) -> bytes:
        return self.head.forward_lines(self.request.remote, dropped)

    def headers_for(self, body: Text, *, changed: bool) -> CIMultiDict[str]:
        """Headers that fit `body`; `changed`: it is not the one that came, nor compressed as it was."""
        headers = self.headers
        if changed:
            headers.popall(hdrs.CONTENT_ENCODING, None)
            if body and not self.inbound.body.exists and hdrs.CONTENT_TYPE not in headers:
                headers[hdrs.CONTENT_TYPE] = "application/json"
        return headers
