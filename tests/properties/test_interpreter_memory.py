"""Interpreters at the limit of their memory: long documents are read, and an answer that does not fit is one document's error."""

from __future__ import annotations

import json

import pytest

from headrace_pipelines.errors import InvalidError
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
    "python": "KEPT = []\ndef process(doc):\n    KEPT[:] = []\n    KEPT.append(bytes(doc['ballast']))\n"
    "    doc['n'] = 1\n    return doc\n",
    "javascript": "let kept\nfunction process(doc) { kept = null; kept = new Uint8Array(doc.ballast); doc.n = 1; return doc }\n",
}
EDGE = {
    "members": ",".join(f'"k{n}":90071992547{n + 10000}99.50' for n in range(40_000)),
    "numbers": '"l":[' + ",".join(["1.50"] * 400_000) + "]",
}


@pytest.mark.parametrize("language", SAME)
@pytest.mark.parametrize("kind", EDGE)
def test_without_memory_there_is_an_error_and_never_another_number(language: str, kind: str):
    """The ballast stays when the next document is read: sizes up to 64 KiB around the largest with which it fits."""

    def fits(ballast: int) -> bool:
        text = f'{{"n":0,{EDGE[kind]},"ballast":{ballast}}}'
        # Each in a call of its own, in the same sandbox.
        outcome = outcome_of(language, BALLAST[language], ['{"ballast":1}', text, text])
        assert {each.type for each in outcome.failures} <= {MEMORY}, outcome.failures
        found = bytes(outcome.body).decode().split("\n")[3::2]
        assert len(found) + len(outcome.failures) == 2
        assert all(each == text.replace('"n":0', '"n":1') for each in found)
        return not outcome.failures

    least, most = 1 << 20, 62 << 20
    assert fits(least)
    assert not fits(most)
    while most - least > 64 << 10:
        middle = (least + most) // 2
        least, most = (middle, most) if fits(middle) else (least, middle)
    for ballast in range(least - (64 << 10), most + (64 << 10), 32 << 10):
        fits(ballast)


FULL = {
    "python": [
        "head = None\n    while True:\n        head = [head, bytes(1 << 20)]\n        head.append(head)",
        "head = None\n    while True:\n        head = [head]\n        head.append(head)",
        "import gc; gc.disable(); head = None\n    while True:\n        head = {'head': head}\n        head['self'] = head",
    ],
    "javascript": [
        "let head; for (;;) { head = {head, data: new Uint8Array(1 << 20)}; head.self = head }",
        "let head; for (;;) { head = {head}; head.self = head }",
        "let head; try { for (;;) { head = [head]; head.push(head) } } catch { } return null",
    ],
}


@pytest.mark.parametrize(("language", "at"), [(language, at) for language in FULL for at in range(3)])
def test_a_sandbox_that_was_full_serves_the_next_documents(language: str, at: int):
    source = COUNTED[language].format(code=FULL[language][at], context="")
    medium = '{"l":[' + ",".join(f"{n}.50" for n in range(20_000)) + "]}"
    outcome = outcome_of(language, source, ['{"bad":1}', *[medium] * 100])
    caught = "return" in FULL[language][at]
    assert [(each.position, each.type) for each in outcome.failures] == ([] if caught else [(0, MEMORY)])
    found = bytes(outcome.body).decode().split("\n")[1::2][1 if caught else 0 :]
    counts = [int(text.rstrip("}").rpartition(":")[2]) for text in found]
    assert counts == sorted(set(counts))
    assert len(counts) == 100
    assert counts[0] >= 2


def test_memory_that_ends_with_small_objects_is_an_error_of_memory():
    source = "function process(doc) { let head; for (;;) head = {head} }"
    outcome = outcome_of("javascript", source, ["{}"] * 3)
    assert [each.type for each in outcome.failures] == [MEMORY] * 3, outcome.failures


def test_code_that_leaves_no_memory_for_its_own_error_is_not_loaded():
    fill = "".join(f"try {{ for (;;) {{ {code} }} }} catch {{ }}\n" for code in (
        "kept = {kept, data: new Uint8Array(65536)}", "kept = {kept, data: new Uint8Array(512)}", "kept = {kept}",
        "kept = [kept]", "kept = [kept]",
    ))  # fmt: skip
    source = f"let kept\n{fill}\nthrow kept\nfunction process(doc) {{ return doc }}"
    with pytest.raises(InvalidError, match="memory"):
        outcome_of("javascript", source, ["{}"])


@pytest.mark.parametrize("language", SAME)
def test_a_long_string_of_commas_takes_no_memory_for_values(language: str):
    code = {"python": "doc['n'] = len(bytes(24 << 20))", "javascript": "doc.n = new Uint8Array(24 << 20).length"}[
        language
    ]
    source = SAME[language].replace("return doc", f"{code}; return doc")
    (found,) = through(language, source, ['{"n":0,"t":"' + ',["'.replace('"', '\\"') * 700_000 + '"}'])
    assert found.startswith(b'{"n":%d,"t":' % (24 << 20))


@pytest.mark.parametrize("contexts", [False, True])
@pytest.mark.parametrize("language", SAME)
def test_answers_of_ranges_do_not_fail_for_those_of_other_documents(language: str, contexts: bool):
    """Each is a hundred times its document, and all of a call are longer than the memory of a sandbox."""
    code = {"python": "return {'l': [doc['t']] * 100}", "javascript": "return {l: new Array(100).fill(doc.t)}"}[
        language
    ]
    context = {"python": ", params, ctx", "javascript": ", ctx"}[language] if contexts else ""
    text = '{"bad":1,"t":[' + ",".join(["1.50"] * 2000) + "]}"
    outcome = outcome_of(language, COUNTED[language].format(code=code, context=context), [text] * 90)
    assert outcome.failures == []
    found = bytes(outcome.body).split(b"\n")[1::2]
    assert [len(each) for each in found] == [len(text[13:]) * 100 + 99 + len('{"l":[]}') - 100] * 90
