"""The states of a connection to a node, and the table of transitions."""

from __future__ import annotations

from enum import IntEnum


class State(IntEnum):
    """Where a connection is."""

    IDLE = 0
    """No exchange is in progress: a byte of the node ends the connection."""
    AWAITING = 1
    """A request has been sent, or is being sent; the head of the response is not here."""
    RECEIVING = 2
    """A body of known length, not a long one, is received in place."""
    STREAMING = 3
    """A body comes in pieces, as fast as they are taken."""
    SPLICING = 4
    """The kernel reads the rest of a long body."""
    COMPLETE = 5
    """The response is whole, and not released."""
    CLOSED = 6


class Event(IntEnum):
    """An event of the connection."""

    REQUEST = 0
    RECEIVE = 1
    STREAM = 2
    SPLICE = 3
    WHOLE = 4
    """The end of the response is here."""
    RELEASE = 5
    CLOSE = 6
    """It is closed, by us or by the node, or something is wrong with it."""


TABLE = {
    (State.IDLE, Event.REQUEST): State.AWAITING,
    (State.AWAITING, Event.RECEIVE): State.RECEIVING,
    (State.AWAITING, Event.STREAM): State.STREAMING,
    (State.AWAITING, Event.WHOLE): State.COMPLETE,
    (State.RECEIVING, Event.WHOLE): State.COMPLETE,
    (State.STREAMING, Event.WHOLE): State.COMPLETE,
    (State.STREAMING, Event.SPLICE): State.SPLICING,
    (State.SPLICING, Event.WHOLE): State.COMPLETE,
    (State.COMPLETE, Event.RELEASE): State.IDLE,
} | {(state, Event.CLOSE): State.CLOSED for state in State}
NEXT = [[TABLE.get((state, event)) for event in Event] for state in State]
