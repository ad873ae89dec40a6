"""Requests over protected indexes: reviewed, rewritten or refused by the final pipelines and masks of the indexes.

A final query pipeline says which documents may be seen: what it makes of an empty search is the filter that every part
of a request has to obey. A final or protecting result pipeline says which fields are hidden: every other way to their
values is shut. The rules are in `execution.protection`; here they meet the registry, the cluster's names and mappings.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from headrace.execution.protection import (
    HiddenFields,
    Refuse,
    Review,
    Scope,
    hidden_fields,
    may_have_lookups,
    without_quotes,
)
from headrace.execution.search_plan import is_everything, plan_search
from headrace.protocol.headers.encoding import decode_object, encode_exact
from headrace_pipelines import Batch, PipelineType, RunOptions
from headrace_pipelines.errors import RefusedError
from headrace_pipelines.registry.association import NONE, QUERY_FINAL

if TYPE_CHECKING:
    from collections.abc import Iterable

    from headrace.execution.choice import ScopedPipeline
    from headrace.execution.search_plan import SearchPlan
    from headrace.protocol.indices.view import Reading
    from headrace.server.request import RequestContext
    from headrace_pipelines.registry import Pipeline

QUERY, RESULT = PipelineType.QUERY, PipelineType.RESULT
_NOTHING_HIDDEN = HiddenFields()


@dataclass(frozen=True)
class Protection:
    """The protection of one search. `visible`: the query for the documents that may be seen; `None` for all."""

    scope: Scope
    visible: Any = None
    lookups: bool = False
    """Whether only look-ups of other indexes are to be reviewed."""

    @cached_property
    def withholding(self) -> Protection:
        """The same where the errors of scripts are withheld, so that queries may have scripts."""
        return replace(self, scope=replace(self.scope, errors_withheld=True))


UNPROTECTED = Protection(Scope(False, HiddenFields()), lookups=True)
"""A search of indexes that nothing protects, which may look into others."""


async def protection_of(context: RequestContext, chosen: SearchPlan) -> Protection | None:
    """The protection of a search with these pipelines; `None` where it may contain anything. Raises HeadraceError."""
    if chosen.reading is None:
        return None
    filters = chosen.parts.get(QUERY_FINAL, ())
    # Else it depends on the request, or on mappings, which change.
    lasting = not masks_of(chosen) and all(part.visible is not None for part in filters)
    if lasting and "protection" in chosen.derived:
        kept: Protection | None = chosen.derived["protection"]
        return kept
    visible = await visible_documents(context, filters)
    scope = await _scope(context, chosen, filtered=visible is not None)
    protection = Protection(scope, visible) if scope.filtered or scope.hidden else None
    if lasting:
        chosen.derived["protection"] = protection
    return protection


async def visible_documents(context: RequestContext, parts: Iterable[ScopedPipeline]) -> Any:
    """The query that final query pipelines make of an empty search; `None` if that is every document.

    Raises StageError where one of them fails.
    """
    text = b"{}"
    for part in parts:
        if part.visible is not None:
            return part.visible.query
        text = await _applied(context, part.pipeline, text)
    query = decode_object(text).get("query")
    return None if is_everything(query) else query


async def _applied(context: RequestContext, pipeline: Pipeline, text: bytes) -> bytes:
    make = partial(Batch.of, QUERY.value, text, index=context.params.get("index"))
    batch = make()
    await context.run_pipeline(pipeline, batch, make, RunOptions(final=True, counted=False))
    _, failure = batch.outcome(0)
    if failure is not None:
        raise context.stage_error(*failure)
    return batch.document(0)


def masks_of(chosen: SearchPlan) -> list[Pipeline]:
    """The result pipelines that hide something: final ones, and default ones that protect."""
    return [part.pipeline for slot, part in chosen.of(RESULT) if slot.final or part.pipeline.protects]


async def _scope(context: RequestContext, chosen: SearchPlan, *, filtered: bool) -> Scope:
    settings, masks = context.components.settings, masks_of(chosen)
    names = frozenset[str]().union(*(mask.hides for mask in masks))
    hidden = _NOTHING_HIDDEN
    if names and chosen.reading is not None:
        hidden = hidden_fields(names, await context.components.resolver.mappings(chosen.reading.resolution.indexes))
    return Scope(
        filtered,
        hidden,
        conditional=any(mask.hides_conditionally for mask in masks),
        masked_aggregations=settings.masked_aggregations,
        masked_queries=settings.masked_queries,
        search_processors=settings.search_processors == "allow",
    )


def check_processors(context: RequestContext, name: str | None) -> None:
    """Raises RefusedError for a search pipeline of the cluster: it runs behind final filters and before masks."""
    if name not in (None, NONE) and context.components.settings.search_processors == "refuse":
        raise RefusedError(
            f"[search_pipeline] names [{name}] of the cluster, whose processors run behind final query pipelines and "
            "before final result pipelines; leave it out, or allow such pipelines by the setting search_processors"
        )


async def reviewed(
    context: RequestContext, request: dict[str, Any], protection: Protection
) -> tuple[dict[str, Any], bool]:
    """The request as it may be sent on, and whether its scripts may quote other documents in their errors.

    Raises RefusedError for what cannot obey, by its path in the request.
    """
    if protection.lookups:
        _check_unseen(request)
    review = Review.of(request, protection.scope)
    lookups = {index: await _lookup(context, index) for index in review.lookups}
    return review.rewritten(protection.visible, lookups), review.scripted


def _check_unseen(request: dict[str, Any]) -> None:
    """Raises RefusedError for parts whose queries nobody reviews here, where they may look into other indexes."""
    for name, part in (("search_pipeline", request.get("search_pipeline")), ("query", request.get("query"))):
        text = encode_exact(part) if isinstance(part, dict) else b""
        unseen = name == "search_pipeline" or b'"template"' in text
        if unseen and may_have_lookups(text):
            raise RefusedError(
                f"[{name}] has a query that may look into indexes with final pipelines; write it as a query"
            )


async def _lookup(context: RequestContext, index: str) -> Any:
    """The filter of a look-up in another index: a query, `None` for no filter, or `Refuse`."""
    chosen = await plan_search(context, context.snapshot, index, defaults=False)
    if masks_of(chosen) or masks_of(await plan_search(context, context.snapshot, index, defaults=True)):
        return Refuse()
    return await visible_documents(context, chosen.parts.get(QUERY_FINAL, ()))


def over_judged(protection: Protection | None, reading: Reading) -> Protection:
    """The protection that also limits a search to the judged indexes: its expression may stand for more by now."""
    scope = protection.scope if protection is not None else UNPROTECTED.scope
    visible = _judged(reading)
    if protection is not None and protection.visible is not None:
        visible = {"bool": {"filter": [visible, protection.visible]}}
    return Protection(replace(scope, filtered=True), visible)


def _judged(reading: Reading) -> dict[str, Any]:
    return {"terms": {"_index": list(reading.resolution.indexes)}}


def guarded(query: Any, reading: Reading) -> dict[str, Any]:
    """A query that finds only documents of the indexes that were judged, whatever the expression stands for by now."""
    judged = _judged(reading)
    return {"bool": {"must": [query], "filter": [judged]}} if query else {"bool": {"filter": [judged]}}


_HITS = b'"hits":'
"""Before it stands what the cluster says of a search's shards."""


def withheld(body: bytes) -> bytes:
    """An answer whose errors of scripts quote no document."""
    frame, hits, rest = body.partition(_HITS)
    if b'"failures"' not in frame and b'"error"' not in frame:
        return body
    # The documents behind it may be such that nobody can read them.
    told = decode_object(frame + _HITS + b"{}}" if hits else frame)
    shown = without_quotes(told)
    if shown is told:
        return body
    return encode_exact(shown).removesuffix(b"{}}") + rest if hits else encode_exact(shown)
