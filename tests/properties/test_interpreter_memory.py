"""Interpreters at the limit of their memory: long documents are read, and an answer that does not fit is one document's error."""

from __future__ import annotations

import json

import pytest

from tests.properties.test_interpreters import SAME, outcome_of, through

MEMORY = "udf_memory_limit_exception"
LONG_STRINGS = {
    "latin": "é" * 1_700_000,
    "escapes": "\\n\\u00e9" * 450_000,
    "wide": "東京" * 600_000,
    "pairs": "\\ud83d\\ude42\U0001f642" * 230_000,
    # Parts of a character or an escape on both sides of any place.
    "mixed": "".join(f"{'x' * n}\\u6771é\U0001f642\\\\" for n in range(2500)),
}


@pytest.mark.parametrize("language", SAME)
@pytest.mark.parametrize("kind", LONG_STRINGS)
def test_a_long_string_is_read_and_comes_back(language: str, kind: str):
    text = f'{{"n":1.50,"t":"{LONG_STRINGS[kind]}","l":0}}'
    count = {"python": "doc['l'] = len(doc['t'])", "javascript": "for (const each of doc.t) doc.l++"}[language]
    source = SAME[language].replace("return doc", f"{count}; return doc")
    (found,) = through(language, source, [text])
    kept, number = found.decode().rstrip("}").rsplit(":", 1)
    assert kept == text[: text.rindex(":")]
    assert int(number) == len(json.loads(text)["t"])


@pytest.mark.parametrize("language", SAME)
def test_many_values_of_a_long_document_keep_their_digits(language: str):
    text = '{"n":0,"l":[' + ",".join(f"{at}.50" for at in range(420_000)) + "]}"
    change = {"python": "doc['n'] = 1; ", "javascript": "doc.n = 1; "}[language]
    (found,) = through(language, SAME[language].replace("return", f"{change}return"), [text])
    assert found.decode() == text.replace('"n":0', '"n":1')


LARGE = {
    "python": [
        "return {'x': 'é' * 25_000_000}",
        "x = ['y' * 1000]\n    for _ in range(12): x = [x] * 10\n    return {'x': x}",
        "x = {'y': 'z' * 1000}\n    for _ in range(12): x = dict.fromkeys(range(10), x)\n    return {'x': x}",
        "x = {'y': 'z' * 1000}\n    for _ in range(12): x = doc = {**doc, 'd': x, 'e': x, 'f': x, 'g': x, 'h': x}\n    return x",
    ],
    "javascript": [
        "return {x: 'é'.repeat(25_000_000)}",
        "let x = ['y'.repeat(1000)]; for (let n = 0; n < 12; n++) x = new Array(10).fill(x); return {x}",
        "let x = {y: 'z'.repeat(1000)}; for (let n = 0; n < 12; n++) x = {a: x, b: x, c: x, d: x, e: x}; return x",
        "let x = {y: 'z'.repeat(1000)}; for (let n = 0; n < 12; n++) x = {...doc, d: x, e: x, f: x, g: x}; return x",
    ],
}
COUNTED = {
    "python": "N = 0\ndef process(doc{context}):\n    global N\n    N += 1\n    if 'bad' in doc:\n"
    "        return answer(doc)\n    return {{**doc, 'n': N}}\ndef answer(doc):\n    {code}\n",
    "javascript": "let n = 0\nfunction process(doc, params{context}) {{ n++; return doc.bad ? answer(doc) : {{...doc, n}} }}\n"
    "function answer(doc) {{ {code} }}\n",
}


@pytest.mark.parametrize("contexts", [False, True])
@pytest.mark.parametrize(
    ("language", "at"), [(language, at) for language in LARGE for at in range(len(LARGE[language]))]
)
def test_an_answer_that_does_not_fit_is_the_error_of_its_document(language: str, at: int, contexts: bool):
    context = {"python": ", params, ctx", "javascript": ", ctx"}[language] if contexts else ""
    source = COUNTED[language].format(code=LARGE[language][at], context=context)
    texts = ['{"a":1.50}', '{"bad":1}', '{"a":2.50}', '{"a":3.50}', '{"bad":1}', '{"a":4.50}']
    outcome = outcome_of(language, source, texts)
    assert [(each.position, each.type) for each in outcome.failures] == [(1, MEMORY), (4, MEMORY)], outcome.failures
    # A string of JavaScript is first made into another one, by the interpreter.
    assert all("does not fit" in each.reason or "out of memory" in each.reason for each in outcome.failures), (
        outcome.failures
    )
    found = bytes(outcome.body).decode().split("\n")[1::2]
    counts = [int(text.rstrip("}").rpartition(":")[2]) for text in found]
    # The sandbox lives on with its globals; a document may be tried beside others, and then alone.
    assert 1 == counts[0] < counts[1] < counts[2] < counts[3] <= 8, counts
    assert [text.partition(",")[0] for text in found] == [f'{{"a":{n}.50' for n in (1, 2, 3, 4)]


@pytest.mark.parametrize("language", SAME)
def test_answers_that_fit_alone_need_not_fit_together(language: str):
    code = {"python": "return {'x': 'y' * 5_000_000, 'n': N}", "javascript": "return {x: 'y'.repeat(5_000_000), n}"}[
        language
    ]
    outcome = outcome_of(language, COUNTED[language].format(code=code, context=""), ['{"bad":1}'] * 40)
    assert outcome.failures == []
    found = [json.loads(text) for text in bytes(outcome.body).split(b"\n")[1::2]]
    assert [len(each["x"]) for each in found] == [5_000_000] * 40
    counts = [each["n"] for each in found]
    assert counts == sorted(set(counts))
    assert counts[-1] <= 60


BALLAST = {
    "python": "KEPT = []\ndef process(doc):\n    KEPT[:] = []\n    KEPT.append(bytes(doc['ballast']))\n    doc['n'] = 1\n    return doc\n",
    "javascript": "let kept\nfunction process(doc) { kept = null; kept = new Uint8Array(doc.ballast).fill(1); doc.n = 1; return doc }\n",
}


@pytest.mark.parametrize("language", SAME)
def test_without_memory_there_is_an_error_and_never_another_number(language: str):
    members = ",".join(f'"k{n}":90071992547{n + 10000}99.50' for n in range(40_000))
    ballast = [mebibytes << 20 for mebibytes in range(20, 63, 3)]
    texts = [f'{{"n":0,{members},"ballast":{size}}}' for size in ballast]
    for text in texts:
        outcome = outcome_of(language, BALLAST[language], ['{"ballast":1}', text, text])
        if outcome.failures:
            assert {each.type for each in outcome.failures} == {MEMORY}, outcome.failures
        found = bytes(outcome.body).decode().split("\n")[3::2]
        assert all(each == text.replace('"n":0', '"n":1') for each in found if each)
