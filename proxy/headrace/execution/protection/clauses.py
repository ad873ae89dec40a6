"""Query clauses: those in other clauses, and those that need more than the table says."""

from __future__ import annotations

import base64
import binascii
from decimal import Decimal
from typing import Any

import msgspec

from headrace.execution.protection.rules.queries import FUNCTION, QUERIES
from headrace.execution.protection.rules.row import Kind
from headrace.execution.protection.rules.search import (
    INDEXED_SHAPE,
    INTERVALS,
    INTERVALS_COMMON,
    INTERVALS_FILTERS,
    LIKE,
)
from headrace.execution.protection.walk import HANDLERS, Walk, acts, handles

_DECODER = msgspec.json.Decoder(float_hook=Decimal)
OPEN_SHAPES = "shapes"
"""The index of an indexed shape that names none."""


@handles(Kind.QUERY)
def query(walk: Walk, value: Any) -> Any:
    """One query: an object with one member, whose name is the clause."""
    if type(value) is not dict:
        if value is None:
            return None
        walk.malformed("a query is an object")
    if len(value) != 1:
        walk.malformed("a query has one member, whose name is its clause")
    walk.deeper()
    for name, body in value.items():
        walk.path.append(name)
        row = QUERIES.get(name)
        new = walk.unknown("this query clause is not known", body) if row is None else walk.row(row, body)
        walk.path.pop()
    walk.depth -= 1
    if new is body:
        return value
    return new.query if isinstance(new, Unwrapped) else {name: new}


@handles(Kind.QUERIES)
def queries(walk: Walk, value: Any) -> Any:
    """A query or a list of queries."""
    return walk.each(value, query)


@handles(Kind.NAMED_QUERIES)
def named_queries(walk: Walk, value: Any) -> Any:
    """Queries by name, or a list of them."""
    if type(value) is not dict:
        return walk.each(value, query)
    return by_name(walk, value, query)


def by_name(walk: Walk, value: Any, handler: Any) -> Any:
    """An object whose names are the caller's, each value through a handler."""
    if type(value) is not dict:
        if value is None:
            return None
        walk.malformed("an object is expected here")
    changed: dict[str, Any] | None = None
    for name, each in value.items():
        walk.path.append(name)
        new = handler(walk, each)
        walk.path.pop()
        if new is not each:
            changed = changed or dict(value)
            changed[name] = new
    return changed or value


def filtered_by(query: Any, visible: Any) -> Any:
    """A query over what is visible only, with the score of its own."""
    if visible is None:
        return query
    if query is None:
        return {"bool": {"filter": [visible]}}
    return {"bool": {"must": [query], "filter": [visible]}}


@acts
def join(walk: Walk, body: Any, new: Any) -> Any:
    """`has_child`, `has_parent`: the query on the other side of the join reads only what is visible."""
    if not walk.filtered or type(new) is not dict:
        return new
    visible = walk.visible()
    return new if visible is None else {**new, "query": filtered_by(new.get("query"), visible)}


class Unwrapped:
    """The query that was in a wrapper."""

    def __init__(self, query: Any) -> None:
        self.query = query


@handles(Kind.WRAPPED)
def _wrapped(walk: Walk, value: Any) -> Any:
    return value


@acts
def unwrap(walk: Walk, body: Any, new: Any) -> Any:
    """The query in base64: reviewed, and forwarded as it was read."""
    text = body.get("query") if type(body) is dict else None
    if type(text) is not str:
        walk.malformed("a wrapper holds a query in base64")
    try:
        inner = _DECODER.decode(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError, msgspec.MsgspecError, RecursionError):
        walk.refuse_always("the query in this wrapper cannot be read as JSON in base64; write the query itself")
    walk.path.append("query")
    reviewed = query(walk, inner)
    walk.path.pop()
    return Unwrapped(reviewed)


@handles(Kind.FOREIGN_QUERY)
def _foreign_query(walk: Walk, value: Any) -> Any:
    """Reviewed by `terms_lookup`, which knows the index."""
    return value


@acts
def terms_lookup(walk: Walk, body: Any, new: Any) -> Any:
    """`terms`: values out of another document, which must be visible in its index."""
    changed: dict[str, Any] | None = None
    for field, value in new.items() if type(new) is dict else ():
        if type(value) is dict:
            walk.path.append(field)
            looked_up = _lookup(walk, value)
            walk.path.pop()
            if looked_up is not value:
                changed = changed or dict(new)
                changed[field] = looked_up
    return changed or new


def _lookup(walk: Walk, value: dict[str, Any]) -> dict[str, Any]:
    index, inner = value.get("index"), value.get("query")
    if type(index) is not str:
        walk.malformed("a look-up of terms names its index")
    if inner is not None and value.get("id") is not None:
        walk.malformed("a look-up of terms has an id or a query")
    if inner is not None:
        inner = _in_index(walk, index, inner)
    visible = walk.looked_into(index)
    if visible is None:
        return value if inner is value.get("query") else {**value, "query": inner}
    if inner is None:
        inner = {"ids": {"values": [value.get("id")]}}
    kept = {name: each for name, each in value.items() if name not in ("id", "query")}
    return {**kept, "query": {"bool": {"filter": [inner, visible]}}}


