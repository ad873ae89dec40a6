"""Errors of an exchange with a node."""

from __future__ import annotations


class ExchangeError(Exception):
    """Base of errors that end an exchange before its response is complete."""


class ConnectError(ExchangeError):
    """No connection was made: not a byte has left."""

    def __init__(self, error: OSError) -> None:
        super().__init__(error.strerror or str(error))


class DisconnectedError(ExchangeError):
    """The node closed the connection before the end of its response."""


class MalformedResponseError(ExchangeError):
    """The response is not well-formed HTTP."""


class RequestBodyError(ExchangeError):
    """The body of the request broke off."""


class SlowBodyError(ExchangeError):
    """The client stopped sending its body."""


class NodeTimeoutError(TimeoutError):
    """The node does not answer, or does not take the request's body."""
