"""Documents through interpreters against plain JSON: what a UDF left alone comes back byte for byte, all else as `json` says.

Drawn documents go through drawn mutations, in the sandbox and here; both sides draw the same by a generator of their own.
`HEADRACE_TEST_DOCUMENTS` for more of them by hand, `HEADRACE_SEED` for others.
"""

from __future__ import annotations

import json
import os
import random
import sys
from typing import Any

import pytest

from headrace_pipelines import BulkOutcome, Pipelines
from tests.properties.exact_numbers import Source, nearest, read
from tests.properties.mutations import JAVASCRIPT, PYTHON

COUNT = int(os.environ.get("HEADRACE_TEST_DOCUMENTS", "600"))
SEED = int(os.environ.get("HEADRACE_SEED", "1"))
LARGEST = sys.float_info.max

SAME = {"python": "def process(doc):\n    return doc\n", "javascript": "function process(doc) { return doc }"}
STRINGS = (
    "",
    "a",
    "plain text",
    "é",
    "naïve",
    "東京",
    "\U0001f642",
    'q"',
    "\\",
    "/",
    "\n\t\b\f\r",
    "\u0001",
    "\u2028",
    "x" * 300,
)
NUMBERS = (
    "0", "-0", "1", "-1", "255", "2147483648", "9007199254740993", "-9223372036854775808", "18446744073709551615", "1.0",
    "1.50", "1e2", "1E-7", "-0.0", "0.1", "123.4567890123456789", "5e-324", "1e400", "-1E999", "0.30000000000000004",
    "99999999999999999999.5", "1" + "0" * 400, "2.2250738585072011e-308", "12345678.12345678", "1e22", "1e23",
)  # fmt: skip

TWINS = (
    "9007199254740992",
    "9007199254740992.0",
    "123.4567890123456780",
    "100000000000000000000",
    "1e500",
    "-0.1e-399",
)
"""Numbers that are the same double as others of them: in a list of JavaScript nothing says which one it was."""


class Documents:
    """Draws the texts of documents."""

    def __init__(self, seed: int, numbers: tuple[str, ...]) -> None:
        self.random = random.Random(seed)
        self.numbers = numbers

    def space(self) -> str:
        return self.random.choice(["", "", "", " ", "  ", "\t"])

    def string(self) -> str:
        parts = self.random.choices(STRINGS, k=self.random.choice([1, 1, 1, 2, 5, 12]))
        return json.dumps("".join(parts), ensure_ascii=self.random.random() < 0.5)

    def value(self, depth: int) -> str:
        draw = self.random.random()
        if depth > 0 and draw < 0.2:
            return self.object(depth - 1)
        if depth > 0 and draw < 0.4:
            items = [self.value(depth - 1) for _ in range(self.random.choice([0, 1, 2, 3, 20]))]
            return "[" + self.space() + f"{self.space()},{self.space()}".join(items) + self.space() + "]"
        if draw < 0.7:
            return self.random.choice(self.numbers)
        return self.string() if draw < 0.9 else self.random.choice(["true", "false", "null"])

    def object(self, depth: int, first: str = "") -> str:
        """Sometimes with a key twice, or spelled with an escape; sometimes with many members, all of them scalars."""
        if self.random.random() < 0.02:
            names, depth = self.random.choices(range(4000), k=self.random.choice([100, 800])), 0
        else:
            names = self.random.choices(range(12), k=self.random.choice([0, 1, 3, 6, 40]))
        keys = [f'"k{name}"' for name in names]
        keys = [key if self.random.random() < 0.9 else key.replace("k", "\\u006b") for key in keys]
        members = [f"{key}{self.space()}:{self.space()}{self.value(depth)}" for key in keys]
        members += [first] if first else []
        self.random.shuffle(members)
        return "{" + self.space() + f"{self.space()},{self.space()}".join(members) + self.space() + "}"

    def document(self) -> str:
        return self.object(self.random.choice([1, 2, 3]), f'"seed":{self.random.randrange(60_000)}')


