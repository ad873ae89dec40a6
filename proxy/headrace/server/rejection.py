"""The response to what is no request: in OpenSearch's shape, and the last one of its connection."""

from __future__ import annotations

import logging
from http.client import responses
from typing import TYPE_CHECKING

from headrace.http1.head_limits import LongHeaderError, LongLineError
from headrace.protocol.errors import error_body
from headrace_pipelines.errors import HeadraceError

if TYPE_CHECKING:
    from headrace_pipelines.http1 import HeadError

log = logging.getLogger("headrace.http")

_LIMITS: dict[str, type[HeadraceError]] = {"line": LongLineError, "headers": LongHeaderError}


class RejectedError(HeadraceError):
    """A message that is not well-formed, or asks for what HTTP has and the proxy has not."""

    type = "illegal_argument_exception"

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def response(error: HeadError, remote: str | None) -> bytes:
    """The whole response."""
    status, reason, kind = error.args
    rejected: HeadraceError
    if kind in _LIMITS:
        rejected = _LIMITS[kind](reason)
    elif status == 400:
        # The reason names the rule, never what was sent, which may hold a secret.
        log.info("a request from %s that is no HTTP: %s", remote, reason)
        rejected = RejectedError(status, f"the request is not well-formed HTTP: {reason}")
    else:
        rejected = RejectedError(status, reason)
    body = error_body(rejected)
    return b"HTTP/1.1 %d %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b" % (
        rejected.status,
        responses.get(rejected.status, "").encode(),
        len(body),
        body,
    )
