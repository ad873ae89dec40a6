from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import jsonpatch
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.execution.taps import patches
from headrace_pipelines import Batch, Deadline, Pipelines, RunOptions, execute
from tests.conftest import native

NUMBERS = st.one_of(
    st.integers(-(10**40), 10**40).map(str),
    st.decimals(allow_nan=False, allow_infinity=False).map(lambda d: f"{d:E}".replace("E+", "e")),
    st.sampled_from(["1", "1.0", "1.00", "-0", "0.1000", "12345678901234567890.123456789", "1e400"]),
)
TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), max_size=6)
NAMES = st.one_of(st.sampled_from(["a", "b", "a/b", "~", "~1", "", "0", "é", "😀"]), TEXTS)


def _quoted(text: str, escaped: bool) -> str:
    return json.dumps(text, ensure_ascii=escaped)


STRINGS = st.builds(_quoted, TEXTS, st.booleans())


@st.composite
def values(draw: st.DrawFn, depth: int = 3) -> str:
    """The text of a JSON value, with space in it, and with members that stand twice."""
    leaf = st.one_of(NUMBERS, STRINGS, st.sampled_from(["true", "false", "null"]))
    if depth == 0:
        return draw(leaf)
    kind = draw(st.sampled_from(["leaf", "object", "list"]))
    space = draw(st.sampled_from(["", " ", "\n  "]))
    if kind == "leaf":
        return draw(leaf)
    if kind == "list":
        return f"[{space}{f',{space}'.join(draw(st.lists(values(depth - 1), max_size=4)))}]"
    return draw(objects(depth))


@st.composite
def objects(draw: st.DrawFn, depth: int = 3) -> str:
    pairs = draw(st.lists(st.tuples(st.builds(_quoted, NAMES, st.booleans()), values(depth - 1)), max_size=4))
    colon = draw(st.sampled_from([":", " : "]))
    return f"{{{', '.join(f'{name}{colon}{value}' for name, value in pairs)}}}"


class Digits(str):
    """A number by its digits."""


def exact(text: bytes | str) -> Any:
    """The value of a text in which numbers are equal when their digits are."""
    return json.loads(text, parse_int=Digits, parse_float=Digits)


def applied(before: bytes, operations: list[patches.Operation]) -> Any:
    shown = exact(msgspec.json.encode(operations))
    for operation in shown:
        # jsonpatch compares numbers of equal value; here they are texts.
        assert operation["op"] in ("add", "remove", "replace")
    return jsonpatch.apply_patch(exact(before), shown)


@settings(max_examples=300)
@given(objects(), objects())
def test_the_patch_makes_the_one_of_the_other(before: str, after: str):
    made = patches.patch(before.encode(), after.encode())
    assert applied(before.encode(), made) == exact(after)
    assert bool(made) == (exact(before) != exact(after))
    assert patches.patch(after.encode(), after.encode()) == []


EDITS = st.lists(
    st.sampled_from(
        [
            native("s", "set", field="c.d", value=7),
            native("r", "remove", field="a", ignore_missing=True),
            native("n", "rename", field="b", target_field="moved", ignore_missing=True),
            native("l", "append", field="list", value="x"),
            native("u", "set", field="é", value="😀"),
            native("x", "drop"),
        ]
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=200)
@given(objects(), EDITS)
def test_the_patches_of_all_stages_make_the_end_of_the_input(document: str, stages: list[dict[str, Any]]):
    stages = [{**stage, "name": f"s{n}"} for n, stage in enumerate(stages)]
    loaded = Pipelines.load({"p": {"type": "document", "on_failure": "continue", "stages": stages}})
    text = patches.text_of(document.encode())
    batch = Batch.of("document", text, index="i")
    run = execute(loaded._snapshot.find("p"), batch, Deadline(5), RunOptions(trace=True, counted=False, logged=False))
    outputs = [patches.text_of(entry["output"]) for entry in run.trace or [] if "output" in entry]
    state, last = exact(text), text
    for output in outputs:
        state = jsonpatch.apply_patch(state, exact(msgspec.json.encode(patches.patch(last, output))))
        last = output
    if batch.outcome(0)[0] == "live":
        assert state == exact(batch.document(0))


def test_numbers_keep_their_digits():
    before, after = b'{"n": 1.10, "same": 1.0}', b'{"n": 123456789012345678901234567890.10, "same": 1.0}'
    (operation,) = patches.patch(before, after)
    assert msgspec.json.encode(operation) == b'{"op":"replace","path":"/n","value":123456789012345678901234567890.10}'
    assert Decimal(bytes(operation.value).decode()) == Decimal("123456789012345678901234567890.10")


def test_an_element_in_the_middle_of_a_list_is_one_operation():
    before, after = b'{"l":[1,2,3,4,5]}', b'{"l":[1,2,9,3,4,5]}'
    assert [(o.op, o.path) for o in patches.patch(before, after)] == [("add", "/l/2")]
    assert [(o.op, o.path) for o in patches.patch(after, before)] == [("remove", "/l/2")]


def test_a_deep_value_is_replaced_as_a_whole():
    deep = b"[" * 500 + b"1" + b"]" * 500
    other = b"[" * 500 + b"2" + b"]" * 500
    made = patches.patch(b'{"a":%b}' % deep, b'{"a":%b}' % other)
    assert [operation.op for operation in made] == ["replace"]
    assert len(made[0].path) < 500


@pytest.mark.parametrize("text", [b"", b"{", b'{"a":}', b'{"a":1} x', b'{"a":"\xff"}'])
def test_what_is_no_json_is_refused(text: bytes):
    with pytest.raises((msgspec.DecodeError, UnicodeDecodeError)):
        patches.patch(text, b"{}")
