"""Sends the documents of records again, through the pipelines in force; a record goes once its document is there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from headrace.execution import choice, document_run
from headrace.execution.dead_letters.bulk import fault_of
from headrace.execution.dead_letters.policy import PERMANENT
from headrace.execution.rollouts import versions
from headrace.protocol.headers.encoding import as_single_line
from headrace.protocol.indices.dead_letter_record import DeadLetter, Fault, error_of, text_of
from headrace.security import registry_guard
from headrace_pipelines import Bulk, BulkError, PipelineType, plain_json
from headrace_pipelines.definition import DeadLetters
from headrace_pipelines.errors import HeadraceError
from headrace_pipelines.registry.association import NONE

if TYPE_CHECKING:
    from headrace.server.request import RequestContext
    from headrace_pipelines import Snapshot
    from headrace_pipelines.registry import Pipeline

CURRENT = "current"
"""In place of a pipeline: the one that the request named, else the one of the index, as they are now."""
MAX_MARKS = 19
"""Maximum number of earlier redrives whose marks a record keeps."""
Result = Literal["indexed", "dropped", "conflict", "failed", "retry"]
_DONE = frozenset({"indexed", "dropped"})


@dataclass(frozen=True)
class Ending:
    """What became of a record's document; `retry`: nothing yet, for a reason that passes."""

    result: Result
    fault: Fault | None = None

    @property
    def done(self) -> bool:
        """Whether the record has served its purpose."""
        return self.result in _DONE


@dataclass(frozen=True)
class Resending:
    """How documents are sent again: through `pipeline`, over those that are there or not."""

    pipeline: str = CURRENT
    overwrite: bool = False

    def chosen(self, snapshot: Snapshot) -> Pipeline | None:
        """The pipeline of all documents, if one is named with or without a version. Raises MissingError."""
        if self.pipeline in (CURRENT, NONE):
            return None
        name, _, version = self.pipeline.partition("@")
        return snapshot.find(name, version or None, PipelineType.DOCUMENT)


class _Item(msgspec.Struct):
    index: str = msgspec.field(name="_index", default="")
    id: str | None = msgspec.field(name="_id", default=None)
    status: int = 0
    result: str = ""
    error: msgspec.Raw = msgspec.Raw(b"")


class _Answer(msgspec.Struct):
    items: list[dict[str, _Item]]


async def resend(
    context: RequestContext, hits: list[dict[str, Any]], how: Resending, *, dry_run: bool = False
) -> list[Ending]:
    """Sends the documents of these records again, with the caller's credentials; gives what became of each.

    Raises HeadraceError where the cluster does not answer a bulk at all: nothing is known of its documents then.
    """
    await versions.prepare_again(context)
    snapshot = context.snapshot
    ends = [await _unfit(context, hit["_source"], how) for hit in hits]
    fit = [hit for hit, end in zip(hits, ends, strict=True) if end is None]
    endings = iter(await _sent_apart(context, snapshot, fit, how, dry_run=dry_run) if fit else [])
    return [next(endings) if end is None else end for end in ends]


async def _unfit(context: RequestContext, record: dict[str, Any], how: Resending) -> Ending | None:
    """What becomes of a record whose document cannot be sent at all, whatever pipelines do."""
    fault = await _refusal(context, record)
    if fault is None and not how.overwrite and (record.get("parts", 1) > 1 or record["op"] == "update"):
        # Some of its documents may be there, under ids that nobody knows; an old update would win over newer ones.
        return Ending("conflict")
    return None if fault is None else Ending("failed", fault)


async def _refusal(context: RequestContext, record: dict[str, Any]) -> Fault | None:
    target = str(record.get("target", ""))
    if not target or not text_of(record).strip():
        return Fault("mapping", 400, "illegal_argument_exception", "the record lacks a target or a document")
    if registry_guard.names_registry(target, context.components.settings.registry_index):
        return Fault("mapping", 403, "security_exception", "the target is Headrace's own index")
    if record["op"] == "update" and await document_run.hides(context, target):
        reason = "an update of documents that final pipelines hide; send it as its user"
        return Fault("mapping", 403, "security_exception", reason)
    return None


async def _sent_apart(
    context: RequestContext, snapshot: Snapshot, hits: list[dict[str, Any]], how: Resending, *, dry_run: bool
) -> list[Ending]:
    """[`_resent`]; a bulk that is refused as a whole is halved, until the document that is to blame stands alone."""
    try:
        return await _resent(context, snapshot, hits, how, dry_run=dry_run)
    except (HeadraceError, BulkError) as error:
        status = error.status if isinstance(error, HeadraceError) else 400
        if status not in PERMANENT:
            raise
        if len(hits) == 1:
            reason = error.reason if isinstance(error, HeadraceError) else str(error)
            return [Ending("failed", Fault("mapping", status, "illegal_argument_exception", reason))]
    middle = len(hits) // 2
    first = await _sent_apart(context, snapshot, hits[:middle], how, dry_run=dry_run)
    return first + await _sent_apart(context, snapshot, hits[middle:], how, dry_run=dry_run)


async def _resent(
    context: RequestContext, snapshot: Snapshot, hits: list[dict[str, Any]], how: Resending, *, dry_run: bool
) -> list[Ending]:
    parsed = Bulk(b"".join(part for hit in hits for part in _lines(hit, how)))
    groups, labels = await _groups(context, snapshot, parsed, how)
    await document_run.run(context, snapshot, parsed, list(groups.values()))
    rendered = parsed.render()
    body = rendered if rendered is not None else b"".join(part for hit in hits for part in _lines(hit, how))
    answer = None
    if body and not dry_run:
        sent = await context.write_bulk(body, {})
        sent.require_ok()
        answer = sent.body
    if dry_run:
        return [_tried(parsed, i, labels) for i in range(len(parsed))]
    items = [next(iter(i.values())) for i in msgspec.json.decode(parsed.merge(answer, 0), type=_Answer).items]
    endings = [_ending(parsed, i, labels, item) for i, item in enumerate(items)]
    return await _settled(context, parsed, hits, endings, items)


