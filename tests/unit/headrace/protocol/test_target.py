from __future__ import annotations

import pytest

from headrace.protocol.target import BadTargetError, Target


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
    target = Target.parse("/i?a=1&b=%2F+x&a=2&flag&c=")
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


@pytest.mark.parametrize(
    ("raw", "canonical"),
    [
        ("/i/_search?pretty=false;q=*:*", "/i/_search?pretty=false&q=*:*"),
        ("/i/_search?=size=0", "/i/_search?size=0"),
        ("/i/_search?a=1&a=2", "/i/_search?a=2"),
        ("/i/_search?si%7ae=0", "/i/_search?size=0"),
        ("/i/_search?a=b=c&&;d", "/i/_search?a=b%3Dc&d"),
        ("/i/_search?size=0&=5", "/i/_search?size=0&5"),
        ("/i/_search/", "/i/_search"),
        ("//_refresh", "/_refresh"),
        ("/i/_doc/1#x?a=1", "/i/_doc/1%23x"),
        ("/i/_doc/1?a=1#b", "/i/_doc/1?a=1"),
        ("/%69/_doc/a%2Fb?q=%ff", "/i/_doc/a%2Fb?q=%EF%BF%BD"),
        ("/i/_search?q=a+b%2Bc", "/i/_search?q=a%20b%2Bc"),
        ("/?;", "/"),
    ],
)
def test_an_unusual_target_is_written_anew(raw, canonical):
    target = Target.parse(raw)
    assert target.canonical.raw == canonical
    assert target.canonical.values == target.values
    assert target.canonical.plain
    assert target.canonical.canonical.raw == canonical


@pytest.mark.parametrize(
    "raw", ["/i?a=%", "/i?a%zz=1", "/i%4", "//i/_search", "/i//_search", "//_search//x", "/i?a=%4g"]
)
def test_a_malformed_target_is_refused(raw):
    assert not Target.parse(raw).plain
    with pytest.raises(BadTargetError):
        _ = Target.parse(raw).canonical


@pytest.mark.parametrize("raw", ["/", "/i/_search", "/i/_search?q=a+b", "/a,b*/_doc/x%20y?a=1&b", "/i?x=/y:*"])
def test_a_plain_target_stays_as_it_is(raw):
    assert Target.parse(raw).plain


@pytest.mark.parametrize("raw", ["/i?a;b", "/i?a=1&a=1", "/i?%61=1", "/i?=a", "/i/", "//i", "/i?a=1&", "/i?a=\u00e9"])
def test_an_unusual_target_is_not_plain(raw):
    assert not Target.parse(raw).plain
