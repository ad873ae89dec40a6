"""What was read, found by its place: many results of one document, and lists of which elements are missing."""

from __future__ import annotations

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


NEXT = ("9007199254740993", "9007199254740992")
"""Two integers that are the same double, of which JavaScript writes the second."""
LISTS = {
    # All that was there has its place: the digits are kept.
    "return doc": [0, 1],
    "doc.l[2] = 5; return doc": [0, 1, "5"],
    "doc.l = [...doc.l, 5]; return doc": [0, 1, "5"],
    "doc.l = doc.l.map(x => x); return doc": [0, 1],
    # Any may be missing, or have moved: the number is that of the double.
    "doc.l.shift(); return doc": [1],
    "doc.l.pop(); return doc": [1],
    "doc.l = doc.l.filter((x, at) => at === 1); return doc": [1],
    "doc.l.unshift(5); return doc": ["5", 1, 1],
}


@pytest.mark.parametrize("code", LISTS)
def test_a_number_is_never_that_of_another_element(code: str):
    source = f"function process(doc) {{ {code} }}"
    (found,) = through("javascript", source, [f'{{"n":0,"l":[{",".join(NEXT)}]}}'])
    expected = ",".join(NEXT[each] if isinstance(each, int) else each for each in LISTS[code])
    assert found.decode() == f'{{"n":0,"l":[{expected}]}}'


OBJECTS = {
    "doc.l = doc.l.map(x => ({...x})); return doc": [0, 1],
    "doc.l = doc.l.filter(() => true); return doc": [0, 1],
    "doc.l = doc.l.filter((x, at) => at === 0); return doc": [0],
    "doc.l.shift(); return doc": [1],
    "doc.l = doc.l.filter((x, at) => at === 1).map(x => ({...x})); return doc": [1],
    "doc.l = [{id: 5}, ...doc.l.map(x => ({...x}))]; return doc": ["5", 1, 1],
    "doc.l.unshift({id: 5}); return doc": ["5", 0, 1],
}


@pytest.mark.parametrize("code", OBJECTS)
def test_a_new_object_is_never_beside_another_element(code: str):
    source = f"function process(doc) {{ {code} }}"
    items = [f'{{"id":{number}}}' for number in NEXT]
    (found,) = through("javascript", source, [f'{{"n":0,"l":[{",".join(items)}]}}'])
    expected = ",".join(f'{{"id":{NEXT[each] if isinstance(each, int) else each}}}' for each in OBJECTS[code])
    assert found.decode() == f'{{"n":0,"l":[{expected}]}}'


def test_a_number_beyond_a_double_is_never_that_of_another_element():
    source = "def process(doc):\n    doc['l'] = [{**x} for x in doc['l'][1:]]\n    return doc\n"
    (found,) = through("python", source, ['{"l":[{"x":1e400},{"x":1e500}]}'])
    assert found == b'{"l":[{"x":1.7976931348623157e308}]}'
