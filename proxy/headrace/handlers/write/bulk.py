"""`POST|PUT /_bulk` and `/{index}/_bulk`: document pipelines on every action that writes a document.

Each action's pipeline is its own name, else the URL's, else that of its index. Items come back in the order of the
request: the cluster's for what was forwarded, `noop` for what was dropped, an error for what failed.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from headrace.execution import choice, document_run
from headrace.execution.dead_letters import policy
from headrace.execution.dead_letters.bulk import DeadLetterPlan, settle
from headrace.handlers.write import fitting, updates
from headrace.handlers.write.typeless import untyped
from headrace.security import quotas, registry_guard
from headrace.server.received import UNCOUNTED
from headrace.server.reply import reply, reply_answer
from headrace_pipelines import Bulk, BulkError, PipelineType, plain_json
from headrace_pipelines.errors import HeadraceError, InvalidError, RefusedError, TooLargeError, UpstreamError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp import web

    from headrace.protocol.target import Target
    from headrace.server.request import RequestContext
    from headrace.upstream.client import Answer
    from headrace.upstream.sending import Text
    from headrace_pipelines import Execution, Snapshot
    from headrace_pipelines.registry import Pipeline
    from headrace_pipelines.registry.association import Slot

_OURS: tuple[str, ...] = ("document_pipeline",)
UPDATES = (b"update", b"\\u", b"\0")
"""Byte strings of which every bulk with an update contains one: the word, or an escape or encoding that hides it."""
_MAX_TARGETS = 8
"""Maximum number of targets of a bulk whose plan is cached: bulks with more rarely repeat."""
MAX_PLANS = 1024
"""Cached plans of bulks: with keys of at most 2,048 characters a few megabytes."""
_MAX_KEY = 2048
"""Maximum length in characters of the key of a cached plan: it bounds the memory of the cache."""


class BulkRefusedError(HeadraceError):
    """A bulk that OpenSearch refuses as a whole; type and text are its own."""

    status = 400

    def __init__(self, reason: str, type_: str = "illegal_argument_exception") -> None:
        super().__init__(reason)
        self.type = type_


async def bulk(context: RequestContext) -> web.StreamResponse:
    """Runs document pipelines over a bulk, forwards what is left, and puts the answer together."""
    snapshot, started = context.snapshot, time.monotonic()
    body = await untyped(context)
    readable = context.readable
    pipelines = PipelineType.DOCUMENT in snapshot.types
    guarded = readable and await _names_registry(context, body)
    counted = quotas.counts_documents(context)
    if not (guarded or counted or snapshot.protects or (pipelines and (readable or _concerned(context, snapshot)))):
        return await (context.forward_streaming() if body is None else context.forward(body, changed=True))
    if not readable:
        context.require_json()
    if body is None:
        body = await context.text()
    if not guarded and not counted and not pipelines and not any(word in body for word in UPDATES):
        return await context.forward(body, changed=True)
    parsed = parse(body, context.params.get("index"), lenient=not snapshot.protects)
    fitted: list[document_run.Fitted] = []
    plan, runs = await _run(context, snapshot, parsed, body, fitted)
    rendered, coded = parsed.render(), context.needs_decoding
    changed = rendered is not None
    outgoing = memoryview(body if rendered is None else rendered)
    # A bulk that documents were fitted in may be sent again in part.
    again = partial(fitting.sent_again, context, fitted, body if rendered is None else rendered) if fitted else None
    if not plan.dead.idle:
        # The texts stay at hand: those of documents that fail become records.
        del body, rendered
        finish = partial(settle, context, snapshot, parsed, plan.dead)
        return await _forward(context, parsed, outgoing, started, finish, again)
    # From here on nobody keeps what came in, nor what goes out once it has been sent: others can have the memory.
    del body, rendered
    parsed.let_go()
    if not fitted:
        context.release_body()
    if not fitted and (not changed or (not runs and not parsed.counts()[2])):
        # The cluster's items are the answer.
        del parsed
        return await context.forward(outgoing, changed=changed or coded)
    return await _forward(context, parsed, outgoing, started, again=again)


async def _run(
    context: RequestContext, snapshot: Snapshot, parsed: Bulk, body: bytes, fitted: list[document_run.Fitted]
) -> tuple[_Plan, list[tuple[Slot, Execution]]]:
    """Plans the bulk, and runs its pipelines; `fitted` gets those that fit documents to mappings."""
    plan = await _plan(context, snapshot, parsed)
    context.target = plan.target
    if hiding := await document_run.refuse_shown(context, parsed):
        await updates.check_bulk(context, body, hiding)
    runs = await document_run.run(context, snapshot, parsed, list(plan.groups.values()), fitted)
    if runs:
        context.response_headers["X-Pipeline"] = choice.header(runs)
    return plan, runs


async def _names_registry(context: RequestContext, body: bytes | None) -> bool:
    """Whether a bulk that comes in one piece may name the registry index, so that its lines have to be read.

    Longer ones that no pipeline concerns pass the process by: what they write there has no signature and is undone.
    """
    if not context.components.registry.holds:
        return False
    declared = context.inbound.body.length
    if body is None and (declared is None or declared > UNCOUNTED):
        return False
    text = body if body is not None else await context.text()
    return any(word in text for word in registry_guard.spellings(context.components.settings.registry_index))


def _concerned(context: RequestContext, snapshot: Snapshot) -> bool:
    """Whether a bulk that cannot be read might need a pipeline: one is attached, or the URL names one of ours.

    An action that names one of ours inside it is the cluster's error then: the cluster does not know the name.
    """
    names = (context.target.get("pipeline"), context.target.get("document_pipeline"))
    return PipelineType.DOCUMENT in snapshot.bound_types or any(
        name and snapshot.active(PipelineType.DOCUMENT, name) for name in names
    )


def parse(body: bytes, index: str | None, *, lenient: bool = False) -> Bulk:
    """The actions of a body. Raises BulkRefusedError with OpenSearch's type and text."""
    if not body:
        raise BulkRefusedError("request body is required", "parse_exception")
    try:
        parsed = Bulk(body, index=index)
    except BulkError as error:
        # The cluster passes over comments.
        plain = plain_json(body) if lenient else None
        if plain is None:
            raise BulkRefusedError(str(error)) from None
        return parse(plain, index)
    if not len(parsed):
        raise BulkRefusedError("Validation Failed: 1: no requests added;", "action_request_validation_exception")
    return parsed


