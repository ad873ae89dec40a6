"""What was read, found by its place: many results of one document, and lists of which elements are missing."""

from __future__ import annotations

import itertools
import json

import pytest

from tests.properties.test_interpreters import SAME, through

EXPLODED = {
    "python": "def process(doc): return [{'item': item, 'k1': doc['k1']} for item in doc['items']]\n",
    "javascript": "function process(doc) { return doc.items.map(item => ({item, k1: doc.k1})) }",
}


@pytest.mark.parametrize("twice", [False, True])
@pytest.mark.parametrize("language", SAME)
def test_one_document_of_many_members_becomes_many(language: str, twice: bool):
    """Each result has a key that the document has not: a look at all members for each result would take too long."""
    members = ",".join(f'"k{n}":{n}.50' for n in range(40_000)) + (',"k1":2.50' if twice else "")
    text = f'{{{members},"items":[' + ",".join(str(n) for n in range(10_000)) + "]}"
    found = through(language, EXPLODED[language], [text])
    number = "2.50" if twice else "1.50"
    assert [each.decode() for each in found] == [f'{{"item":{n},"k1":{number}}}' for n in range(10_000)]


@pytest.mark.parametrize("language", SAME)
def test_an_object_that_stands_in_many_places_is_not_searched_for_each(language: str):
    members = ",".join(f'"k{n}":{n}.50' for n in range(40_000))
    source = {
        "python": "def process(doc):\n    o = doc['o']\n    o.clear()\n    o['new'] = 1\n    return {'l': [o] * 30_000}\n",
        "javascript": "function process(doc) { const o = doc.o; for (const k of Object.keys(o)) delete o[k]; o.new = 1; "
        "return {l: new Array(30_000).fill(o)} }",
    }[language]
    (found,) = through(language, source, [f'{{"o":{{{members}}}}}'])
    assert json.loads(found) == {"l": [{"new": 1}] * 30_000}


APART = ("9007199254740993", "9007199254740997")
"""Two integers that are no doubles, and near different ones."""
DOUBLES = ("9007199254740992", "9007199254740996")
"""What JavaScript writes of them."""
NEXT = ("9007199254740993", "9007199254740992")
"""Two integers that are the same double, of which JavaScript writes the second."""
LISTS = {
    # All that was there has its place: the digits are kept.
    "return doc": APART,
    "doc.l[2] = 5; return doc": (*APART, "5"),
    "doc.l = [...doc.l, 5]; return doc": (*APART, "5"),
    "doc.l = doc.l.map(x => x); return doc": APART,
    "doc.l[0] = 5; return doc": ("5", APART[1]),
    # Any may be missing, or have moved: the number is that of the double.
    "doc.l.shift(); return doc": DOUBLES[1:],
    "doc.l.pop(); return doc": DOUBLES[:1],
    "doc.l = doc.l.filter((x, at) => at === 1); return doc": DOUBLES[1:],
    "doc.l.unshift(5); return doc": ("5", *DOUBLES),
    "doc.l.reverse(); return doc": DOUBLES[::-1],
    "doc.l.sort((a, b) => b - a); return doc": DOUBLES[::-1],
    "doc.l.push(doc.l.shift()); return doc": DOUBLES[::-1],
    "doc.l = doc.l.map(x => x).reverse(); return doc": DOUBLES[::-1],
}


def listed(code: str, elements: list[str], more: str = "") -> str:
    """What JavaScript makes of `l`, a list; `more`: members before it."""
    (found,) = through("javascript", f"function process(doc) {{ {code} }}", [f'{{{more}"l":[{",".join(elements)}]}}'])
    text = found.decode()
    assert text.startswith(f'{{{more}"l":[')
    assert text.endswith("]}")
    return text[len(more) + 6 : -2]


@pytest.mark.parametrize("code", LISTS)
def test_a_number_is_never_that_of_another_element(code: str):
    assert listed(code, list(APART)) == ",".join(LISTS[code])
    # Of the same double nothing says which one it is, unless all are as they were as far as JavaScript tells.
    whole = len(LISTS[code]) >= len(APART) and "[0]" not in code and "unshift" not in code
    for elements in (list(NEXT), list(NEXT[::-1])):
        places = iter(elements) if whole else itertools.repeat(NEXT[1])
        assert listed(code, elements) == ",".join(each if each == "5" else next(places) for each in LISTS[code])


