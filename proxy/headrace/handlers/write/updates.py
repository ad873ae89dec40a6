"""Updates by id under final query pipelines: a document that may not be seen is not updated, else it could be read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from headrace.execution import read_guard
from headrace_pipelines.errors import MissingError, MissingIndexError, RefusedError, TooLargeError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from headrace.server.request import RequestContext

MAX_UPDATES = 500
"""Maximum number of updates of one bulk that are looked up: each is a search of its own."""


class MissingDocumentError(MissingError):
    """A document that is not there, or may not be seen."""

    type = "document_missing_exception"


@dataclass(frozen=True)
class Update:
    """A document that is updated, by its id."""

    index: str
    id: str
    routing: str | None = None


async def check_update(context: RequestContext) -> None:
    """Raises MissingDocumentError for an `_update` of a document that final query pipelines leave out."""
    update = Update(context.params["index"], context.params["id"], context.target.get("routing"))
    if await _unseen(context, [update]):
        raise MissingDocumentError(f"[{update.id}]: document missing")


async def check_bulk(context: RequestContext, body: bytes, indexes: Collection[str | None]) -> None:
    """Raises RefusedError for a bulk with an update of a document of these indexes that may not be seen."""
    updates = [each for each in _updates(body, context.params.get("index")) if each.index in indexes]
    if len(updates) > MAX_UPDATES:
        raise TooLargeError(
            f"[{len(updates)}] updates of indexes with final query pipelines are too many for one bulk; the limit is "
            f"{MAX_UPDATES}, send smaller bulks"
        )
    if unseen := await _unseen(context, updates):
        names = ", ".join(f"[{each.index}/{each.id}]" for each in unseen[:5])
        raise RefusedError(
            f"this bulk updates documents that final query pipelines leave out: {names}; nothing was written, send it "
            "without them"
        )


async def _unseen(context: RequestContext, updates: list[Update]) -> list[Update]:
    """Those of the documents that are there and may not be seen."""
    guards: dict[str, read_guard.Guard | None] = {}
    for update in updates:
        if update.index not in guards:
            try:
                guards[update.index] = await read_guard.guard_of(context, update.index, None)
            except MissingIndexError:
                guards[update.index] = None
    asked = [u for u in updates if (guard := guards[u.index]) is not None and guard.visible is not None]
    if not asked:
        return []
    docs = [_asked(update) for update in asked]
    answer = await context.call_cluster("POST", "/_mget", msgspec.json.encode({"docs": docs}))
    answer.require_ok()
    found = [bytes(doc) for doc in msgspec.json.decode(answer.body, type=_Documents).docs]
    there = [
        (update, guard, doc)
        for update, doc in zip(asked, found, strict=True)
        if (guard := guards[update.index]) is not None and msgspec.json.decode(doc, type=_Found).found
    ]
    seen = await read_guard.seen(context, [(guard, doc) for _, guard, doc in there])
    return [update for (update, _, _), good in zip(there, seen, strict=True) if not good]


class _Documents(msgspec.Struct):
    docs: list[msgspec.Raw]


class _Found(msgspec.Struct):
    found: bool = False


def _asked(update: Update) -> dict[str, Any]:
    doc: dict[str, Any] = {"_index": update.index, "_id": update.id, "_source": False}
    return doc if update.routing is None else doc | {"routing": update.routing}


def _updates(body: bytes, index: str | None) -> Iterator[Update]:
    """The updates of a bulk that has been parsed, so that its lines are known to be well-formed."""
    lines = iter(body.split(b"\n"))
    for line in lines:
        if not line.strip():
            continue
        ((operation, about),) = msgspec.json.decode(line, type=dict[str, dict[str, Any]]).items()
        if operation == "delete":
            continue
        next(lines, None)
        if operation == "update":
            routing = about.get("routing", about.get("_routing"))
            yield Update(
                str(about.get("_index", index)),
                str(about.get("_id", "")),
                None if routing is None else str(routing),
            )
