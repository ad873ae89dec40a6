"""Heads of requests: what is taken, what is refused, and what becomes of the header lines."""

from __future__ import annotations

import random

import pytest

from headrace.http1.headers import ADMIN_HEADER
from headrace_pipelines.http1 import HeadError, RequestHead, RequestParser
from tests.unit.engine.http1.messages import NASTY, REQUESTS, mutated, read_requests

LINE, HEADERS, COUNT = 64, 256, 20
GET = b"GET / HTTP/1.1\r\nHost: h\r\n%b\r\n"
POST = b"POST /i/_search HTTP/1.1\r\nHost: h\r\n%b\r\n"


def parsed(message: bytes) -> RequestHead:
    head = RequestParser(LINE, HEADERS, COUNT).parse(message)
    assert head is not None
    return head


def refused(message: bytes) -> tuple[int, str]:
    """Status and kind of the refusal."""
    with pytest.raises(HeadError) as error:
        RequestParser(LINE, HEADERS, COUNT).parse(message)
    status, reason, kind = error.value.args
    assert reason
    return status, kind


MALFORMED = {
    "a bare line feed": b"GET / HTTP/1.1\nHost: h\n\n",
    "a folded line": GET % b"X: a\r\n b\r\n",
    "a folded line first": b"GET / HTTP/1.1\r\n Host: h\r\n\r\n",
    "a space before the colon": GET % b"X : a\r\n",
    "no name": GET % b": a\r\n",
    "no colon": GET % b"X\r\n",
    "a name that is no token": GET % b"X@: a\r\n",
    "a zero byte": GET % b"X: a\0b\r\n",
    "a control byte": GET % b"X: a\x0bb\r\n",
    "a delete": GET % b"X: a\x7f\r\n",
    "a carriage return": GET % b"X: a\rb\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": GET % b"Host: i\r\n",
    "two lengths": POST % b"Content-Length: 1\r\nContent-Length: 1\r\n",
    "a list of lengths": POST % b"Content-Length: 1, 1\r\n",
    "a sign": POST % b"Content-Length: +1\r\n",
    "a negative length": POST % b"Content-Length: -1\r\n",
    "a hexadecimal length": POST % b"Content-Length: 0x1\r\n",
    "a separator": POST % b"Content-Length: 1_0\r\n",
    "two numbers": POST % b"Content-Length: 1 0\r\n",
    "no digit": POST % b"Content-Length:\r\n",
    "digits of elsewhere": POST % "Content-Length: ٣\r\n".encode(),
    "a length over 63 bits": POST % b"Content-Length: 99999999999999999999\r\n",
    "a space behind the length": POST % b"Content-Length: 1 \r\n",
    "length and chunks": POST % b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
    "chunks and length": POST % b"Transfer-Encoding: chunked\r\nContent-Length: 1\r\n",
    "chunks not last": POST % b"Transfer-Encoding: chunked, gzip\r\n",
    "chunks twice": POST % b"Transfer-Encoding: chunked, chunked\r\n",
    "two codings": POST % b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
    "no coding": POST % b"Transfer-Encoding:\r\n",
    "another coding": POST % b"Transfer-Encoding: xchunked\r\n",
    "identity": POST % b"Transfer-Encoding: identity\r\n",
    "a tab behind the coding": POST % b"Transfer-Encoding: chunked\t\r\n",
    "chunks in HTTP/1.0": b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
    "an unknown method": b"BREW / HTTP/1.1\r\nHost: h\r\n\r\n",
    "a tunnel": b"CONNECT h:80 HTTP/1.1\r\nHost: h\r\n\r\n",
    "a method in lower case": b"get / HTTP/1.1\r\nHost: h\r\n\r\n",
    "no target": b"GET  HTTP/1.1\r\nHost: h\r\n\r\n",
    "two spaces": b"GET  / HTTP/1.1\r\nHost: h\r\n\r\n",
    "a space in the target": b"GET /a b HTTP/1.1\r\nHost: h\r\n\r\n",
    "a tab in the target": b"GET /a\tb HTTP/1.1\r\nHost: h\r\n\r\n",
    "a target that is no UTF-8": b"GET /\xff HTTP/1.1\r\nHost: h\r\n\r\n",
    "a star that is not OPTIONS'": b"GET * HTTP/1.1\r\nHost: h\r\n\r\n",
    "a port that is none": b"GET http://h:99999/ HTTP/1.1\r\nHost: h\r\n\r\n",
    "no version": b"GET /\r\nHost: h\r\n\r\n",
    "a short version": b"GET / HTTP/1\r\nHost: h\r\n\r\n",
    "a version in lower case": b"GET / http/1.1\r\nHost: h\r\n\r\n",
    "two empty lines": b"\r\n\r\n" + GET % b"",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n",
    "too many headers": GET % (b"X: 1\r\n" * COUNT),
}


