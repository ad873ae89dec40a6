"""Bulks: their lines, and sending them until the cluster has decided about every line."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

import msgspec

from headrace.backfill.cluster.link import BUSY, Backoff
from headrace.client.errors import error_of
from headrace.client.exchange import NDJSON, decoded

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headrace.backfill.cluster.link import Link
    from headrace.backfill.cluster.reading import Hit

REDUCED = "errors,items.*.status,items.*.error.type,items.*.error.reason,items.*.error.caused_by"
"""The part of an answer that is read: every item has a status, so that their order says which line each is of."""
_TAKEN = b'{"errors":false'


class ItemError(msgspec.Struct, frozen=True):
    """The error of an item."""

    type: str = ""
    reason: str | None = None
    caused_by: ItemError | None = None

    @property
    def text(self) -> str:
        """The reason, and that of its cause."""
        cause = self.caused_by.text if self.caused_by is not None else ""
        return "; ".join(text for text in (self.reason, cause) if text)


class Refusal(msgspec.Struct, frozen=True):
    """An action that the cluster has not done: a conflict (409), a document that is not there (404), an error."""

    status: int = 0
    error: ItemError = ItemError()


class _Answer(msgspec.Struct):
    errors: bool
    items: list[dict[str, Refusal]]


_ANSWER = msgspec.json.Decoder(_Answer)


def copies(hits: Sequence[Hit], *, replace: bool = False) -> bytes:
    """The bulk that writes documents to another index, each with its external version; without one it creates them.

    `replace`: also over documents of the same version, and over those of the same id that have none.
    """
    lines: list[bytes | msgspec.Raw] = []
    kind, creates = _kind(replace=replace), b"index" if replace else b"create"
    for hit in hits:
        routing = b',"routing":%b' % hit.routing if hit.routing else b""
        if hit.external:
            head = b'{"index":{"_id":%b%b,"version":%d,"version_type":"%b"}}' % (hit.id, routing, hit.external, kind)
        else:
            head = b'{"%b":{"_id":%b%b}}' % (creates, hit.id, routing)
        lines += (head, hit.source)
    lines.append(b"")
    return b"\n".join(lines)


def changes(hits: Sequence[Hit]) -> bytes:
    """The bulk that writes documents in place, each only as long as it is as it was read."""
    lines: list[bytes | msgspec.Raw] = []
    for hit in hits:
        lines += (b'{"index":{%b}}' % _as_read(hit), hit.source)
    lines.append(b"")
    return b"\n".join(lines)


def _kind(*, replace: bool) -> bytes:
    return b"external_gte" if replace else b"external"


def deletion(hit: Hit, *, same_index: bool, replace: bool = False) -> bytes:
    """The line that deletes a document: in place as it was read, elsewhere what is older than it, or as old."""
    if same_index:
        return b'{"delete":{%b}}' % _as_read(hit)
    routing = b'"routing":%b,' % hit.routing if hit.routing else b""
    kind = _kind(replace=replace)
    return b'{"delete":{"_id":%b,%b"version":%d,"version_type":"%b"}}' % (hit.id, routing, hit.external, kind)


def _as_read(hit: Hit) -> bytes:
    routing = b'"routing":%b,' % hit.routing if hit.routing else b""
    return b'"_id":%b,%b"if_seq_no":%d,"if_primary_term":%d' % (hit.id, routing, hit.seq_no, hit.primary_term)


class Sent:
    """What became of a bulk: the actions that were not done, by their order in it, and how many were sent again."""

    def __init__(self) -> None:
        self.refused: dict[int, Refusal] = {}
        self.repeated = 0


def send(link: Link, index: str, body: bytes, count: int, params: Mapping[str, str]) -> Sent:
    """Sends a bulk of `count` actions, and those again that the cluster has no room for, with growing waits.

    Raises ClientError for a bulk that is refused as a whole, or that the cluster does not take in time.
    """
    sent = Sent()
    path = f"/{quote(index, safe='')}/_bulk"
    _send(link, path, {**params, "filter_path": REDUCED}, body, list(range(count)), sent)
    return sent


def _send(link: Link, path: str, params: Mapping[str, str], body: bytes, order: list[int], sent: Sent) -> None:
    backoff = Backoff(link.patience)
    while True:
        answer = link.call("POST", path, params, body, media_type=NDJSON)
        if answer.status == 413 and len(order) > 1:
            actions = actions_of(body)
            half = len(order) // 2
            for part in (slice(None, half), slice(half, None)):
                _send(link, path, params, b"".join(actions[part]), order[part], sent)
            return
        if answer.status == 413:
            sent.refused[order[0]] = Refusal(413, ItemError("content_too_long", "the cluster takes no such length"))
            return
        if answer.status != 200:
            decoded(answer)
        if answer.body.startswith(_TAKEN):
            return
        busy = _sorted_out(_ANSWER.decode(answer.body), order, sent)
        if not busy:
            return
        before = backoff.waited
        if not backoff.wait():
            raise error_of(429, "the cluster has no room for documents")
        link.throttled += backoff.waited - before
        sent.repeated += len(busy)
        actions = actions_of(body)
        body, order = b"".join(actions[i] for i in busy), [order[i] for i in busy]


def _sorted_out(answer: _Answer, order: list[int], sent: Sent) -> list[int]:
    """Notes what is refused; gives the positions of what is to be sent again."""
    if len(answer.items) != len(order):
        raise error_of(502, f"the cluster answers {len(answer.items)} of {len(order)} actions")
    busy = []
    for position, item in enumerate(answer.items):
        for outcome in item.values():
            if outcome.status in BUSY:
                busy.append(position)
            elif outcome.status >= 300:
                sent.refused[order[position]] = outcome
    return busy


def actions_of(body: bytes) -> list[bytes]:
    """The actions of a bulk, each with its line ends."""
    lines = body.split(b"\n")
    actions, at = [], 0
    while at < len(lines) - 1:
        length = 1 if lines[at].startswith(b'{"delete"') else 2
        actions.append(b"\n".join(lines[at : at + length]) + b"\n")
        at += length
    return actions
