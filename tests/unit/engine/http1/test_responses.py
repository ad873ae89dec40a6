"""Heads of responses, bodies in chunks, bodies received in place."""

from __future__ import annotations

import random

import pytest

from headrace_pipelines.http1 import BodyBuffer, ChunkedDecoder, HeadError, ResponseHead, ResponseParser
from tests.unit.engine.http1.messages import RESPONSES, mutated, read_responses

OK = b"HTTP/1.1 200 OK\r\n%b\r\n"


def parsed(message: bytes, *, bodiless: bool = False) -> ResponseHead:
    head = ResponseParser(1024, 20).parse(message, bodiless=bodiless)
    assert head is not None
    return head


MALFORMED = {
    "a bare line feed": b"HTTP/1.1 200 OK\nX: 1\n\n",
    "a folded line": OK % b"X: a\r\n b\r\n",
    "a space before the colon": OK % b"X : a\r\n",
    "a control byte": OK % b"X: a\0\r\n",
    "two lengths": OK % b"Content-Length: 1\r\nContent-Length: 1\r\n",
    "length and chunks": OK % b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
    "another coding": OK % b"Transfer-Encoding: identity\r\n",
    "chunks in HTTP/1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    "no status": b"HTTP/1.1 OK\r\n\r\n",
    "two digits": b"HTTP/1.1 20 OK\r\n\r\n",
    "four digits": b"HTTP/1.1 2000 OK\r\n\r\n",
    "a status under 100": b"HTTP/1.1 099 OK\r\n\r\n",
    "a control byte in the reason": b"HTTP/1.1 200 O\x01K\r\n\r\n",
    "another protocol": b"HTCPCP/1.1 200 OK\r\n\r\n",
    "what nobody asked for": b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    "an interim response with a body": b"HTTP/1.1 100 Continue\r\nContent-Length: 1\r\n\r\n",
    "a last interim response": b"HTTP/1.1 100 Continue\r\nConnection: close\r\n\r\n",
}


@pytest.mark.parametrize("message", MALFORMED.values(), ids=list(MALFORMED))
def test_what_is_not_beyond_doubt_is_refused(message: bytes):
    with pytest.raises(HeadError) as error:
        parsed(message)
    assert error.value.args[2] == "malformed"


def test_other_refusals():
    for message, kind in (
        (b"HTTP/2.0 200 OK\r\n\r\n", "version"),
        (OK % b"Transfer-Encoding: gzip, chunked\r\n", "coding"),
        (OK % (b"X: %b\r\n" % (b"a" * 1024)), "headers"),
        (b"HTTP/1.1 200 " + b"a" * 9000, "line"),
    ):
        with pytest.raises(HeadError) as error:
            parsed(message)
        assert error.value.args[2] == kind


def test_where_bodies_end():
    cases = {
        (b"Content-Length: 3\r\n", False): (3, False, False, True),
        (b"Transfer-Encoding: chunked\r\n", False): (None, True, False, True),
        (b"", False): (None, False, True, False),
        (b"Connection: close\r\nContent-Length: 3\r\n", False): (3, False, False, False),
        # In response to HEAD.
        (b"Content-Length: 3\r\n", True): (0, False, False, True),
        (b"Transfer-Encoding: chunked\r\n", True): (0, False, False, True),
        (b"", True): (0, False, False, True),
    }
    for (lines, bodiless), expected in cases.items():
        head = parsed(OK % lines, bodiless=bodiless)
        assert (head.length, head.chunked, head.until_close, head.keep_alive) == expected
    for status in (204, 304, 103):
        head = parsed(b"HTTP/1.1 %d X\r\n\r\n" % status)
        assert (head.length, head.until_close, head.interim) == (0, False, status == 103)
    head = parsed(OK % b"Content-Length: 3\r\n", bodiless=True)
    assert head.declared_length == 3
    assert parsed(OK % b"").declared_length is None


def test_lines_come_back_without_those_of_the_connection():
    head = parsed(
        b"HTTP/1.1 299 Odd Reason\r\nX: 1\r\nX: 2\r\nContent-Type: application/json; charset=UTF-8\r\nKeep-Alive: 5\r\n"
        b"Connection: keep-alive, X-Hop\r\nX-Hop: 1\r\nContent-Length: 3\r\nTrailer: a\r\n\r\n"
    )
    lines = b"X: 1\r\nX: 2\r\nContent-Type: application/json; charset=UTF-8\r\n"
    assert head.client_lines() == lines
    assert head.client_lines(b"application/x") == b"X: 1\r\nX: 2\r\nContent-Type: application/x\r\n"
    assert head.client_head(3) == b"HTTP/1.1 299 Odd Reason\r\n" + lines + b"Content-Length: 3\r\n\r\n"
    assert (head.status, head.reason, head.minor_version) == (299, "Odd Reason", 1)
    assert parsed(b"HTTP/1.1 204 \r\n\r\n").client_head(0) == b"HTTP/1.1 204 \r\n\r\n"
    assert parsed(b"HTTP/1.1 200\r\n\r\n").reason == ""


def test_streams_are_the_same_wherever_they_are_cut():
    chance = random.Random(3)
    for message in [*RESPONSES, *(mutated(chance, chance.choice(RESPONSES)) for _ in range(30))]:
        whole = read_responses(message)
        for step in range(1, len(message)):
            cut = read_responses(message, step)
            assert (cut.messages, cut.refused, cut.ends) == (whole.messages, whole.refused, whole.ends), (message, step)


def test_a_body_in_chunks_ends_where_it_ends():
    decoder = ChunkedDecoder(100)
    data = bytearray(b"__3\r\nabc\r\n0\r\nT: 1\r\n\r\nGET")
    assert decoder.feed(data, 2, 6) == (b"a", 6, False)
    assert decoder.feed(memoryview(data), 6) == (b"bc", len(data) - 3, True)
    assert decoder.done
    # Nothing more is read.
    assert decoder.feed(b"1\r\n") == (b"", 0, True)


@pytest.mark.parametrize("name", ["Content-Length: 3", "transfer-encoding: chunked", "Host: h"])
def test_trailers_that_belong_into_the_head_are_refused(name: str):
    with pytest.raises(HeadError):
        ChunkedDecoder(100).feed(f"0\r\n{name}\r\n\r\n".encode())


def test_a_body_is_received_in_place():
    body = BodyBuffer(6)
    body.append(b"_ab", 1)
    view = body.room()
    assert len(view) == body.left == 4
    view[:2] = b"cd"
    body.filled(2)
    assert (body.part(), body.left) == (b"abcd", 2)
    with pytest.raises(ValueError, match="not here"):
        body.whole()
    with pytest.raises(ValueError, match="more"):
        body.append(b"efg")
    with pytest.raises(ValueError, match="more"):
        body.filled(3)
    # The loop holds its view while it says how much it wrote.
    last = body.room()
    last[:] = b"ef"
    body.filled(2)
    whole = body.whole()
    del body
    assert (whole, bytes(last)) == (b"abcdef", b"ef")


def test_a_body_is_given_once():
    body = BodyBuffer(0)
    assert body.whole() == b""
    with pytest.raises(ValueError, match="not here"):
        body.whole()
    with pytest.raises(BufferError):
        body.room()


def test_a_body_is_offered_a_mebibyte_at_a_time():
    assert len(BodyBuffer(5 << 20).room()) == 1 << 20