@dataclass
class _Plan:
    """The decisions on the targets of a bulk, by position."""

    target: Target
    """Where the bulk goes: without the parameters that are ours."""
    groups: dict[str, document_run.Group] = field(default_factory=dict)
    stripped: list[int] = field(default_factory=list)
    """Those whose actions name one of our pipelines."""
    failed: list[tuple[int, int, str, str]] = field(default_factory=list)
    """Those that must not be written: position, status, type and reason."""
    attached: list[str] = field(default_factory=list)
    """The targets whose pipelines follow from what is attached to the index behind the name."""
    dead: DeadLetterPlan = field(default_factory=DeadLetterPlan)

    def add(self, pipeline: Pipeline, key: int) -> None:
        self.groups.setdefault(pipeline.label, (pipeline, []))[1].append(key)


async def _plan(context: RequestContext, snapshot: Snapshot, parsed: Bulk) -> _Plan:
    """The plan for a bulk within its quotas, which is the same for the next one that says the same of its targets."""
    await quotas.admit_bulk(context, parsed)
    targets = parsed.targets()
    key = (context.target.raw, *targets) if len(targets) <= _MAX_TARGETS else None
    plans, resolver = context.components.bulk_plans, context.components.resolver
    before = resolver.fresh
    # The versions chosen for searches of a request are of no concern to its documents.
    plan: _Plan | None = plans.valid_for(snapshot.origin, before).get(key)
    if plan is None:
        plan = await _planned(context, snapshot, targets)
        view = resolver.fresh
        # One for which the names had to be read anew may follow in part from those of before.
        follows = not plan.attached or (view is not None and view is before and all(map(view.knows, plan.attached)))
        if follows and key is not None and len(repr(key)) <= _MAX_KEY:
            plans.valid_for(snapshot.origin, view).set(key, plan)
    for position in plan.stripped:
        parsed.strip_pipeline(position)
    for failure in plan.failed:
        parsed.fail(*failure)
    return plan


async def _plan_dead_letters(
    context: RequestContext, snapshot: Snapshot, targets: list[tuple[str | None, str | None, bool]], plan: _Plan
) -> None:
    """Adds to the plan which documents may become dead letters."""
    chosen = {key: pipeline for pipeline, keys in plan.groups.values() for key in keys}
    from_url = context.target.get("document_pipeline") or context.target.get("pipeline")
    plan.dead.excluded = {position for position, *_ in plan.failed}
    plan.dead.follows = snapshot.final_dead_letters or any(each.keeps_dead_letters for each in chosen.values())
    for key, (index, item_name, writes) in enumerate(targets):
        if not writes or key in plan.dead.excluded:
            continue
        letters = await policy.of_target(context, snapshot, index, chosen.get(key))
        plan.attached.append(index or "")
        if letters is not None:
            plan.dead.policies[key] = letters
        if key in chosen:
            plan.dead.pipelines[key] = chosen[key].label
        if name := item_name or from_url:
            plan.dead.named[key] = name


