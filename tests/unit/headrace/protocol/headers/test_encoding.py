from __future__ import annotations

import gzip
import zlib

import pytest

from headrace.protocol.headers.encoding import accepts_gzip, claimed_size, deflate, inflate
from headrace_pipelines.errors import InvalidError, MediaTypeError, TooLargeError

TEXT = b"some text " * 100


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (TEXT, ""),
        (TEXT, "identity"),
        (gzip.compress(TEXT), "gzip"),
        (gzip.compress(TEXT), " GZIP "),
        (zlib.compress(TEXT), "deflate"),
    ],
)
def test_encodings(body, encoding):
    assert inflate(body, encoding, 10_000) == TEXT


def test_several_members_count_together():
    two = gzip.compress(TEXT) * 2
    assert inflate(two, "gzip", 10_000) == TEXT * 2
    with pytest.raises(TooLargeError):
        inflate(two, "gzip", 1500)


def test_what_is_refused():
    with pytest.raises(TooLargeError):
        inflate(gzip.compress(b"\0" * 10_000_000), "gzip", 1000)
    with pytest.raises(InvalidError, match="cut off"):
        inflate(gzip.compress(TEXT)[:-10], "gzip", 10_000)
    with pytest.raises(InvalidError, match="not valid gzip"):
        inflate(b"nothing of the kind", "gzip", 10_000)
    with pytest.raises(MediaTypeError, match="zstd"):
        inflate(TEXT, "zstd", 10_000)


@pytest.mark.parametrize(
    ("header", "taken"),
    [
        ("gzip", True),
        ("gzip, deflate", True),
        ("deflate, GZIP;q=0.5", True),
        ("*", True),
        ("gzip;q=0", False),
        ("identity", False),
        ("", False),
    ],
)
def test_who_takes_gzip(header, taken):
    assert accepts_gzip(header) is taken


def test_what_is_compressed_can_be_read():
    assert gzip.decompress(deflate(b"x" * 5000)) == b"x" * 5000


def test_gzip_says_its_size():
    assert claimed_size(gzip.compress(b"x" * 5000), "gzip") == 5000
    assert claimed_size(b"abc", "") == 3
    assert claimed_size(b"", "gzip") == 0
    assert claimed_size(b"abcd", "deflate") == 32
