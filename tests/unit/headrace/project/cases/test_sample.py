"""Samples of an index: other values of the same form, and a file of cases."""

from __future__ import annotations

import datetime as dates
import ipaddress
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.project.cases.sample import Anonymiser, case_file
from headrace.project.source import Source


def form(text: str) -> str:
    return re.sub(r"\d", "0", re.sub(r"[a-z]", "a", re.sub(r"[A-Z]", "A", text)))


@pytest.mark.parametrize(
    "text",
    ["Ada Lovelace", "ada@example.org", "+49 30 1234567", "ORDER-2024/17", "a", "WARN", "5f2c-GET /x?y=1"],
)
def test_texts_keep_their_form(text):
    found = Anonymiser(1).value(text)
    assert form(found) == form(text)


def test_dates_addresses_and_identifiers_stay_valid():
    anonymiser = Anonymiser(1)
    for text in ("2024-02-29", "2024-02-29T23:59:59.123Z", "2024-02-29 12:00:00+01:00", "1999-12-31T00:00"):
        found = anonymiser.value(text)
        assert found != text
        assert form(found) == form(text)
        dates.datetime.fromisoformat(found)
    assert ipaddress.ip_address(anonymiser.value("192.168.1.23"))
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{12}", anonymiser.value("5f2c1d3e-aaaa-0123456789ab"))


@pytest.mark.parametrize(
    "text",
    [
        "2026-03-01 Ada Lovelace, diagnosis",
        "2026-03-01T10:00:00Z Ada Lovelace",
        "2026-03-01T10:00:00 Europe/London",
        "2026-03-01, Lovelace",
        "2026-03-01\nLovelace",
        "10.0.0.1 Lovelace",
        "10.0.0.1\n",
        "5f2c1d3e-aaaa Lovelace",
        "2026-03-01T10:00:00.123+01:00[Europe/London]",
    ],
)
def test_a_text_that_only_begins_like_a_date_or_an_address_is_replaced_as_a_whole(text):
    found = Anonymiser(1).value(text)
    assert form(found) == form(text)
    for word in re.findall(r"[A-Za-z]{3,}", text):
        assert word not in found


@pytest.mark.parametrize("text", ["हिन्दी", "กำลังใจ", "½ Ⅷ ①", "e\u0301te\u0301", "🩺", "٣٤٥٦٧٨٩٠"])
def test_marks_and_symbols_outside_of_ascii_are_content(text):
    found = Anonymiser(1).value(text)
    assert len(found) == len(text)
    assert found.isascii()


@pytest.mark.parametrize("number", [0, 7, -13, 4711, 10**20, 0.5, 123.25, -1e-7, 1.5e300])
def test_numbers_keep_their_type_sign_and_digits(number):
    found = Anonymiser(1).value(number)
    assert type(found) is type(number)
    assert (found < 0) == (number < 0)
    if isinstance(number, int):
        assert len(str(found)) == len(str(number))


def test_equal_values_stay_equal_and_keys_differ():
    found = Anonymiser(1).value([{"name": "Ada"}, {"name": "Ada"}, {"name": "Bob"}, True, None])
    assert found[0] == found[1] != found[2]
    assert found[3:] == [True, None]
    assert Anonymiser(1).value("Ada Lovelace") == Anonymiser(1).value("Ada Lovelace")
    assert len({Anonymiser(0).value("Ada Lovelace, of London") for _ in range(5)}) > 1


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.text(max_size=5), _VALUES, max_size=4))
def test_any_document_becomes_one_of_the_same_shape(document):
    def shape(value):
        if isinstance(value, dict):
            return {name: shape(each) for name, each in value.items()}
        if isinstance(value, list):
            return [shape(each) for each in value]
        return (type(value), len(value)) if isinstance(value, str) else type(value)

    assert shape(Anonymiser(1).value(document)) == shape(document)


@given(st.lists(st.dictionaries(st.text(max_size=5), _VALUES, max_size=4), min_size=1, max_size=3))
def test_a_file_of_cases_has_the_documents(documents):
    value = Source.parse(case_file("app-1", documents), "a.yaml").value
    assert value["index"] == "app-1"
    assert [case["docs"] for case in value["cases"]] == documents