async def _planned(
    context: RequestContext, snapshot: Snapshot, targets: list[tuple[str | None, str | None, bool]]
) -> _Plan:
    url_name = context.target.get("pipeline")
    from_url = choice.override(context, snapshot, PipelineType.DOCUMENT)
    ours = _OURS
    if document_run.names_of_cluster(context, snapshot, url_name):
        raise document_run.of_cluster(url_name)
    if from_url is None and url_name is not None:
        from_url = choice.named(snapshot, PipelineType.DOCUMENT, url_name)
        ours += ("pipeline",) if from_url.ours else ()
    plan = _Plan(context.target.without(*ours))
    view = context.components.resolver.fresh
    attachments = context.components.attachments.of(snapshot, view) if view is not None and from_url is None else None
    for key, (index, item_name, writes) in enumerate(targets):
        attached = attachments.find(index) if attachments is not None and item_name is None and writes else None
        if attached is None:
            await _plan_target(context, snapshot, plan, from_url, key, (index, item_name, writes))
            continue
        plan.attached.append(index or "")
        if attached.pipeline is not None:
            plan.add(attached.pipeline, key)
    if snapshot.has_dead_letters:
        await _plan_dead_letters(context, snapshot, targets, plan)
    return plan


async def _plan_target(
    context: RequestContext,
    snapshot: Snapshot,
    plan: _Plan,
    from_url: choice.Override | None,
    key: int,
    target: tuple[str | None, str | None, bool],
) -> None:
    """Adds to the plan what happens to the documents of one target; `from_url`: what the request names for all."""
    (index, item_name, writes), registry = target, context.components.settings.registry_index
    if index is not None and registry_guard.names_registry(index, registry):
        why = f"the index [{registry}] is Headrace's own; use /_pipeline and /_udf"
        plan.failed.append((key, 403, "security_exception", why))
        return
    if not writes:
        return
    try:
        chosen = _from_item(snapshot, item_name)
        if document_run.names_of_cluster(context, snapshot, item_name):
            raise document_run.of_cluster(item_name)
    except (InvalidError, RefusedError) as error:
        plan.failed.append((key, error.status, error.type, error.reason))
        return
    if chosen is not None and chosen.ours:
        plan.stripped.append(key)
    chosen = chosen or from_url
    if chosen is not None:
        pipeline = chosen.pipeline
    else:
        plan.attached.append(index or "")
        pipeline = await choice.for_document(snapshot, context.components.resolver, index)
    if pipeline is not None:
        plan.add(pipeline, key)


def _from_item(snapshot: Snapshot, name: str | None) -> choice.Override | None:
    return None if name is None else choice.named(snapshot, PipelineType.DOCUMENT, name)


async def _forward(
    context: RequestContext,
    parsed: Bulk,
    body: Text,
    started: float,
    finish: Callable[[bytes], Awaitable[bytes]] | None = None,
    again: Callable[[Answer], Awaitable[bytes | None]] | None = None,
) -> web.StreamResponse:
    """Sends on what is left, if anything, and answers with the cluster's items and ours, as `finish` changes them.

    `again` gives the answer after a second try for a part of the documents.
    """

    def took() -> int:
        return int((time.monotonic() - started) * 1000)

    if not body:
        ours = context.components.without_secrets(parsed.merge(None, took()))
        return await reply(context, 200, ours if finish is None else await finish(ours))
    limit = context.components.max_body
    if len(body) > limit:
        raise TooLargeError(
            f"pipelines made this bulk {len(body)} bytes long, the limit is {limit}; "
            "nothing was indexed, send smaller bulks"
        )
    answer = await context.forward_buffered(body, unfiltered=True)
    if not answer.ok or not answer.json:
        return await reply_answer(context, answer)
    second = await again(answer) if again is not None else None
    try:
        merged = parsed.merge(answer.body if second is None else second, took())
    except BulkError as error:
        raise UpstreamError(str(error)) from None
    merged = context.components.without_secrets(merged)
    return await reply_answer(context, answer, merged if finish is None else await finish(merged))
