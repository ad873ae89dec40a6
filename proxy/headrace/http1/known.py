"""What is made of the head of a request once, and is so for every request with that head."""

from __future__ import annotations

from typing import TypeGuard

from aiohttp import hdrs
from aiohttp.http import HttpVersion11, RawRequestMessage
from multidict import CIMultiDict, CIMultiDictProxy

from headrace.http1.bodies import declared_length, with_length
from headrace.http1.headers import request_lines

_NOTHING: frozenset[bytes] = frozenset()


class Known:
    """The head of a request that aiohttp's parser has read. `message`: as it gives it; `peer`: the client's address."""

    __slots__ = ("_lines", "_message", "_peer", "encoded", "json", "length", "method", "target")

    def __init__(self, message: RawRequestMessage, peer: str | None) -> None:
        self.method: str = message.method
        self.target: str = message.path
        self.encoded = hdrs.CONTENT_ENCODING in message.headers
        """Whether its body is compressed."""
        self.json = says_json(message)
        self.length = declared_length(message.raw_headers) or 0
        """Of the body of the last request with this head, in bytes."""
        self._message = message
        self._peer = peer
        self._lines: dict[frozenset[bytes], bytes] = {}

    def lines(self, without: frozenset[bytes] = _NOTHING) -> bytes:
        """What [`request_lines`] gives of it."""
        lines = self._lines.get(without)
        if lines is None:
            lines = self._lines[without] = request_lines(self._message.raw_headers, self._peer, without)
        return lines

    def message(self, length: int) -> RawRequestMessage:
        """The head with a body of so many bytes."""
        if length != self.length:
            self._message, self.length = _with_length(self._message, length), length
        return self._message


def says_json(message: RawRequestMessage) -> bool:
    """Whether the head says that its body is JSON, or does not say what it is."""
    kind = message.headers.get(hdrs.CONTENT_TYPE, "").partition(";")[0].strip().lower()
    return not kind or kind.endswith("json")


def comparable(message: object) -> TypeGuard[RawRequestMessage]:
    """Whether a request says nothing of its connection but that it stays, and of its body no more than its length."""
    return isinstance(message, RawRequestMessage) and not (
        message.should_close
        or message.chunked
        or message.upgrade
        or hdrs.EXPECT in message.headers
        or message.version != HttpVersion11
    )


def _with_length(message: RawRequestMessage, length: int) -> RawRequestMessage:
    headers = CIMultiDict(message.headers)
    headers[hdrs.CONTENT_LENGTH] = str(length)
    raw = with_length(message.raw_headers, length)
    return message._replace(headers=CIMultiDictProxy(headers), raw_headers=raw)
