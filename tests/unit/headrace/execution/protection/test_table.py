"""The table of rules: complete, each row with an example that is judged as the row says, and documented."""

from __future__ import annotations

import json

import pytest

from headrace.execution.protection import HiddenFields, Review, Scope
from headrace.execution.protection.rules import aggregations, queries, search
from headrace.execution.protection.rules.row import Kind, Row, Rule
from headrace.execution.protection.walk import ACTIONS, HANDLERS
from headrace_pipelines.errors import RefusedError
from tests.unit.headrace.execution.protection import examples, page

TABLES: dict[str, dict[str, Row]] = {
    "queries": queries.QUERIES,
    "aggregations": aggregations.AGGREGATIONS,
    "options": search.OPTIONS,
    "inner options": search.INNER_OPTIONS,
    "suggesters": search.SUGGESTERS,
    "sorts": search.SORTS,
}
ROWS = [(table, name, row) for table, rows in TABLES.items() for name, row in rows.items()]
HIDDEN = HiddenFields.of(["secret", "people.ssn"])
FILTERED = Scope(filtered=True, hidden=HiddenFields(), errors_withheld=True)
MASKED = Scope(filtered=False, hidden=HIDDEN)
OPEN = Scope(filtered=False, hidden=HiddenFields())
VISIBLE = {"term": {"tenant": "a"}}
EXAMPLES = {(table, name): (plain, masked) for table, name, plain, masked in examples.searches()}


def test_each_row_has_an_example_and_each_example_a_row():
    assert set(EXAMPLES) == {(table, name) for table, name, _ in ROWS}


def test_what_the_table_names_exists():
    assert set(Kind) - set(HANDLERS) == {Kind.PER_FIELD}
    assert {row.act for _, _, row in ROWS if row.act} == set(ACTIONS)


def outcome(request: dict, scope: Scope) -> str:
    before = json.dumps(request)
    try:
        review = Review.of(request, scope)
        new = review.rewritten(VISIBLE, dict.fromkeys(review.lookups, VISIBLE))
    except RefusedError:
        return "refuse"
    assert json.dumps(request) == before
    return "obeys" if new is request else "rewrite"


@pytest.mark.parametrize(("table", "name", "row"), ROWS, ids=lambda each: each if isinstance(each, str) else "")
def test_an_example_is_judged_as_its_row_says(table: str, name: str, row: Row):
    plain, masked = EXAMPLES[table, name]
    for rule, request, scope in ((row.filtered, plain, FILTERED), (row.masked, masked, MASKED)):
        found = outcome(request, scope)
        if rule is Rule.DEPENDS:
            continue
        if scope is MASKED and rule is Rule.OBEYS:
            assert found in ("obeys", "rewrite")
        else:
            assert found == rule.value, (rule, found)
    if row.plugin or name in ("terms",):
        return
    assert outcome(plain, OPEN) in ("obeys", "rewrite")


def test_the_page_has_the_tables():
    assert page.PAGE.read_text().split(page.BEGIN)[1] == page.tables()