def _in_index(walk: Walk, index: str, value: Any) -> Any:
    """A query over another index: whatever that index is, it is reviewed as if it were filtered."""
    before = walk.foreign, walk.filtered
    walk.foreign, walk.filtered = index, True
    walk.path.append("query")
    new = query(walk, value)
    walk.path.pop()
    walk.foreign, walk.filtered = before
    return new


@acts
def percolate(walk: Walk, body: Any, new: Any) -> Any:
    """A document given in the request is the caller's; one of an index is read whole."""
    if type(new) is dict and (new.get("id") is not None or new.get("index") is not None):
        _whole(walk, new.get("index"))
    return new


def _whole(walk: Walk, index: Any) -> None:
    if type(index) is not str:
        walk.malformed("a look-up names its index")
    walk.read_whole(index)


@handles(Kind.INDEXED_SHAPE)
def _indexed_shape(walk: Walk, value: Any) -> Any:
    walk.members(value, INDEXED_SHAPE)
    if value is not None:
        _whole(walk, value.get("index", OPEN_SHAPES))
    return value


@handles(Kind.LIKE)
def _like(walk: Walk, value: Any) -> Any:
    return walk.each(value, _like_item)


def _like_item(walk: Walk, value: Any) -> Any:
    if type(value) is not dict:
        walk.scalars(value)
        return value
    walk.members(value, LIKE)
    if "_index" in value:
        _whole(walk, value["_index"])
    return value


@acts
def like_what_may_be_read(walk: Walk, body: Any, new: Any) -> Any:
    """`more_like_this`: a document of the index at hand is read whole, or only by the fields that are named."""
    name_the_fields(walk, body, new)
    if not walk.strict or type(new) is not dict:
        return new
    given = [each for name in ("like", "unlike") for each in _listed(new.get(name))]
    if any(type(each) is dict and "doc" not in each and "_index" not in each for each in given):
        if walk.filtered:
            walk.refuse("it reads a document of this index whole; give its text")
        fields = _listed(new.get("fields"))
        if not fields:
            walk.refuse_masked("it reads every field of a document; name the fields")
        for field in fields:
            walk.read(field)
    return new


def _listed(value: Any) -> list[Any]:
    return value if type(value) is list else [] if value is None else [value]


@acts
def name_the_fields(walk: Walk, body: Any, new: Any) -> Any:
    """Clauses that ask about every field where none is named."""
    if walk.asks_hidden and type(new) is dict and not (new.get("fields") or new.get("default_field")):
        walk.refuse_masked("it asks about every field; name the fields (`masked_queries` is refuse)")
    return new


@acts
def score_by_field(walk: Walk, body: Any, new: Any) -> Any:
    """Clauses whose score is made of the field that they name."""
    if walk.masked and type(new) is dict:
        for name in new:
            walk.read(name)
    return new


@handles(Kind.QUERY_TEXT)
def _query_text(walk: Walk, value: Any) -> Any:
    if walk.asks_hidden and type(value) is str and ":" in value:
        walk.refuse_masked("its text may name any field before `:`; use `fields` (`masked_queries` is refuse)")
    walk.scalars(value)
    return value


@handles(Kind.FUNCTIONS)
def _functions(walk: Walk, value: Any) -> Any:
    return walk.each(value, _function)


def _function(walk: Walk, value: Any) -> Any:
    return walk.members(value, FUNCTION | {"filter": Kind.QUERY})


@handles(Kind.DECAY)
def _decay(walk: Walk, value: Any) -> Any:
    if type(value) is dict:
        for name in value:
            if name != "multi_value_mode":
                walk.read(name)
    return value


@handles(Kind.INTERVALS)
def intervals(walk: Walk, value: Any) -> Any:
    """One source of intervals; nothing in it is ever rewritten."""
    if type(value) is not dict:
        walk.malformed("intervals are an object")
    walk.deeper()
    for name, body in value.items():
        if name in ("boost", "_name"):
            continue
        walk.path.append(name)
        members = INTERVALS.get(name)
        if members is None:
            walk.unknown("this source of intervals is not known", body)
        else:
            walk.members(body, INTERVALS_COMMON | members)
        walk.path.pop()
    walk.depth -= 1
    return value


@handles(Kind.INTERVALS_LIST)
def _intervals_list(walk: Walk, value: Any) -> Any:
    return walk.each(value, intervals)


@handles(Kind.INTERVALS_FILTER)
def _intervals_filter(walk: Walk, value: Any) -> Any:
    if type(value) is not dict:
        walk.malformed("a filter of intervals is an object")
    for name, body in value.items():
        walk.path.append(name)
        if name in INTERVALS_FILTERS:
            intervals(walk, body)
        elif name == "script":
            HANDLERS[Kind.VALUE_SCRIPT](walk, body)
        else:
            walk.unknown("this filter of intervals is not known", body)
        walk.path.pop()
    return value