def test_numbers_that_differ_only_in_how_they_are_written_are_left_alone():
    for number, others in {
        "1.0": ["1", "1.00", "10e-1", "0.1E+1", "100E-2"],
        "-0.0": ["0", "-0", "0e7", "0.000"],
        "12.50": ["12.5", "1.25e1", "0.01250e+3", "1250e-2"],
        "-1e21": ["-1000000000000000000000", "-1000000000000000000000.0"],
        "9007199254740993.0": ["9007199254740993", "0.9007199254740993e16"],
    }.items():
        elements = [number, *others, number]
        assert listed("doc.n = 1; return doc", elements, '"n":1,') == ",".join(elements)
    for one, other in [("1e400", "1e500"), ("1e-400", "0"), ("1e-400", "-1e-400"), ("0.1", "0.10000000000000000001")]:
        digits = {"1e400": "1.7976931348623157e+308", "0.1": "0.1"}.get(one, "0")
        found = listed("doc.l[0] = 5; return doc", ["7", one, other])
        assert found.replace("-0", "0") == f"5,{digits},{digits}"


ITEM = '{{"id":{}}}'
OBJECTS = {
    "doc.l = doc.l.map(x => ({...x})); return doc": APART,
    "doc.l = doc.l.filter(() => true); return doc": APART,
    "doc.l = doc.l.filter((x, at) => at === 0); return doc": APART[:1],
    "doc.l.shift(); return doc": APART[1:],
    "doc.l.reverse(); return doc": APART[::-1],
    "doc.l.sort((a, b) => b.id - a.id); return doc": APART[::-1],
    "doc.l.push(doc.l.shift()); return doc": APART[::-1],
    "doc.l = doc.l.filter((x, at) => at === 1).map(x => ({...x})); return doc": DOUBLES[1:],
    "doc.l = [{id: 5}, ...doc.l.map(x => ({...x}))]; return doc": ("5", *DOUBLES),
    "doc.l.unshift({id: 5}); return doc": ("5", *APART),
    "doc.l = doc.l.map(x => ({...x})).reverse(); return doc": DOUBLES[::-1],
}


@pytest.mark.parametrize("code", OBJECTS)
def test_a_new_object_is_never_beside_another_element(code: str):
    assert listed(code, [ITEM.format(each) for each in APART]) == ",".join(ITEM.format(each) for each in OBJECTS[code])
    found = listed(code, [ITEM.format(each) for each in NEXT])
    if "sort" in code:
        expected = list(NEXT)
    elif "..." in code:
        expected = ["5" if each == "5" else NEXT[1] for each in OBJECTS[code]]
    else:
        expected = [dict(zip(APART, NEXT, strict=True)).get(each, each) for each in OBJECTS[code]]
    assert found == ",".join(ITEM.format(each) for each in expected)


def test_a_result_of_many_never_has_the_number_of_the_document():
    text = f'{{"id":{NEXT[0]},"l":[{{"id":{NEXT[1]}}},{{"id":{NEXT[0]}}}]}}'
    found = through("javascript", "function process(doc) { return doc.l.map(x => ({...x, y: 1})) }", [text])
    assert [each.decode() for each in found] == [f'{{"id":{NEXT[1]},"y":1}}'] * 2


@pytest.mark.parametrize("word", ['"k{}"', "{}"])
def test_elements_are_the_same_only_if_their_values_are(word: str):
    """In a longer list each before a number says whether it has stood there: strings and truth values by what they are."""
    words = [word.format(each) for each in ((1, 2) if "k" in word else ("true", "false"))]
    for new in ['"k0"', "false"]:
        moved = listed(f"doc.l.unshift({new}, doc.l[3]); return doc", [words[0], APART[0], words[1], APART[1]])
        assert moved == ",".join([new, DOUBLES[1], words[0], DOUBLES[0], words[1], DOUBLES[1]])
        set_one = listed(f"doc.l[0] = {new}; doc.l.push(5); return doc", [words[0], APART[0]])
        assert set_one == f"{new},{DOUBLES[0]},5"
    same = listed("doc.l.push(5); return doc", [words[0], APART[0], words[1], APART[1]])
    assert same == ",".join([words[0], APART[0], words[1], APART[1], "5"])
    same_doubles = listed('doc.l.unshift("k0", doc.l[3]); return doc', [words[0], NEXT[0], words[1], NEXT[1]])
    assert same_doubles == ",".join(['"k0"', NEXT[1], words[0], NEXT[1], words[1], NEXT[1]])


def test_a_list_that_became_short_is_not_counted_for_each_place_of_it():
    source = "function process(doc) { const l = doc.l; l.length = 0; return {l: new Array(30_000).fill(l)} }"
    (found,) = through("javascript", source, [f'{{"l":[{",".join(["1"] * 100_000)}]}}'])
    assert json.loads(found) == {"l": [[]] * 30_000}


def test_a_number_beyond_a_double_is_never_that_of_another_element():
    source = "def process(doc):\n    doc['l'] = [{**x} for x in doc['l'][1:]]\n    return doc\n"
    (found,) = through("python", source, ['{"l":[{"x":1e400},{"x":1e500}]}'])
    assert found == b'{"l":[{"x":1.7976931348623157e308}]}'
