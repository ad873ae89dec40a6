from __future__ import annotations

import pytest

from headrace.protocol.search import folded, msearch_items
from headrace.protocol.target import Target
from headrace_pipelines.errors import InvalidError


@pytest.mark.parametrize(
    ("query", "body"),
    [
        ("q=a:b&df=t&default_operator=AND&lenient=true", {"query": {"query_string": {
            "query": "a:b", "default_field": "t", "default_operator": "AND", "lenient": True}}}),
        ("size=3&from=1", {"size": 3, "from": 1}),
        ("sort=a,b:desc,c:x", {"sort": ["a", {"b": {"order": "desc"}}, "c:x"]}),
        ("_source=false", {"_source": False}),
        ("_source=false&_source_includes=a", {"_source": False}),
        ("_source=a,b&_source_excludes=c", {"_source": {"includes": ["a", "b"], "excludes": ["c"]}}),
        ("track_total_hits=true", {"track_total_hits": True}),
        ("track_total_hits=100", {"track_total_hits": 100}),
        ("explain=true&version=false&seq_no_primary_term", {"explain": True, "version": False}),
        ("timeout=1s&stats=a,b&stored_fields=x", {"stored_fields": ["x"], "timeout": "1s", "stats": ["a", "b"]}),
        ("routing=x&preference=_local&scroll=1m", {}),
    ],
)  # fmt: skip
def test_what_the_url_says_of_the_body(query, body):
    assert folded(Target.parse(f"/i/_search?{query}")) == body


def test_a_bad_number_is_refused():
    with pytest.raises(InvalidError, match=r"int parameter \[size\] with value \[x\]"):
        folded(Target.parse("/_search?size=x"))


@pytest.mark.parametrize(
    ("body", "items"),
    [
        (b'{"index":"a"}\n{}\n{}\n{"size":1}\n', [(b'{"index":"a"}', b"{}"), (b"{}", b'{"size":1}')]),
        (b"\n{}\n{}\n", [(b"{}", b"{}")]),
        (b"{}\n{}\n\n{}\n", [(b"{}", b"{}"), (b"", b"{}")]),
        (b"{}\n{}\n{}\n", [(b"{}", b"{}")]),
        (b"", []),
    ],
)
def test_searches_of_an_msearch(body, items):
    assert msearch_items(body) == items


def test_an_msearch_ends_with_a_newline():
    with pytest.raises(InvalidError, match="must be terminated by a newline"):
        msearch_items(b"{}\n{}")
