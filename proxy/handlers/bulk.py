"""`POST|PUT /_bulk` and `/{index}/_bulk`: document pipelines on every action that writes a document.

Each action's pipeline is its own name, else the URL's, else that of its index. Items come back in the order of the
request: the cluster's for what was forwarded, `noop` for what was dropped, an error for what failed.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pipelines import Bulk, BulkError, PipelineType
from pipelines.errors import HeadraceError, InvalidError, TooLargeError, UpstreamError
from proxy.handlers import choice, documents, registry_guard
from proxy.handlers.elasticsearch import untyped

if TYPE_CHECKING:
    from aiohttp import web

    from pipelines import Snapshot
    from pipelines.registry import Pipeline
    from proxy.exchanges import Text
    from proxy.handlers.call import Call

_OURS = {False: ("document_pipeline",), True: ("document_pipeline", "pipeline")}
"""Parameters that the cluster is not to see; by whether the URL's `pipeline` is ours."""


class BulkRefusedError(HeadraceError):
    """A bulk that OpenSearch refuses as a whole; type and text are its own."""

    status = 400

    def __init__(self, reason: str, type_: str = "illegal_argument_exception") -> None:
        super().__init__(reason)
        self.type = type_


async def bulk(call: Call) -> web.StreamResponse:
    """Runs document pipelines over a bulk, forwards what is left, and puts the answer together."""
    snapshot, started = call.snapshot, time.monotonic()
    body = await untyped(call)
    readable = call.speaks_json
    if PipelineType.DOCUMENT not in snapshot.types or (not readable and not _concerned(call, snapshot)):
        return await (call.stream_on() if body is None else call.send_on(body, changed=True))
    if not readable:
        call.require_json()
    if body is None:
        body = await call.text()
    parsed = parse(body, call.params.get("index"))
    plan = await _plan(call, snapshot, parsed)
    call.target = call.target.without(*_OURS[plan.url_name_is_ours])
    runs = await documents.run(call, snapshot, parsed, list(plan.groups.values()))
    if runs:
        call.extra["X-Pipeline"] = choice.header(runs)
    rendered = parsed.render()
    changed = rendered is not None
    outgoing = memoryview(body if rendered is None else rendered)
    # From here on nobody keeps what came in, nor what goes out once it has been sent: others can have the memory.
    del body, rendered
    parsed.let_go()
    call.let_go()
    if not changed or (not runs and not parsed.counts()[2]):
        # The cluster's items are the answer.
        del parsed
        return await call.send_on(outgoing, changed=changed or bool(call.encoding))
    return await _forward(call, parsed, outgoing, started)


def _concerned(call: Call, snapshot: Snapshot) -> bool:
    """Whether a bulk that cannot be read might need a pipeline: one is attached, or the URL names one of ours.

    An action that names one of ours inside it is the cluster's error then: the cluster does not know the name.
    """
    names = (call.target.get("pipeline"), call.target.get("document_pipeline"))
    return PipelineType.DOCUMENT in snapshot.bound_types or any(
        name and snapshot.active(PipelineType.DOCUMENT, name) for name in names
    )


def parse(body: bytes, index: str | None) -> Bulk:
    """The actions of a body. Raises BulkRefusedError with OpenSearch's type and text."""
    if not body:
        raise BulkRefusedError("request body is required", "parse_exception")
    try:
        parsed = Bulk(body, index=index)
    except BulkError as error:
        raise BulkRefusedError(str(error)) from None
    if not len(parsed):
        raise BulkRefusedError("Validation Failed: 1: no requests added;", "action_request_validation_exception")
    return parsed


class _Plan:
    """Which targets run which pipeline."""

    def __init__(self) -> None:
        self.groups: dict[str, tuple[Pipeline, list[int]]] = {}
        self.url_name_is_ours = False

    def add(self, pipeline: Pipeline, key: int) -> None:
        self.groups.setdefault(pipeline.label, (pipeline, []))[1].append(key)


async def _plan(call: Call, snapshot: Snapshot, parsed: Bulk) -> _Plan:
    """Also fails the actions that name the registry index, or an empty pipeline."""
    plan, registry = _Plan(), call.parts.settings.registry_index
    url_name = call.target.get("pipeline")
    from_url = choice.override(call, snapshot, PipelineType.DOCUMENT)
    if from_url is None and url_name is not None:
        from_url = choice.named(snapshot, PipelineType.DOCUMENT, url_name)
        plan.url_name_is_ours = from_url.ours
    for key, (index, item_name, writes) in enumerate(parsed.targets()):
        if index is not None and registry_guard.means(index, registry):
            why = f"the index [{registry}] is Headrace's own; use /_pipeline and /_udf"
            parsed.fail(key, 403, "security_exception", why)
            continue
        if not writes:
            continue
        try:
            chosen = _from_item(snapshot, item_name)
        except InvalidError as error:
            parsed.fail(key, error.status, error.type, error.reason)
            continue
        if chosen is not None and chosen.ours:
            parsed.strip_pipeline(key)
        chosen = chosen or from_url
        if chosen is not None:
            pipeline = chosen.pipeline
        else:
            pipeline = await choice.for_document(snapshot, call.parts.resolver, index)
        if pipeline is not None:
            plan.add(pipeline, key)
    return plan


def _from_item(snapshot: Snapshot, name: str | None) -> choice.Chosen | None:
    return None if name is None else choice.named(snapshot, PipelineType.DOCUMENT, name)


async def _forward(call: Call, parsed: Bulk, body: Text, started: float) -> web.StreamResponse:
    """Sends on what is left, if anything, and answers with the cluster's items and ours."""

    def took() -> int:
        return int((time.monotonic() - started) * 1000)

    if not body:
        return await call.reply(200, parsed.merge(None, took()))
    limit = call.parts.max_body
    if len(body) > limit:
        raise TooLargeError(
            f"pipelines made this bulk {len(body)} bytes long, the limit is {limit}; "
            "nothing was indexed, send smaller bulks"
        )
    answer = await call.exchange(body, unfiltered=True)
    if not answer.ok or not answer.json:
        return await call.reply_answer(answer)
    try:
        merged = parsed.merge(answer.body, took())
    except BulkError as error:
        raise UpstreamError(str(error)) from None
    return await call.reply_answer(answer, merged)