def value_of(text: str | bytes) -> Any:
    """As Python UDFs get it: a number beyond a double is the largest there is."""
    return json.loads(text, parse_float=lambda digits: max(-LARGEST, min(LARGEST, float(digits))))


def as_doubles(value: Any) -> Any:
    """As JavaScript UDFs get it."""
    if isinstance(value, dict):
        return {key: as_doubles(item) for key, item in value.items()}
    if isinstance(value, list):
        return [as_doubles(item) for item in value]
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        # It writes minus zero as 0.
        return max(-LARGEST, min(LARGEST, nearest(value))) + 0.0
    return value


def spelled(value: Any) -> str:
    """Order of keys and kinds of numbers count, too."""
    return json.dumps(value)


def outcome_of(language: str, source: str, texts: list[str], **limits: str) -> BulkOutcome:
    # A call that is interrupted runs a document twice, which its globals show.
    udf = {"language": language, "source": source, "limits": {"timeout": "5s", **limits}}
    stage = {"name": "s", "type": "wasm", "config": {"udf_name": "u"}}
    pipelines = Pipelines.load({"p": {"type": "document", "stages": [stage]}}, {"u": udf})
    body = "".join(f'{{"index":{{"_index":"i"}}}}\n{text}\n' for text in texts).encode()
    return pipelines.run_bulk("p", body, timeout=120)


def through(language: str, source: str, texts: list[str]) -> list[bytes]:
    outcome = outcome_of(language, source, texts)
    assert outcome.failures == []
    return bytes(outcome.body).split(b"\n")[1::2]


APPEND = {
    "python": "def process(doc):\n    doc['s'] += '!'\n    return doc\n",
    "javascript": "function process(doc) { doc.s += '!'; return doc }",
}
EDGES = [part + n for part in (4096, 16384) for n in (-17, -16, -1, 0, 1)]
"""Lengths about which the guests read and write a string in parts."""
SPECIAL = ("é", "東", "\U0001f642", '"', "\\", "\n", "\u0001", "\\u00e9", "\\ud83d\\ude42")


@pytest.mark.parametrize("language", APPEND)
def test_strings_are_read_wherever_a_character_stands(language: str):
    """Readers take sixteen bytes at a time, and of long strings a part at a time."""
    texts = []
    for before in (*range(35), *EDGES):
        for special in SPECIAL:
            one = special if special.startswith("\\u") else json.dumps(special, ensure_ascii=False)[1:-1]
            for behind in (0, 1, 14, 15, 16, 17, 40):
                texts.append(f'{{"s":"{"a" * before}{one}{"b" * behind}{one}"}}')
    for text, found in zip(texts, through(language, APPEND[language], texts), strict=True):
        assert json.loads(found) == {"s": json.loads(text)["s"] + "!"}


INVALID = (
    b"\xc0\xaf",
    b"\xe0\x80\xaf",
    b"\xf0\x80\x80\xaf",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"\xff",
    b"\x80",
    b"\xc3",
)
"""Too long, half a pair, beyond the last character, no first byte, no second byte."""


@pytest.mark.parametrize("language", APPEND)
def test_text_that_is_no_utf8_is_refused(language: str):
    udf = {"language": language, "source": APPEND[language]}
    stage = {"name": "s", "type": "wasm", "config": {"udf_name": "u"}}
    pipelines = Pipelines.load({"p": {"type": "document", "stages": [stage]}}, {"u": udf})
    texts = [b'{"s":"' + b"a" * n + bad + b"b" * 20 + b'"}' for bad in INVALID for n in (0, 15, 16)]
    outcome = pipelines.run_bulk("p", b"".join(b'{"index":{"_index":"i"}}\n%b\n' % text for text in texts))
    assert {failure.type for failure in outcome.failures} == {"mapper_parsing_exception"}
    assert len(outcome.failures) == len(texts)


