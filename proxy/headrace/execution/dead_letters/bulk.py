"""Dead letters of a bulk: failed items become records, and the answer says where these are."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from headrace.execution.dead_letters import policy
from headrace.execution.dead_letters.keeping import keep
from headrace.protocol.indices.dead_letter_record import DeadLetter, Fault
from headrace_pipelines.errors import OverloadedError

if TYPE_CHECKING:
    from headrace.execution.dead_letters.keeping import Keeping
    from headrace.server.request import RequestContext
    from headrace_pipelines import Bulk, Snapshot
    from headrace_pipelines.definition import DeadLetters

log = logging.getLogger("headrace.dead_letters")

LIMITED = "more dead letters than dead_letter_rate allows; send the document again later"
UNWRITTEN = "the document is a dead letter, and its record was not written; send the document again later"


@dataclass
class DeadLetterPlan:
    """What holds for the targets of a bulk, by position."""

    policies: dict[int, DeadLetters] = field(default_factory=dict)
    pipelines: dict[int, str] = field(default_factory=dict)
    """The labels of the chosen pipelines."""
    named: dict[int, str] = field(default_factory=dict)
    """The pipelines that the request names."""
    excluded: set[int] = field(default_factory=set)
    """Targets whose actions are refused whatever their documents are."""
    follows: bool = False
    """Whether a failed pipeline may have dead letters of its own, where none are planned."""

    @property
    def idle(self) -> bool:
        """Whether no document of the bulk can become a dead letter."""
        return not self.policies and not self.follows


class Error(msgspec.Struct):
    """An error of an item, as far as a record has it."""

    type: str = ""
    reason: str | None = None
    caused_by: Error | None = None

    @property
    def text(self) -> str:
        """The reason, and that of its cause."""
        cause = self.caused_by.text if self.caused_by is not None else ""
        return "; ".join(text for text in (self.reason, cause) if text)


class _Item(msgspec.Struct):
    status: int = 0
    error: msgspec.Raw = msgspec.Raw(b"")


@dataclass
class _Dead:
    """A failed item by its position, and the document behind it."""

    position: int
    letter: DeadLetter


async def settle(
    context: RequestContext, snapshot: Snapshot, parsed: Bulk, plan: DeadLetterPlan, answer: bytes
) -> bytes:
    """Keeps the documents of the items that failed for good; gives the answer that says so."""
    try:
        return await _settle(context, snapshot, parsed, plan, answer)
    except msgspec.MsgspecError:
        # The documents are written: an answer that cannot be read is still the answer.
        log.exception("dead letters are not kept: the answer of the cluster cannot be read")
        return answer


async def _settle(
    context: RequestContext, snapshot: Snapshot, parsed: Bulk, plan: DeadLetterPlan, answer: bytes
) -> bytes:
    members = msgspec.json.decode(answer, type=dict[str, msgspec.Raw])
    if bytes(members.get("errors", b"")) != b"true" or "items" not in members:
        return answer
    items = msgspec.json.decode(members["items"], type=list[msgspec.Raw])
    found = _found(context, snapshot, parsed, plan, items)
    if not found:
        return answer
    keepings = await keep(context, [dead.letter for dead in found])
    for dead, keeping in zip(found, keepings, strict=True):
        items[dead.position] = msgspec.Raw(_item(bytes(items[dead.position]), dead.letter, keeping))
    failed = any(item.error for raw in items for item in msgspec.json.decode(raw, type=dict[str, _Item]).values())
    members |= {
        "errors": msgspec.Raw(b"true" if failed else b"false"),
        "items": msgspec.Raw(msgspec.json.encode(items)),
    }
    return msgspec.json.encode(members)


def _found(
    context: RequestContext, snapshot: Snapshot, parsed: Bulk, plan: DeadLetterPlan, items: list[msgspec.Raw]
) -> list[_Dead]:
    found: list[_Dead] = []
    for position, raw in enumerate(items):
        for item in msgspec.json.decode(raw, type=dict[str, _Item]).values():
            if item.error and item.status in policy.PERMANENT:
                letter = _letter(context, snapshot, parsed, plan, position, item)
                found += [_Dead(position, letter)] if letter is not None else []
    return found


def _letter(
    context: RequestContext, snapshot: Snapshot, parsed: Bulk, plan: DeadLetterPlan, position: int, item: _Item
) -> DeadLetter | None:
    op, key, index, id_, routing, original = parsed.source(position)
    if key in plan.excluded or op == "delete" or index is None:
        return None
    fault = fault_of(parsed, position, plan.pipelines.get(key, ""), item.status, bytes(item.error))
    own = policy.of_failed(snapshot, fault.pipeline) if fault.cause == "pipeline" else None
    letters = plan.policies.get(key) if own is None else policy.allowed(context, own)
    if letters is None or fault.cause not in letters.on:
        return None
    parts, routing = parsed.forwarded(position), routing or context.target.get("routing")
    return DeadLetter(letters, op, index, original, fault, id_, routing, plan.named.get(key), parts)


def fault_of(parsed: Bulk, position: int, pipeline: str, status: int, error: bytes) -> Fault:
    """Why an action failed: by a stage, or by the cluster, whose `error` is JSON."""
    _, failure = parsed.outcome(position)
    if failure is not None:
        code, type_, reason, label, stage = failure
        return Fault("pipeline", code, type_, reason, label or pipeline, stage)
    found = msgspec.json.decode(error, type=Error)
    return Fault("mapping", status, found.type, found.text, pipeline)


def _item(item: bytes, letter: DeadLetter, keeping: Keeping) -> bytes:
    """The item of a dead letter in the answer."""
    ((name, about),) = msgspec.json.decode(item, type=dict[str, dict[str, Any]]).items()
    return msgspec.json.encode({name: answered(about, letter, keeping)})


def answered(about: dict[str, Any], letter: DeadLetter, keeping: Keeping) -> dict[str, Any]:
    """The content of an item, or the answer of a single write, for a document that is a dead letter."""
    if keeping.kept is not None and letter.policy.answer == "accepted":
        return {
            "_index": about.get("_index", letter.index),
            "_id": letter.id if letter.id is not None else keeping.kept.id,
            "_version": 1,
            "result": "created",
            "_shards": {"total": 1, "successful": 1, "failed": 0},
            "status": 201,
            "dead_lettered": True,
            "dead_letter": keeping.kept.shown,
        }
    if keeping.kept is not None:
        return {**about, "dead_letter": keeping.kept.shown}
    if keeping.refused:
        return about
    if keeping.limited or letter.policy.answer == "accepted":
        reason = LIMITED if keeping.limited else UNWRITTEN
        return {**about, "status": OverloadedError.status, "error": {"type": OverloadedError.type, "reason": reason}}
    return about
