from __future__ import annotations

import pytest

from proxy.protocol.target import Target


@pytest.mark.parametrize(
    ("raw", "segments"),
    [
        ("/", ()),
        ("/_bulk", ("_bulk",)),
        ("//_bulk/", ("_bulk",)),
        ("/a%2Fb/_doc/x%20y", ("a/b", "_doc", "x y")),
        ("/%5Fbulk", ("_bulk",)),
        ("/i/../_bulk", ("i", "..", "_bulk")),
        ("/a+b/_doc", ("a+b", "_doc")),
        ("/i?x=/y", ("i",)),
    ],
)
def test_segments(raw, segments):
    assert Target.parse(raw).segments == segments


def test_parameters_keep_their_text():
    target = Target.parse("/i?a=1&b=%2F+x&a=2&flag&c=#frag")
    assert (target.get("a"), target.get("b"), target.get("flag"), target.get("none")) == ("2", "/ x", "", None)
    assert target.flag("flag")
    assert not target.flag("none")
    assert not Target.parse("/?pretty=false").flag("pretty")
    assert target.without("a").raw == "/i?b=%2F+x&flag&c="
    assert target.without("none") is target
    assert Target.parse("/i?a=1").without("a").raw == "/i"
    assert Target.parse("/i?%61=1").without("a").raw == "/i"


def test_what_comes_again_is_read_once_but_not_what_is_long():
    short, long = "/i/_search?pretty&a=1", f"/i/_search?q={'x' * 600}&a=1"
    assert Target.parse(short) is Target.parse(short)
    assert Target.parse(short).without("a") is Target.parse(short).without("a")
    assert Target.parse(long) is not Target.parse(long)
    for raw in (short, long):
        target = Target.parse(raw)
        assert target.without("b") is target
        assert (target.raw, target.without("a").raw) == (raw, raw.removesuffix("&a=1"))
        assert target.without("a", "pretty", "q").raw == "/i/_search"
