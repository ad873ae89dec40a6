from __future__ import annotations

import json
import time

import pytest

from headrace.execution.protection import HiddenFields
from headrace.execution.taps.hiding import EVERYTHING, MAX_VALUES, SHORT, Concealer


def shown(text: str, *names: str, other: str = "") -> dict[str, object]:
    concealer = Concealer(HiddenFields.of(names))
    for each in filter(None, (text, other)):
        concealer.learn(each.encode())
    found: dict[str, object] = json.loads(concealer.without(text.encode()))
    return found


@pytest.mark.parametrize(
    ("text", "names", "left"),
    [
        ('{"ssn":"123","n":1.50}', ["ssn"], {"n": 1.5}),
        ('{"a":{"ssn":"123","b":2}}', ["a.ssn"], {"a": {"b": 2}}),
        ('{"a.ssn":"123","b":2}', ["a.ssn"], {"b": 2}),
        ('{"a":[{"ssn":"123","b":2},{"ssn":"456"}]}', ["a.ssn"], {"a": [{"b": 2}, {}]}),
        ('{"secret":{"deep":{"x":"hushed"}},"b":2}', ["secret"], {"b": 2}),
        ('{"pin_1":1234,"pin_2":5678,"b":2}', ["pin_*"], {"b": 2}),
        ('{"a":{"x":{"key":"hushed"}},"b":2}', ["a.*.key"], {"a": {"x": {}}, "b": 2}),
        ('{"ssn":"first","ssn":"second","b":2}', ["ssn"], {"b": 2}),
        ('{"a":1}', ["*"], {}),
    ],
)
def test_hidden_fields_are_left_out(text: str, names: list[str], left: dict[str, object]):
    assert shown(text, *names) == left


def test_a_copy_of_a_hidden_value_is_left_out_wherever_it_stands():
    text = '{"social":"123-45","n":77123,"text":"his number is 123-45","b":2}'
    assert shown(text, "ssn", other='{"ssn":"123-45","pin":77123}') == {"n": 77123, "b": 2}
    assert shown(text, "ssn", "pin", other='{"ssn":"123-45","pin":77123}') == {"b": 2}


def test_elements_of_lists_keep_their_positions():
    assert shown('{"ssn":"123-45","l":["a","123-45","b"]}', "ssn") == {"l": ["a", "…", "b"]}


def test_numbers_keep_their_digits():
    concealer = Concealer(HiddenFields.of(["s"]))
    assert concealer.without(b'{"n":1.00000000000000000000001,"s":1}') == b'{"n":1.00000000000000000000001}'
    assert concealer.names == {"s"}


def concealing(count: int, rest: str = "") -> Concealer:
    """Hides so many values, `value-0` and those after it."""
    concealer = Concealer(HiddenFields.of(["s"]))
    concealer.learn(json.dumps({"s": [f"value-{n}" for n in range(count)], "t": rest}).encode())
    return concealer


def test_with_too_many_hidden_values_nothing_is_shown():
    concealer = concealing(MAX_VALUES)
    assert json.loads(concealer.without(b'{"a":"value-7 it is","b":"c"}')) == {"b": "c"}
    assert concealer.shows("c")
    assert not concealer.shows("value-7 it is")
    concealer = concealing(MAX_VALUES + 1)
    assert concealer.without(b'{"a":1}') == b"null"
    assert not concealer.shows("c")
    assert concealer.names == {EVERYTHING}


def test_many_hidden_values_cost_little_in_a_text_of_many_parts():
    text = json.dumps({"a": [f"word {n}" for n in range(4000)], "b": "value-3!"}).encode()
    few, many = concealing(1), concealing(MAX_VALUES)

    def seconds(concealer: Concealer) -> float:
        started = time.thread_time()
        assert "value-" not in concealer.without(text).decode() or concealer is few
        return time.thread_time() - started

    assert min(seconds(many) for _ in range(3)) < 4 * min(seconds(few) for _ in range(3)) + 0.02


def test_short_hidden_values_are_left_out_as_wholes_only():
    """The limit that docs/explanation/threat-model.md states: one character, true and false are shown elsewhere."""
    text = '{"s":["abc","x",true,17],"a":"abc","b":"x","c":true,"d":"17","e":"an abc"}'
    assert len("abc") < SHORT
    assert shown(text, "s") == {"b": "x", "c": True, "e": "an abc"}
