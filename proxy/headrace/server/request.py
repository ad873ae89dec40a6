"""A request in a handler's hands: target, body, and the ways to answer it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import msgspec
from aiohttp import hdrs, web
from multidict import CIMultiDict

from headrace.http1 import headers as header_lines
from headrace.protocol.encoding import accepts_gzip, claimed_size, deflate, inflate
from headrace.protocol.media import types
from headrace.protocol.media.plain import plain_media
from headrace.protocol.media.types import Media
from headrace.protocol.target import Target
from headrace.security import admin as rights
from headrace.server.relay import SMALL, relay
from headrace.server.response import send_lines
from headrace_pipelines import filter_path, plain_json
from headrace_pipelines.errors import HeadraceError, MediaTypeError, SlowClientError, TooLargeError

if TYPE_CHECKING:
    from headrace.execution.search_plan import Choices
    from headrace.ops.metrics import Metrics
    from headrace.ops.runner import Runner
    from headrace.protocol.indices.resolver import IndexResolver
    from headrace.registry.live import LiveRegistry
    from headrace.security.permissions import Permissions
    from headrace.server.body_budget import Budget
    from headrace.server.cursors import Cursors
    from headrace.server.inbound import InboundRequest
    from headrace.settings import Settings
    from headrace.upstream.client import Answer, Upstream
    from headrace.upstream.pending import PendingResponse
    from headrace.upstream.sending import Body, Text
    from headrace_pipelines.http1 import RequestHead
    from headrace_pipelines.registry import Snapshot

_MARK = b"\xef\xbb\xbf"
"""A byte order mark, which the cluster passes over."""
_COMPRESSED = 1 << 10
"""Bytes from which on answers of ours are compressed for clients that take it."""
UNCOUNTED = 64 << 10
"""Bodies up to so many bytes wait for no room: connections bound them."""
_SLOWEST = 64 << 10
"""Bytes a second that a client must send on average, once `client_timeout` has passed."""
_DROPPED = {
    (changed, plain): frozenset([b"content-encoding"] * changed + [b"accept-encoding"] * plain)
    for changed in (False, True)
    for plain in (False, True)
}
"""Headers that are not sent on beside a body that is not as it came, and where the answer has to be plain."""


@dataclass(frozen=True)
class Parts:
    """What handlers work with; put together in `app`."""

    settings: Settings
    upstream: Upstream
    registry: LiveRegistry
    resolver: IndexResolver
    choices: Choices
    runner: Runner
    metrics: Metrics
    cursors: Cursors
    permissions: Permissions
    budget: Budget
    client_seconds: float
    max_body: int
    """The setting in bytes, read once: every request asks for it."""


class StaleNamesError(HeadraceError):
    """The view of the cluster's names was outdated: the request is dealt with anew by a fresh one."""


