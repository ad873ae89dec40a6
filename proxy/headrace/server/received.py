"""A request as it was received: its head, its target and its body, read under the memory budget."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from aiohttp import hdrs

from headrace.protocol.headers.encoding import claimed_size, inflate
from headrace.protocol.media import types
from headrace.protocol.media.types import Media
from headrace.server.connection import SMALL_BODY
from headrace_pipelines import plain_json
from headrace_pipelines.errors import HeadraceError, MediaTypeError, SlowClientError, TooLargeError

if TYPE_CHECKING:
    from aiohttp import web

    from headrace.protocol.target import Target
    from headrace.server.components import Components
    from headrace.server.inbound import InboundRequest
    from headrace_pipelines.http1 import RequestHead

_MARK = b"\xef\xbb\xbf"
"""A byte order mark, which the cluster passes over."""
UNCOUNTED = SMALL_BODY
"""Maximum length in bytes of a body that needs no reservation: the number of connections bounds such bodies."""
_SLOWEST = 64 << 10
"""Minimum average rate of a client in bytes per second, once `client_timeout` has passed."""


@dataclass
class ReceivedRequest:
    """One request, as far as it comes from the client. `params` are the variables of its path."""

    request: web.BaseRequest
    inbound: InboundRequest
    components: Components
    target: Target
    params: dict[str, str] = field(default_factory=dict)
    reserved_bytes: int = field(init=False)
    """Bytes that the request holds of the budget for bodies."""
    _body_from_parameter: bool = False
    _body: bytes | None = None
    _text: bytes | None = None
    _text_error: HeadraceError | None = None
    """The reason why the body has no text."""

    def __post_init__(self) -> None:
        self.reserved_bytes = self.inbound.pop_reserved()

    @property
    def method(self) -> str:
        """The HTTP method."""
        return self.request.method

    @property
    def has_body(self) -> bool:
        """Whether the request has a body, in its place or as a parameter."""
        return self.inbound.body.exists or self._body is not None

    @property
    def head(self) -> RequestHead:
        """The head as the client sent it."""
        return self.inbound.head

    def read_source_parameter(self) -> None:
        """Puts a body that came as the parameter `source` in its place; beside a body the node passes it by.

        Raises MediaTypeError for one of another type, UnparsableError.
        """
        source = self.target.get("source")
        if source is None:
            return
        kind = self.target.get("source_content_type")
        if not self.inbound.body.exists:
            media = Media.JSON if kind is None else self._media_of(kind)
            if media is None:
                raise MediaTypeError(f"source_content_type [{kind}] is not supported where pipelines apply; send JSON")
            body = source.encode("utf-8", "surrogateescape")
            self._body = body if media is Media.JSON else self._as_json(media, body)
            self._body_from_parameter = True
        self.target = self.target.without("source", "source_content_type")

    async def body(self) -> bytes:
        """The whole body as it was sent, under the cap, once there is room for it.

        Raises TooLargeError, SlowClientError.
        """
        if self._body is None:
            self._body = await self._receive()
            if self.binary_media is not None and len(self._body) > UNCOUNTED:
                await self._decode_in_thread(self._body)
        return self._body

    @property
    def kept_body(self) -> bytes | None:
        """The body as it came in its place, where it has been read; empty for one that came as a parameter."""
        return b"" if self._body_from_parameter else self._body

    async def _decode_in_thread(self, body: bytes) -> None:
        """Decodes a long body of another media type without holding the loop; what is wrong is told to who asks."""
        try:
            self._keep_text(await asyncio.to_thread(self._decode, body))
        except HeadraceError as error:
            self._text_error = error

    async def _receive(self) -> bytes:
        limit, body = self.components.max_body, self.inbound.body
        if body.length is not None and body.length > limit:
            raise TooLargeError(f"the body has {body.length} bytes, the limit is {limit}; send smaller requests")
        if not self.encoding and (whole := body.arrived(min(UNCOUNTED, limit))) is not None:
            return whole
        expected = limit if body.length is None else body.length
        if body.length is not None and expected > max(UNCOUNTED, self.reserved_bytes):
            self.reserved_bytes += await self.components.budget.acquire(expected)
        seconds = self.components.client_seconds + expected / _SLOWEST
        try:
            if body.length is not None:
                whole = await body.receive(seconds)
            else:
                async with asyncio.timeout(seconds) as clock:
                    whole = await self._receive_chunked(limit, clock)
        except TimeoutError:
            raise SlowClientError("the body did not arrive in time; see client_timeout") from None
        await self._reserve(min(claimed_size(whole, self.encoding), limit))
        return whole

    async def _reserve(self, size: int) -> None:
        """Holds room for `size` bytes in place of what is held; for more it holds nothing while it waits."""
        if size > max(self.reserved_bytes, UNCOUNTED):
            self.components.budget.release(self.reserved_bytes)
            self.reserved_bytes = 0
            self.reserved_bytes = await self.components.budget.acquire(size)
        elif size < self.reserved_bytes:
            self.components.budget.release(self.reserved_bytes - size)
            self.reserved_bytes = size

    async def _receive_chunked(self, limit: int, clock: asyncio.Timeout) -> bytes:
        """A body of unknown length. Raises TooLargeError. Once it is long, it waits for the most there may be."""
        parts, size = [], 0
        while piece := await self.inbound.body.piece():
            size += len(piece)
            if size > limit:
                raise TooLargeError(f"the body has more than {limit} bytes; send smaller requests")
            if size > UNCOUNTED and not self.reserved_bytes:
                clock.reschedule(None)
                self.reserved_bytes += await self.components.budget.acquire(limit)
                clock.reschedule(asyncio.get_running_loop().time() + self.components.client_seconds + limit / _SLOWEST)
            parts.append(piece)
        return b"".join(parts) if len(parts) != 1 else parts[0]

    def release_body(self) -> None:
        """Keeps the body no longer, which nobody may ask for any more."""
        self._body = self._text = b""

    async def text(self) -> bytes:
        """The whole body, inflated, as JSON. Raises TooLargeError, InvalidError, MediaTypeError."""
        return self.decoded_text(await self.body())

    async def plain_text(self) -> bytes:
        """[`text`] of a request of ours, without comments, which the cluster passes over."""
        text = await self.text()
        return plain_json(text) or text

    @property
    def encoding(self) -> str:
        """The body's Content-Encoding, if it has one."""
        return self.request.headers.get(hdrs.CONTENT_ENCODING, "")

    @cached_property
    def binary_media(self) -> Media | None:
        """The body's media type, if it is one of the cluster's but JSON, and the body came in its place."""
        sent = self.request.headers.get(hdrs.CONTENT_TYPE)
        media = self._media_of(sent) if sent is not None and self.inbound.body.exists else None
        return None if media is Media.JSON else media

    def _media_of(self, text: str) -> Media | None:
        return types.named(text, elasticsearch=self.components.settings.elasticsearch_compat)

    @property
    def needs_decoding(self) -> bool:
        """Whether stages cannot read the body as it came: [`decoded_text`] gives it in plain JSON."""
        marked = self._body is not None and self._body.startswith(_MARK)
        return marked or bool(self.encoding) or self.binary_media is not None

    def decoded_text(self, body: bytes) -> bytes:
        """`body` without its Content-Encoding, under the cap, as JSON without a byte order mark. Raises as [`text`]."""
        if not self.encoding and self.binary_media is None:
            return body.removeprefix(_MARK)
        if body is not self._body:
            return self._decode(body)
        if self._text_error is not None:
            raise self._text_error
        return self._text if self._text is not None else self._keep_text(self._decode(body))

    def _decode(self, body: bytes) -> bytes:
        text = inflate(body, self.encoding, self.components.max_body) if self.encoding else body
        return text.removeprefix(_MARK) if self.binary_media is None else self._as_json(self.binary_media, text)

    def _as_json(self, media: Media, body: bytes) -> bytes:
        strict, sequence = self.components.registry.protects, types.is_sequence(self.target)
        return types.as_json(media, body, self.components.max_body, strict=strict, sequence=sequence)

    def _keep_text(self, text: bytes) -> bytes:
        """Keeps the plain text of the body, which counts in its place."""
        self._text = text
        if len(text) > max(self.reserved_bytes, UNCOUNTED):
            # More than its size let expect: it is here already, so that others wait for it.
            self.components.budget.overdraw(len(text) - self.reserved_bytes)
            self.reserved_bytes = len(text)
        return text

    @property
    def media(self) -> str:
        """The media type of the body, in lower case and without parameters; empty if the request names none."""
        return self.request.headers.get(hdrs.CONTENT_TYPE, "").partition(";")[0].strip().lower()

    @property
    def readable(self) -> bool:
        """Whether stages can read the body, by its Content-Type (none, and curl's default, are left to the cluster)."""
        media = self.media
        if not media or media.endswith("json") or media == "application/x-www-form-urlencoded":
            return True
        sequence = types.is_sequence(self.target)
        return self.binary_media is not None and (not sequence or self.binary_media is Media.SMILE)

    def require_json(self) -> None:
        """Raises MediaTypeError, in OpenSearch's words, for a body that no stage can read."""
        content_type = self.request.headers.get(hdrs.CONTENT_TYPE, "")
        if not self.readable:
            if self.binary_media is not None:
                self._as_json(self.binary_media, b" ")
            raise MediaTypeError(f"Content-Type header [{content_type}] is not supported where a pipeline applies")
