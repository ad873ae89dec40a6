"""Bodies of other media types to JSON and back."""

from __future__ import annotations

import json
import math
import time

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from headrace_pipelines import json_from, json_to, plain_json

KINDS = ("yaml", "cbor", "smile")
LIMIT = 1 << 24
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=80)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 100), 1 << 100)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=20,
)


def read(kind: str, body: bytes, *, strict: bool = False, parts: bool = False) -> str:
    return json_from(kind, body, LIMIT, strict=strict, parts=parts).decode()


@pytest.mark.parametrize("kind", KINDS)
@given(value=VALUES)
def test_what_is_written_reads_as_it_was(kind: str, value: object):
    body = json_to(kind, json.dumps(value).encode())
    assert json.loads(read(kind, body, strict=True)) == value


@given(value=VALUES)
def test_another_reader_of_yaml_reads_what_is_written(value: object):
    body = json_to("yaml", json.dumps(value).encode())
    found = yaml.load(body, yaml.CSafeLoader)
    assert found == value


@given(value=st.dictionaries(TEXTS, VALUES, max_size=5))
def test_what_another_writer_of_yaml_writes_is_read(value: object):
    # All in quotes, with tags: plain texts may be numbers to others.
    body = yaml.safe_dump(value, default_style='"').encode()
    assert json.loads(read("yaml", body)) == value


@given(values=st.lists(VALUES, max_size=5))
def test_several_values_of_smile_are_lines(values: list[object]):
    body = b"".join(json_to("smile", json.dumps(value).encode()) + b"\xff" for value in values)
    lines = read("smile", body, parts=True).split("\n")[:-1]
    assert [json.loads(line) for line in lines] == values


# As OpenSearch 3.8.0 shows a document of this YAML.
SCALARS = {
    "true": "yes Yes YES on On ON true True TRUE",
    "false": "no No NO off Off OFF false False FALSE",
    "null": "~ null Null NULL",
    '"y"': "y",
    '"tRue"': "tRue",
    '"nULL"': "nULL",
    "10": "012 +012",
    "-10": "-012",
    "12": "0o14",
    "31": "0x1F",
    '"-0x1F"': "-0x1F",
    '"+0o14"': "+0o14",
    '"0b101"': "0b101",
    '"1_000"': "1_000",
    "1": "+1",
    "-1": "-1",
    "0": "0 -0 +0 00 0o0 0x00 -00",
    "0.5": ".5 00.5 +.5",
    "-0.5": "-.5 -00.5",
    "9.5": "09.5",
    "5.0": "5.",
    "1.0e5": "1e5 1.e5 1.0e5",
    '"Infinity"': ".inf .Inf +.inf",
    '"-Infinity"': "-.inf",
    '"NaN"': ".nan .NaN .NAN",
    '"-.nan"': "-.nan",
    '"2024-01-01"': "2024-01-01",
    '"190:20:30"': "190:20:30",
    '"1.5.2"': "1.5.2",
    '"<<"': "<<",
    '"="': "=",
    '"0o8"': "0o8",
    '"1e+"': "1e+",
    '"."': ".",
    "4722366482869645213695": "0xFFFFFFFFFFFFFFFFFF 0777777777777777777777777",
    "123456789012345678901234567890": "123456789012345678901234567890",
}