LISTS = {
    "python": "def process(doc):\n    doc['t'] = [str(n) for n in doc['n']]\n    return doc\n",
    "javascript": "function process(doc) { doc.t = doc.n.map(n => [n]); return doc }",
}
"""Both say of each number what they have read."""


@pytest.mark.parametrize("language", LISTS)
def test_numbers_are_read_wherever_they_end(language: str):
    """Readers take eight digits at a time, and fewer as eight with zeros before them."""
    rng, texts = random.Random(SEED), []
    for whole in range(1, 21):
        for fraction in range(20):
            numbers = []
            for exponent in ("", "", "e5", "E-7", "e+12"):
                digits = str(rng.randrange(10 ** (whole - 1), 10**whole) if whole > 1 else rng.randrange(10))
                point = "." + "".join(rng.choices("0123456789", k=fraction)) if fraction else ""
                numbers.append(rng.choice(["", "-"]) + digits + point + exponent)
            texts.append('{"n":[' + rng.choice([",", " , "]).join(numbers) + "]}")
    for text, found in zip(texts, through(language, LISTS[language], texts), strict=True):
        read, came = json.loads(found), json.loads(text)["n"]
        if language == "python":
            assert read["t"] == [str(n) for n in came], text
        else:
            assert [nearest(float(n)) for (n,) in read["t"]] == [nearest(float(n)) for n in came], text
        assert json.loads(text)["n"] == read["n"]


KEEPS = """
kept = []
def process(doc):
    kept.append((doc["n"], doc["f"], doc["n"][0], [*doc["n"]], str([doc["n"], doc["f"]])))
    doc["n"].pop()
    doc["same"] = all(str([n + last, f]) == text and first == n[0] and copy[:-1] == n
                      for (n, f, first, copy, text) in kept for last in [copy[-1:]])
    return doc
"""
"""Numbers of every document that came before are still what they were."""


def test_numbers_that_a_udf_keeps_stay_what_they_are():
    rng = random.Random(SEED)
    texts = []
    for _ in range(300):
        numbers = [rng.choice([rng.randrange(-1000, 2**31), rng.random(), rng.randrange(2**60)]) for _ in range(9)]
        texts.append(json.dumps({"n": numbers, "f": rng.choice([rng.random(), rng.randrange(10**6)]), "x": numbers}))
    for text, found in zip(texts, through("python", KEEPS, texts), strict=True):
        assert json.loads(found)["same"], text


@pytest.mark.parametrize("language", SAME)
def test_a_document_left_alone_comes_back_byte_for_byte(language: str):
    drawn = Documents(SEED, NUMBERS)
    texts = [drawn.document() for _ in range(COUNT)]
    back = through(language, SAME[language], texts)
    assert len(back) == COUNT
    for text, found in zip(texts, back, strict=True):
        plain = value_of(text)
        assert spelled(value_of(found)) == spelled(plain) or language == "javascript"
        assert spelled(as_doubles(value_of(found))) == spelled(as_doubles(plain))
        if len(json.loads(text, object_pairs_hook=lambda pairs: pairs)) == len(plain) and text.count('"k') < 2:
            assert found.decode() == text


@pytest.mark.parametrize(("language", "source"), [("python", PYTHON), ("javascript", JAVASCRIPT)])
def test_what_a_udf_makes_of_a_document_is_what_json_says(language: str, source: str):
    drawn = Documents(SEED + 1, NUMBERS + TWINS)
    texts = [drawn.document() for _ in range(COUNT)]
    found = through(language, source, texts)
    names: dict[str, Any] = {}
    exec(PYTHON, names)
    for at, text in enumerate(texts):
        document = read(text)
        source = Source(document, text if language == "javascript" else None)
        made = names["process"](document)
        assert source.lost(read(found[at]), made) == [], (at, text)
        expected = json.loads(spelled(made))
        got = value_of(found[at])
        if language == "javascript":
            expected, got = as_doubles(expected), as_doubles(got)
        assert spelled(got) == spelled(expected), (at, text)


