"""The admission of a request whose indexes, searches or documents have to be counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from headrace.protocol.indices.options import expansion
from headrace.protocol.search import msearch_items
from headrace.security.quotas.admission import OPERATIONS, Admission
from headrace_pipelines.definition import members_of
from headrace_pipelines.errors import HeadraceError, InvalidError, MissingIndexError

if TYPE_CHECKING:
    from headrace.security.quotas.admission import Quotas, Refusal
    from headrace.security.quotas.rules import Operation, Quota
    from headrace.server.request import RequestContext
    from headrace_pipelines import Bulk

Counts = dict[str, int]
"""How many searches or documents of a request are each key's."""


async def admit(context: RequestContext, surface: str) -> None:
    """Charges a request to the quotas that it counts in. Raises QuotaError, and nothing is charged.

    The documents of a bulk are charged once they are counted ([`admit_bulk`]).
    """
    quotas: Quotas = context.components.quotas
    if context.admission is not None:
        return
    operation = OPERATIONS.get(surface, "other")
    concerning = quotas.concerning(context.head, operation)
    if not concerning:
        return
    context.admission = admission = Admission(quotas)
    by_index = any(quota.follows_indexes for quota in concerning)
    searches = await _searches(context, surface, by_index=by_index) if operation == "search" else []
    for quota in concerning:
        for key, count in (await _keys(context, quota, operation, searches)).items():
            documents = count if surface == "document" else 0
            refusal = admission.enter(
                quota,
                key,
                {"searches_per_second": count if operation == "search" else 0, "documents_per_second": documents},
            )
            if refusal is not None:
                admission.cancel()
                raise _counted(quotas, refusal)
    if surface == "by_query":
        _throttle(context, concerning)


def counts_documents(context: RequestContext) -> bool:
    """Whether the documents of a bulk have to be counted."""
    quotas: Quotas = context.components.quotas
    if not quotas.rules:
        return False
    return any(quota.documents_per_second is not None for quota in quotas.concerning(context.head, "write"))


async def admit_bulk(context: RequestContext, parsed: Bulk) -> None:
    """Charges the actions of a bulk; those to an index whose quota is used up fail with 429.

    Raises QuotaError where no quota by index is the reason.
    """
    if context.admission is None:
        return
    quotas: Quotas = context.components.quotas
    counts = parsed.actions_by_target()
    for quota in quotas.concerning(context.head, "write"):
        if quota.documents_per_second is None:
            continue
        if not quota.follows_indexes:
            _charge_or_raise(context, quota, quota.key(context.head), sum(counts))
            continue
        targets: dict[str, list[int]] = {}
        for position, (index, _, _) in enumerate(parsed.targets()):
            name = await _written(context, index or context.params.get("index", ""))
            if quota.matches_index(name):
                key = name if quota.per == "index" else quota.key(context.head)
                targets.setdefault(key, []).append(position)
        for key, positions in targets.items():
            _charge_targets(context, parsed, quota, key, {position: counts[position] for position in positions})


def _charge_or_raise(context: RequestContext, quota: Quota, key: str, count: int) -> None:
    admission: Admission = context.admission
    refusal = admission.charge(quota, "documents_per_second", key, count)
    if refusal is not None:
        admission.cancel()
        raise _counted(context.components.quotas, refusal)


def _charge_targets(context: RequestContext, parsed: Bulk, quota: Quota, key: str, counts: dict[int, int]) -> None:
    admission: Admission = context.admission
    refusal = admission.charge(quota, "documents_per_second", key, sum(counts.values()))
    if refusal is None:
        return
    error = refusal.error
    for position in counts:
        parsed.fail(position, error.status, error.type, error.reason)
    context.components.quotas.count(refusal, sum(counts.values()))


def _counted(quotas: Quotas, refusal: Refusal) -> HeadraceError:
    quotas.count(refusal)
    return refusal.error


async def _searches(context: RequestContext, surface: str, *, by_index: bool) -> list[str | None]:
    """The index expressions of the searches of a request; `None`: only the cluster can tell (pages, points in time)."""
    if surface != "msearch":
        named = surface != "scroll" and (surface != "asynchronous" or context.method == "POST")
        return [context.params.get("index", "_all") if named else None]
    found: list[str | None] = []
    for header, _ in msearch_items(await context.text()):
        found.append(_expression(header) or context.params.get("index", "_all") if by_index else None)
    return found or [None]


def _expression(header: bytes) -> str:
    """The indexes that a header line names; all for one that only the cluster can read."""
    try:
        members = members_of(header) if header.strip() else {}
    except InvalidError:
        return "_all"
    raw = members.get("index", members.get("indices"))
    value = msgspec.json.decode(raw) if raw is not None else None
    return ",".join(map(str, value)) if isinstance(value, list) else str(value or "")


async def _keys(context: RequestContext, quota: Quota, operation: Operation, searches: list[str | None]) -> Counts:
    """How many searches or documents of the request count for each key of the quota."""
    own = quota.key(context.head)
    if not quota.follows_indexes:
        return {own: len(searches) or 1}
    found: Counts = {}
    if operation == "search":
        for expression in searches:
            names = [name for name in await _read(context, expression) if quota.matches_index(name)]
            for key in names if quota.per == "index" else [own] * bool(names):
                found[key] = found.get(key, 0) + 1
    elif (index := context.params.get("index")) and operation == "write":
        name = await _written(context, index)
        if quota.matches_index(name):
            found[name if quota.per == "index" else own] = 1
    return found


async def _read(context: RequestContext, expression: str | None) -> list[str]:
    """The indexes and data streams behind an expression."""
    if expression is None:
        return []
    options, resolver = expansion(context.target.values), context.components.resolver
    try:
        reading = resolver.current(expression, options) or await resolver.reading(expression, options)
    except MissingIndexError:
        return []
    return [target.name for target in reading.targets]


async def _written(context: RequestContext, index: str) -> str:
    return (await context.components.resolver.write_target(index)).name if index else ""


def _throttle(context: RequestContext, concerning: list[Quota]) -> None:
    """Holds a write by query, whose documents stay in the cluster, to the lowest rate of documents.

    The parameter is `requests_per_second` of OpenSearch, which counts documents.
    """
    rates = [quota.documents_per_second for quota in concerning if quota.documents_per_second is not None]
    if not rates:
        return
    rate = min(rates)
    try:
        asked = float(context.target.get("requests_per_second") or -1)
    except ValueError:
        return
    if not 0 < asked <= rate:
        context.target = context.target.with_parameter("requests_per_second", f"{rate:g}")