@pytest.mark.parametrize(("meaning", "scalar"), [(m, s) for m, texts in SCALARS.items() for s in texts.split()])
def test_a_plain_scalar_of_yaml_means_what_it_means_to_the_cluster(meaning: str, scalar: str):
    assert read("yaml", f"x: {scalar}\n".encode()) == f'{{"x":{meaning}}}'


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("x:\n", "null"),
        ("x: ''\n", '""'),
        ("x: 'yes'", '"yes"'),
        ('x: "012"', '"012"'),
        ("x: |\n  a\n  b\n", r'"a\nb\n"'),
        ("x: >-\n  a\n  b\n\n  c", r'"a b\nc"'),
        ("x: &a 1", "1"),
        ("x: !!str 12", '"12"'),
        ("x: !!int '12'", "12"),
        ("x: !!int '1_000'", "1000"),
        ("x: !!int -0x1F", "-31"),
        ("x: !!int abc", '"abc"'),
        ("x: !!float 1", "1.0"),
        ("x: !!float 012", "12.0"),
        ("x: !!bool yes", "true"),
        ("x: !!bool 'true'", "true"),
        ("x: !!null abc", "null"),
        ("x: !!null ''", '""'),
        ("x: !!binary |\n  aGVs\n  bG8=\n", '"aGVsbG8="'),
        ("x: !foo bar", '"bar"'),
        ("x: ! 12", '"12"'),
        ("x: {a: 1, b: [yes, 'no']}", '{"a":1,"b":[true,"no"]}'),
        ('x: "\\x41\\u00e9\\U0001F600"', '"Aé😀"'),
        ("x: [a: 1]", '[{"a":1}]'),
        ("x: {a}", '{"a":null}'),
        ("x: a #b", '"a"'),
    ],
)
def test_yaml_is_read_as_the_cluster_reads_it(text: str, meaning: str):
    assert read("yaml", text.encode()) == f'{{"x":{meaning}}}'


@pytest.mark.parametrize(
    "text",
    [
        "x: 1\n---\ny: 2",
        "x: 08",
        "x: *a",
        "x: &a 1\ny: *a",
        "? [a]\n: 1",
        "x: [1, 2",
        'x: "abc',
        "x: a: b",
        "x: \x01",
        "x: \x85",
        "x: \u2028",
        "{x: 1} y",
        "x: @a",
        "x: !!float abc",
        "x: " + "1" * 1001,
    ],
)
def test_yaml_that_is_none_is_refused(text: str):
    with pytest.raises(ValueError, match=r"."):
        read("yaml", text.encode())


DOUBTFUL = "yes no On off y N 012 0x1F 1e5 .5 5. +1 1_0 2024-01-01 .inf True NULL 1:2 0o7"
STRICT = {
    "yaml": [
        *(f"x: {scalar}" for scalar in DOUBTFUL.split()),
        "x: &a 1",
        "&a x: 1",
        "x: !!str 1",
        "!!str x: 1",
        "%YAML 1.1\n---\nx: 1",
        "1: a",
        "true: a",
        "~: a",
        "<<: 1",
    ],
    "cbor": [
        "a10101",
        "a12001",
        "a1416101",
        "a1c0616101",
        "a16178c06161",
        "a16178f7",
        "a16178f97e00",
        "a16178fb7ff0000000000000",
    ],
    "smile": ["3a290a00fa8078290101781f00000000000000fb"],
}


@pytest.mark.parametrize(("kind", "body"), [(kind, body) for kind in ("yaml", "cbor") for body in STRICT[kind]])
def test_what_readers_may_take_differently_is_read_only_where_nothing_hangs_on_it(kind: str, body: str):
    data = body.encode() if kind == "yaml" else bytes.fromhex(body)
    assert read(kind, data)
    with pytest.raises(ValueError, match=r"."):
        read(kind, data, strict=True)


def test_a_name_that_begins_like_a_number_is_one():
    assert (
        read("yaml", b"x: [.hidden, -some, 9lives, 3 rows]", strict=True)
        == '{"x":[".hidden","-some","9lives","3 rows"]}'
    )


def test_a_key_of_one_letter_is_one():
    assert read("yaml", b"n: 1\ny: {Y: 1, N: -2.5e+3}\n", strict=True) == '{"n":1,"y":{"Y":1,"N":-2.5e+3}}'


