"""A redrive: it goes over the records of a selection until each is gone, or has a mark that says why it stays.

What is left to do is what the stream has: records without the mark of the task. So a task that a crash has ended goes
on where it was, by the next request with its id; credentials of callers are never stored.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
import uuid
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from headrace.execution.dead_letters import stream
from headrace.execution.dead_letters.redriving import Resending, changes_of, resend
from headrace.protocol.indices.dead_letters import TASKS
from headrace_pipelines.errors import ConflictError, HeadraceError, MissingError

if TYPE_CHECKING:
    from headrace.execution.dead_letters.redriving import Ending
    from headrace.server.request import RequestContext

log = logging.getLogger("headrace.dead_letters")

BATCH = 200
"""Maximum number of records that are sent again at once."""
TRIAL = 1000
"""Maximum number of records of a dry run."""
SILENT_SECONDS = 30.0
"""Seconds without a sign of a running task from which it counts as interrupted."""
_PAUSES = (0.5, 1, 2, 4, 8, 10, 10, 10)
"""Seconds before each further attempt at a batch of which nothing could be done."""
_TASK = re.compile(r"[0-9a-f]{16}")
"""The form of the id of a task."""
Counted = Literal["indexed", "dropped", "conflict", "failed"]


class Request(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What a redrive is to do; `query` selects the records."""

    stream: str
    query: dict[str, Any]
    pipeline: str = "current"
    overwrite: bool = False
    rate: int = 500
    max_docs: int | None = None


class State(msgspec.Struct, kw_only=True):
    """A task as it is stored and shown. Times are seconds since the epoch."""

    task: str
    state: Literal["running", "done", "failed", "interrupted"] = "running"
    request: str
    """The request as JSON text, so that it adds no fields to the index."""
    started: float
    updated: float
    total: int = 0
    indexed: int = 0
    dropped: int = 0
    conflict: int = 0
    failed: int = 0
    reason: str = ""

    @property
    def handled(self) -> int:
        """The number of records that the task is through with."""
        return self.indexed + self.dropped + self.conflict + self.failed

    @property
    def shown(self) -> dict[str, Any]:
        """As an answer shows it."""
        shown: dict[str, Any] = msgspec.to_builtins(self)
        return shown | {"request": msgspec.json.decode(self.request)}


class _Stored(msgspec.Struct):
    source: State = msgspec.field(name="_source")


def created(request: Request, total: int) -> State:
    """A new task."""
    now = time.time()
    text = msgspec.json.encode(request).decode()
    return State(task=uuid.uuid4().hex[:16], request=text, started=now, updated=now, total=total)


async def find(context: RequestContext, name: str, task: str) -> State:
    """A task as it was stored last. Raises MissingError."""
    if not _TASK.fullmatch(task):
        raise MissingError(f"the stream [{name}] has no redrive of this id")
    answer = await context.call_cluster("GET", f"/{name}{TASKS}/_doc/{task}")
    if answer.status == 404:
        raise MissingError(f"the stream [{name}] has no redrive [{task}]")
    answer.require_ok()
    state = msgspec.json.decode(answer.body, type=_Stored).source
    if state.state == "running" and time.time() - state.updated > SILENT_SECONDS:
        state.state = "interrupted"
    return state


async def resumed(context: RequestContext, name: str, task: str) -> State:
    """A task that has been interrupted or has failed, to go on. Raises MissingError, ConflictError."""
    state = await find(context, name, task)
    if state.state in ("running", "done"):
        raise ConflictError(f"the redrive [{task}] is {state.state}")
    state.state, state.reason, state.updated = "running", "", time.time()
    return state


async def save(context: RequestContext, state: State) -> None:
    """Stores the state of a task. Raises ClusterRefusedError."""
    name = msgspec.json.decode(state.request, type=Request).stream
    answer = await context.call_cluster("PUT", f"/{name}{TASKS}/_doc/{state.task}", msgspec.json.encode(state))
    answer.require_ok()


async def run(context: RequestContext, state: State) -> None:
    """Runs a task to its end, whatever that is."""
    request = msgspec.json.decode(state.request, type=Request)
    try:
        await _run(context, state, request)
        state.state = "done"
    except HeadraceError as error:
        state.state, state.reason = "failed", error.reason
    except asyncio.CancelledError:
        state.state, state.reason = "interrupted", "the proxy was stopped"
        raise
    except Exception:
        log.exception("an unexpected error in the redrive %s", state.task)
        state.state, state.reason = "failed", "an unexpected error in the proxy; its log has the details"
    finally:
        state.updated = time.time()
        try:
            await save(context, state)
        except HeadraceError as error:
            log.error("the state of the redrive %s is not stored: %s", state.task, error.reason)


