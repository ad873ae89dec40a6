"""The cluster as the proxy talks to it: one client session, raw targets, raw bodies, streamed both ways.

Header rules: hop-by-hop headers end here (RFC 9110, section 7.6.1), everything else passes unchanged, duplicates
included; `X-Forwarded-For` is appended to. A write is never sent again once a byte of it has left, and nothing is
decoded.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp
from aiohttp import hdrs, web
from multidict import CIMultiDict
from yarl import URL

from pipelines.errors import HeadraceError, MediaTypeError, UnreachableError, UpstreamError, UpstreamTimeoutError
from proxy import tls
from proxy.nodes import Nodes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

    from proxy.nodes import Node
    from proxy.settings import Settings

HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
ADMIN_HEADER = "X-Headrace-Admin-Token"
"""Carries the admin token; never sent on."""
VENDOR_MEDIA = "headrace.vendor_media"
"""What a request notes of its client: the media type of its own that it wants JSON called."""
_NOT_SENT_ON = HOP_BY_HOP | {"host", "expect", ADMIN_HEADER.lower()}
_AUTOMATIC = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")
_CHUNK = 1 << 18
SMALL = 1 << 20
"""Bodies up to this many bytes are read whole and sent in one piece; larger ones are streamed."""

Body = bytes | aiohttp.StreamReader | None


class Upstream:
    """The cluster. `send` gives its answer as it arrives; `relay` streams one to the client."""

    def __init__(self, settings: Settings, count: Callable[[str], None] = lambda kind: None) -> None:
        self._nodes = Nodes(settings.nodes)
        self._count = count
        self._health_seconds = settings.seconds("upstream_health_interval")
        connect = settings.seconds("upstream_connect_timeout")
        self._asking = aiohttp.ClientTimeout(total=connect)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=30, ssl=tls.to_upstream(settings) or True),
            timeout=aiohttp.ClientTimeout(total=None, connect=connect, sock_read=settings.seconds("upstream_timeout")),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=_AUTOMATIC,
            read_bufsize=_CHUNK,
            max_line_size=16384,
            max_field_size=32768,
        )
        # aiohttp would send PUT and DELETE a second time when a kept connection turns out to be closed.
        self._session._retry_connection = False

    def start(self) -> None:
        """Begins to watch the nodes."""
        self._nodes.watch(self._healthy, self._health_seconds)

    async def _healthy(self, node: Node) -> bool:
        """Whether a node answers at all: a 401 is an answer, too."""
        try:
            async with self._session.get(URL(node.url + "/"), timeout=self._asking) as answer:
                return answer.status not in (502, 503, 504)
        except (TimeoutError, aiohttp.ClientError):
            return False

    async def close(self) -> None:
        """Closes all connections."""
        await self._nodes.stop()
        await self._session.close()

    @asynccontextmanager
    async def send(
        self, method: str, target: str, headers: CIMultiDict[str], body: Body, *, safe: bool = False
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """One exchange with the cluster; the answer's body has not been read yet.

        Another node is tried when no connection is made: not a byte has left then. `safe`: the request changes nothing,
        so that it may be sent once more also when its connection breaks before the answer.

        Raises UnreachableError when no connection is made, UpstreamTimeoutError and UpstreamError when the answer
        does not come or breaks off.
        """
        repeatable = safe and not isinstance(body, aiohttp.StreamReader)
        tried: list[Node] = []
        answered = False
        while True:
            node = self._nodes.pick(tried)
            tried.append(node)
            url = URL(node.url + target, encoded=True)
            data = _pieces(body) if isinstance(body, bytes) and len(body) > SMALL else body or None
            try:
                async with self._session.request(
                    method, url, headers=headers, data=data, allow_redirects=False
                ) as answer:
                    answered = True
                    self._nodes.answered(node)
                    yield answer
                    return
            except (TimeoutError, aiohttp.ServerTimeoutError):
                self._count("timeout")
                raise UpstreamTimeoutError("the cluster did not answer in time; see upstream_timeout") from None
            except aiohttp.ClientConnectorError as error:
                self._count("unreachable")
                self._nodes.failed(node)
                if len(tried) >= len(self._nodes):
                    raise UnreachableError(f"the cluster cannot be reached: {error.strerror or error}") from None
            except aiohttp.ClientError as error:
                self._count("broken")
                if answered or not repeatable or len(tried) > 1:
                    raise UpstreamError(f"the exchange with the cluster broke off: {type(error).__name__}") from None

    async def read(
        self, method: str, target: str, headers: CIMultiDict[str], body: bytes | None, *, safe: bool = False
    ) -> Answer:
        """One exchange with the answer read whole. Raises as [`send`]."""
        async with self.send(method, target, headers, body, safe=safe) as answer:
            return Answer(answer.status, answer.reason or "", response_headers(answer.raw_headers), await answer.read())


async def _pieces(body: bytes) -> AsyncIterator[memoryview]:
    """A large body in pieces, so that a slow cluster holds it back without holding the loop."""
    view = memoryview(body)
    for start in range(0, len(body), _CHUNK):
        yield view[start : start + _CHUNK]


class Answer:
    """A whole answer of the cluster."""

    def __init__(self, status: int, reason: str, headers: CIMultiDict[str], body: bytes) -> None:
        self.status = status
        self.reason = reason
        self.headers = headers
        self.body = body

    @property
    def ok(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300

    def require_ok(self) -> None:
        """Raises ClusterRefusedError unless the status is 2xx."""
        if not self.ok:
            raise ClusterRefusedError(self)

    def require_json(self) -> None:
        """Raises MediaTypeError for a good answer that pipelines which have to run cannot read."""
        if self.ok and not self.json:
            raise MediaTypeError(
                "the cluster's answer is not plain JSON, which a result pipeline has to read; ask for JSON"
            )

    @property
    def json(self) -> bool:
        """Whether the body is plain JSON."""
        media = self.headers.get(hdrs.CONTENT_TYPE, "").partition(";")[0].strip()
        return hdrs.CONTENT_ENCODING not in self.headers and media.endswith("json")


class ClusterRefusedError(HeadraceError):
    """The cluster refused a call that a request needed: its own answer is the answer of the request."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(f"the cluster answered {answer.status}")
        self.status = answer.status
        self.answer = answer


