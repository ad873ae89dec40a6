"""`/_dead_letters`: groups, records, redrives. For administrators, and with their own rights on stream and targets."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import msgspec

from headrace.execution.dead_letters import stream, task
from headrace.execution.dead_letters.redriving import Resending
from headrace.execution.dead_letters.stream import stream_of
from headrace.security import admin
from headrace.server.reply import reply_json
from headrace_pipelines.errors import InvalidError, MissingError, NestedError, UnparsableError
from headrace_pipelines.errors.validation import explained

if TYPE_CHECKING:
    from aiohttp import web

    from headrace.server.request import RequestContext

MAX_RECORDS = 1000
"""Maximum number of records in an answer."""
MAX_RATE = 10_000
"""Maximum of `rate` in documents a second."""


class RedriveRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Which records are sent again, and how; `task`: a redrive that is to go on."""

    group: str | None = None
    ids: list[str] | None = None
    query: dict[str, Any] | None = None
    pipeline: str = "current"
    overwrite: bool = False
    dry_run: bool = False
    rate: int = 500
    max_docs: int | None = None
    task: str | None = None


async def groups(context: RequestContext) -> web.StreamResponse:
    """The groups of records that failed alike, the largest first."""
    await admin.require_admin(context)
    target = context.target
    name = stream_of(target.get("stream"))
    await stream.refresh(context, name)
    clauses = stream.filters(target.get("index"), target.get("pipeline"), target.get("since"))
    total, found = await stream.groups(context, name, clauses)
    return await reply_json(context, 200, {"total": total, "groups": found})


async def records(context: RequestContext) -> web.StreamResponse:
    """A record by its id, or the records of a group. Raises MissingError where there are none."""
    await admin.require_admin(context)
    name, size = stream_of(context.target.get("stream")), _size(context.target.get("size"))
    wanted = context.params["id"]
    await stream.refresh(context, name)
    hits = await stream.records(context, name, stream.any_of(wanted), size)
    if not hits:
        raise MissingError(f"no dead letter and no group of them is called [{wanted}]")
    found = [{"_index": hit["_index"], "_id": hit["_id"], **hit["_source"]} for hit in hits]
    return await reply_json(context, 200, {"records": found})


async def delete(context: RequestContext) -> web.StreamResponse:
    """Deletes the records of a group."""
    await admin.require_admin(context)
    group = context.target.get("group")
    if not group:
        raise InvalidError("required: the group whose records are deleted; see GET /_dead_letters", "group")
    name = stream_of(context.target.get("stream"))
    await stream.refresh(context, name)
    deleted = await stream.drop(context, name, stream.filters(None, None, None, group))
    context.add_audit_facts(group=group, deleted=str(deleted))
    return await reply_json(context, 200, {"acknowledged": True, "deleted": deleted})


async def redrive(context: RequestContext) -> web.StreamResponse:
    """Starts a redrive, or has one go on: 202 with its task. A dry run is answered at once."""
    await admin.require_admin(context)
    name, asked = stream_of(context.target.get("stream")), _request(await context.plain_text())
    await stream.refresh(context, name)
    if asked.task is not None:
        if asked != RedriveRequest(task=asked.task):
            raise InvalidError("a redrive that goes on does what it began with: no other member is allowed", "task")
        state = await task.resumed(context, name, asked.task)
    else:
        request = _checked(context, name, asked)
        if asked.dry_run:
            return await reply_json(context, 200, await task.trial(context, request))
        state = task.created(request, await stream.count(context, name, request.query))
    context.add_audit_facts(task=state.task)
    await task.save(context, state)
    context.components.lifecycle.start(task.run(_detached(context), state))
    return await reply_json(context, 202, state.shown)


async def show(context: RequestContext) -> web.StreamResponse:
    """How far a redrive is. Raises MissingError."""
    await admin.require_admin(context)
    state = await task.find(context, stream_of(context.target.get("stream")), context.params["task"])
    return await reply_json(context, 200, state.shown)


def _detached(context: RequestContext) -> RequestContext:
    """The request for a task that outlives it: with its credentials, and without its trace."""
    detached = copy.copy(context)
    detached.trace, detached.observers = None, ()
    return detached


def _size(text: str | None) -> int:
    if text is None:
        return 10
    if not text.isdigit() or not 1 <= int(text) <= MAX_RECORDS:
        raise InvalidError(f"must be a number from 1 to {MAX_RECORDS}", "size")
    return int(text)


def _request(body: bytes) -> RedriveRequest:
    try:
        return msgspec.json.decode(body or b"{}", type=RedriveRequest)
    except msgspec.ValidationError as error:
        raise explained(error, RedriveRequest, body) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UnparsableError(f"the request body is not JSON: {error}") from None
    except RecursionError:
        raise NestedError from None


def _checked(context: RequestContext, name: str, asked: RedriveRequest) -> task.Request:
    """The request, its parts checked. Raises InvalidError, and MissingError for a pipeline that is not there."""
    chosen = [each for each in (asked.group, asked.ids, asked.query) if each is not None]
    if len(chosen) != 1:
        raise InvalidError("exactly one of group, ids, query and task is required")
    if not 1 <= asked.rate <= MAX_RATE:
        raise InvalidError(f"must be from 1 to {MAX_RATE}", "rate")
    if asked.max_docs is not None and asked.max_docs < 1:
        raise InvalidError("must be at least 1", "max_docs")
    Resending(asked.pipeline).chosen(context.snapshot)
    query = asked.query or {}
    if asked.group is not None:
        query = {"term": {"group": asked.group}}
    elif asked.ids is not None:
        query = {"ids": {"values": asked.ids}}
    return task.Request(
        stream=name,
        query=query,
        pipeline=asked.pipeline,
        overwrite=asked.overwrite,
        rate=asked.rate,
        max_docs=asked.max_docs,
    )
