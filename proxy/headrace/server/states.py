"""The states of a client connection, and the table of transitions."""

from __future__ import annotations

from enum import IntEnum


class State(IntEnum):
    """Where a connection is."""

    READING_HEAD = 0
    """Between two requests, or in the middle of a head."""
    READING_BODY = 1
    """A request may be forwarded once its body is here."""
    FORWARDING = 2
    """The response to a forwarded request is pending."""
    HANDLING = 3
    """aiohttp's handler has the request."""
    DISCARDING = 4
    """The request has been answered; the rest of its body is read and dropped."""
    CLOSING = 5
    """The last response has been written: nothing that comes is read as a request."""


class Event(IntEnum):
    """An event of the request in progress."""

    AWAIT_BODY = 0
    FORWARD = 1
    HANDLE = 2
    """It goes to its handler; also where it was forwarded and the response cannot be buffered."""
    ANSWERED = 3
    ANSWERED_EARLY = 4
    """It is answered, its body has not arrived."""
    BODY_ENDED = 5
    END = 6
    """The connection ends."""


TABLE = {
    (State.READING_HEAD, Event.AWAIT_BODY): State.READING_BODY,
    (State.READING_HEAD, Event.FORWARD): State.FORWARDING,
    (State.READING_HEAD, Event.HANDLE): State.HANDLING,
    (State.READING_BODY, Event.FORWARD): State.FORWARDING,
    (State.READING_BODY, Event.HANDLE): State.HANDLING,
    (State.FORWARDING, Event.HANDLE): State.HANDLING,
    (State.FORWARDING, Event.ANSWERED): State.READING_HEAD,
    (State.FORWARDING, Event.ANSWERED_EARLY): State.DISCARDING,
    (State.HANDLING, Event.ANSWERED): State.READING_HEAD,
    (State.HANDLING, Event.ANSWERED_EARLY): State.DISCARDING,
    (State.DISCARDING, Event.BODY_ENDED): State.READING_HEAD,
} | {(state, Event.END): State.CLOSING for state in State}
NEXT = [[TABLE.get((state, event)) for event in Event] for state in State]