async def _run(context: RequestContext, state: State, request: Request) -> None:
    how = Resending(request.pipeline, request.overwrite)
    barren = 0
    while True:
        wanted = min(BATCH, request.rate, *([request.max_docs - state.handled] if request.max_docs is not None else []))
        if wanted <= 0:
            return
        started = time.monotonic()
        hits = await stream.records(context, request.stream, remaining(state, request), wanted)
        if not hits:
            return
        try:
            progress = await _batch(context, state, request, hits, how)
        except HeadraceError as error:
            if error.status != 429 and error.status < 500:
                raise
            # The cluster is busy, or away for a moment.
            progress = False
        state.updated = time.time()
        await save(context, state)
        if not progress:
            if barren == len(_PAUSES):
                raise HeadraceError("the cluster rejects all documents; start the redrive again with its task")
            await asyncio.sleep(_PAUSES[barren])
        barren = 0 if progress else barren + 1
        await asyncio.sleep(max(0.0, started + len(hits) / request.rate - time.monotonic()))


def remaining(state: State, request: Request) -> dict[str, Any]:
    """The query for the records that a task has not been through yet: none that came after it began."""
    since = {"range": {"@timestamp": {"lte": int(state.started * 1000), "format": "epoch_millis"}}}
    marked = {"term": {"redrive": state.task}}
    return {"bool": {"filter": [request.query, since], "must_not": [marked]}}


async def _batch(
    context: RequestContext, state: State, request: Request, hits: list[dict[str, Any]], how: Resending
) -> bool:
    """Sends a batch again and settles its records; gives whether any is through."""
    endings = await resend(context, hits, how)
    settled = [(hit, ending) for hit, ending in zip(hits, endings, strict=True) if ending.result != "retry"]
    if not settled:
        return False
    through = await _settle(context, settled, state.task)
    for ending in through:
        name = ending.result
        setattr(state, name, getattr(state, name) + 1)
    return bool(through)


async def _settle(context: RequestContext, settled: list[tuple[dict[str, Any], Ending]], task: str) -> list[Ending]:
    """Deletes the records of documents that are there, and marks the others. Raises HeadraceError.

    Gives the endings of the records that the task is through with: without those that another redrive has just marked.
    """
    lines: list[bytes] = []
    for hit, ending in settled:
        about = {"_index": hit["_index"], "_id": hit["_id"]}
        if ending.done:
            lines.append(msgspec.json.encode({"delete": about}))
        else:
            seen = {"if_seq_no": hit["_seq_no"], "if_primary_term": hit["_primary_term"]}
            changes = msgspec.json.encode({"doc": changes_of(hit, ending, task)})
            lines += [msgspec.json.encode({"update": about | seen}), changes]
    answer = await context.write_bulk(b"\n".join([*lines, b""]), {"refresh": "true"})
    answer.require_ok()
    found: dict[str, Any] = msgspec.json.decode(answer.body)
    statuses = [next(iter(item.values()))["status"] for item in found["items"]]
    # 404: another redrive has deleted the record.
    if refused := sorted({status for status in statuses if status >= 300 and status not in (404, 409)}):
        raise HeadraceError(f"the cluster refuses changes of the records: {', '.join(map(str, refused))}")
    return [ending for (_, ending), status in zip(settled, statuses, strict=True) if status != 409]


async def trial(context: RequestContext, request: Request) -> dict[str, Any]:
    """What a redrive would do by the pipelines alone, over the oldest records: nothing is written."""
    size = min(TRIAL, request.max_docs or TRIAL)
    hits = await stream.records(context, request.stream, request.query, size)
    endings = await resend(context, hits, Resending(request.pipeline, request.overwrite), dry_run=True)
    failures = [
        {
            "_index": hit["_index"],
            "_id": hit["_id"],
            "error": {"type": ending.fault.type, "reason": ending.fault.reason},
        }
        for hit, ending in zip(hits, endings, strict=True)
        if ending.fault is not None
    ]
    counts = {name: sum(ending.result == name for ending in endings) for name in ("indexed", "dropped", "failed")}
    total = await stream.count(context, request.stream, request.query)
    return {"dry_run": True, "total": total, "examined": len(hits), **counts, "failures": failures[:10]}
