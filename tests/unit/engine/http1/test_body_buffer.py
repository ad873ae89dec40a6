"""Memory that a body is received into: nobody has it before it is whole."""

from __future__ import annotations

import pytest

from headrace_pipelines.http1 import BodyBuffer


def test_what_is_written_to_it_is_the_body():
    buffer = BodyBuffer(9)
    buffer.append(b"xabcx", 1, 4)
    with buffer.room() as room:
        assert len(room) == buffer.left == 6
        room[:4] = b"defg"
    buffer.filled(4)
    assert buffer.left == 2
    with pytest.raises(ValueError, match="not here"):
        buffer.whole()
    with buffer.room() as room:
        room[:] = b"hi"
    buffer.filled(2)
    assert buffer.whole() == b"abcdefghi"
    with pytest.raises(ValueError, match="not here"):
        buffer.whole()
    with pytest.raises(BufferError):
        buffer.room()


def test_no_more_than_there_is_room_for():
    buffer = BodyBuffer(3)
    with pytest.raises(ValueError, match="more has arrived"):
        buffer.append(b"abcd")
    with pytest.raises(ValueError, match="more was written"):
        buffer.filled(4)
    assert BodyBuffer(0).whole() == b""


def test_a_long_one_offers_a_mebibyte_at_a_time():
    assert len(BodyBuffer(5 << 20).room()) == 1 << 20
