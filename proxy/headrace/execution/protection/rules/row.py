"""The form of the table: rows, their rules, and the kinds of members that a row's object may have."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class Rule(Enum):
    """The decision on a request that contains the row."""

    OBEYS = "obeys"
    """It is forwarded as it is: it shows nothing but the documents of the query (or no hidden field)."""
    REWRITE = "rewrite"
    """It is forwarded in a form that obeys."""
    DEPENDS = "depends"
    """It obeys in some forms, is refused in others; the reason says which."""
    REFUSE = "refuse"
    """It is a 403."""


class Kind(Enum):
    """The kind of content of a member, which selects its review."""

    VALUE = "a value or a list of values"
    DATA = "any JSON, in which nothing is a query or a look-up"
    QUERY = "a query"
    QUERIES = "a query or a list of queries"
    NAMED_QUERIES = "queries by name, or a list of them"
    FIELD = "a field that a query asks about"
    FIELDS = "fields that a query asks about, patterns included"
    QUERY_TEXT = "a text that may name fields"
    SCORED_FIELD = "a field whose value becomes the score"
    SCORED_OBJECT = "a function of a field's value"
    AGGREGATED_FIELD = "a field that an aggregation shows"
    AGGREGATED_FIELDS = "fields that an aggregation shows"
    READ_FIELD = "a field whose values the answer holds"
    READ_FIELDS = "fields whose values the answer holds, patterns included"
    STORED_FIELDS = "stored fields that the answer holds"
    PER_FIELD = "the members of a clause by field"
    SCRIPT = "a script that sees one document of the query"
    QUERY_SCRIPT = "a script that sees one document, of the query or not"
    SCORE_SCRIPT = "a script that makes a score"
    VALUE_SCRIPT = "a script that sees no document"
    SCRIPT_FIELDS = "scripts by name"
    DERIVED = "fields that are made by scripts"
    INNER_HITS = "hits below a hit"
    INNER_SEARCHES = "one or several inner hits"
    INNER_COLLAPSE = "a field by which inner hits are collapsed"
    SOURCE = "which parts of a document are shown"
    SORT = "how hits are sorted"
    NESTED_SORT = "of which nested object a sort takes the value"
    COLLAPSE = "a field by which hits are collapsed"
    RESCORE = "one or several rescorers"
    RESCORE_QUERY = "a rescorer of the type query"
    HIGHLIGHT = "fragments of fields"
    HIGHLIGHT_FIELDS = "options of fragments by field"
    HIGHLIGHTER = "the name of a highlighter"
    AGGREGATIONS = "aggregations by name"
    COMPOSITE_SOURCES = "the sources of a composite aggregation"
    VALUE_SOURCE = "a field or a script of an aggregation"
    VALUE_SOURCES = "fields or scripts of an aggregation"
    HEURISTIC_SCRIPT = "a script over counts"
    SUGGEST = "suggesters by name"
    GENERATORS = "candidate generators of a phrase suggester"
    COLLATE = "a query that checks suggestions"
    FUNCTIONS = "functions of a score, each with its filter"
    DECAY = "a decay over a field"
    INTERVALS = "one source of intervals"
    INTERVALS_LIST = "sources of intervals"
    INTERVALS_FILTER = "a filter of intervals"
    SLICE = "a part of the documents"
    LIKE = "texts or documents to be like"
    INDEXED_SHAPE = "a shape of another document"
    FOREIGN_QUERY = "a query over another index"
    WRAPPED = "a query in base64"
    SEARCH_PIPELINE = "a search pipeline of the cluster"
    OFF_ONLY = "an option that must be off"
    EMPTY = "an object that must be empty"


@dataclass(frozen=True, slots=True)
class Row:
    """A clause, an aggregation, a suggester or an option.

    `members`: what its object may hold. `others`: what members not listed hold, whose names are fields; None: there are
    none. `fields`: the members of the object of such a field. `act`: a name in `walk.ACTIONS` for the rest.
    `own`: what the body is, where it is not an object of members. `plugin`: what brings the row, where a plain node
    does not have it: such a row is by the plugin's documentation, and was not run.
    """

    why: str
    members: Mapping[str, Kind] = field(default_factory=dict)
    filtered: Rule = Rule.OBEYS
    masked: Rule = Rule.OBEYS
    others: Kind | None = None
    fields: Mapping[str, Kind] = field(default_factory=dict)
    act: str = ""
    own: Kind | None = None
    plugin: str = ""


def kinds(kind: Kind, *names: str) -> dict[str, Kind]:
    """Members of one kind."""
    return dict.fromkeys(names, kind)


def values(*names: str) -> dict[str, Kind]:
    """Members that hold values."""
    return dict.fromkeys(names, Kind.VALUE)


def data(*names: str) -> dict[str, Kind]:
    """Members that hold data."""
    return dict.fromkeys(names, Kind.DATA)