NUMBERS_KEPT = [
    ("python", "doc['n'] = 1\n  return doc", '{"n":1,"f":1.50,"l":[1e2,{"x":-0.0}]}'),
    ("python", "doc['l'].append(1.50)\n  return doc", '{"n":2.50,"f":1.50,"l":[1e2,{"x":-0.0},1.5]}'),
    ("python", "doc['l'][1]['y'] = 'é'\n  return {**doc}", '{"n":2.50,"f":1.50,"l":[1e2,{"x":-0.0,"y":"é"}]}'),
    ("python", "return [doc, {'f': doc['f'], 'g': doc['f']}]", '{"f":1.50,"g":1.5}'),
    ("javascript", "doc.n = 1\n  return doc", '{"n":1,"f":1.50,"l":[1e2,{"x":-0.0}]}'),
    ("javascript", "doc.l.push(1.5); return {...doc}", '{"n":2.50,"f":1.50,"l":[1e2,{"x":-0.0},1.5]}'),
    (
        "javascript",
        "return JSON.parse(JSON.stringify({...doc, u: undefined}))",
        '{"n":2.50,"f":1.50,"l":[1e2,{"x":-0.0}]}',
    ),
    ("javascript", "doc.f = undefined; return doc", '{"n":2.50,"l":[1e2,{"x":-0.0}]}'),
    (
        "javascript",
        "doc.n = {toJSON(key) { return key + '!' }}; return doc",
        '{"n":"n!","f":1.50,"l":[1e2,{"x":-0.0}]}',
    ),
    ("javascript", "return [doc, {f: doc.f, g: doc.f}]", '{"f":1.50,"g":1.5}'),
    # Lists and objects are themselves wherever they stand.
    ("python", "doc['m'] = doc.pop('l')\n  return doc", '{"n":2.50,"f":1.50,"m":[1e2,{"x":-0.0}]}'),
    ("python", "del doc['l'][0]\n  return doc", '{"n":2.50,"f":1.50,"l":[{"x":-0.0}]}'),
    ("python", "return doc['l'].pop()", '{"x":-0.0}'),
    ("python", "return [doc['l'][1]]", '{"x":-0.0}'),
    ("javascript", "doc.m = doc.l; delete doc.l; return doc", '{"n":2.50,"f":1.50,"m":[1e2,{"x":-0.0}]}'),
    ("javascript", "doc.l = doc.l.filter(x => x.x === 0); return doc", '{"n":2.50,"f":1.50,"l":[{"x":-0.0}]}'),
    ("javascript", "return doc.l.pop()", '{"x":-0.0}'),
    ("javascript", "return [doc.l[1]]", '{"x":-0.0}'),
    # A number has no identity but under its key.
    ("javascript", "doc.l.shift(); doc.g = doc.f; return doc", '{"n":2.50,"f":1.50,"l":[{"x":-0.0}],"g":1.5}'),
    # What looks like the object that was read.
    (
        "python",
        "import collections\n  return collections.OrderedDict(doc, n=1)",
        '{"n":1,"f":1.50,"l":[1e2,{"x":-0.0}]}',
    ),
    (
        "python",
        "class L(list): pass\n  doc['l'] = L(doc['l'])\n  return doc",
        '{"n":2.50,"f":1.50,"l":[1e2,{"x":-0.0}]}',
    ),
    ("javascript", "doc.n = 1; return new Proxy(doc, {})", '{"n":1,"f":1.50,"l":[1e2,{"x":-0.0}]}'),
    ("javascript", "doc.l = new Proxy(doc.l, {}); return doc", '{"n":2.50,"f":1.50,"l":[1e2,{"x":-0.0}]}'),
    (
        "javascript",
        "doc.l = new Proxy(new Proxy([1, doc], {}), {}); delete doc.n; doc.l[1] = doc.f; return doc",
        '{"f":1.50,"l":[1,1.5]}',
    ),
]
WRITTEN = {
    # JavaScript, what `JSON.stringify` writes of it.
    "class E extends Map { toJSON() { this.n = 1 + (this.n ?? 0); return this } } return {e: new E}": '{"e":{"n":1}}',
    "const e = new Number(1); e.toJSON = () => (e.n = 1 + (e.n ?? 0), Object(e.n)); return {e, n: e}": '{"e":1,"n":2}',
    "BigInt.prototype.toJSON = function () { return this + 1n + '' }; return {b: 1n, c: [2n]}": '{"b":"2","c":["3"]}',
    "return {a: Object(true), b: Object('x'), c: new Date(0), d: [undefined, () => 1], e: Symbol()}":
        '{"a":true,"b":"x","c":"1970-01-01T00:00:00.000Z","d":[null,null]}',
    "return {a: new Map([[1, 2]]), b: Uint8Array.of(1, 2), c: {'': undefined}, d: 1 / 0, e: -0}":
        '{"a":{},"b":{"0":1,"1":2},"c":{},"d":null,"e":0}',
    "return {a: Object.assign(new Map, {x: {toJSON: key => key}}), b: true, c: false, d: null, e: 1e21}":
        '{"a":{"x":"x"},"b":true,"c":false,"d":null,"e":1e+21}',
    "return {a: JSON.rawJSON('1.50'), b: [JSON.rawJSON('\"x\"')]}": '{"a":1.50,"b":["x"]}',
}  # fmt: skip


