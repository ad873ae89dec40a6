"""Options of searches and of the small searches in them: inner hits, sorts, highlights, rescorers, suggesters."""

from __future__ import annotations

from typing import Any

from headrace.execution.protection.clauses import by_name
from headrace.execution.protection.fields import without_hidden
from headrace.execution.protection.rules import search as rules
from headrace.execution.protection.rules.row import Kind, Rule
from headrace.execution.protection.walk import Walk, handles


def options(walk: Walk, body: dict[str, Any], table: dict[str, Any]) -> dict[str, Any]:
    """The members of a search by the rows of its options."""
    changed: dict[str, Any] | None = None
    for name, value in body.items():
        row = table.get(name)
        walk.path.append(name)
        new = walk.unknown("this option is not known", value) if row is None else walk.row(row, value)
        walk.path.pop()
        if new is not value:
            changed = changed or dict(body)
            changed[name] = new
    return changed or body


@handles(Kind.INNER_HITS)
def inner_hits(walk: Walk, value: Any) -> Any:
    """A small search: the same rules, and documents without what is hidden, which the result pipeline does not see."""
    if type(value) is not dict:
        return value if value is None else walk.malformed("inner hits are an object")
    walk.deeper()
    new = without_hidden(walk, options(walk, value, rules.INNER_OPTIONS))
    walk.depth -= 1
    return new


@handles(Kind.INNER_SEARCHES)
def _inner_searches(walk: Walk, value: Any) -> Any:
    return walk.each(value, inner_hits)


@handles(Kind.INNER_COLLAPSE)
def _inner_collapse(walk: Walk, value: Any) -> Any:
    return walk.members(value, rules.INNER_COLLAPSE)


@handles(Kind.COLLAPSE)
def _collapse(walk: Walk, value: Any) -> Any:
    return walk.members(value, rules.COLLAPSE)


@handles(Kind.SLICE)
def _slice(walk: Walk, value: Any) -> Any:
    return walk.members(value, rules.SLICE)


@handles(Kind.RESCORE)
def _rescore(walk: Walk, value: Any) -> Any:
    return walk.each(value, lambda walk, each: walk.members(each, rules.RESCORE))


@handles(Kind.RESCORE_QUERY)
def _rescore_query(walk: Walk, value: Any) -> Any:
    return walk.members(value, rules.RESCORE_QUERY)


@handles(Kind.SORT)
def _sort(walk: Walk, value: Any) -> Any:
    return walk.each(value, _sort_key)


def _sort_key(walk: Walk, value: Any) -> Any:
    """The name of a field, or an object of sorts by name."""
    if type(value) is not dict:
        walk.scalars(value)
        walk.read(value)
        return value
    changed: dict[str, Any] | None = None
    for name, order in value.items():
        walk.path.append(name)
        new = _sort_by(walk, name, order)
        walk.path.pop()
        if new is not order:
            changed = changed or dict(value)
            changed[name] = new
    return changed or value


def _sort_by(walk: Walk, name: str, order: Any) -> Any:
    row = rules.SORTS.get(name)
    if row is None:
        walk.read(name)
        return order if type(order) is str else walk.members(order, rules.SORT_OPTIONS)
    if row is rules.DISTANCE_SORT and type(order) is dict:
        for field in order:
            if field not in row.members:
                walk.read(field)
    return order if type(order) is str and row.masked is not Rule.REFUSE else walk.row(row, order)


@handles(Kind.NESTED_SORT)
def _nested_sort(walk: Walk, value: Any) -> Any:
    walk.deeper()
    new = walk.members(value, rules.NESTED_SORT)
    walk.depth -= 1
    return new


@handles(Kind.HIGHLIGHT)
def _highlight(walk: Walk, value: Any) -> Any:
    return walk.members(value, rules.HIGHLIGHT)


@handles(Kind.HIGHLIGHTER)
def _highlighter(walk: Walk, value: Any) -> Any:
    if type(value) is not str or value not in rules.HIGHLIGHTERS:
        return walk.unknown("this highlighter is not known", value)
    return value


@handles(Kind.HIGHLIGHT_FIELDS)
def _highlight_fields(walk: Walk, value: Any) -> Any:
    return walk.each(value, _highlight_by_field)


def _highlight_by_field(walk: Walk, value: Any) -> Any:
    if type(value) is dict:
        for name in value:
            walk.read(name)
    return by_name(walk, value, lambda walk, each: walk.members(each, rules.HIGHLIGHT_OPTIONS))


@handles(Kind.SUGGEST)
def _suggest(walk: Walk, value: Any) -> Any:
    """A text for all, and suggesters by the caller's names."""
    if type(value) is not dict:
        return value if value is None else walk.malformed("suggesters are an object")
    for name, body in value.items():
        walk.path.append(name)
        if type(body) is dict:
            _suggestion(walk, body)
        elif name != "text":
            walk.scalars(body)
        walk.path.pop()
    return value


def _suggestion(walk: Walk, body: dict[str, Any]) -> None:
    for kind, value in body.items():
        if kind in rules.SUGGESTION_TEXTS:
            continue
        walk.path.append(kind)
        row = rules.SUGGESTERS.get(kind)
        if row is None:
            walk.unknown("this suggester is not known", value)
        else:
            walk.row(row, value)
        walk.path.pop()


@handles(Kind.GENERATORS)
def _generators(walk: Walk, value: Any) -> Any:
    return walk.each(value, lambda walk, each: walk.members(each, rules.GENERATOR))


@handles(Kind.COLLATE)
def _collate(walk: Walk, value: Any) -> Any:
    if value and walk.strict:
        walk.refuse_protected("its query is made by the cluster, after the review")
    return value


@handles(Kind.SEARCH_PIPELINE)
def _search_pipeline(walk: Walk, value: Any) -> Any:
    if walk.strict and value not in (None, "_none") and not walk.scope.search_processors:
        walk.refuse_protected(
            "processors of the cluster change a search after the filter, and an answer before the mask; "
            "an administrator may allow them"
        )
    return value
