"""Which fields a mask hides: by name, by pattern, and by what a mapping says of them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.execution.protection import HiddenFields, hidden_fields
from headrace.execution.protection.hidden import meet

MAPPING = {
    "properties": {
        "secret": {"type": "text", "fields": {"raw": {"type": "keyword"}}, "copy_to": ["all", "copies.first"]},
        "all": {"type": "text", "copy_to": "second_hand"},
        "copies": {"properties": {"first": {"type": "text"}, "other": {"type": "text"}}},
        "second_hand": {"type": "text"},
        "nickname": {"type": "alias", "path": "secret.raw"},
        "alias_of_copy": {"type": "alias", "path": "copies.first"},
        "people": {
            "type": "nested",
            "properties": {"ssn": {"type": "long", "copy_to": "numbers"}, "name": {"type": "text"}},
        },
        "flat": {"type": "flat_object"},
        "plain": {"type": "keyword", "copy_to": "harmless"},
        "harmless": {"type": "keyword"},
    },
    "derived": {"made": {"type": "keyword", "script": {"source": "emit(doc['secret.raw'].value)"}}},
}
HIDDEN = hidden_fields(["secret", "people.ssn", "flat.inner"], [MAPPING])


@pytest.mark.parametrize(
    "field",
    [
        *("secret", "secret.raw", "secret.anything", "all", "copies.first", "copies", "second_hand", "nickname"),
        *("alias_of_copy", "people.ssn", "people", "people.ssn.raw", "numbers", "flat.inner", "flat", "flat._value"),
        *(
            "flat._valueAndPath",
            "made",
            "*",
            "s*",
            "*t",
            "*.raw",
            "sec*.raw",
            "people.*",
            "p*",
            "*.ssn",
            "pe*.s*n",
            "**",
        ),
        *("made.part", "fl*._value", "copies.*", "all.keyword", "secret*", "*ecre*"),
    ],
)
def test_these_show_a_hidden_value(field: str):
    assert HIDDEN.covers(field)


@pytest.mark.parametrize(
    "field",
    [
        "plain",
        "harmless",
        "people.name",
        "people.n*",
        "copies.other",
        "flat.open",
        "Secret",
        "secrets",
        "secre",
        "",
        "x*",
        "people.name.*",
    ],
)
def test_these_do_not(field: str):
    assert not HIDDEN.covers(field)


def test_nothing_is_hidden_where_nothing_is_named():
    nothing = hidden_fields([], [MAPPING])
    assert not nothing
    assert not nothing.covers("made")
    assert not nothing.covers("*")


def test_an_object_hides_what_is_in_it():
    hidden = hidden_fields(["people"], [MAPPING])
    assert hidden.covers("people.name")
    assert hidden.covers("numbers")
    assert not hidden.covers("secret")


@pytest.mark.parametrize("name", ["people.0.ssn", "people[0].ssn", "people[*].ssn"])
def test_positions_in_lists_are_no_part_of_a_name(name: str):
    assert hidden_fields([name], [MAPPING]).covers("people.ssn")
    assert hidden_fields([name], [MAPPING]).covers("numbers")


def test_names_may_be_patterns():
    hidden = hidden_fields(["*.ssn", "sec*"], [MAPPING])
    for field in ("people.ssn", "people", "secret.raw", "all", "numbers", "*n", "p*", "secrecy"):
        assert hidden.covers(field), field
    assert not hidden.covers("plain")
    assert hidden.covers("*")


def test_mappings_of_several_indexes_count_together():
    other = {"properties": {"secret": {"type": "keyword", "copy_to": "elsewhere"}}}
    hidden = hidden_fields(["secret"], [MAPPING, other, {}, {"properties": None}])
    assert hidden.covers("elsewhere")
    assert hidden.covers("all")


def test_sources_are_names_and_what_is_below():
    assert HiddenFields.of(["b", "a.c"]).sources == ["a.c", "a.c.*", "b", "b.*"]


@given(st.text("ab*", max_size=6), st.text("ab", max_size=6))
def test_a_pattern_meets_the_names_that_it_matches(pattern: str, name: str):
    expression = "".join(".*" if letter == "*" else re.escape(letter) for letter in pattern)
    assert meet(pattern, name) == bool(re.fullmatch(expression, name))


@given(st.text("ab*", max_size=6), st.text("ab*", max_size=6), st.text("ab", max_size=4))
def test_patterns_that_match_one_name_meet(one: str, other: str, filler: str):
    assert meet(one, other) == meet(other, one)
    name = one.replace("*", filler)
    if meet(other, name):
        assert meet(one, other)
