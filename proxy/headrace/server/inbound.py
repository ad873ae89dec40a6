"""A client's request as the server side hands it on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from headrace.http1.body import RequestBody
    from headrace_pipelines.http1 import RequestHead


class Forwarded(Protocol):
    """A request that has been sent to a node."""

    def abandon(self) -> None:
        """Ends its exchange: the client is gone."""
        ...


class InboundRequest:
    """A request: head, body, and, where it was forwarded before it came to its handler, what became of that."""

    __slots__ = ("body", "forwarded", "head")

    def __init__(self, head: RequestHead, body: RequestBody) -> None:
        self.head = head
        self.body = body
        self.forwarded: Forwarded | None = None
