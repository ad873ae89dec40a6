"""The last lines that a UDF has logged in this process, and who wants those to come."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

MAX_LINES = 200
"""Lines of each UDF that are kept."""
MAX_CHARACTERS = 256 << 10
"""Characters of the lines of each UDF that are kept: a line that quotes a document may be long."""
MAX_TEXT = 8 << 10
"""Characters of a line that are kept."""
LEVELS = ("trace", "debug", "info", "warn", "error")
"""Names of the log levels of the UDF ABI, by number."""


class Line(msgspec.Struct):
    """A line: `ts` in seconds since the epoch, `document` is the position in its batch."""

    ts: float
    udf: str
    pipeline: str
    stage: str
    document: int
    level: str
    text: str


class UdfLines:
    """The lines of one UDF, all versions; may be used from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lines: deque[Line] = deque()
        self._length = 0
        self._listeners: tuple[Callable[[list[Line]], None], ...] = ()

    def add(self, udf: str, pipeline: str, stage: str, logs: Iterable[tuple[int, int, str]]) -> None:
        """Keeps the lines of a run: position, level and text of each."""
        now = time.time()
        found = [
            Line(now, udf, pipeline, stage, at, LEVELS[level] if level < len(LEVELS) else "info", text[:MAX_TEXT])
            for at, level, text in logs
        ]
        with self._lock:
            for line in found:
                self._lines.append(line)
                self._length += len(line.text)
            while self._lines and (len(self._lines) > MAX_LINES or self._length > MAX_CHARACTERS):
                self._length -= len(self._lines.popleft().text)
            listeners = self._listeners
        for listener in listeners:
            listener(found)

    def last(self, count: int) -> list[Line]:
        """The last lines, oldest first."""
        with self._lock:
            return list(self._lines)[-count:] if count else []

    def listen(self, listener: Callable[[list[Line]], None]) -> None:
        """Has `listener` get further lines, on the thread of each run: it must not wait."""
        with self._lock:
            self._listeners = (*self._listeners, listener)

    def forget(self, listener: Callable[[list[Line]], None]) -> None:
        """Ends [`listen`]; a bound method is another object at each access, and equal."""
        with self._lock:
            self._listeners = tuple(each for each in self._listeners if each != listener)
