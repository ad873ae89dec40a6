"""The scope of a review: filter, hidden fields, and the exceptions that an administrator allows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from headrace.execution.protection.hidden import HiddenFields

Choice = Literal["refuse", "allow"]


@dataclass(frozen=True, slots=True)
class Scope:
    """The promises of final pipelines about the documents that a search reads.

    `filtered`: a final query pipeline restricts which documents may be seen. `hidden`: the fields that a final or
    protecting result pipeline hides. `conditional`: what is hidden depends on other fields of the document (a stage
    with a condition, a UDF), so that a narrowed `_source` could make the mask miss. `masked_aggregations`: whether
    aggregations may read hidden fields. `masked_queries`: whether queries may ask for values of hidden fields.
    `search_processors`: whether the body may name or bring a search pipeline of the cluster. `errors_withheld`: what
    scripts of queries say when they fail is taken out of answers (`without_quotes`); the node runs them on documents
    that the filter leaves out, too.
    """

    filtered: bool
    hidden: HiddenFields
    conditional: bool = False
    masked_aggregations: Choice = "refuse"
    masked_queries: Choice = "allow"
    search_processors: bool = False
    errors_withheld: bool = False


@dataclass(frozen=True, slots=True)
class Refuse:
    """In place of the filter of a looked-up index: it is protected in a way that no filter can express."""

    reason: str = "that index is protected by a final pipeline that is not a filter"
