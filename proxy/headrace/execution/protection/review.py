"""The review of a search: whether it may be forwarded, what it looks up, and in which form it obeys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headrace.execution.protection import aggregating as _aggregating  # noqa: F401 (registers its kinds)
from headrace.execution.protection.rules.search import OPTIONS
from headrace.execution.protection.searches import options
from headrace.execution.protection.walk import Walk

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headrace.execution.protection.scope import Refuse, Scope

RESTRICTING = ("min_score", "slice", "terminate_after")
"""Options beside the query that keep documents from aggregations."""


@dataclass(frozen=True, slots=True)
class Review:
    """A request that may be forwarded, once it is rewritten.

    `lookups`: the other indexes (expressions, as the request names them) from which it reads documents. `needs_filter`:
    the filter itself is needed to rewrite it. `scripted`: its scripts run on documents that the filter leaves out, so
    that an answer with errors goes through `without_quotes`.
    """

    request: dict[str, Any]
    scope: Scope
    lookups: frozenset[str]
    needs_filter: bool
    scripted: bool
    _reviewed: dict[str, Any]

    @classmethod
    def of(cls, request: dict[str, Any], scope: Scope) -> Review:
        """Reviews the decoded body of a search. Raises RefusedError, which names the JSON path and the rule.

        Raises InvalidError for what the node would not take either.
        """
        walk = Walk(scope, everything=_everything(request))
        reviewed = options(walk, request, OPTIONS)
        return cls(request, scope, frozenset(walk.looked_up), walk.needs_filter, walk.scripted, reviewed)

    def rewritten(self, visible: Any, lookups: Mapping[str, Any | Refuse | None]) -> dict[str, Any]:
        """The request in the form that obeys; the same object if that is how it came.

        `visible`: the final filter, None if the final pipeline is more than a filter. `lookups`: for each index of
        `lookups` its filter, None if nothing protects it, or Refuse. Raises RefusedError.
        """
        if not self.needs_filter and not self.lookups:
            return self._reviewed
        walk = Walk(self.scope, visible, lookups, everything=_everything(self.request))
        return options(walk, self.request, OPTIONS)


def _everything(request: dict[str, Any]) -> bool:
    """Whether no query and no option keeps a document from the aggregations."""
    if any(name in request for name in RESTRICTING):
        return False
    query = request.get("query")
    return query is None or (type(query) is dict and query.keys() == {"match_all"})
