"""The strict JSON reader: what it writes, what it refuses, and that hostile texts cost what they are long."""

from __future__ import annotations

import json
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace_pipelines import canonical_json
from tests.properties.test_json import layouts, values


@given(values, layouts)
def test_a_value_is_written_in_the_plainest_form(value, layout):
    text = json.dumps(value, **layout)
    plain = canonical_json(text.encode("utf-8", "surrogatepass"))
    assert plain == json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
    assert canonical_json(plain) == plain


@given(st.binary(max_size=40) | values.map(lambda value: json.dumps(value).encode()[:-1]))
def test_what_is_taken_is_json(text):
    try:
        plain = canonical_json(text)
    except ValueError:
        return
    json.loads(plain)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b'{"a":1,"b":{"c":1,"\\u0063":2}}', 'Duplicate Object property "c" at byte 18'),
        (b'{"a":"\xc0\xaf"}', "invalid UTF-8 at byte 6"),
        (b'{"a":"\\ud800"}', "half of a surrogate pair in a string at byte 6"),
        (b"{} {}", "there is more behind the JSON value at byte 3"),
        ("{}".encode("utf-16-le"), "UTF-16 and UTF-32 are not read: send UTF-8 at byte 0"),
        (b"[[[]]]", "nested deeper than 2 levels at byte 2"),
    ],
)
def test_an_error_says_what_and_where(text, reason):
    with pytest.raises(ValueError, match=f"^{re.escape(reason)}$"):
        canonical_json(text, 2)


def seconds(text: bytes) -> float:
    begun = time.perf_counter()
    with pytest.raises(ValueError, match=" at byte "):
        canonical_json(text, 1_000_000)
    return time.perf_counter() - begun


def test_hostile_texts_cost_what_they_are_long():
    keys = b",".join(b'"%s%d":1' % (b"k" * 50, i) for i in range(100_000))
    hostile = [
        b"{" + keys + b',"' + b"k" * 50 + b'7":2}',
        b"{" + keys,
        b"[" * 2_000_000,
        b'{"a":' * 1_000_000,
        b"/**/" * 1_000_000,
        b"[" + b"1," * 2_000_000 + b"]",
        b'"' + b"\\u0061" * 500_000,
    ]
    # Each takes some tens of milliseconds; looking at every pair of keys would take minutes.
    assert max(seconds(text) for text in hostile) < 5