@pytest.mark.parametrize(
    ("body", "meaning"),
    [
        ("f93e00", "1.5"),
        ("fa3dcccccd", "0.1"),
        ("fa4d000000", "134217728.0"),
        ("fa7149f2ca", "1.0000000150474662e+30"),
        ("fb3fb999999999999a", "0.1"),
        ("1bffffffffffffffff", "18446744073709551615"),
        ("3bffffffffffffffff", "-18446744073709551616"),
        ("c249010000000000000000", "18446744073709551616"),
        ("c349010000000000000000", "-18446744073709551617"),
        ("c240", "0"),
        ("c48221196ab3", "273.15"),
        ("c4820519 6ab3", "27315e5"),
        ("c48221c249010000000000000000", "184467440737095516.16"),
        ("c4822120", "-0.01"),
        ("43010203", '"AQID"'),
        ("5f41014102ff", '"AQI="'),
        ("7f61616162ff", '"ab"'),
        ("f7", "null"),
        ("c06161", '"a"'),
        ("c1c100", "0"),
        ("a1616101", '{"a":1}'),
        ("a10101", '{"1":1}'),
        ("a12001", '{"-1":1}'),
        ("9f0102ff", "[1,2]"),
        ("80", "[]"),
        ("f97e00", '"NaN"'),
        ("fa7f800000", '"Infinity"'),
    ],
)
def test_cbor_is_read_as_the_cluster_reads_it(body: str, meaning: str):
    assert read("cbor", bytes.fromhex("bf6178" + body + "ff")) == f'{{"x":{meaning}}}'


@pytest.mark.parametrize(
    "body",
    [
        *(
            "ff",
            "bf",
            "bf6178ff",
            "9f",
            "a1617801ff",
            "bf617801ff01",
            "a161",
            "61ff",
            "63eda080",
            "62c0af",
            "c48201",
            "c4831910",
        ),
        *(
            "f8ff",
            "f0",
            "a1f501",
            "a18001",
            "7f4161ff",
            "5f6161ff",
            "d81900",
            "d9010080",
            "9bffffffffffffffff",
            "5bffffffffffffffff00",
        ),
        *("1c", "c5", "c2c2", "c45901", "d9d9f7" * 3, "c2" + "5901a1" + "ff" * 417, "c4821b7fffffffffffffff01"),
    ],
)
def test_cbor_that_is_none_is_refused(body: str):
    with pytest.raises(ValueError, match=r"."):
        read("cbor", bytes.fromhex(body))


def is_read(kind: str, body: bytes, *, parts: bool = False) -> bool:
    """Whether a body is read; what is made of it is JSON."""
    try:
        made = read(kind, body, parts=parts)
    except ValueError:
        return False
    for line in made.split("\n"):
        json.loads(line or "null")
    return True


@pytest.mark.parametrize("kind", KINDS)
@given(body=st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(kind: str, body: bytes):
    for data in (body, b":)\n\x03" + body):
        is_read(kind, data)
        if kind == "smile":
            is_read(kind, data, parts=True)


@pytest.mark.parametrize("kind", KINDS)
@given(value=VALUES, changes=st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 255)), max_size=3))
def test_a_broken_body_is_read_or_refused(kind: str, value: object, changes: list[tuple[int, int]]):
    body = bytearray(json_to(kind, json.dumps(value).encode()))
    for at, byte in changes:
        body[at % len(body)] = byte
    assert is_read(kind, bytes(body)) or changes


