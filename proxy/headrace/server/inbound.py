"""A client's request as the server side hands it on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from headrace.http1.body import NO_BODY, RequestBody

if TYPE_CHECKING:
    from headrace.ops.body_budget import BodyBudget
    from headrace_pipelines.http1 import RequestHead


class Forwarded(Protocol):
    """A request that has been sent to a node, or needs none."""

    def abandon(self) -> None:
        """Ends its exchange: the client is gone."""
        ...


class InboundRequest:
    """A request: head, body, and the pending exchange, if it was forwarded before its handler got it.

    `text`: the body, where all of it came with the head; it is `None` where some is still to come. Most requests are
    forwarded as they came: for those no [`RequestBody`] is made.
    """

    __slots__ = ("_body", "_budget", "forwarded", "head", "is_sampled", "reserved_bytes", "text")

    def __init__(self, head: RequestHead, text: bytes | None, body: RequestBody | None = None) -> None:
        self.head = head
        self.text = text
        self._body = body
        self.forwarded: Forwarded | None = None
        self.is_sampled: bool | None = None
        """Whether it is traced; `None`: nobody has asked."""
        self.reserved_bytes = 0
        """Bytes that it holds of the budget for bodies, until somebody takes them over."""
        self._budget: BodyBudget | None = None

    def reserve(self, budget: BodyBudget, size: int) -> bool:
        """Whether it holds room for a body of `size` bytes; it takes that if it can be had at once."""
        if self.reserved_bytes >= size:
            return True
        if self.reserved_bytes or not budget.acquire_at_once(size):
            return False
        self._budget, self.reserved_bytes = budget, size
        return True

    def drop_body(self) -> None:
        """Keeps the body no longer, which has arrived and is not read any more."""
        self.text = b"" if self.text is not None else None
        if self._body is not None:
            self._body.discard()

    def pop_reserved(self) -> int:
        """The bytes that it holds, which are the caller's to give back."""
        size, self.reserved_bytes = self.reserved_bytes, 0
        return size

    def release(self) -> None:
        """Gives back what nobody has taken over."""
        if self._budget is not None and (size := self.pop_reserved()):
            self._budget.release(size)

    @property
    def complete(self) -> bool:
        """Whether the whole body has arrived."""
        return self._body is None or self._body.complete

    @property
    def body(self) -> RequestBody:
        """The body."""
        if self._body is None:
            self._body = RequestBody.whole(self.head, self.text or b"") if self.head.has_body else NO_BODY
        return self._body

    @property
    def arriving(self) -> RequestBody | None:
        """The body, where some of it was still to come."""
        return self._body
