"""YAML and JSON of a project: values by YAML 1.2, positions of every value, files that must not be read."""

from __future__ import annotations

import json
import re

import pytest
import yaml
from hypothesis import assume, example, given
from hypothesis import strategies as st

from headrace.project import ProjectError
from headrace.project.source import Source


def value(text: str, name: str = "a.yaml"):
    return Source.parse(text, name).value


def problem(text: str, name: str = "a.yaml"):
    with pytest.raises(ProjectError) as caught:
        Source.parse(text, name)
    (found,) = caught.value.problems
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no", "no"),
        ("on", "on"),
        ("Yes", "Yes"),
        ("2020-01-01", "2020-01-01"),
        ("12:30:45", "12:30:45"),
        ("1_000", "1_000"),
        ("0777", 777),
        ("0o17", 15),
        ("0x1F", 31),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("-3", -3),
        ("true", True),
        ("~", None),
        ("", None),
        ("null", None),
        ("!!str 12", "12"),
        ("! 12", "12"),
        ("'12'", "12"),
        ("!!int '12'", 12),
        ("=", "="),
        ("a\u2028b\x85c", "a\u2028b\x85c"),
    ],
)
def test_plain_scalars_mean_what_yaml_1_2_says(text, expected):
    found = value(f"a: {text}\n")["a"]
    assert found == expected
    assert type(found) is type(expected)


def test_keys_are_text_and_aliases_are_values():
    assert value("1: a\nno: b\nx: &x [1]\ny: *x\n") == {"1": "a", "no": "b", "x": [1], "y": [1]}


@pytest.mark.parametrize(
    ("text", "line", "column", "word"),
    [
        ("a: 1\nb:\n  c: 1\n  c: 2\n", 4, 3, "twice, first in line 3"),
        ("a: .inf", 1, 4, "JSON does not have"),
        ("a: !!binary aGk=", 1, 4, "tag"),
        ("a: !thing x", 1, 4, "tag"),
        ("a: &x [*x]", 1, 8, "alias"),
        ("<<: {a: 1}", 1, 1, "merge keys"),
        ("a: 1\n---\nb: 2", 2, 1, "more than one document"),
        ("a:\n\t- b", 2, 1, "not YAML"),
        ("? [a]\n: b", 1, 3, "key must be text"),
        ("[" * 100_000, 1, 201, "nested deeper"),
        ("- " * 100_000, 1, 401, "nested deeper"),
    ],
)
def test_what_json_has_no_value_for_is_refused_with_its_position(text, line, column, word):
    found = problem(text)
    assert (found.line, found.column) == (line, column)
    assert word in found.reason


def test_aliases_of_aliases_end_at_a_limit():
    lines = ["x: &a [1, 2, 3, 4, 5, 6, 7, 8, 9]"]
    lines += [f"x{i}: &a{i} [{', '.join(['*a' + (str(i - 1) if i else '')] * 10)}]" for i in range(9)]
    assert "aliases followed" in problem("\n".join(lines)).reason


@pytest.mark.parametrize(
    ("text", "line", "column", "word"),
    [
        ('{"a": 1,\n "b": {"c": 1, "c": 2}}', 2, 16, "twice"),
        ('{"a" 1}', 1, 6, "JSON"),
        ("[NaN]", 1, 1, "NaN"),
        ("[" * 100_000, 1, 1, "JSON"),
    ],
)
def test_json_is_read_strictly(text, line, column, word):
    found = problem(text, "a.json")
    assert (found.line, found.column) == (line, column)
    assert word in found.reason


def test_json_has_positions_where_it_is_no_yaml():
    source = Source.parse('{"a": "\\ud83d\\ude00\\/",\n\t"b": [1,\t{"c.d": 2}]}', "a.json")
    assert source.value == {"a": "😀/", "b": [1, {"c.d": 2}]}
    assert source.locate("b[1].c.d") == (2, 19)
    assert source.locate("b[1].c.d", key=True) == (2, 12)


def test_a_path_that_leads_too_far_has_the_position_of_what_there_is():
    source = Source.parse("stages:\n  - name: a\n    config: {x.y: 3}\n", "a.yaml")
    assert source.locate("stages[0].config.x.y") == (3, 19)
    assert source.locate("stages[0].nothing.here") == (2, 5)
    assert source.locate("stages[7]") == (2, 3)
    assert source.locate("") == (1, 1)


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)


@given(_VALUES)
def test_json_texts_have_their_value_and_every_member_has_its_position(drawn):
    text = json.dumps({"root": drawn}, indent=1)
    source = Source.parse(text, "a.json")
    assert source.value == {"root": drawn}
    line, column = source.locate("root")
    here = text.splitlines()[line - 1][column - 1 :]
    assert here[0] in "[{" if isinstance(drawn, list | dict) else json.loads(here) == drawn


_EXPONENT = re.compile(r"[-+]?[0-9.]+[eE][-+]?[0-9]+")


@given(_VALUES)
@example("no")
@example("2026-01-01")
def test_yaml_of_a_writer_is_read_as_it_was_meant(drawn):
    """PyYAML quotes what YAML 1.1 reads as something else; quoted text is text in every version.

    A text such as `0E0` it leaves plain: that is a number in YAML 1.2 only.
    """
    text = yaml.safe_dump({"root": drawn})
    assume(not any(_EXPONENT.fullmatch(word) for word in _texts(drawn)))
    assert Source.parse(text, "a.yaml").value == {"root": drawn}


def _texts(value):
    if isinstance(value, dict):
        return [text for pair in value.items() for each in pair for text in _texts(each)]
    if isinstance(value, list):
        return [text for each in value for text in _texts(each)]
    return [value] if isinstance(value, str) else []
