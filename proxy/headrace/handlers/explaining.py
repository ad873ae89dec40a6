"""`?explain_pipelines=true` on single writes and searches: what each pipeline did, as a member of the answer."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from headrace.execution.taps.bounds import HeldBytes
from headrace.execution.taps.selection import Selection
from headrace.execution.taps.watching import Choice, Watch
from headrace.security import admin, reading
from headrace.server.reply import reply_answer
from headrace_pipelines.errors import InvalidError, RefusedError

if TYPE_CHECKING:
    from aiohttp import web

    from headrace.execution.taps.hub import Taps
    from headrace.server.request import RequestContext
    from headrace.server.router import Route
    from headrace.upstream.sending import Text

log = logging.getLogger("headrace.tap")

PARAMETER = "explain_pipelines"
MEMBER = "_pipelines"
SURFACES = frozenset({"document", "search"})
RUNS = 1000
"""Runs of one request that are explained; a search over many indexes has some tens."""


async def prepare(context: RequestContext, route: Route) -> None:
    """Has the request explained, and takes the parameter off it.

    Raises InvalidError for a request that is no single write or search, RefusedError for who may not see documents.
    """
    if route.surface not in SURFACES:
        raise InvalidError(
            "explains single writes and searches: send it with [_doc], [_create], [_update] or [_search], or open a "
            "tap by [POST /_proxy/tap]",
            PARAMETER,
        )
    wanted = context.target.flag(PARAMETER)
    context.target = context.target.without(PARAMETER)
    if not wanted or context.explain is not None:
        return
    await admin.require_admin(context, changes=False)
    if context.components.settings.tap != "on":
        raise RefusedError(f"[{PARAMETER}] is switched off here by the setting tap")
    await reading.require_readable(context, context.params.get("index", "_all"))
    context.add_audit_facts(explain="pipelines")
    selection = Selection(per_second=RUNS)
    watch = Watch(context, [Choice(selection)], HeldBytes(), lambda _choice, _samples: None)
    context.observers = (*context.observers, watch)
    context.explain = partial(_explained, context, watch, selection)
    context.answer_whole = partial(_answer_whole, context)


async def _explained(context: RequestContext, watch: Watch, selection: Selection, body: bytes) -> bytes:
    """A JSON object with the records of the request's runs as its last member; another text as it is.

    Where they cannot be made the answer is without them: what it answers has been done.
    """
    text = body.rstrip()
    if text[:1] != b"{" or text[-1:] != b"}":
        return body
    taps: Taps = context.components.taps
    try:
        records = await taps.explained(context, watch, selection)
    except Exception:
        log.exception("the pipelines of a request could not be explained")
        return body
    comma = b"" if text[1:-1].strip() == b"" else b","
    shown = context.components.registry.catalog.secrets.hidden_in(msgspec.json.encode(records))
    return b'%b%b"%b":%b}' % (text[:-1], comma, MEMBER.encode(), shown)


async def _answer_whole(context: RequestContext, body: Text, changed: bool) -> web.StreamResponse:
    answer = await context.forward_buffered(body, changed=changed, unfiltered=True)
    return await reply_answer(context, answer, answer.body if answer.json else None)
