"""A body into its place: what it takes from a socket, and when it is whole."""

from __future__ import annotations

import socket

import pytest

from headrace_pipelines import Intake


@pytest.fixture
def ends():
    here, there = socket.socketpair()
    with here, there:
        there.setblocking(False)
        yield here, there.fileno()


def test_it_takes_what_is_there_and_no_more(ends):
    here, number = ends
    intake = Intake(9, [b"ab", b"c"])
    assert intake.left == 6
    assert not intake.receive(number)
    here.send(b"def")
    assert not intake.receive(number)
    assert intake.left == 3
    with pytest.raises(ValueError, match="not here"):
        intake.whole()
    here.send(b"ghinext")
    assert intake.receive(number)
    assert intake.whole() == b"abcdefghi"
    with pytest.raises(ValueError, match="not here"):
        intake.whole()


def test_what_is_behind_it_stays_where_it_is(ends):
    here, number = ends
    here.send(b"abcnext")
    intake = Intake(3, [])
    assert intake.receive(number)
    rest = Intake(4, [])
    assert rest.receive(number)
    assert (intake.whole(), rest.whole()) == (b"abc", b"next")


def test_one_that_begins_whole(ends):
    intake = Intake(3, [b"abc"])
    assert intake.receive(ends[1])
    assert intake.whole() == b"abc"
    assert Intake(0, []).whole() == b""


def test_more_than_there_is_room_for_is_refused():
    with pytest.raises(ValueError, match="more has arrived"):
        Intake(3, [b"ab", b"cd"])


def test_a_sender_that_is_gone(ends):
    here, number = ends
    here.close()
    with pytest.raises(ConnectionResetError):
        Intake(3, []).receive(number)
    with pytest.raises(OSError, match="Bad file"):
        Intake(3, []).receive(-1)
