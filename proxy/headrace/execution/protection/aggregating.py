"""Aggregations: those in other aggregations, and those that need more than the table says."""

from __future__ import annotations

from typing import Any

from headrace.execution.protection.clauses import by_name, filtered_by
from headrace.execution.protection.rules.aggregations import AGGREGATIONS, COMPOSITE_SOURCES, VALUE_SOURCE_OF_MANY
from headrace.execution.protection.rules.row import Kind
from headrace.execution.protection.walk import Walk, acts, handles

SUB = ("aggs", "aggregations")
BESIDE = frozenset({*SUB, "meta"})
"""Members of an aggregation beside its type."""
EMPTY_BUCKETS = "terms without documents come from documents that the filter leaves out; `min_doc_count` is at least 1"


class Renamed:
    """An aggregation of another type."""

    def __init__(self, type_: str, body: Any) -> None:
        self.type = type_
        self.body = body


@handles(Kind.AGGREGATIONS)
def aggregations(walk: Walk, value: Any) -> Any:
    """Aggregations by the caller's names."""
    walk.deeper()
    new = by_name(walk, value, _aggregation)
    walk.depth -= 1
    return new


def _aggregation(walk: Walk, value: Any) -> Any:
    """One: its type, aggregations in it, data of the caller's. The type first: it says what those in it are over."""
    if type(value) is not dict:
        walk.malformed("an aggregation is an object")
    if len(value.keys() - BESIDE) > 1:
        walk.malformed("an aggregation has one type")
    nested = walk.nested
    rewritten: dict[str, Any] = {}
    same = True
    for name, body in sorted(value.items(), key=_types_first):
        if name == "meta":
            continue
        walk.path.append(name)
        new = aggregations(walk, body) if name in SUB else _of_type(walk, name, body)
        walk.path.pop()
        if new is not body:
            same = False
            rewritten[name] = new
    walk.nested = nested
    return value if same else dict(_renamed(name, rewritten.get(name, body)) for name, body in value.items())


def _types_first(item: tuple[str, Any]) -> bool:
    return item[0] in SUB


def _renamed(name: str, body: Any) -> tuple[str, Any]:
    return (body.type, body.body) if isinstance(body, Renamed) else (name, body)


def _of_type(walk: Walk, name: str, body: Any) -> Any:
    row = AGGREGATIONS.get(name)
    if row is None:
        return walk.unknown("this type of aggregation is not known", body)
    return walk.row(row, body)


@acts
def globe(walk: Walk, body: Any, new: Any) -> Any:
    """`global`: a filter aggregation counts the same where nothing but the filter restricts the search."""
    if not walk.filtered:
        return new
    if walk.depth > 1 or not walk.everything:
        walk.refuse(
            "it counts documents that the query does not match; leave the query out, or ask in a search of its own"
        )
    return Renamed("filter", walk.visible())


@acts
def enter_nested(walk: Walk, body: Any, new: Any) -> Any:
    """`nested`: what is in it counts nested objects, on which the filter does not match."""
    walk.nested = True
    return new


@acts
def leave_no_empty_terms(walk: Walk, body: Any, new: Any) -> Any:
    """`min_doc_count` of at least 1, as a plain number."""
    if walk.filtered and type(body) is dict and "min_doc_count" in body:
        least = body["min_doc_count"]
        if type(least) is not int or least < 1:
            walk.refuse(EMPTY_BUCKETS)
    return new


@acts
def set_background(walk: Walk, body: Any, new: Any) -> Any:
    """`significant_*`: compared with the visible documents."""
    leave_no_empty_terms(walk, body, new)
    if not walk.filtered or type(new) is not dict:
        return new
    if walk.nested:
        walk.refuse("below `nested` its background cannot be filtered")
    return {**new, "background_filter": filtered_by(new.get("background_filter"), walk.visible())}


@handles(Kind.COMPOSITE_SOURCES)
def _composite_sources(walk: Walk, value: Any) -> Any:
    return walk.each(value, lambda walk, each: by_name(walk, each, _composite_source))


def _composite_source(walk: Walk, value: Any) -> Any:
    if type(value) is not dict:
        walk.malformed("a source of a composite aggregation is an object")
    for name, body in value.items():
        walk.path.append(name)
        members = COMPOSITE_SOURCES.get(name)
        if members is None:
            walk.unknown("this source is not known", body)
        else:
            walk.members(body, members)
        walk.path.pop()
    return value


@handles(Kind.VALUE_SOURCE)
def _value_source(walk: Walk, value: Any) -> Any:
    return walk.members(value, VALUE_SOURCE_OF_MANY)


@handles(Kind.VALUE_SOURCES)
def _value_sources(walk: Walk, value: Any) -> Any:
    return walk.each(value, _value_source)