@pytest.mark.parametrize("message", MALFORMED.values(), ids=list(MALFORMED))
def test_what_is_not_beyond_doubt_is_refused(message: bytes):
    assert refused(message) == (400, "malformed")


def test_what_is_not_ours_to_do_has_its_own_status():
    assert refused(b"GET / HTTP/2.0\r\nHost: h\r\n\r\n") == (505, "version")
    assert refused(b"GET / HTTP/1.2\r\nHost: h\r\n\r\n") == (505, "version")
    assert refused(POST % b"Transfer-Encoding: gzip, chunked\r\n") == (501, "coding")
    assert refused(POST % b"Expect: wonders\r\nContent-Length: 1\r\n") == (417, "expectation")


def test_limits_are_a_nodes():
    line = b"GET /%b HTTP/1.1\r\n"
    fits = line % (b"a" * (LINE - 14))
    assert parsed(fits + b"Host: h\r\n\r\n").size == LINE + 2 + 11
    for long in (fits.replace(b"/a", b"/aa"), fits.replace(b"/a", b"/aaa")[:-2]):
        assert refused(long) == (400, "line")
    # Without line ends, all together.
    value = b"a" * (HEADERS - len("Host: hX: Y: "))
    assert parsed(b"GET / HTTP/1.1\r\nHost: h\r\nX: %b\r\nY: \r\n\r\n" % value)
    assert refused(b"GET / HTTP/1.1\r\nHost: h\r\nX: %ba\r\nY: \r\n\r\n" % value) == (400, "headers")
    assert refused(b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"a" * 2 * (HEADERS + 1024)) == (400, "headers")


