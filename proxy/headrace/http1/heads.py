"""Heads that are like one before on their connection: compared with it, not parsed again.

A client's next search has the head of its last one but for the length of its body, and so has a node's next answer.
aiohttp's parser reads the first of a kind; what is the same byte for byte, but for the digits of its
`Content-Length`, says the same. Nothing here reads a head for itself, and nothing outlives the connection
(docs/decisions/031-heads-like-the-one-before.md).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from aiohttp.http import RawResponseMessage

from headrace.http1.bodies import declared_length

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace.http1.bodies import Headers

_KEPT = 8
"""So many heads are known of a connection."""
_LONGEST = 4096
"""Bytes of the longest head that is kept."""
_ROOM = 2 * _LONGEST
"""Bytes of all heads that are kept of a connection."""
_AT_ONCE = 4
"""Of heads in a row that were like none before, so many are kept, and then one of so many."""
_MISSES = 16
"""After so many of them nobody looks any more: each is written anew."""
_DIGITS = 9
"""A length that is compared has at most so many."""
_UNLIKE = frozenset({b"transfer-encoding", b"upgrade", b"expect"})
"""Headers of messages that are always parsed."""
IN_CHUNKS, IN_HEAD = -1, -2
"""In place of the bytes to the end of a message, where they are not known."""
_LAST_CHUNK = b"\r\n0\r\n\r\n"
_SIZE = re.compile(rb"[0-9a-fA-F]{1,8}")
"""The size of a chunk, which fits any body that is taken."""
_NAME = b"\r\ncontent-length:"

T = TypeVar("T")


class _Known(NamedTuple, Generic[T]):
    """A head around the value of its `Content-Length` (without one, all of it is `before`), and what it means."""

    before: bytes
    size: int
    after: bytes
    meaning: T


class Found(NamedTuple, Generic[T]):
    """What a head means, where the body begins, and its length."""

    meaning: T
    start: int
    length: int


class Heads(Generic[T]):
    """The heads known of a connection, the last one first. `T`: what is remembered with each."""

    __slots__ = ("_known", "_misses")

    def __init__(self) -> None:
        self._known: list[_Known[T]] = []
        self._misses = 0

    def find(self, data: bytes) -> Found[T] | None:
        """What is known of the head that `data` begins with; its body may be there or not, or more than that."""
        for known in self._known:
            before, size, after, meaning = known
            if not data.startswith(before):
                continue
            start, length = size, 0
            if after:
                end = data.find(b"\r", size, size + _DIGITS + 1)
                if not data.startswith(after, end) or not (digits := data[size:end]).isdigit():
                    continue
                start, length = end + len(after), int(digits)
            self._misses = 0
            if known is not self._known[0]:
                self._known.remove(known)
                self._known.insert(0, known)
            return Found(meaning, start, length)
        self._misses += 1
        if not self.hopeful:
            self._known.clear()
        return None

    @property
    def hopeful(self) -> bool:
        """Whether heads may still come again."""
        return self._misses < _MISSES

    @property
    def learning(self) -> bool:
        """Whether the last head was not found, and is worth to be kept."""
        kept = self._misses <= _AT_ONCE or not self._misses % _AT_ONCE
        return kept and 0 < self._misses < _MISSES

    def learn(self, head: bytes, raw_headers: Headers, meaning: T) -> None:
        """Keeps a head that has been parsed, unless it has to be parsed each time.

        `head`: as it came, with the empty line behind it, as [`Place`] gives it.
        """
        if not head or len(head) > _LONGEST:
            return
        names = [name.lower() for name, _ in raw_headers]
        if not _UNLIKE.isdisjoint(names):
            return
        before, after = head, b""
        if b"content-length" in names:
            value, start = declared_length(raw_headers), head.lower().find(_NAME) + len(_NAME)
            while head[start : start + 1] == b" ":
                start += 1
            end = head.find(b"\r", start)
            digits = head[start:end]
            if names.count(b"content-length") > 1 or not digits.isdigit() or int(digits) != value:
                return
            before, after = head[:start], head[end:]
        if any(known.before == before and known.after == after for known in self._known):
            return
        self._known.insert(0, _Known(before, len(before), after, meaning))
        while len(self._known) > _KEPT or sum(known.size + len(known.after) for known in self._known) > _ROOM:
            self._known.pop()


def _whole(data: bytes, messages: Sequence[Any]) -> bool:
    """Whether these messages, in chunks or not, are all that `data` is, to the byte and without trailers."""
    at = 0
    for message in messages:
        at = data.find(b"\r\n\r\n", at) + 4
        if getattr(message, "chunked", False):
            at = _chunks_end(data, at)
        else:
            at += declared_length(message.raw_headers) or 0
        if not 4 <= at <= len(data):
            return False
    return at == len(data)


def _chunks_end(data: bytes, at: int) -> int:
    """Where a body in chunks (RFC 9112, 7.1) ends; -1 where it does not, or has trailers."""
    while True:
        line_end = data.find(b"\r\n", at)
        digits = data[at:line_end].partition(b";")[0].strip()
        if line_end < 0 or not _SIZE.fullmatch(digits):
            return -1
        size, at = int(digits, 16), line_end + 2
        if data[at + size : at + size + 2] != b"\r\n":
            return -1
        at += size + 2
        if not size:
            return at


class Place:
    """Where a parser is in what it has been fed.

    `left`: the bytes that it still needs to the end of a message (0: it is between two messages), [`IN_CHUNKS`],
    [`IN_HEAD`], or `None` once that is not beyond doubt. `head`: that of the last message, as it came; empty for one
    that was not plain. `odd`: behind the last chunk of a body came more than its end. If that is a trailer, aiohttp's
    parser takes it for a header of the next message, which therefore is not to be read by it. With `answers`, which
    nobody sends unasked, also: anything came behind a message.
    """

    __slots__ = ("_answers", "_chunks", "_pieces", "_tail", "head", "left", "odd")

    def __init__(self, *, answers: bool = False) -> None:
        self._answers = answers
        self.reset()

    def reset(self) -> None:
        """There is a new parser."""
        self.left: int | None = 0
        self.head = b""
        self.odd = False
        self._chunks = False
        self._tail = b""
        self._pieces = b""

    def give_up(self) -> None:
        """Nobody asks any more where it is, only whether something is odd."""
        self.left = None

    def fed(self, data: bytes, begun: Sequence[Any] = (), *, over: bool = False) -> None:
        """The parser has been fed, whereupon these messages began; `over`: the last body has ended."""
        left = self.left
        if not data:
            return
        if self._chunks or len(begun) > 1 or (begun and getattr(begun[0], "chunked", False)):
            if left == 0 and not self._chunks and over and _whole(data, begun):
                self.left = 0 if len(begun) == 1 else None
                self.head = b""
                return
            self._look_for_chunks(data, begun, over=over)
        if left is None:
            return
        if left in (0, IN_HEAD):
            self.left = self._at_head(self._pieces + data, begun)
        elif begun:
            self.left = None
        elif left > 0:
            self.left = self._still(left - len(data))
        if self.left == IN_CHUNKS and over:
            self.left = None if self.odd else 0

    def _at_head(self, data: bytes, begun: Sequence[Any]) -> int | None:
        """What is left where `data` is all since the end of the last message."""
        self._pieces = b""
        if begun:
            return self._begun(data, begun[0]) if len(begun) == 1 else None
        if len(data) > _LONGEST:
            return None
        self._pieces = data
        return IN_HEAD

    def _look_for_chunks(self, data: bytes, begun: Sequence[Any], *, over: bool) -> None:
        if self._chunks:
            self._tail = (self._tail + data)[-len(_LAST_CHUNK) :]
        if begun:
            self.odd |= self._chunks or any(getattr(message, "chunked", False) for message in begun[:-1])
            self._chunks = getattr(begun[-1], "chunked", False)
            self._tail = data[-len(_LAST_CHUNK) :]
        if self._chunks and over:
            self._chunks = False
            # Anything else would be a trailer, or a head that is whole by its empty line.
            self.odd |= self._tail != _LAST_CHUNK

    def _begun(self, data: bytes, message: Any) -> int | None:
        """What is left of a message that the data began with."""
        self.head = b""
        raw_headers = getattr(message, "raw_headers", None)
        if raw_headers is None or message.upgrade:
            return None
        end, lines = data.find(b"\r\n\r\n") + 4, len(raw_headers) + 2
        if data.count(b"\n", 0, end) != lines or data.count(b"\r", 0, end) != lines:
            return None
        self.head = data[:end]
        if message.chunked:
            return IN_CHUNKS
        length = declared_length(raw_headers)
        if length is None:
            if isinstance(message, RawResponseMessage):
                # Its body ends with the connection.
                return None
            length = 0
        return self._still(end + length - len(data))

    def _still(self, left: int) -> int | None:
        """So many bytes, if they are not negative: then something came behind the message."""
        if left < 0:
            self.odd |= self._answers
            return None
        return left
