"""Fields, scripts and documents: what a request asks to see of a hit."""

from __future__ import annotations

from typing import Any

from headrace.execution.protection.clauses import by_name
from headrace.execution.protection.rules.row import Kind
from headrace.execution.protection.rules.search import SCORED_OBJECT, SCRIPT, SCRIPT_FIELD
from headrace.execution.protection.walk import Walk, handles

LANGUAGES = frozenset({"painless", "expression"})
"""Languages whose scripts see one document; those of plugins are not known."""
STATISTICS = "otalTermFreq"
"""In the names of Painless's functions that count every document (`totalTermFreq`, `sumTotalTermFreq`)."""
SEES_ALL = "a script sees every field; leave it out"
EXCLUDED = ("excludes", "exclude")


@handles(Kind.FIELD)
def _field(walk: Walk, value: Any) -> Any:
    walk.ask(value)
    walk.scalars(value)
    return value


@handles(Kind.FIELDS)
def _fields(walk: Walk, value: Any) -> Any:
    for each in value if type(value) is list else [value]:
        walk.ask(each)
    walk.scalars(value)
    return value


@handles(Kind.READ_FIELD)
@handles(Kind.SCORED_FIELD)
def _read_field(walk: Walk, value: Any) -> Any:
    walk.read(value)
    walk.scalars(value)
    return value


@handles(Kind.READ_FIELDS)
def _read_fields(walk: Walk, value: Any) -> Any:
    """Names, patterns, or objects with a name and a format."""
    return walk.each(value, _read_item)


def _read_item(walk: Walk, value: Any) -> Any:
    if type(value) is dict:
        return walk.members(value, {"field": Kind.READ_FIELD, "format": Kind.VALUE})
    return _read_field(walk, value)


@handles(Kind.STORED_FIELDS)
def _stored_fields(walk: Walk, value: Any) -> Any:
    """A pattern that begins with `_` could match the stored `_source` itself."""
    if walk.masked:
        for each in value if type(value) is list else [value]:
            if type(each) is str and each.startswith("_") and "*" in each:
                walk.refuse_masked("this pattern matches the stored document; name fields one by one")
    return _read_fields(walk, value)


@handles(Kind.AGGREGATED_FIELD)
def _aggregated_field(walk: Walk, value: Any) -> Any:
    if walk.masked and walk.scope.masked_aggregations == "refuse":
        walk.read(value)
    walk.scalars(value)
    return value


@handles(Kind.AGGREGATED_FIELDS)
def _aggregated_fields(walk: Walk, value: Any) -> Any:
    return walk.each(value, _aggregated_field)


@handles(Kind.SCORED_OBJECT)
def _scored_object(walk: Walk, value: Any) -> Any:
    return walk.members(value, SCORED_OBJECT)


@handles(Kind.SCRIPT)
def script(walk: Walk, value: Any) -> Any:
    """One that sees a document: refused under a mask; else it obeys, if its language is known."""
    if walk.masked:
        walk.refuse_masked(SEES_ALL)
    return _check_field_names(walk, value)


@handles(Kind.QUERY_SCRIPT)
def query_script(walk: Walk, value: Any) -> Any:
    """One in a query: the node runs it also on documents that the filter leaves out, and its errors quote them."""
    if walk.filtered:
        _withhold(walk)
    return script(walk, value)


def _withhold(walk: Walk) -> None:
    walk.scripted = True
    if not walk.scope.errors_withheld:
        walk.refuse(
            "the node runs a script in a query on documents that the filter leaves out, and its errors quote them"
        )


@handles(Kind.VALUE_SCRIPT)
@handles(Kind.HEURISTIC_SCRIPT)
def value_script(walk: Walk, value: Any) -> Any:
    """One that sees values of the request or of the answer only."""
    if type(value) is dict and type(value.get("script")) in (dict, str):
        return walk.members(value, {"script": Kind.VALUE_SCRIPT})
    return _check_field_names(walk, value)


def _check_field_names(walk: Walk, value: Any) -> Any:
    if type(value) is not dict:
        walk.scalars(value)
        return value
    walk.members(value, SCRIPT)
    language = value.get("lang")
    if walk.strict and language is not None and language not in LANGUAGES:
        walk.refuse_protected("what a script in this language sees is not known")
    return value


@handles(Kind.SCORE_SCRIPT)
def score_script(walk: Walk, value: Any) -> Any:
    """One that makes a score: it must be seen, and may not count terms of every document."""
    if type(value) is dict and "script" in value:
        return walk.members(value, {"script": Kind.SCORE_SCRIPT})
    query_script(walk, value)
    if walk.filtered:
        source = value if type(value) is str else (value.get("source") or value.get("inline")) if value else None
        if type(source) is not str:
            walk.refuse("a script that makes a score must be in the request, so that it is seen to count no terms")
        if STATISTICS in source:
            walk.refuse("statistics of terms count documents that the filter leaves out")
    return value


@handles(Kind.SCRIPT_FIELDS)
def _script_fields(walk: Walk, value: Any) -> Any:
    return by_name(walk, value, lambda walk, each: walk.members(each, SCRIPT_FIELD))


@handles(Kind.DERIVED)
def _derived(walk: Walk, value: Any) -> Any:
    if value and walk.masked:
        walk.refuse_masked(SEES_ALL)
    if value and walk.filtered:
        _withhold(walk)
    return value


@handles(Kind.SOURCE)
def _source(walk: Walk, value: Any) -> Any:
    """Where what is hidden depends on other fields, a narrowed document goes without what may be hidden."""
    if walk.masked and walk.scope.conditional and type(value) is not bool and value is not None:
        return excluding(walk, value)
    return value


def excluding(walk: Walk, source: Any) -> Any:
    """A `_source` that leaves the hidden fields out."""
    hidden = walk.hidden.sources
    if source is False:
        return source
    if source is None or source is True:
        return {"excludes": hidden}
    if type(source) is not dict:
        walk.scalars(source)
        return {"includes": source if type(source) is list else [source], "excludes": hidden}
    given = [each for name in EXCLUDED for each in _listed(source.get(name))]
    kept = {name: each for name, each in source.items() if name not in EXCLUDED}
    return {**kept, "excludes": [*given, *hidden]}


def _listed(value: Any) -> list[Any]:
    return value if type(value) is list else [] if value is None else [value]


def without_hidden(walk: Walk, search: Any) -> Any:
    """A small search whose hits leave the hidden fields out."""
    if not walk.masked or type(search) is not dict:
        return search
    stored = _listed(search.get("stored_fields"))
    if "_source" not in search and ("stored_fields" in search and "_source" not in stored):
        return search
    source = excluding(walk, search.get("_source"))
    return search if source is search.get("_source") else {**search, "_source": source}
