"""Cursors of the cluster as clients get them: sealed, with what pipelines must be told later.

Later pages of a scroll, searches over a point in time and the answers of asynchronous searches name no index. What was
decided at their beginning travels in the cursor itself, so that any proxy with the same secret goes on with it; a seal
keeps clients from leaving it out where a final pipeline would be skipped. Nothing in a cursor is secret.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import TYPE_CHECKING

import msgspec

from headrace_pipelines.errors import InvalidError

if TYPE_CHECKING:
    from collections.abc import Callable

MARK = "hr1-"
_SEAL = 16
"""Bytes of the HMAC-SHA-256 that are kept."""


class PinnedPart(msgspec.Struct, array_like=True):
    """A result pipeline that goes on with a cursor; `indexes`: only over the hits of these."""

    final: bool
    name: str
    version: str
    indexes: list[str] | None = None


class Cursor(msgspec.Struct, omit_defaults=True):
    """A cursor of the cluster. `kind` is `scroll`, `pit` or `async`; `expression` is what a point in time is of."""

    kind: str
    id: str = ""
    results: list[PinnedPart] = []
    expression: str = ""
    ctx: str | None = None
    versions: dict[str, str] = {}
    """Of a point in time: the versions of pipelines with a canary, by key, that its first search met."""


class Cursors:
    """Seals cursors and opens them again."""

    def __init__(self, secret: bytes) -> None:
        self._key = hashlib.sha256(b"headrace cursors" + secret).digest()

    def seal(self, cursor: Cursor) -> str:
        """The text that a client gets."""
        text = msgspec.json.encode(cursor)
        return MARK + base64.urlsafe_b64encode(self._tag(text) + text).decode().rstrip("=")

    def sealer(self, cursor: Cursor) -> Callable[[str], str]:
        """A function that seals an id of the cluster with the facts of `cursor`."""
        return lambda id_: self.seal(msgspec.structs.replace(cursor, id=id_))

    def open(self, kind: str, text: str) -> Cursor | None:
        """The sealed cursor; `None` for an id of the cluster itself. Raises InvalidError for a broken seal."""
        if not text.startswith(MARK):
            return None
        try:
            raw = base64.b64decode(text[len(MARK) :] + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
            cursor = msgspec.json.decode(raw[_SEAL:], type=Cursor)
        except (binascii.Error, ValueError, msgspec.DecodeError):
            raise _broken(kind) from None
        if not hmac.compare_digest(raw[:_SEAL], self._tag(raw[_SEAL:])) or cursor.kind != kind:
            raise _broken(kind)
        return cursor

    def _tag(self, text: bytes) -> bytes:
        return hmac.digest(self._key, text, "sha256")[:_SEAL]


def _broken(kind: str) -> InvalidError:
    name = {"scroll": "scroll_id", "pit": "pit id", "async": "id of an asynchronous search"}.get(kind, kind)
    return InvalidError(
        f"this {name} was not made by this proxy, or by one with another cursor_secret; begin the search again"
    )
