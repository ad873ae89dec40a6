"""What the cluster refuses by a mapping that has changed meanwhile: read anew, fitted by it, and sent once more.

A refused document has not been written, so that the second try repeats nothing.
"""

from __future__ import annotations

import asyncio
import logging
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from headrace_pipelines import Batch, Bulk, BulkError, Deadline
from headrace_pipelines.engine import PanicException
from headrace_pipelines.errors import HeadraceError

if TYPE_CHECKING:
    from headrace.execution.document_run import Fitted
    from headrace.server.request import RequestContext
    from headrace.upstream.client import Answer
    from headrace.upstream.sending import Text

log = logging.getLogger("headrace.mappings")

_REFUSALS = re.compile(
    r"(?:mapper_parsing|strict_dynamic_mapping|document_parsing|mapper|illegal_argument|parsing)_exception"
)
"""Types of errors that documents and mappings cause."""
_LIMITS = re.compile(
    r"limit of|immense term|ambiguous|mapper \[|mapping|dynamic introduction|non object|field \[", re.IGNORECASE
)
"""Texts of the errors of type `illegal_argument_exception` that do."""
_NAMED = (
    re.compile(r"failed to parse field \[([^\]]+)\]"),
    re.compile(r"object mapping for \[([^\]]+)\]"),
    re.compile(r"add mapping for field \[([^\]]+)\]"),
    re.compile(r'immense term in field="([^"]+)"'),
    re.compile(r"field alias \[([^\]]+)\]"),
    re.compile(r"(?:join )?field \[([^\]]+)\]"),
    re.compile(r"mapper \[([^\]]+)\]"),
    re.compile(r"ambiguous: \[([^\]]+)\]"),
    re.compile(r"non object mapping \[([^\]]+)\]"),
)
_POINTS = re.compile(r"\.{2,}")
_INTRODUCED = re.compile(r"dynamic introduction of \[([^\]]*)\] within \[([^\]]*)\]")
MAX_REFITTED = 10_000
"""Documents of one request that are fitted again: it bounds the time of a second try."""
_SECONDS = 5.0
"""Seconds for the fitting of refused documents."""
_BLANK = b" \t\f\r"
"""What a line may have that the cluster and the engine pass over in place of an action."""


class _Cause(msgspec.Struct):
    type: str = ""
    reason: str | None = None
    caused_by: _Cause | None = None

    @property
    def text(self) -> str:
        cause = self.caused_by.text if self.caused_by is not None else ""
        return f"{self.reason or ''}; {cause}"


class _Item(msgspec.Struct):
    status: int = 0
    error: _Cause | None = None


class _BulkAnswer(msgspec.Struct):
    items: list[msgspec.Raw] = []


class _SingleAnswer(msgspec.Struct):
    error: _Cause | None = None


@dataclass
class _Refused:
    """A document that the cluster refused, by the position of its item, with its lines and the paths of the error."""

    position: int
    index: str
    action: bytes
    source: bytes
    paths: list[str] = field(default_factory=list)


async def sent_again(context: RequestContext, fitted: list[Fitted], body: Text, answer: Answer) -> bytes | None:
    """The answer to a bulk after a second try for what mappings refused; `None`: the first answer stands."""
    if not fitted or not answer.ok or b'"error"' not in answer.body:
        return None
    try:
        items = msgspec.json.decode(answer.body, type=_BulkAnswer).items
        refused = await asyncio.to_thread(_refused, context.params.get("index"), fitted, body, items)
        replaced = await _second_try(context, fitted, refused) if refused else []
    except (msgspec.MsgspecError, BulkError):
        return None
    if not refused or len(replaced) != len(refused):
        return None
    for each, item in zip(refused, replaced, strict=True):
        items[each.position] = item
    members: dict[str, Any] = msgspec.json.decode(answer.body, type=dict[str, msgspec.Raw])
    errors = any(b'"error"' in bytes(item) for item in items)
    members |= {"errors": msgspec.Raw(b"true" if errors else b"false"), "items": items}
    return msgspec.json.encode(members)


async def _second_try(context: RequestContext, fitted: list[Fitted], refused: list[_Refused]) -> list[msgspec.Raw]:
    """The cluster's items for refused documents that are fitted again; none where it does not answer."""
    again = await _refit(context, fitted, refused)
    if again is None:
        return []
    lines = b"".join(b"%b\n%b\n" % (each.action, text) for each, text in zip(refused, again, strict=True))
    try:
        second = await context.forward_buffered(lines, unfiltered=True)
    except HeadraceError as error:
        # The other documents of the bulk are written: their items are the answer.
        log.warning("refused documents of a bulk could not be sent again: %s", error.reason)
        return []
    return msgspec.json.decode(second.body, type=_BulkAnswer).items if second.ok and second.json else []