@dataclass
class Call:
    """One request. `params` are the variables of its path."""

    request: web.BaseRequest
    inbound: InboundRequest
    parts: Parts
    target: Target
    params: dict[str, str] = field(default_factory=dict)
    extra: CIMultiDict[str] = field(default_factory=CIMultiDict)
    surface: str = "refused"
    """The handler's module, for the metrics."""
    reads: bool = False
    """Whether its route only reads, whatever the method."""
    audit: dict[str, str] | None = None
    """Facts for the audit log, where the request asks for a change."""
    narrowed: bool = False
    """Whether names from the view at hand stand in the target in place of what the client wrote."""
    begun_again: bool = False
    held: int = 0
    """Bytes of the budget for bodies."""
    _sourced: bool = False
    """Whether the body came as a parameter."""
    _body: bytes | None = None
    _text: bytes | None = None
    _unreadable: HeadraceError | None = None
    """Why the body has no text."""

    @property
    def method(self) -> str:
        """The HTTP method."""
        return self.request.method

    @property
    def safe(self) -> bool:
        """Whether the request changes nothing in the cluster, so that it may be sent twice."""
        return self.reads or self.method in ("GET", "HEAD")

    @property
    def has_body(self) -> bool:
        """Whether the request has a body, in its place or as a parameter."""
        return self.inbound.body.exists or self._body is not None

    @property
    def head(self) -> RequestHead:
        """The head as the client sent it."""
        return self.inbound.head

    def take_source(self) -> None:
        """Puts a body that came as the parameter `source` in its place; beside a body the node passes it by.

        Raises MediaTypeError for one of another type, UnparsableError.
        """
        source = self.target.get("source")
        if source is None:
            return
        kind = self.target.get("source_content_type")
        if not self.inbound.body.exists:
            media = Media.JSON if kind is None else self._named(kind)
            if media is None:
                raise MediaTypeError(f"source_content_type [{kind}] is not supported where pipelines apply; send JSON")
            body = source.encode("utf-8", "surrogateescape")
            self._body = body if media is Media.JSON else self._as_json(media, body)
            self._sourced = True
        self.target = self.target.without("source", "source_content_type")

    def begin_again(self) -> None:
        """Takes back what has been made of the request, whose body stays at hand."""
        self.target, self.params = Target.parse(self.head.target), {}
        if self._sourced:
            self._body, self._sourced = None, False
        self.narrowed, self.begun_again = False, True
        for name in ("X-Pipeline", "X-Pipeline-Conflict", "Warning"):
            self.extra.popall(name, None)

    def _check_names(self, status: int) -> None:
        """Raises StaleNamesError, once, where the cluster does not find names that we have put into the target."""
        if status == 404 and self.narrowed and self.safe and not self.begun_again:
            raise StaleNamesError("the cluster's names have changed")

    @property
    def snapshot(self) -> Snapshot:
        """The registry now; take it once in a request. Raises RegistryError."""
        return self.parts.registry.snapshot

    @property
    def headers(self) -> CIMultiDict[str]:
        """A copy of the headers to send on."""
        headers = header_lines.request_headers(self.head.raw_headers, self.request.remote)
        if self.parts.settings.elasticsearch_compat:
            plain_media(headers)
        return headers

    @property
    def lines(self) -> bytes:
        """The header lines to send on where nothing of them changes."""
        if self.parts.settings.elasticsearch_compat:
            return header_lines.lines_of(self.headers)
        return self.head.forward_lines(self.request.remote)

    async def body(self) -> bytes:
        """The whole body as it was sent, under the cap, once there is room for it.

        Raises TooLargeError, SlowClientError.
        """
        if self._body is None:
            self._body = await self._arrived()
            if self.foreign is not None and len(self._body) > UNCOUNTED:
                await self._decode_aside(self._body)
        return self._body

    async def _decode_aside(self, body: bytes) -> None:
        """Decodes a long body of another media type without holding the loop; what is wrong is told to who asks."""
        try:
            self._keep(await asyncio.to_thread(self._decoded, body))
        except HeadraceError as error:
            self._unreadable = error

    async def _arrived(self) -> bytes:
        limit, body = self.parts.max_body, self.inbound.body
        if body.length is not None and body.length > limit:
            raise TooLargeError(f"the body has {body.length} bytes, the limit is {limit}; send smaller requests")
        if not self.encoding and (whole := body.arrived(min(UNCOUNTED, limit))) is not None:
            return whole
        expected = limit if body.length is None else body.length
        if body.length is not None and expected > UNCOUNTED:
            self.held += await self.parts.budget.take(expected)
        seconds = self.parts.client_seconds + expected / _SLOWEST
        try:
            if body.length is not None:
                whole = await body.receive(seconds)
            else:
                async with asyncio.timeout(seconds) as clock:
                    whole = await self._read(limit, clock)
        except TimeoutError:
            raise SlowClientError("the body did not arrive in time; see client_timeout") from None
        await self._hold(min(claimed_size(whole, self.encoding), limit))
        return whole

    async def _hold(self, size: int) -> None:
        """Holds room for `size` bytes in place of what is held; for more it holds nothing while it waits."""
        if size > max(self.held, UNCOUNTED):
            self.parts.budget.give(self.held)
            self.held = 0
            self.held = await self.parts.budget.take(size)
        elif size < self.held:
            self.parts.budget.give(self.held - size)
            self.held = size

    async def _read(self, limit: int, clock: asyncio.Timeout) -> bytes:
        """A body of unknown length. Raises TooLargeError. Once it is long, it waits for the most there may be."""
        parts, size = [], 0
        while piece := await self.inbound.body.piece():
            size += len(piece)
            if size > limit:
                raise TooLargeError(f"the body has more than {limit} bytes; send smaller requests")
            if size > UNCOUNTED and not self.held:
                clock.reschedule(None)
                self.held += await self.parts.budget.take(limit)
                clock.reschedule(asyncio.get_running_loop().time() + self.parts.client_seconds + limit / _SLOWEST)
            parts.append(piece)
        return b"".join(parts) if len(parts) != 1 else parts[0]

    def let_go(self) -> None:
        """Keeps the body no longer, which nobody may ask for any more."""
        self._body = self._text = b""

    async def text(self) -> bytes:
        """The whole body, inflated, as JSON. Raises TooLargeError, InvalidError, MediaTypeError."""
        return self.inflated(await self.body())

    async def plain_text(self) -> bytes:
        """[`text`] of a request of ours, without comments, which the cluster passes over."""
        text = await self.text()
        return plain_json(text) or text

    @property
    def encoding(self) -> str:
        """The body's Content-Encoding, if it has one."""
        return self.request.headers.get(hdrs.CONTENT_ENCODING, "")

    @cached_property
    def foreign(self) -> Media | None:
        """The body's media type, if it is one of the cluster's but JSON, and the body came in its place."""
        sent = self.request.headers.get(hdrs.CONTENT_TYPE)
        media = self._named(sent) if sent is not None and self.inbound.body.exists else None
        return None if media is Media.JSON else media

    def _named(self, text: str) -> Media | None:
        return types.named(text, elasticsearch=self.parts.settings.elasticsearch_compat)

    @property
    def coded(self) -> bool:
        """Whether stages cannot read the body as it came: [`inflated`] gives it in plain JSON."""
        marked = self._body is not None and self._body.startswith(_MARK)
        return marked or bool(self.encoding) or self.foreign is not None

    def inflated(self, body: bytes) -> bytes:
        """`body` without its Content-Encoding, under the cap, as JSON without a byte order mark. Raises as [`text`]."""
        if not self.encoding and self.foreign is None:
            return body.removeprefix(_MARK)
        if body is not self._body:
            return self._decoded(body)
        if self._unreadable is not None:
            raise self._unreadable
        return self._text if self._text is not None else self._keep(self._decoded(body))

    def _decoded(self, body: bytes) -> bytes:
        text = inflate(body, self.encoding, self.parts.max_body) if self.encoding else body
        return text.removeprefix(_MARK) if self.foreign is None else self._as_json(self.foreign, text)

    def _as_json(self, media: Media, body: bytes) -> bytes:
        strict, several = self.parts.registry.protects, types.of_several(self.target)
        return types.as_json(media, body, self.parts.max_body, strict=strict, several=several)

    def _keep(self, text: bytes) -> bytes:
        """Keeps the plain text of the body, which counts in its place."""
        self._text = text
        if len(text) > max(self.held, UNCOUNTED):
            # More than its size let expect: it is here already, so that others wait for it.
            self.parts.budget.owe(len(text) - self.held)
            self.held = len(text)
        return text

    async def require_admin(self) -> None:
        """Raises RefusedError unless this caller may change pipelines and UDFs; see `rights`."""
        await rights.require_admin(self)

    async def require_attaching(self, index: str) -> None:
        """Raises RefusedError unless this caller may attach pipelines to `index`; a holder of the admin token may."""
        if not self.parts.settings.admin_token:
            await self.parts.permissions.attach(self, index)

    def note(self, **facts: str) -> None:
        """Facts for the line of the audit log."""
        self.audit = (self.audit or {}) | facts

    @property
    def media(self) -> str:
        """The media type of the body, in lower case and without parameters; empty if the request names none."""
        return self.request.headers.get(hdrs.CONTENT_TYPE, "").partition(";")[0].strip().lower()

    @property
    def speaks_json(self) -> bool:
        """Whether stages can read the body, by its Content-Type (none, and curl's default, are left to the cluster)."""
        media = self.media
        if not media or media.endswith("json") or media == "application/x-www-form-urlencoded":
            return True
        several = types.of_several(self.target)
        return self.foreign is not None and (not several or self.foreign is Media.SMILE)

    def require_json(self) -> None:
        """Raises MediaTypeError, in OpenSearch's words, for a body that no stage can read."""
        content_type = self.request.headers.get(hdrs.CONTENT_TYPE, "")
        if not self.speaks_json:
            if self.foreign is not None:
                self._as_json(self.foreign, b" ")
            raise MediaTypeError(f"Content-Type header [{content_type}] is not supported where a pipeline applies")

    async def stream_on(self) -> web.StreamResponse:
        """Forwards the request unread and streams the answer back."""
        if self._sourced or self._judged(self._body):
            return await self.send_on(self._body or b"", changed=self._sourced)
        arriving = self.inbound.body
        body: Body = None
        if arriving.exists:
            small = arriving.length is not None and arriving.length <= min(SMALL, self.parts.max_body)
            body = await self.body() if small or self._body is not None else arriving
        return await self._pass_on(self.lines, body)

    async def _pass_on(self, head: bytes, body: Body, sent: PendingResponse | None = None) -> web.StreamResponse:
        """Sends the request with this head and body, unless it is `sent`, and streams the answer back."""
        cluster = self.parts.upstream
        response = await cluster.send(self.method, self.target.raw, head, body, safe=self.safe, sent=sent)
        try:
            self._check_names(response.status)
            return await relay(self.request, cluster, response, self.extra)
        finally:
            response.release()

    async def go_on(self, sent: PendingResponse) -> web.StreamResponse:
        """Takes over from the fast path: the request has left, its answer is to be waited for."""
        return await self._pass_on(self.lines, sent.body, sent=sent)

    async def send_on(self, body: Text, *, changed: bool) -> web.StreamResponse:
        """Forwards the request with a body at hand and streams the answer back."""
        if not changed and self._judged(body):
            body, changed = self._text or b"", True
        return await self._pass_on(self._lines_for(body, changed=changed), body)

    def _judged(self, body: Text | None) -> bool:
        """Whether a body is the one that came, and what was read of it is to be sent in its place.

        Where something is protected the cluster must not read anything else in it.
        """
        known = self.foreign is not None and self._text is not None and body is self._body
        return known and self.parts.registry.protects

    async def exchange(self, body: Text, *, changed: bool = True, unfiltered: bool = False) -> Answer:
        """Forwards the request with a body at hand and reads the whole answer, asked for uncompressed.

        `unfiltered`: without the client's `filter_path`, for answers that are worked on; [`reply`] applies it last.
        """
        if not changed and self._judged(body):
            body, changed = self._text or b"", True
        target = self.target.without("filter_path") if unfiltered else self.target
        if self.answers is not Media.JSON:
            target = target.without("format")
        head = self._lines_for(body, changed=changed, plain=True)
        answer = await self.parts.upstream.read(self.method, target.raw, head, body, safe=self.safe)
        self._check_names(answer.status)
        return answer

    async def ask(self, method: str, path: str, body: bytes | None = None) -> Answer:
        """A call of ours to the cluster with the caller's credentials; `body` is JSON."""
        headers = self.headers_for(b"", changed=True)
        for name in (hdrs.ACCEPT_ENCODING, hdrs.CONTENT_TYPE, hdrs.ACCEPT):
            headers.popall(name, None)
        if body is not None:
            headers[hdrs.CONTENT_TYPE] = "application/json"
        return await self.parts.upstream.read(method, path, header_lines.lines_of(headers), body)

    async def write_bulk(self, body: Text, params: dict[str, str]) -> Answer:
        """Sends a `_bulk` in place of this request, with its credentials."""
        headers = self.headers_for(body, changed=True)
        for name in (hdrs.ACCEPT_ENCODING, hdrs.ACCEPT):
            headers.popall(name, None)
        headers[hdrs.CONTENT_TYPE] = "application/x-ndjson"
        query = f"?{urlencode(params)}" if params else ""
        return await self.parts.upstream.read("POST", f"/_bulk{query}", header_lines.lines_of(headers), body)

    @cached_property
    def answers(self) -> Media:
        """The media type that the answer is asked for in."""
        headers = self.request.headers
        accept, sent = headers.get(hdrs.ACCEPT), headers.get(hdrs.CONTENT_TYPE)
        elasticsearch = self.parts.settings.elasticsearch_compat
        return types.asked_for(self.target, accept, sent, elasticsearch=elasticsearch)

    def _lines_for(self, body: Text, *, changed: bool, plain: bool = False) -> bytes:
        """[`headers_for`] as lines; `plain`: the answer is asked for uncompressed, and in JSON."""
        changed = changed or self._sourced
        transcoded = changed and self.foreign is not None
        if transcoded or (plain and self.answers is not Media.JSON):
            headers = self.headers_for(body, changed=changed)
            if transcoded:
                headers[hdrs.CONTENT_TYPE] = "application/json"
            headers[hdrs.ACCEPT] = "application/json" if plain else self.answers.value
            if plain:
                headers.popall(hdrs.ACCEPT_ENCODING, None)
            return header_lines.lines_of(headers)
        if self.parts.settings.elasticsearch_compat or (changed and body and not self.inbound.body.exists):
            headers = self.headers_for(body, changed=changed)
            if plain:
                headers.popall(hdrs.ACCEPT_ENCODING, None)
            return header_lines.lines_of(headers)
        return self._lines_without(_DROPPED[changed, plain])

    def _lines_without(self, dropped: frozenset[bytes]) -> bytes:
        return self.head.forward_lines(self.request.remote, dropped)

    def headers_for(self, body: Text, *, changed: bool) -> CIMultiDict[str]:
        """Headers that fit `body`; `changed`: it is not the one that came, nor compressed as it was."""
        headers = self.headers
        if changed:
            headers.popall(hdrs.CONTENT_ENCODING, None)
            if body and not self.inbound.body.exists and hdrs.CONTENT_TYPE not in headers:
                headers[hdrs.CONTENT_TYPE] = "application/json"
        return headers

    async def reply(self, status: int, body: bytes) -> web.StreamResponse:
        """Answers with JSON of ours, `filter_path` and `pretty` honoured, in the type that is asked for."""
        body, media = self.typed(self.shaped(body))
        return await self._reply(status, header_lines.lines_back(self.request, [_is(media)], self.extra), body)

    async def _reply(self, status: int, lines: bytes, body: bytes) -> web.StreamResponse:
        if len(body) >= _COMPRESSED and accepts_gzip(self.request.headers.get(hdrs.ACCEPT_ENCODING, "")):
            body = await asyncio.to_thread(deflate, body) if len(body) > SMALL >> 2 else deflate(body)
            lines += b"Content-Encoding: gzip\r\n"
        return await send_lines(self.request, status, "", lines, body)

    def shaped(self, body: bytes) -> bytes:
        """`body` as `filter_path` and `pretty` ask for it."""
        if patterns := self.target.get("filter_path"):
            body = filter_path(body, [p.strip() for p in patterns.split(",")])
        if self.target.flag("pretty"):
            body = msgspec.json.format(body, indent=2) + b"\n"
        return body

    def typed(self, body: bytes) -> tuple[bytes, Media]:
        """A JSON text in the media type that is asked for; in JSON if it cannot be."""
        if self.answers is Media.JSON:
            return body, Media.JSON
        try:
            return (types.from_json(self.answers, body) if body else body), self.answers
        except ValueError:
            return body, Media.JSON

    async def reply_json(self, status: int, value: Any) -> web.StreamResponse:
        """Answers with a value as JSON."""
        return await self.reply(status, msgspec.json.encode(value))

    async def reply_answer(self, answer: Answer, body: bytes | None = None) -> web.StreamResponse:
        """Sends a whole answer of the cluster on, in the type that is asked for; another body, if given, is shaped."""
        raw, text = answer.raw_headers, answer.body if body is None else self.shaped(body)
        if self.answers is not Media.JSON and answer.json:
            text, media = self.typed(text)
            raw = [*(pair for pair in raw if pair[0].lower() != b"content-type"), _is(media)]
        elif body is not None and not answer.typed:
            raw = [*raw, _is(Media.JSON)]
        known = answer.lines if raw is answer.raw_headers else None
        lines = header_lines.lines_back(self.request, raw, self.extra, known)
        if body is not None:
            return await self._reply(answer.status, lines, text)
        return await send_lines(self.request, answer.status, answer.reason, lines, text)


def _is(media: Media) -> tuple[bytes, bytes]:
    return b"Content-Type", media.value.encode()
