"""`_msearch` and `_msearch/template`: each search with its own pipelines; one that fails is its own error."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from headrace.execution import choice
from headrace.execution.expressions import options_of
from headrace.execution.protected import withheld
from headrace.execution.search_run import QUERY, RESULT, SearchRun, is_ours, obliged, strip_names, warn_of_conflicts
from headrace.handlers.search.search import render
from headrace.protocol.errors import error_body
from headrace.protocol.headers.encoding import as_single_line, canonical
from headrace.protocol.indices.expressions import NOTHING
from headrace.protocol.indices.options import expansion
from headrace.protocol.search import msearch_items
from headrace.server.reply import reply, reply_answer
from headrace.upstream.client import ClusterRefusedError
from headrace_pipelines.definition import members_of
from headrace_pipelines.errors import HeadraceError, InvalidError, UnparsableError, UpstreamError
from headrace_pipelines.registry.association import NONE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiohttp import web

    from headrace.execution.choice import ScopedPipeline
    from headrace.execution.protected import Protection
    from headrace.server.request import RequestContext
    from headrace_pipelines import Snapshot
    from headrace_pipelines.registry.association import Slot

_HEADER_NAME = "search_pipeline"
HEADER_MEMBERS = frozenset(
    {
        *("index", "indices", "search_type", "request_cache", "requestCache", "preference", "routing"),
        *("allow_partial_search_results", "expand_wildcards", "expandWildcards", "ignore_unavailable"),
        *("ignoreUnavailable", "allow_no_indices", "allowNoIndices", "ignore_throttled", "ignoreThrottled"),
        *("cancel_after_time_interval", "max_concurrent_shard_requests", "search_pipeline"),
    }
)
"""Members of a header line (`MultiSearchRequest.readMultiLineFormat`, OpenSearch 3.8); others are refused."""


@dataclass
class _Item:
    """One search: its header line, and what became of it so far; `error` is its answer in place of the cluster's."""

    header: bytes
    work: SearchRun
    queries: list[tuple[Slot, ScopedPipeline]] = field(default_factory=list)
    results: list[tuple[Slot, ScopedPipeline]] = field(default_factory=list)
    error: bytes | None = None
    protection: Protection | None = None
    bare: bool = False
    """Whether the search pipeline of an index's settings must not run, behind the filter and before the mask."""

    @property
    def members(self) -> dict[str, msgspec.Raw]:
        """The members of the header line. Raises UnparsableError."""
        return members_of(self.header) if self.header.strip() else {}

    def read_strictly(self) -> None:
        """Writes both lines anew as one strict reader reads them. Raises UnparsableError, InvalidError."""
        self.header = canonical(self.header) if self.header.strip() else b""
        self.work.body = canonical(self.work.body) if self.work.body.strip() else b"{}"
        self.work.changed = True
        if unknown := self.members.keys() - HEADER_MEMBERS:
            raise InvalidError(f"key [{min(unknown)}] is not supported in the metadata section")

    def narrow(self) -> None:
        """Puts the indexes that were judged into the header line."""
        reading = self.work.reading
        if reading is None or self.work.pit is not None:
            return
        members = {n: v for n, v in self.members.items() if n not in ("index", "indices")}
        names = reading.resolution.forwarded
        self.work.unnamed = names is None or reading.resolution.aliased
        if names is None:
            members["index"] = msgspec.Raw(msgspec.json.encode(self.work.expression))
        else:
            members["index"] = msgspec.Raw(msgspec.json.encode(names))
        if names == NOTHING:
            members = {n: v for n, v in members.items() if n not in ("expand_wildcards", "expandWildcards")}
        self.header, self.work.changed = msgspec.json.encode(members), True

    @property
    def expression(self) -> str:
        """The indexes that it searches. Raises InvalidError."""
        return _expression(self.members) or self.work.context.params.get("index", "_all")

    @property
    def concerned(self) -> bool:
        """Whether anything of ours is to be done for it."""
        work = self.work
        return bool(self.queries or self.results or work.changed or work.pit is not None or self.error is not None)


async def msearch(context: RequestContext) -> web.StreamResponse:
    """Runs each search with its pipelines; without any the request is passed on as it came."""
    return await _serve(context, templates=False)


async def template(context: RequestContext) -> web.StreamResponse:
    """The same for searches that are templates: where one is concerned, all are rendered first, by the cluster."""
    return await _serve(context, templates=True)


async def _serve(context: RequestContext, *, templates: bool) -> web.StreamResponse:
    snapshot, started = context.snapshot, time.monotonic()
    if not snapshot.types & {QUERY, RESULT}:
        return await context.forward_streaming()
    if not context.readable and not snapshot.bound_types & {QUERY, RESULT}:
        return await context.forward_streaming()
    context.require_json()
    sent = await context.body()
    text = context.decoded_text(sent)
    url_name, conflicts = context.target.get("search_pipeline"), dict[str, None]()
    items = [_Item(header, SearchRun(context, "", body)) for header, body in msearch_items(text)]
    if snapshot.protects:
        for item in items:
            item.read_strictly()
    try:
        if templates and not snapshot.protects and not await _any_concerned(items):
            return await context.forward(sent, changed=False)
        for item in items:
            try:
                await _prepare(item, snapshot, url_name, conflicts, templates=templates)
            except UnparsableError:
                raise
            except HeadraceError as error:
                item.error = _error(error)
    except UnparsableError:
        # The cluster refuses such a body as a whole.
        if snapshot.bound_types & {QUERY, RESULT}:
            raise
        return await context.forward(sent, changed=False)
    if not any(item.concerned for item in items):
        return await context.forward(sent, changed=False)
    warn_of_conflicts(context, list(conflicts))
    strip_names(context, snapshot)
    if templates:
        context.target = context.target.at(context.target.raw_path.rstrip("/").removesuffix("/template"))
    for item in items:
        await _ask(item)
    return await _answer(context, items, started)