async def single_again(
    context: RequestContext, fitted: list[Fitted], index: str, body: bytes, answer: Answer
) -> Answer:
    """The answer to a write of one document, after a second try where a mapping refused it."""
    if answer.status != 400 or not answer.json or not any(index in each.indexes for each in fitted):
        return answer
    try:
        error = msgspec.json.decode(answer.body, type=_SingleAnswer).error
    except msgspec.MsgspecError:
        return answer
    if error is None or not _by_mapping(error):
        return answer
    refused = _Refused(0, index, b"", body, _paths(error.text))
    again = await _refit(context, fitted, [refused])
    if again is None:
        return answer
    try:
        return await context.forward_buffered(again[0], unfiltered=True)
    except HeadraceError as failure:
        log.warning("a refused document could not be sent again: %s", failure.reason)
        return answer


def _by_mapping(error: _Cause) -> bool:
    if not _REFUSALS.fullmatch(error.type):
        return False
    return error.type != "illegal_argument_exception" or bool(_LIMITS.search(error.text))


def _refused(default: str | None, fitted: list[Fitted], body: Text, items: list[msgspec.Raw]) -> list[_Refused]:
    """The documents of a bulk that mappings refused, at the indexes of fitted ones. Updates are not tried again.

    `default`: the index of actions that name none. Raises MsgspecError, BulkError.
    """
    wanted = _errors(items)
    if not wanted or len(wanted) > MAX_REFITTED:
        return []
    text = bytes(memoryview(body))
    parsed, refused = Bulk(text, index=default), []
    if len(parsed) != len(items):
        return []
    indexes: set[str | None] = {index for each in fitted for index in each.indexes}
    lines, at = text.split(b"\n"), 0
    for position in range(len(parsed)):
        op, _, index, _, _, source = parsed.source(position)
        # Blank lines stand for nothing before an action; behind one they are its document.
        while not lines[at].strip(_BLANK):
            at += 1
        if (error := wanted.get(position)) is not None and index in indexes:
            refused.append(_Refused(position, index or "", lines[at], source, _paths(error.text)))
        at += 1 if op == "delete" else 2
    return refused


def _errors(items: list[msgspec.Raw]) -> dict[int, _Cause]:
    """The errors that mappings caused, by the positions of their items. Raises MsgspecError."""
    found: dict[int, _Cause] = {}
    for position, raw in enumerate(items):
        if b'"error"' in bytes(raw):
            for op, item in msgspec.json.decode(raw, type=dict[str, _Item]).items():
                if op in ("index", "create") and item.status == 400 and item.error and _by_mapping(item.error):
                    found[position] = item.error
    return found


def _paths(text: str) -> list[str]:
    """The paths that the cluster's error names."""
    found = [name for pattern in _NAMED for name in pattern.findall(text)]
    for name, above in _INTRODUCED.findall(text):
        found.append(name if above == "_doc" else f"{above}.{name}")
    # Names keep points that are no more than that.
    return list(dict.fromkeys(_POINTS.sub(".", name).strip(".") for name in found))


async def _refit(context: RequestContext, fitted: list[Fitted], refused: list[_Refused]) -> list[bytes] | None:
    """The documents, fitted by mappings that are read now; `None` where that changes nothing."""
    await context.components.mappings.renew({each.index for each in refused})
    try:
        texts = await asyncio.to_thread(_refit_all, context, fitted, refused)
    except (Exception, PanicException):
        log.exception("refused documents could not be fitted again")
        return None
    return None if all(text == each.source for text, each in zip(texts, refused, strict=True)) else texts


def _refit_all(context: RequestContext, fitted: list[Fitted], refused: list[_Refused]) -> list[bytes]:
    """The documents by the mapping as it is; else without what errors name, or what only the cluster judges."""
    keeper, texts = context.components.mappings, []
    deadline, counts = Deadline(_SECONDS), []
    for each in refused:
        fitters = next(pair.pipeline for pair in fitted if each.index in pair.indexes).fitters
        text = each.source
        for named in ([], each.paths, keeper.opaque(each.index)):
            for runner in fitters:
                batch = Batch.of("document", text, index=each.index)
                batch.fit(keeper.mappings, refused=named)
                batch.check("")
                if batch.live:
                    batch.run_native(runner.native, deadline, abort=False, pipeline="", stage="")
                    text = batch.document(0) if batch.live else each.source
                    counts.extend(batch.unfit())
            if text != each.source:
                break
        texts.append(text)
    context.components.metrics.fitting.add(counts)
    return texts
