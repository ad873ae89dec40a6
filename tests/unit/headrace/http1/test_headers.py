"""Which headers end at the proxy: the engine's rule and the server's are the same."""

from __future__ import annotations

import pytest

from headrace.http1.headers import HOP_BY_HOP, request_headers
from headrace_pipelines.http1 import RequestParser

NAMES = [
    *sorted({name.decode() for name in HOP_BY_HOP} - {"transfer-encoding", "connection"}),
    "host",
    "expect",
    "content-length",
    "x-headrace-admin-token",
    "x-opaque-id",
    "authorization",
    "te-x",
    "keep-aliv",
    "via",
    "cookie",
]


@pytest.mark.parametrize("name", NAMES)
def test_both_forward_the_same_headers(name: str):
    value = {"content-length": "0", "expect": "100-continue"}.get(name, "x")
    lines = [f"{name.title()}: {value}", *(["Host: h"] if name != "host" else [])]
    head = RequestParser(4096, 16384, 100).parse(("GET / HTTP/1.1\r\n" + "\r\n".join(lines) + "\r\n\r\n").encode())
    assert head is not None
    by_engine = {line.partition(b":")[0].lower().decode() for line in head.forward_lines(None).splitlines() if line}
    by_server = {each.lower() for each in request_headers(head.raw_headers, None)}
    assert by_engine == by_server
    assert (name in by_engine) == (name in {"x-opaque-id", "authorization", "te-x", "keep-aliv", "via", "cookie"})


def test_both_drop_what_connection_names():
    head = RequestParser(4096, 16384, 100).parse(
        b"GET / HTTP/1.1\r\nHost: h\r\nConnection: x-one, close\r\nX-One: 1\r\nX-Two: 2\r\n\r\n"
    )
    assert head is not None
    assert head.forward_lines(None) == b"X-Two: 2\r\n"
    assert [each.lower() for each in request_headers(head.raw_headers, None)] == ["x-two"]