def _lines(hit: dict[str, Any], how: Resending) -> tuple[bytes, ...]:
    """The action and the document of a record: written once, however often it is sent."""
    record = hit["_source"]
    about: dict[str, Any] = {"_index": record["target"], "_id": record.get("id", hit["_id"])}
    if "routing" in record:
        about["routing"] = record["routing"]
    if how.pipeline == CURRENT and "named" in record:
        about["pipeline"] = record["named"]
    replaces = how.overwrite and "id" in record
    op = "update" if record["op"] == "update" else "index" if replaces else "create"
    text = text_of(record)
    return msgspec.json.encode({op: about}), b"\n", as_single_line(plain_json(text) or text), b"\n"


async def _groups(
    context: RequestContext, snapshot: Snapshot, parsed: Bulk, how: Resending
) -> tuple[dict[str, document_run.Group], dict[int, str]]:
    """The default pipelines of the documents, and their labels by target."""
    groups: dict[str, document_run.Group] = {}
    labels: dict[int, str] = {}
    for key, (index, named, _) in enumerate(parsed.targets()):
        pipeline = how.chosen(snapshot)
        if named is not None:
            chosen = choice.named(snapshot, PipelineType.DOCUMENT, named)
            pipeline = chosen.pipeline
            if chosen.ours:
                parsed.strip_pipeline(key)
            elif document_run.names_of_cluster(context, snapshot, named):
                error = document_run.of_cluster(named)
                parsed.fail(key, error.status, error.type, error.reason)
        elif how.pipeline == CURRENT:
            pipeline = await choice.for_document(snapshot, context.components.resolver, index)
        if pipeline is not None:
            groups.setdefault(pipeline.label, (pipeline, []))[1].append(key)
            labels[key] = pipeline.label
    return groups, labels


def _tried(parsed: Bulk, i: int, labels: dict[int, str]) -> Ending:
    state, failure = parsed.outcome(i)
    if failure is not None:
        return Ending("failed", fault_of(parsed, i, labels.get(parsed.source(i)[1], ""), 0, b""))
    return Ending("dropped" if state == "dropped" else "indexed")


def _ending(parsed: Bulk, i: int, labels: dict[int, str], item: _Item) -> Ending:
    if not item.error:
        return Ending("dropped" if item.result == "noop" and parsed.forwarded(i) == 0 else "indexed")
    fault = fault_of(parsed, i, labels.get(parsed.source(i)[1], ""), item.status, bytes(item.error))
    if item.status == 409:
        return Ending("conflict", fault)
    passes = item.status == 429 or item.status >= 500
    return Ending("retry" if passes and item.status not in PERMANENT else "failed", fault)


async def _settled(
    context: RequestContext, parsed: Bulk, hits: list[dict[str, Any]], endings: list[Ending], items: list[_Item]
) -> list[Ending]:
    """Tells conflicts with a document that an earlier attempt has written from those with another document."""
    found = list(endings)
    unsure: list[int] = []
    for i, (hit, ending, item) in enumerate(zip(hits, endings, items, strict=True)):
        if ending.result != "conflict" or hit["_source"]["op"] == "update" or parsed.forwarded(i) != 1:
            continue
        if item.id == hit["_id"] and "id" not in hit["_source"]:
            # Its id is that of the record: nobody else has written it.
            found[i] = Ending("indexed")
        else:
            unsure.append(i)
    if unsure:
        there = await _stored(context, [(hits[i], items[i]) for i in unsure])
        for i, stored in zip(unsure, there, strict=True):
            if stored is not None and stored == _sent(parsed, i):
                found[i] = Ending("indexed")
    return found


def _sent(parsed: Bulk, i: int) -> Any:
    text = parsed.document(i)
    try:
        return msgspec.json.decode(parsed.source(i)[5] if text is None else text)
    except msgspec.MsgspecError:
        return None


async def _stored(context: RequestContext, asked: list[tuple[dict[str, Any], _Item]]) -> list[Any]:
    """The documents that are there in place of these, or `None` for each that cannot be read."""
    docs = []
    for hit, item in asked:
        routing = hit["_source"].get("routing")
        docs.append({"_index": item.index, "_id": item.id} | ({} if routing is None else {"routing": routing}))
    answer = await context.call_cluster("POST", "/_mget", msgspec.json.encode({"docs": docs}))
    if not answer.ok:
        return [None] * len(asked)
    return [doc.get("_source") for doc in msgspec.json.decode(answer.body, type=dict[str, Any])["docs"]]


def changes_of(hit: dict[str, Any], ending: Ending, task: str) -> dict[str, Any]:
    """The members of a record that change where its document is still none: a failure is an attempt more."""
    record, fault = hit["_source"], ending.fault
    marks = [*record.get("redrive", [])[-MAX_MARKS:], task]
    if ending.result == "conflict" or fault is None:
        return {"redrive": marks, "conflict": True}
    letter = DeadLetter(DeadLetters(), record["op"], record["target"], b"", fault)
    name, _, version = fault.pipeline.rpartition("@")
    return {
        "redrive": marks,
        "conflict": False,
        "attempt": int(record.get("attempt", 1)) + 1,
        "error": error_of(fault),
        "group": letter.group(),
        "cause": fault.cause,
        "stage": fault.stage,
        "pipeline": name,
        "version": version,
    }