TURNED = {
    "python": "turned = list(doc['o'].items())[::-1]; doc['o'].clear(); doc['o'].update(turned)\n",
    "javascript": "doc.o = Object.fromEntries(Object.entries(doc.o).reverse())\n",
}


@pytest.mark.parametrize("count", [3, 200, 3000])
@pytest.mark.parametrize("language", SAME)
def test_members_in_another_order_keep_their_digits(language: str, count: int):
    members = [f'"k{at}":{at}.50' for at in range(count)]
    source = SAME[language].replace("return", f"{TURNED[language]}    return", 1)
    (found,) = through(language, source, ['{"o":{' + ",".join(members) + "}}"])
    assert found.decode() == '{"o":{' + ",".join(reversed(members)) + "}}"


@pytest.mark.parametrize("code", WRITTEN)
def test_what_is_no_plain_object_is_written_as_by_stringify(code: str):
    (found,) = through("javascript", f"function process(doc) {{ {code} }}", ["{}"])
    assert found.decode() == WRITTEN[code]


@pytest.mark.parametrize("language", SAME)
def test_of_a_key_that_stands_twice_the_last_value_keeps_its_digits(language: str):
    text = '{"a":{"x":1.50,"b":7},"b":1e400,"a":{"x":2.50,"y":[3.50]},"c":{"z":1,"z":1.0}}'
    change = {"python": "doc['n'] = 1\n", "javascript": "doc.n = 1\n"}[language]
    (found,) = through(language, SAME[language].replace("return", f"{change}    return", 1), [text])
    assert found.decode() == '{"a":{"x":2.50,"y":[3.50]},"b":1e400,"c":{"z":1.0},"n":1}'


@pytest.mark.parametrize(("language", "code", "expected"), NUMBERS_KEPT)
def test_what_is_left_alone_keeps_its_digits(language: str, code: str, expected: str):
    head = "def process(doc):\n  " if language == "python" else "function process(doc) {\n  "
    source = head + code + ("\n" if language == "python" else "\n}")
    found = through(language, source, ['{"n":2.50,"f":1.50,"l":[1e2,{"x":-0.0}]}'])
    assert found[-1].decode() == expected
