"""The strict JSON reader against the node's own: what the node refuses is refused, and what is taken means the same there."""

from __future__ import annotations

import asyncio
import json
import os
import random
from typing import TYPE_CHECKING

from headrace_pipelines import canonical_json

if TYPE_CHECKING:
    from tests.conftest import Answer, Http

SEED = 38 if "CI" in os.environ else random.randrange(1 << 32)
DOCUMENTS = 5000
"""Documents that are put to both."""
STRICTER = ("invalid UTF-8", "half of a surrogate pair", "there is more behind", "UTF-16 and UTF-32")
"""Beginnings of the reasons for which the reader refuses what the node takes, in a sense that others may not share."""
PLAIN = [
    b'{"a":"x","b":[1,-2.5e3,true,null],"c":{"d":"y","e":[]}}',
    b'{"a":{"b":{"c":[{"d":"e"},{"d":"f"}]}}}',
    '{"é":"ü😀","text":"two\\nlines \\"quoted\\""}'.encode(),
    b"[[],{},0,-0,0.5,1E+2,false]",
]
ODD = [
    *(
        b"{ } [ ] , : ' \" \\ / # - + . 0 00 1 01 -1 1. .5 1e 1e5 NaN Infinity -Infinity true false null True truex a:1".split()
    ),
    *(
        rb'"a" "\u0061" "a":1, "\u0061":2, {"a":1,"a":2} \u0041 \ud83d\ude00 \ud800 \udc00 \x41 \/ \b \0 "\ud800"'.split()
    ),
    *(b"/**/ /*x*/ /*/ /*/*/ //x //x\n //x\r # /*\x01*/ /*\xff*/ //\xff\n /***/".split(b" ")),
    *(
        b"\xef\xbb\xbf \xff \xc0\xaf \xc1\xa1 \xe0\x80\xaf \xed\xa0\x80 \xf4\x90\x80\x80 \xc3\xa9 \xc3 \xa0 \xf0\x9f\x98\x80".split(
            b" "
        )
    ),
    *(bytes([c]) for c in (0, 1, 9, 10, 11, 12, 13, 30, 31, 32, 127, 128, 133, 160)),
    b"1" * 1001 + b".5",
    b"1." + b"1" * 999,
    b'"' + b"k" * 50_001 + b'":1,',
    b"[" * 120 + b"]" * 120,
]


def changed(dice: random.Random) -> bytes:
    """A document with a few odd things in it."""
    text = bytearray(dice.choice(PLAIN))
    for _ in range(dice.choice((0, 1, 1, 1, 2, 3))):
        at = dice.randrange(len(text) + 1)
        text[at : at + dice.choice((0, 0, 0, 1, 2))] = dice.choice(ODD)
    return bytes(text)


def simulated(value: bytes) -> bytes:
    return b'{"pipeline":{"processors":[]},"docs":[{"_source":{"v":' + value + b"}}]}"


def reason_against(text: bytes) -> str | None:
    try:
        canonical_json(text)
    except ValueError as error:
        return str(error)
    return None


def read(answer: Answer) -> object:
    """What the node read, as it writes it."""
    return answer.body.split(b'"_ingest"')[0]


async def test_the_node_takes_what_the_reader_takes_and_reads_the_same(direct: Http) -> None:
    dice = random.Random(SEED)
    counts = {"both": 0, "neither": 0, "stricter": 0}

    async def compare(value: bytes) -> None:
        body = simulated(value)
        reason = reason_against(body)
        node = await direct.post("/_ingest/pipeline/_simulate", body)
        label = f"seed {SEED}: {value!r}: {reason}; {node.body!r}"
        if reason is None:
            written = await direct.post("/_ingest/pipeline/_simulate", canonical_json(body))
            assert (node.status, written.status) == (200, 200), label
            assert read(node) == read(written), label
            counts["both"] += 1
        elif node.status == 200:
            assert reason.startswith(STRICTER), label
            counts["stricter"] += 1
        else:
            assert "parse" in node.error["reason"], label
            counts["neither"] += 1

    values = [*ODD, *(changed(dice) for _ in range(DOCUMENTS))]
    for begin in range(0, len(values), 20):
        await asyncio.gather(*(compare(value) for value in values[begin : begin + 20]))
    assert min(counts.values()) > 10, counts


async def test_a_search_is_read_as_the_node_reads_it(direct: Http, name: str) -> None:
    await direct.index(name)
    taken = [
        b'\xef\xbb\xbf{"query":{"match_all":{}}}',
        b'{/*x*/"query"/**/:{"match_all":{}//\n}}',
        rb'{"qu\u0065ry":{"m\u0061tch_all":{}},"size":1e0}',
    ]
    refused = [
        b"{'query':{}}",
        b'{"size":1,"size":1}',
        b'{"size":01}',
        b'{"size":1,}',
        b"{size:1}",
        b'{"query":{"match_all":{}}',
    ]
    for body in taken:
        answer = await direct.post(f"/{name}/_search", canonical_json(body))
        assert (await direct.post(f"/{name}/_search", body)).status == answer.status == 200, body
    for body in refused:
        assert reason_against(body), body
        assert (await direct.post(f"/{name}/_search", body)).status == 400, body
    assert json.loads(canonical_json(taken[2])) == {"query": {"match_all": {}}, "size": 1.0}
