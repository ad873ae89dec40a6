"""Log lines of the process, on standard error, in text or in JSON. No bodies, no credentials.

A line that is written on behalf of a request carries the ids of its trace and of its client (`X-Opaque-Id`). A logger
adds members to a line by `extra={"fields": {...}}`.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from logging.handlers import WatchedFileHandler
from typing import TYPE_CHECKING, Any

import msgspec
from pythonjsonlogger.msgspec import MsgspecFormatter

from headrace.protocol.headers.trace_context import TRACE_PARENT, parent_of
from headrace_pipelines.http1 import RequestHead

if TYPE_CHECKING:
    from headrace.settings import Settings

FORMAT = "%(asctime)s %(levelname)-7s %(name)s %(message)s"
AUDIT = "headrace.audit"
_log = logging.getLogger("headrace.log")
MAX_ID = 128
"""Characters of an `X-Opaque-Id` in a line: clients choose it, and a line must stay one."""


class RequestIds(msgspec.Struct):
    """The ids of a request, read from its head when a line is written.

    `trace_id`: of a trace that begins here. `ended`: the request is over. Connections and tasks that it has started
    live on in its context, and their lines are not about it.
    """

    head: RequestHead
    ended: bool = False
    trace_id: str = ""

    def fields(self) -> dict[str, str]:
        """The members of a log line."""
        if self.ended:
            return {}
        parent = None if self.trace_id else parent_of(self.head.header(TRACE_PARENT))
        trace = self.trace_id or (parent.trace_id if parent is not None else "")
        found = {"trace.id": trace} if trace else {}
        if opaque := self.head.header(b"x-opaque-id"):
            found["x_opaque_id"] = shown(opaque)
        return found


CURRENT: ContextVar[RequestIds | None] = ContextVar("request", default=None)
"""The request on whose behalf the code runs."""


def shown(value: bytes) -> str:
    """A header's value as a log shows it: printable characters, at most MAX_ID of them."""
    return printable(value.decode("utf-8", "replace")[:MAX_ID])


def printable(text: str) -> str:
    """A text of a client as a log shows it: what cannot be printed, and what is no UTF-8, is U+FFFD."""
    return text if text.isprintable() else "".join(each if each.isprintable() else "�" for each in text)


def configure(settings: Settings) -> None:
    """Sets the loggers up once, at start. Raises OSError for an `audit_log` that cannot be written."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if settings.log_format == "json" else TextLines(FORMAT))
    logging.basicConfig(handlers=[handler], level=settings.log_level.upper(), force=True)
    logging.getLogger("opensearch").setLevel(logging.ERROR)
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
    # What clients send in `tracestate` is no news, and warnings about an export name its URL.
    logging.getLogger("opentelemetry.trace").setLevel(logging.CRITICAL)
    logging.getLogger("opentelemetry.exporter").setLevel(logging.ERROR)
    if settings.audit_log:
        # It follows a file that is moved away, so that logrotate needs no signal.
        to_file = AuditFile(settings.audit_log, encoding="utf-8")
        to_file.setFormatter(JsonLines())
        audit = logging.getLogger(AUDIT)
        audit.handlers, audit.propagate = [to_file], False
        audit.setLevel(logging.INFO)


def set_level(level: str) -> None:
    """Changes the level of a process that runs; libraries keep theirs."""
    logging.getLogger().setLevel(level.upper())


class AuditFile(WatchedFileHandler):
    """The file of the audit log. A line that it does not take goes to the log of the process."""

    def emit(self, record: logging.LogRecord) -> None:
        """Writes a line."""
        try:
            super().emit(record)
        except OSError as error:
            _log.error("the audit log cannot be written: %s; the line: %s", error.strerror, self.format(record))


class TextLines(logging.Formatter):
    """Lines for people: the members of a line follow its message as `name=value`."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line = super().format(record)
        found = {**({} if hasattr(record, "summary") else getattr(record, "fields", {})), **_ids()}
        if not found:
            return line
        first, newline, trace = line.partition("\n")
        return " ".join([first, *(f"{name}={_word(value)}" for name, value in found.items())]) + newline + trace


class JsonLines(MsgspecFormatter):
    """Lines for machines, with the field names of the Elastic Common Schema.

    A record's `summary` stands for a message that is JSON itself.
    """

    def add_fields(self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]) -> None:
        """Puts the members of a line in their order."""
        log_data["@timestamp"] = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        log_data["log.level"] = record.levelname.lower()
        log_data["log.logger"] = record.name
        log_data["message"] = getattr(record, "summary", record.getMessage())
        log_data["process.pid"] = record.process
        log_data.update(_ids())
        log_data.update(getattr(record, "fields", {}))
        if record.exc_info and record.exc_info[0] is not None:
            log_data["error.type"] = record.exc_info[0].__name__
            log_data["error.stack_trace"] = message_dict.get("exc_info")


def _ids() -> dict[str, str]:
    request = CURRENT.get()
    return request.fields() if request is not None else {}


def _word(value: object) -> str:
    """A value without spaces as it is, another one in quotes."""
    text = str(value)
    plain = text and not any(each.isspace() or each in '"=' for each in text)
    return text if plain else msgspec.json.encode(text).decode()


class LimitedLog:
    """A logger for lines that clients cause: at most so many in a while, and then the number of those left out."""

    def __init__(
        self, logger: logging.Logger, lines: int = 10, seconds: float = 10.0, level: int = logging.INFO
    ) -> None:
        self._logger = logger
        self._lines = lines
        self._seconds = seconds
        self._level = level
        self._written = 0
        self._window: asyncio.TimerHandle | None = None

    def write(self, text: str, *values: object, fields: dict[str, Any] | None = None) -> None:
        """Writes or counts a line. Called on the event loop."""
        if self._window is None:
            self._window = asyncio.get_running_loop().call_later(self._seconds, self._end_window)
        self._written += 1
        if self._written <= self._lines:
            self._logger.log(self._level, text, *values, extra={"fields": fields or {}})

    def _end_window(self) -> None:
        omitted, self._written, self._window = self._written - self._lines, 0, None
        if omitted > 0:
            self._logger.log(self._level, "%d more lines like these within %g s are left out", omitted, self._seconds)
