"""Which media type a request means, as OpenSearch 3.8.0 reads its headers."""

from __future__ import annotations

import pytest

from headrace.protocol.media.types import Media, as_json, asked_for, from_json, is_sequence, named
from headrace.protocol.target import Target
from headrace_pipelines.errors import MediaTypeError, TooLargeError, UnparsableError


@pytest.mark.parametrize(
    ("text", "media"),
    [
        ("application/yaml", Media.YAML),
        ("APPLICATION/YAML", Media.YAML),
        ("application/yaml; charset=UTF-8", Media.YAML),
        ("application/cbor", Media.CBOR),
        ("application/smile", Media.SMILE),
        ("application/json;q=1", Media.JSON),
        ("application/x-ndjson", Media.JSON),
        ("application/*", Media.JSON),
        ("application/vnd.opensearch+yaml", Media.YAML),
        ("application/vnd.opensearch+cbor;x=1", Media.CBOR),
        ("application/vnd.elasticsearch+yaml", None),
        ("application/x-yaml", None),
        ("text/yaml", None),
        ("*/*", None),
        ("application/yaml, application/json", None),
        ("yaml", None),
        ("", None),
    ],
)
def test_a_name(text: str, media: Media | None):
    assert named(text) is media


def test_names_of_elasticsearch_count_where_its_clients_are_expected():
    assert named("application/vnd.elasticsearch+smile; compatible-with=8", elasticsearch=True) is Media.SMILE


@pytest.mark.parametrize(
    ("path", "accept", "sent", "media"),
    [
        ("/", None, None, Media.JSON),
        ("/?format=yaml", "application/cbor", None, Media.YAML),
        ("/?format=YAML", None, None, Media.YAML),
        ("/?format=application/yaml", "application/cbor", None, Media.CBOR),
        ("/?format=", "application/cbor", None, Media.CBOR),
        ("/", "application/smile", "application/yaml", Media.SMILE),
        ("/", "*/*", "application/yaml", Media.YAML),
        ("/", "application/*", "application/yaml", Media.JSON),
        ("/", "application/json, application/yaml", "application/cbor", Media.CBOR),
        ("/", "text/plain", None, Media.JSON),
        ("/", None, "application/vnd.opensearch+cbor", Media.CBOR),
    ],
)
def test_the_type_of_an_answer(path: str, accept: str | None, sent: str | None, media: Media):
    assert asked_for(Target.parse(path), accept, sent) is media


def test_several_values_are_of_json_or_smile():
    assert is_sequence(Target.parse("/i/_bulk"))
    assert is_sequence(Target.parse("/_msearch/template"))
    assert not is_sequence(Target.parse("/i/_search"))
    with pytest.raises(MediaTypeError, match="does not support stream parsing"):
        as_json(Media.YAML, b"x", 100, strict=False, sequence=True)
    body = from_json(Media.SMILE, b'{"a":1}') + b"\xff"
    assert as_json(Media.SMILE, 2 * body, 100, strict=False, sequence=True) == b'{"a":1}\n{"a":1}\n'


def test_what_cannot_be_read_says_so():
    with pytest.raises(UnparsableError, match=r"cannot be read as YAML: .*quote it.*; send what every reader"):
        as_json(Media.YAML, b"x: yes", 100, strict=True, sequence=False)
    with pytest.raises(TooLargeError):
        as_json(Media.YAML, b"x: " + b"a" * 100, 100, strict=False, sequence=False)
    assert as_json(Media.CBOR, b"", 100, strict=True, sequence=False) == b""