MEGA = 1 << 20
HOSTILE = {
    "yaml": {
        "brackets": b"[" * MEGA,
        "braces": b"{" * MEGA,
        "nested keys": b"{a: " * (MEGA // 4),
        "dashes": b"- " * (MEGA // 2),
        "questions": b"? " * (MEGA // 2),
        "indents": b"".join(b" " * n + b"a:\n" for n in range(1400)),
        "anchors": b"".join(b"- &a%d 1\n" % n for n in range(MEGA // 12)),
        "aliases": b"a: &a [x,x,x,x]\nb: &b [*a,*a,*a,*a]\n",
        "tags": b"- !!a 1\n" * (MEGA // 8),
        "comments": b"#\n" * (MEGA // 2),
        "spaces": b" " * MEGA,
        "lines": b"\n" * MEGA,
        "plain": b"x: " + b"a\n " * (MEGA // 3),
        "quoted": b'x: "' + b"a\n " * (MEGA // 3),
        "folded": b"x: >\n" + b" a\n\n" * (MEGA // 4),
        "escapes": b'x: "' + b"\\x41" * (MEGA // 4) + b'"',
        "colons": b"a:" * (MEGA // 2),
        "keys": b"a: 1\n" * (MEGA // 5),
        "directives": b"%TAG !a! b\n" * (MEGA // 12),
        "long key": b"a" * MEGA + b": 1",
        "pending keys": b"[" + b"a, " * (MEGA // 3),
        "quotes": b"'" * MEGA,
        "documents": b"---\n" * (MEGA // 4),
        "hexadecimal": b"x: 0x" + b"f" * MEGA,
    },
    "cbor": {
        "arrays": b"\x9f" * MEGA,
        "tags": b"\xc1" * MEGA,
        "tagged keys": b"\xbf" + b"\xc1" * MEGA,
        "pieces": b"\x7f" + b"\x60" * MEGA,
        "announced": b"\x9b\x00\x00\x00\xff\xff\xff\xff\xff" + b"\x01" * MEGA,
        "bignum": b"\xc2\x5a\x00\x0f\xff\xff" + b"\xff" * MEGA,
        "decimals": b"\x9f" + b"\xc4\x82\x39\xff\xff\x01" * (MEGA // 6),
        "long digits": b"\x9f" + (b"\xc2\x59\x01\x9f" + b"\xff" * 415) * (MEGA // 419),
    },
    "smile": {
        "arrays": b":)\n\x00" + b"\xf8" * MEGA,
        "objects": b":)\n\x00" + b"\xfa\x80a" * (MEGA // 3),
        "binary": b":)\n\x00\xe8\x3f\xff" + b"\x7f" * MEGA,
        "shared": b":)\n\x03\xf8" + b"\x7f" + b"a" * 64 + b"\x01" * MEGA + b"\xf9",
        "parts": b"\xff" * MEGA,
        "headers": b":)\n\x00\x21\xff" * (MEGA // 6),
    },
}


@pytest.mark.parametrize(("kind", "what"), [(kind, what) for kind, bodies in HOSTILE.items() for what in bodies])
def test_a_hostile_body_takes_no_time(kind: str, what: str):
    begun = time.process_time()
    for parts in (False, kind == "smile"):
        try:
            made = json_from(kind, HOSTILE[kind][what], 8 * MEGA, strict=False, parts=parts)
            assert len(made) <= 8 * MEGA
        except (ValueError, OverflowError):
            pass
    assert time.process_time() - begun < 3


def test_what_is_longer_than_may_be_is_not_made():
    body = b":)\n\x03\xf8" + b"\x7f" + b"a" * 64 + b"\x01" * 1000 + b"\xf9"
    with pytest.raises(OverflowError):
        json_from("smile", body, 10_000, strict=False)


def test_a_deep_answer_does_not_grow():
    text = b"[" * 900 + b"1," * 20_000 + b"1" + b"]" * 900
    assert len(json_to("yaml", text)) < 2 * len(text)
    text = b"[" * 200 + b"1," * 20_000 + b"1" + b"]" * 200
    assert len(json_to("yaml", text)) < 2 * len(text)
    assert json.loads(read("yaml", json_to("yaml", text))) == json.loads(text)


def test_numbers_keep_their_value():
    for text in ("0.1", "1e300", "-0.0", "5e-324", "1.7976931348623157e308", "123456789.125"):
        for kind in KINDS:
            value = json.loads(read(kind, json_to(kind, text.encode())))
            assert value == float(text)
            assert math.copysign(1, value) == math.copysign(1, float(text))


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ('\ufeff{"a":1}', '{"a":1}'),
        ('/* c */{"a":/*x*/1} // e', ' {"a": 1}  '),
        ('{"a":"//", "b":"/*\\"*/"}', None),
        ('{"a":1}', None),
        ('{"a":1, // c\n"b":2}', '{"a":1,  \n"b":2}'),
        ("/* open", None),
        ("/", None),
        ('"open', None),
        ("", None),
        ("\ufeff", ""),
    ],
)
def test_comments_and_marks_are_passed_over(text: str, plain: str | None):
    made = plain_json(text.encode())
    assert (made.decode() if made is not None else None) == plain
