"""Documents that cannot be read fail in a UDF in Python as they do before a built-in: the interpreter reads them itself."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

import pytest

from headrace_pipelines import Pipelines
from tests.conftest import native
from tests.properties.test_interpreters import NUMBERS, SEED, Documents

if TYPE_CHECKING:
    from headrace_pipelines.local import BulkOutcome

COUNT = 3000
PIECES = [bytes([byte]) for byte in b'{}[],:"\\\x00\x1f \te-.+0129utfn/*'] + [
    b"\xc3", b"\xff", b"\xed\xa0\x80", b"\\u00", b"\\ud800", b"\\udc00\\ud800", b"/*c*/", b"//", b"NaN", b"Infinity", b"1e999",
    b"-0", b"01", b"1.", b".5", b"--1", b"true", b"nul", b'"a":', b",,", b"\xe2\x80\xa8", b"\xef\xbb\xbf",
]  # fmt: skip
WHOLE = [
    b"", b" ", b"[]", b"[1]", b'"s"', b"1", b"null", b"true", b"{", b"}", b"{}", b"{} ", b" {}", b"{}{}", b"{},", b"{}1",
    b'\xef\xbb\xbf{"a":1}', b'{"a":1}\xef\xbb\xbf', b'/*c*/{"a":1}', b'{"a":1}//c', b'{"a"/**/:1}', b'{"a":1,}', b'{,"a":1}',
    b'{"a":1 "b":2}', b'{a:1}', b"{'a':1}", b'{"a":"\t"}', b'{"\x01":1}', b'{"a":1,"a":2}', b'{"a":"\\ud800"}', b'{"\\ud800":1}',
    b'{"a":"\\udc00x"}', b'{"a":1e400}', b'{"a":-1e400}', b'{"a":' + b"9" * 400 + b"}", b'{"a":0.' + b"1" * 400 + b"}",
]  # fmt: skip
DEEP = [b'{"a":' * depth + b"1" + b"}" * depth for depth in (100, 127, 128, 129, 130, 500, 3000)]

UDFS = {
    "changed": ("def process(doc):\n    doc['x'] = 1\n    return doc\n", True),
    "a text": ("def process(doc):\n    return '{\"x\":1}'\n", True),
    "left alone": ("def process(doc):\n    return None\n", False),
    "dropped": ("def process(doc):\n    return False\n", False),
}


def drawn(rng: random.Random) -> bytes:
    """A document with some bytes put in, taken out, or written twice; it stands in one line."""
    text = bytearray(Documents(rng.randrange(1 << 30), NUMBERS).document().encode())
    for _ in range(rng.choice([0, 1, 1, 2, 3])):
        at, length = rng.randrange(len(text) + 1), rng.choice([1, 1, 2, 5])
        kind = rng.randrange(3)
        if kind == 0:
            text[at:at] = rng.choice(PIECES)
        elif kind == 1:
            del text[at : at + length]
        else:
            text[at:at] = text[at : at + length]
    return bytes(text).replace(b"\n", b" ").replace(b"\r", b" ")


def ran(stage: dict[str, Any], source: str, texts: list[bytes]) -> BulkOutcome:
    udfs = {"u": {"language": "python", "source": source}} if source else {}
    pipelines = Pipelines.load({"p": {"type": "document", "stages": [stage], "on_failure": "abort"}}, udfs)
    body = b"".join(b'{"index":{"_index":"i"}}\n%b\n' % text for text in texts)
    return pipelines.run_bulk("p", body, timeout=120)


@pytest.mark.parametrize("name", UDFS)
def test_python_fails_the_documents_that_the_check_fails(name: str):
    source, changes = UDFS[name]
    rng = random.Random(SEED)
    texts = [text for text in (drawn(rng) for _ in range(COUNT)) if text.strip()]
    texts += [text for text in WHOLE if text] + DEEP
    before = native("s", "set", field="x", value=1)
    checked = ran(before, "", texts)
    found = ran({"name": "s", "type": "wasm", "config": {"udf_name": "u"}}, source, texts)
    expected = {each.position: each.reason for each in checked.failures}
    # The interpreter itself has no strings with half pairs of surrogates.
    failed = {each.position: each.reason for each in found.failures if each.type == "mapper_parsing_exception"}
    assert 100 < len(expected) < len(texts) - 100
    late = range(len(texts) - len(DEEP), len(texts))
    if name in ("left alone", "dropped"):
        # What is nested too deep for us is the cluster's to judge, where it goes on as it came.
        failed |= {at: reason for at, reason in expected.items() if at in late}
    assert {at: texts[at] for at in failed.keys() ^ expected.keys()} == {}
    assert failed == expected
    if changes:
        others = {each.position for each in found.failures} - failed.keys()
        mine, theirs = [bytes(each.body).split(b"\n")[1::2] for each in (found, checked)]
        kept = [at for at in range(len(texts)) if at not in expected]
        assert [json.loads(text) for text in mine] == [
            json.loads(text) for at, text in zip(kept, theirs, strict=True) if at not in others
        ]


@pytest.mark.parametrize("policy", ["abort", "continue"])
def test_documents_are_checked_where_the_stage_has_no_time(policy: str):
    source, _ = UDFS["changed"]
    stage = {"name": "s", "type": "wasm", "config": {"udf_name": "u"}}
    udf = {"language": "python", "source": source}
    pipelines = Pipelines.load({"p": {"type": "document", "stages": [stage], "on_failure": policy}}, {"u": udf})
    outcome = pipelines.run_bulk("p", b'{"index":{}}\n{"a":}\n{"index":{}}\n{"a":1}\n', timeout=0.0)
    types = {each.position: each.type for each in outcome.failures}
    late = {1: "udf_timeout_exception"} if policy == "abort" else {}
    assert types == {0: "mapper_parsing_exception", **late}


def test_a_stage_that_no_document_reaches_is_not_counted():
    source, _ = UDFS["changed"]
    stage = {"name": "s", "type": "wasm", "config": {"udf_name": "u"}}
    udf = {"language": "python", "source": source}
    pipelines = Pipelines.load({"p": {"type": "document", "stages": [stage]}}, {"u": udf})
    outcome = pipelines.run_bulk("p", b'{"index":{}}\n{"a":}\n')
    assert [each.type for each in outcome.failures] == ["mapper_parsing_exception"]
    assert list(pipelines._find("p").stats.dump().stages) == []