def request_headers(raw: Iterable[tuple[bytes, bytes]], peer: str | None) -> CIMultiDict[str]:
    """The client's headers as they are sent on."""
    headers = _passed(raw, _NOT_SENT_ON)
    if peer:
        known = headers.get("X-Forwarded-For")
        headers["X-Forwarded-For"] = f"{known}, {peer}" if known else peer
    return headers


def response_headers(raw: Iterable[tuple[bytes, bytes]]) -> CIMultiDict[str]:
    """The cluster's headers as they are sent back."""
    return _passed(raw, HOP_BY_HOP)


def _passed(raw: Iterable[tuple[bytes, bytes]], dropped: frozenset[str]) -> CIMultiDict[str]:
    headers: CIMultiDict[str] = CIMultiDict()
    named: set[str] = set()
    for name, value in raw:
        key = name.decode("ascii", "replace")
        text = value.decode("utf-8", "surrogateescape")
        if key.lower() == "connection":
            named.update(token.strip().lower() for token in text.split(","))
        if key.lower() not in dropped:
            headers.add(key, text)
    for token in named - {"close", "keep-alive"}:
        headers.popall(token, None)
    return headers


class RawResponse(web.StreamResponse):
    """A response that sends the headers it was given and adds none but those that framing needs."""

    def __init__(self, status: int, reason: str, headers: CIMultiDict[str]) -> None:
        super().__init__(status=status, reason=reason or None, headers=headers)
        self._given = {name.lower() for name in headers}

    async def _prepare_headers(self) -> None:
        length = self._headers.get(hdrs.CONTENT_LENGTH)
        await super()._prepare_headers()
        for added in (hdrs.CONTENT_TYPE, hdrs.DATE, hdrs.SERVER):
            if added.lower() not in self._given:
                self._headers.popall(added, None)
        vendor = self._req.get(VENDOR_MEDIA) if self._req is not None else ""
        if vendor and self._headers.get(hdrs.CONTENT_TYPE, "").startswith("application/json"):
            self._headers[hdrs.CONTENT_TYPE] = vendor
        head = self._req is not None and self._req.method == hdrs.METH_HEAD
        if head and length is not None:
            self._headers[hdrs.CONTENT_LENGTH] = length


class WholeResponse(RawResponse):
    """A response whose body is at hand."""

    def __init__(self, status: int, reason: str, headers: CIMultiDict[str], body: bytes) -> None:
        headers[hdrs.CONTENT_LENGTH] = str(len(body))
        super().__init__(status, reason, headers)
        self._whole = body
        # Head and body leave in one write.
        self._send_headers_immediately = False

    async def send(self, request: web.BaseRequest) -> web.StreamResponse:
        """Sends head and body."""
        await self.prepare(request)
        await self.write_eof(b"" if request.method == hdrs.METH_HEAD else self._whole)
        return self


async def relay(
    request: web.BaseRequest, answer: aiohttp.ClientResponse, extra: CIMultiDict[str] | None = None
) -> web.StreamResponse:
    """Streams the cluster's answer to the client.

    An answer that breaks off ends the client's connection: it must not look complete, and nothing more can be said.
    """
    headers = response_headers(answer.raw_headers)
    headers.extend(extra or {})
    if 0 < (answer.content_length or 0) <= SMALL and request.method != hdrs.METH_HEAD:
        return await WholeResponse(answer.status, answer.reason or "", headers, await answer.read()).send(request)
    response = RawResponse(answer.status, answer.reason or "", headers)
    await response.prepare(request)
    try:
        async for chunk in answer.content.iter_any():
            await response.write(chunk)
    except (TimeoutError, aiohttp.ClientError):
        if request.transport is not None:
            request.transport.abort()
        return response
    await response.write_eof()
    return response
