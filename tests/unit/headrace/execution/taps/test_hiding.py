from __future__ import annotations

import json

import pytest

from headrace.execution.protection import HiddenFields
from headrace.execution.taps.hiding import Concealer


def shown(text: str, *names: str, query: bool = False, other: str = "") -> dict[str, object]:
    concealer = Concealer(HiddenFields.of(names))
    for each in filter(None, (text, other)):
        concealer.learn(each.encode())
    found: dict[str, object] = json.loads(concealer.without(text.encode(), query=query))
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


def test_a_search_names_fields_at_any_depth():
    text = '{"query":{"bool":{"filter":[{"term":{"ssn":"123"}},{"term":{"b":1}}]}},"q":"ssn:123"}'
    assert shown(text, "ssn", query=True) == {"query": {"bool": {"filter": [{"term": {}}, {"term": {"b": 1}}]}}}


def test_numbers_keep_their_digits():
    concealer = Concealer(HiddenFields.of(["s"]))
    assert concealer.without(b'{"n":1.00000000000000000000001,"s":1}') == b'{"n":1.00000000000000000000001}'
    assert concealer.names == {"s"}
