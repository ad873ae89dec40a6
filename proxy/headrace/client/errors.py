"""Errors of calls to a proxy."""

from __future__ import annotations

from typing import Any


class ClientError(Exception):
    """The proxy answers with an error in OpenSearch's shape.

    `status` is the HTTP status, `type` the error type, `field` the path of what is wrong (or empty), and `body` the
    whole answer.
    """

    def __init__(self, status: int, reason: str, type: str = "", field: str = "", body: Any = None) -> None:  # noqa: A002 - OpenSearch's word
        super().__init__(f"{status}: {reason}")
        self.status = status
        self.reason = reason
        self.type = type
        self.field = field
        self.body = body


class UnreachableError(Exception):
    """No answer: the address is wrong, nothing listens there, TLS fails, or the time is over."""


def error_of(status: int, body: Any) -> ClientError:
    """The error that an answer with `status` means. `body` is the decoded answer, or its text."""
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict):
        return ClientError(status, str(error or body or f"HTTP status {status}"), body=body)
    field = str(error.get("field", ""))
    reason = str(error.get("reason", "")).removeprefix(f"[{field}] ")
    return ClientError(status, reason, str(error.get("type", "")), field, body)
