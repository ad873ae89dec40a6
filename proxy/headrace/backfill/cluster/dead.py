"""Dead letters of a job: documents that it cannot write, in the records that `headrace dead` lists and sends again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from headrace.backfill.cluster.writing import send
from headrace.backfill.spec import BackfillError
from headrace.protocol.indices.dead_letter_record import DeadLetter, Fault, fields_of
from headrace_pipelines.definition import DeadLetters

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace.backfill.cluster.link import Link
    from headrace.backfill.cluster.reading import Hit
    from headrace.backfill.spec import JobSpec

PERMANENT = frozenset({400, 413})
"""Statuses of a document that no repetition can index."""


def letter(job: JobSpec, hit: Hit, fault: Fault) -> DeadLetter:
    """The dead letter of a document. Its id is the same when the item runs again."""
    return DeadLetter(
        DeadLetters(stream=job.stream),
        "index",
        job.target,
        hit.text,
        fault,
        id=hit.name,
        routing=msgspec.json.decode(hit.routing, type=str) if hit.routing else None,
        named=job.pipeline.partition("@")[0],
    )


def keep(link: Link, job: JobSpec, letters: Sequence[DeadLetter]) -> None:
    """Writes records, before their item is checked off. Raises BackfillError for records that are refused."""
    if not letters:
        return
    lines: list[bytes] = []
    for each in letters:
        lines += (msgspec.json.encode({"create": {"_id": each.record_id()}}), msgspec.json.encode(fields_of(each)))
    sent = send(link, job.stream, b"\n".join([*lines, b""]), len(letters), job.params)
    for refusal in sent.refused.values():
        if refusal.status != 409:
            raise BackfillError(f"dead letters cannot be written to [{job.stream}]: {refusal.error.text}")