async def _any_concerned(items: list[_Item]) -> bool:
    """Whether one of these templates is over indexes with pipelines, or names one. Raises InvalidError."""
    for item in items:
        header, context = item.members, item.work.context
        if _HEADER_NAME in header or await choice.pipelines_affecting(context, item.expression, QUERY, RESULT):
            return True
    return False


async def _prepare(
    item: _Item, snapshot: Snapshot, url_name: str | None, conflicts: dict[str, None], *, templates: bool
) -> None:
    """Finds what concerns a search. Raises HeadraceError."""
    work, context, header = item.work, item.work.context, item.members
    work.expression = item.expression
    named = url_name
    if _HEADER_NAME in header:
        named = str(msgspec.json.decode(header[_HEADER_NAME]))
        if is_ours(snapshot, named):
            del header[_HEADER_NAME]
            item.header, work.changed = msgspec.json.encode(header), True
    if templates:
        work.body, work.changed = await render(context, work.body), True
    if named is None:
        named = work.pop_search_pipeline(snapshot)
    if "index" not in header and "index" not in context.params:
        work.open_point_in_time(snapshot)
    given = {n: msgspec.json.decode(value) for n, value in header.items() if n in HEADER_MEMBERS}
    work.options = expansion(given, options_of(context))
    chosen = await work.choose(snapshot, named)
    item.queries, item.results = chosen.of(QUERY), chosen.of(RESULT)
    if chosen.reading is not None and snapshot.protects:
        item.narrow()
        said = item.members.get(_HEADER_NAME)
        theirs = str(msgspec.json.decode(said)) if said is not None else url_name
        ours = theirs is not None and is_ours(snapshot, theirs)
        item.protection = await obliged(work, chosen, None if ours else theirs, withholds=True)
        protected = item.protection is not None and not item.protection.lookups
        item.bare = protected and (theirs is None or ours)
    conflicts.update(dict.fromkeys(chosen.conflicts))


def _expression(header: dict[str, msgspec.Raw]) -> str:
    """The indexes that a header names, as OpenSearch reads them. Raises InvalidError."""
    for name in ("index", "indices"):
        if name in header:
            value = msgspec.json.decode(header[name])
            if isinstance(value, str):
                return value
            if isinstance(value, list) and all(isinstance(each, str) for each in value):
                return ",".join(value)
            if value is not None:
                raise InvalidError(f"[{name}] of a search in _msearch is a name or a list of names")
    return ""


async def _ask(item: _Item) -> None:
    """Runs the query pipelines of a search."""
    if item.error is not None:
        return
    try:
        await item.work.queries(item.queries, item.protection)
        if item.bare:
            # A node takes it in a body only, not in a header line (measured on 3.8.0).
            none = msgspec.Raw(msgspec.json.encode(NONE))
            item.work.replace_members({_HEADER_NAME: none} | item.work.members)
    except HeadraceError as error:
        item.error = _error(error)


async def _answer(context: RequestContext, items: list[_Item], started: float) -> web.StreamResponse:
    """Sends on what is left, and answers with the cluster's responses and ours, in the order of the request."""
    left = [item for item in items if item.error is None]
    members: dict[str, msgspec.Raw] = {"took": msgspec.Raw(str(int((time.monotonic() - started) * 1000)).encode())}
    answer = None
    theirs: Iterator[msgspec.Raw] = iter(())
    if left:
        body = b"".join(b"%b\n%b\n" % (item.header, as_single_line(item.work.body)) for item in left)
        answer = await context.forward_buffered(body, unfiltered=True)
        if any(item.results or item.work.pit is not None for item in left):
            answer.require_json()
        if not answer.ok or not answer.json:
            return await reply_answer(context, answer)
        members = members_of(answer.body)
        found = msgspec.json.decode(members.get("responses", msgspec.Raw(b"[]")), type=list[msgspec.Raw])
        if len(found) != len(left):
            raise UpstreamError(f"the upstream answered {len(left)} searches with {len(found)} responses")
        theirs = iter(found)
    responses = [item.error if item.error is not None else await _result(item, bytes(next(theirs))) for item in items]
    members["responses"] = msgspec.Raw(b"[" + b",".join(responses) + b"]")
    runs = [run for item in items for run in item.work.runs]
    if runs:
        context.response_headers["X-Pipeline"] = choice.header(runs)
    text = msgspec.json.encode(members)
    return await (reply(context, 200, text) if answer is None else reply_answer(context, answer, text))


async def _result(item: _Item, response: bytes) -> bytes:
    """The cluster's response to a search after its result pipelines; an error as it is."""
    if item.work.scripted:
        response = withheld(response)
    if "error" in members_of(response):
        return response
    try:
        response = await item.work.results(item.results, response)
    except HeadraceError as error:
        return _error(error)
    return item.work.seal_point_in_time(response)


def _error(error: HeadraceError) -> bytes:
    if isinstance(error, ClusterRefusedError) and error.answer.json:
        return error.answer.body
    return error_body(error)
