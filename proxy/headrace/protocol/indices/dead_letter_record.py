"""The record of a dead letter: the document as it came, where it was to go, and why it did not get there."""

from __future__ import annotations

import base64
import hashlib
import re
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from headrace_pipelines.definition import DeadLetterCause, DeadLetters

_FIELD = re.compile(r"(?:field|within) \[([^\]]{1,200})\]")
"""The field that a reason of the cluster or of a built-in names."""
MAX_REASON = 2000
"""Maximum length in characters of the reason in a record: a reason may quote a whole document."""

Op = Literal["index", "create", "update"]


@dataclass(frozen=True)
class Fault:
    """Why a document is a dead letter; `pipeline`: `name@version` of the pipeline that it met, if any."""

    cause: DeadLetterCause
    status: int
    type: str
    reason: str
    pipeline: str = ""
    stage: str = ""

    @property
    def field(self) -> str | None:
        """The field that it is about, where the reason names it."""
        found = _FIELD.search(self.reason)
        return found[1] if found else None


@dataclass(frozen=True)
class DeadLetter:
    """A document to keep; `original`: the text that the client sent, of an update its whole body.

    `named`: the pipeline that the request names, or `_none`. `parts`: how many documents stages made of it.
    """

    policy: DeadLetters
    op: str
    index: str
    original: bytes
    fault: Fault
    id: str | None = None
    routing: str | None = None
    named: str | None = None
    parts: int = 1

    def record_id(self) -> str:
        """The id of its record: of a document with an id the same for the same text, of another a new one each time.

        So a document that a client sends again is not counted twice, and equal documents without an id are two. Equal
        updates are two as well: each may count something.
        """
        if self.id is None or self.op == "update":
            return uuid.uuid4().hex
        digest = hashlib.sha256(self.original)
        for part in (self.op, self.index, self.id, self.routing or "", self.named or ""):
            digest.update(b"\0" + part.encode())
        return digest.hexdigest()[:40]

    def group(self) -> str:
        """The same for documents that fail alike: of one type of error, one stage, one field and one index."""
        fault = self.fault
        text = "\0".join((fault.type, fault.stage or fault.cause, fault.field or "", self.index))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def fields_of(letter: DeadLetter, user: str | None = None, trace_id: str | None = None) -> dict[str, Any]:
    """The record as a document of the stream, sent by `user`. Members without a value are left out."""
    fault = letter.fault
    name, _, version = fault.pipeline.rpartition("@")
    fields = {
        "@timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        **original_of(letter.original),
        "op": letter.op,
        "target": letter.index,
        "id": letter.id,
        "routing": letter.routing,
        "named": letter.named,
        "parts": letter.parts if letter.parts > 1 else None,
        "pipeline": name or None,
        "version": version or None,
        "cause": fault.cause,
        "stage": fault.stage or None,
        "error": error_of(fault),
        "group": letter.group(),
        "user": user,
        "trace_id": trace_id,
        "attempt": 1,
    }
    return {name: value for name, value in fields.items() if value is not None}


def error_of(fault: Fault) -> dict[str, Any]:
    """The error of a record."""
    found = {"type": fault.type, "reason": fault.reason[:MAX_REASON], "status": fault.status}
    return found if fault.field is None else {**found, "field": fault.field}


def original_of(text: bytes) -> dict[str, str]:
    """The document as text, which people can read; in base64 where its bytes are no text."""
    try:
        return {"original": text.decode()}
    except UnicodeDecodeError:
        return {"original_base64": base64.b64encode(text).decode()}


def text_of(record: dict[str, Any]) -> bytes:
    """The bytes of the document of a record, as the client sent them."""
    if "original_base64" in record:
        return base64.b64decode(record["original_base64"])
    return str(record["original"]).encode()
