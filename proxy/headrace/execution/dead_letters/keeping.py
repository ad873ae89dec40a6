"""Writes records of dead letters, and says of each whether the cluster has acknowledged it."""

from __future__ import annotations

import base64
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from headrace.execution.dead_letters.record import fields_of
from headrace_pipelines.errors import HeadraceError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from headrace.protocol.indices.dead_letter_record import DeadLetter
    from headrace.server.request import RequestContext
    from headrace.settings import Settings

log = logging.getLogger("headrace.dead_letters")

MAX_BULK = 8 << 20
"""Bytes of records in one request to the cluster, unless a single record is longer."""


@dataclass(frozen=True)
class Kept:
    """Where a record is."""

    index: str
    id: str

    @property
    def shown(self) -> dict[str, str]:
        """As an answer shows it."""
        return {"_index": self.index, "_id": self.id}


class Keeping(NamedTuple):
    """The end of a dead letter: where its record is; `None`: it is not written.

    `limited`: there are too many; `refused`: its caller may not write to where it was to go.
    """

    kept: Kept | None = None
    limited: bool = False
    refused: bool = False


class _Written(msgspec.Struct):
    index: str = msgspec.field(name="_index", default="")
    id: str = msgspec.field(name="_id", default="")
    status: int = 0
    error: msgspec.Raw = msgspec.Raw(b"")


class _Answer(msgspec.Struct):
    items: list[dict[str, _Written]]


async def keep(context: RequestContext, letters: Sequence[DeadLetter]) -> list[Keeping]:
    """Writes the records of these documents, as far as the limit of this proxy allows; never raises HeadraceError."""
    unseen = {letter.index for letter in letters if letter.fault.cause == "pipeline"}
    refused = {index for index in unseen if not await _may_write(context, index)}
    allowed = [letter.fault.cause != "pipeline" or letter.index not in refused for letter in letters]
    found = iter(await _keep(context, [letter for letter, good in zip(letters, allowed, strict=True) if good]))
    return [next(found) if good else Keeping(refused=True) for good in allowed]


async def _may_write(context: RequestContext, index: str) -> bool:
    """Whether the caller may write to the target of documents that have not come to the cluster.

    Nobody else has asked for its credentials: what it may not write must not be written by a redrive.
    """
    try:
        return (await context.components.permissions.write(context, index)).allowed is not False
    except HeadraceError:
        return False


async def _keep(context: RequestContext, letters: Sequence[DeadLetter]) -> list[Keeping]:
    components = context.components
    admitted = components.dead_letter_rate.admit(len(letters))
    found: list[Keeping] = []
    for lines in _bodies(context, letters[:admitted]):
        found += await _written(context, lines)
    found += [Keeping(limited=True)] * (len(letters) - admitted)
    kept = sum(keeping.kept is not None for keeping in found)
    components.metrics.dead_letters(kept, admitted - kept, len(letters) - admitted)
    return found


def _bodies(context: RequestContext, letters: Sequence[DeadLetter]) -> Iterator[list[bytes]]:
    """The lines of the records, in pairs, for one request each."""
    lines: list[bytes] = []
    size = 0
    for letter in letters:
        action = {"create": {"_index": letter.policy.stream, "_id": letter.record_id()}}
        pair = [msgspec.json.encode(action), msgspec.json.encode(fields_of(context, letter))]
        length = len(pair[0]) + len(pair[1]) + 2
        if lines and size + length > MAX_BULK:
            yield lines
            lines, size = [], 0
        lines += pair
        size += length
    if lines:
        yield lines


async def _written(context: RequestContext, lines: list[bytes]) -> list[Keeping]:
    count = len(lines) // 2
    try:
        authorization = credentials(context.components.settings)
        answer = await context.write_bulk(b"\n".join([*lines, b""]), {}, authorization)
        answer.require_ok()
        items = msgspec.json.decode(answer.body, type=_Answer).items
    except (HeadraceError, msgspec.MsgspecError) as error:
        log.error("%d dead letters are not written: %s", count, type(error).__name__)
        return [Keeping()] * count
    if len(items) != count:
        return [Keeping()] * count
    written = [next(iter(item.values()), _Written()) for item in items]
    if refused := {each.status for each in written if not _is_there(each)}:
        log.error("the cluster refuses dead letters: %s", ", ".join(map(str, sorted(refused))))
    return [Keeping(Kept(each.index, each.id)) if _is_there(each) else Keeping() for each in written]


def _is_there(written: _Written) -> bool:
    """Whether a record is written now, or was before: an equal id means the same document."""
    return written.status in (200, 201, 409)


def credentials(settings: Settings) -> str | None:
    """The header of the user that writes dead letters; `None`: the caller's own credentials."""
    if not settings.dead_letter_user:
        return None
    pair = f"{settings.dead_letter_user}:{settings.dead_letter_password}"
    return f"Basic {base64.b64encode(pair.encode()).decode()}"