@pytest.mark.parametrize(
    ("came", "target"),
    [
        ("/", "/"),
        ("//x/../y?z#w", "//x/../y?z#w"),
        ("_snapshot/x", "/_snapshot/x"),
        ("?pretty", "/?pretty"),
        ("/caf\u00e9", "/caf\u00e9"),
        ("HTTP://u:p@h:9200/x?y", "/x?y"),
        ("https://[::1]:9200", "/"),
        ("http://h?y", "/?y"),
        ("http:/x", "/http:/x"),
    ],
)
def test_targets_come_in_origin_form(came: str, target: str):
    head = parsed(f"GET {came} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
    assert (head.method, head.target) == ("GET", target)


def test_framing_and_what_becomes_of_the_connection():
    head = parsed(POST % b"content-length: 007\r\nConnection: Close\r\nExpect: 100-Continue\r\n")
    assert (head.length, head.chunked, head.has_body, head.keep_alive, head.expect_continue) == (
        7,
        False,
        True,
        False,
        True,
    )
    head = parsed(POST % b"Transfer-Encoding: CHUNKED\r\n")
    assert (head.length, head.chunked, head.has_body, head.keep_alive) == (None, True, True, True)
    # Who has no body waits for nothing, and who is old does not know of waiting.
    assert not parsed(POST % b"Content-Length: 0\r\nExpect: 100-continue\r\n").expect_continue
    old = b"POST / HTTP/1.0\r\n%bContent-Length: 1\r\nExpect: 100-continue\r\n\r\n"
    assert not parsed(old % b"").expect_continue
    assert not parsed(old % b"").keep_alive
    assert parsed(old % b"Connection: x, Keep-Alive\r\n").keep_alive
    assert not parsed(old % b"Connection: keep-alive\r\nConnection: close\r\n").keep_alive


def test_what_a_body_is():
    assert parsed(POST % b"").says_json
    assert parsed(POST % b"Content-Type: application/VND.x+Json ; charset=x\r\n").says_json
    assert not parsed(POST % b"Content-Type: application/x-ndjsonx\r\n").says_json
    assert not parsed(POST % b"Content-Type: a\r\nContent-Type: application/json\r\n").says_json
    assert parsed(POST % b"content-ENCODING:\r\n").has_encoding
    assert not parsed(POST % b"").has_encoding


def test_headers_are_found_and_kept_as_they_came():
    head = parsed(GET % b"X-A:1\r\nx-a: \t2\t \r\nX-B:\r\nX-C: caf\xe9\r\n")
    assert head.raw_headers == ((b"Host", b"h"), (b"X-A", b"1"), (b"x-a", b"2"), (b"X-B", b""), (b"X-C", b"caf\xe9"))
    assert (head.header(b"x-A"), head.header(b"x-b"), head.header(b"X")) == (b"1", b"", None)


HOPS = (
    b"Connection: close, X-Hop , accept\r\nKeep-Alive: 5\r\nTE: trailers\r\nTrailer: a\r\nUpgrade: h2c\r\n"
    b"Proxy-Authorization: x\r\nProxy-Connection: x\r\nX-HOP: 1\r\nAccept: a\r\nProxy-Authenticate: x\r\n"
)


def test_lines_are_forwarded_without_those_of_the_connection():
    own = f"{ADMIN_HEADER}: secret\r\n".encode()
    head = RequestParser(4096, 4096, 100).parse(
        POST % (HOPS + own + b"Content-Length: 3\r\nExpect: 100-continue\r\nX: y\r\n")
    )
    assert head is not None
    assert head.forward_lines() == b"X: y\r\n"
    assert head.forward_lines("::1", frozenset({b"x"})) == b"X-Forwarded-For: ::1\r\n"
    handled = head.head_for_handler()
    assert handled == b"POST / HTTP/1.1\r\nHost: h\r\n" + own + b"X: y\r\nConnection: close\r\n\r\n"


def test_whom_a_request_was_forwarded_for_is_appended_to():
    head = parsed(GET % b"X-Forwarded-For: a\r\nX: y\r\nx-forwarded-for: b, c\r\n")
    assert head.forward_lines("d") == b"X: y\r\nX-Forwarded-For: a, b, c, d\r\n"
    assert head.forward_lines() == b"X-Forwarded-For: a\r\nX: y\r\nx-forwarded-for: b, c\r\n"
    # Nobody takes the addresses out by calling them hop-by-hop.
    head = parsed(GET % b"Connection: x-forwarded-for\r\nX-Forwarded-For: a\r\n")
    assert head.forward_lines("d") == b"X-Forwarded-For: a, d\r\n"


def test_a_head_may_be_anywhere_in_a_buffer_that_is_used_again():
    parser, buffer = RequestParser(LINE, HEADERS, COUNT), bytearray(200)
    message = POST % b"X: y\r\n"
    for start in (0, 7, 100):
        for end in range(start, start + len(message) + 1):
            buffer[start:end] = message[: end - start]
            head = parser.parse(memoryview(buffer), start, end)
            assert (head is None) == (end < start + len(message))
        assert head is not None
        buffer[:] = bytes(200)
        assert head.forward_lines() == b"X: y\r\n"
    for offset, end in ((201, None), (0, 201), (5, 4)):
        with pytest.raises(IndexError):
            parser.parse(buffer, offset, end)


def test_a_head_that_dribbles_in_is_looked_at_once():
    # A byte at a time, a megabyte would be a matter of hours if each looked at all of it.
    parser = RequestParser(1 << 20, 1 << 20, COUNT)
    message = b"GET /" + b"a" * 300_000
    for end in range(0, len(message), 10):
        assert parser.parse(message, 0, end) is None


def test_streams_are_the_same_wherever_they_are_cut():
    chance = random.Random(3)
    for message in [*REQUESTS, *(mutated(chance, b"".join(chance.choices(REQUESTS, k=3))) for _ in range(20))]:
        whole = read_requests(message)
        for step in range(1, len(message)):
            cut = read_requests(message, step)
            assert (cut.messages, cut.refused, cut.ends) == (whole.messages, whole.refused, whole.ends), (message, step)


def test_no_line_of_a_client_reaches_a_handler_or_a_node_as_two():
    for nasty in NASTY:
        for head in read_requests(POST % nasty).heads:
            for lines in (head.forward_lines("1"), head.head_for_handler()):
                assert lines.count(b"\n") == lines.count(b"\r\n") == lines.count(b"\r")
