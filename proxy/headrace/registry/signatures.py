"""Signatures of the registry's documents: who can write the index cannot say what is in the registry.

A signature is an HMAC-SHA-256 over a document's id, kind, name, body and revision, by a key that only the proxies have
(`registry_secret`). It says by which key it was made, so that a wrong secret is told from a forgery.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
from typing import Any

import msgspec

from headrace.registry.records_codec import Document
from headrace_pipelines.errors import InvalidError

log = logging.getLogger("headrace.registry")

DELETED, MANIFEST = "deleted", "manifest"
"""Kinds beside those of records: what was deleted, and the list of all documents with their revisions."""
FIELDS = ("kind", "name", "body", "revision", "signature")
_MARK = "hr1"
KEY_ID = 8
"""Characters of the digest of a key that name it."""
SHORTEST = 16
"""Bytes below which a secret is said to be short: it could be guessed from the index."""
_SHAPE = "its fields are not what they are in documents of a proxy"
_MOST = 1 << 53
"""Revisions stay below what every reader of JSON keeps exactly."""


class Entry(Document, frozen=True, kw_only=True):
    """A document whose signature holds. Of two with one id the one with the greater `order` is in force."""

    id: str
    revision: int
    signature: str

    @property
    def order(self) -> tuple[int, str]:
        """By revision; two of the same revision, of proxies that lost sight of each other, in an order all agree on."""
        return self.revision, self.signature

    @property
    def live(self) -> bool:
        """Whether it says something else than that it was deleted."""
        return self.kind != DELETED

    @property
    def source(self) -> dict[str, Any]:
        """The document as it is stored."""
        return {name: getattr(self, name) for name in FIELDS}


class Signer:
    """Signs with the first secret, and takes the signatures of all."""

    def __init__(self, secrets: list[bytes], index: str) -> None:
        self._index = index
        self._keys: dict[str, bytes] = {}
        self.replace(secrets)

    def replace(self, secrets: list[bytes]) -> None:
        """Signs with the first of these from now on, and takes the signatures of all of them."""
        prefix = b"headrace registry\0" + self._index.encode() + b"\0"
        derived = (hashlib.sha256(prefix + secret).digest() for secret in secrets)
        # One assignment: threads verify at any time.
        self._keys = {hashlib.sha256(b"id" + key).hexdigest()[:KEY_ID]: key for key in derived}

    @property
    def _first(self) -> str:
        return next(iter(self._keys))

    def sign(self, id_: str, document: Document, revision: int) -> Entry:
        """The document with its signature."""
        key_id, key = next(iter(self._keys.items()))
        tag = _tag(key, id_, document.kind, document.name, document.body, revision)
        return Entry(
            id=id_,
            kind=document.kind,
            name=document.name,
            body=document.body,
            revision=revision,
            signature=f"{_MARK}.{key_id}.{tag}",
        )

    @property
    def key_id(self) -> str:
        """Names the secret that signs, without telling it."""
        return self._first

    def foreign(self, source: object) -> str | None:
        """The key that a stored document says it was signed with, if it is none of ours."""
        signature = source.get("signature") if isinstance(source, dict) else None
        if not isinstance(signature, str):
            return None
        mark, _, rest = signature.partition(".")
        key_id = rest.partition(".")[0]
        return key_id if mark == _MARK and len(key_id) == KEY_ID and key_id not in self._keys else None

    def old(self, entry: Entry) -> bool:
        """Whether it was signed with another secret than the first."""
        return entry.signature.split(".")[1] != self._first

    def verified(self, id_: str, source: object, newest: Entry | None = None) -> Entry | str:
        """The entry that a stored document is, or why it is none. `newest` needs no second look."""
        if not isinstance(source, dict):
            return "it has no readable source"
        kind, name, body, revision, signature = (source.get(field) for field in FIELDS)
        if "signature" not in source:
            return "it has no signature"
        if not (isinstance(kind, str) and isinstance(name, str) and isinstance(body, str)):
            return _SHAPE
        if not isinstance(revision, int) or isinstance(revision, bool) or not 0 < revision < _MOST:
            return _SHAPE
        if not isinstance(signature, str):
            return _SHAPE
        entry = Entry(id=id_, kind=kind, name=name, body=body, revision=revision, signature=signature)
        if entry == newest:
            return newest
        mark, _, rest = signature.partition(".")
        key_id, _, tag = rest.partition(".")
        key = self._keys.get(key_id)
        if mark != _MARK or key is None:
            return "it was signed with another registry_secret"
        try:
            good = hmac.compare_digest(tag.encode(), _tag(key, id_, kind, name, body, revision).encode())
        except UnicodeEncodeError:
            return "it holds text that is no Unicode"
        return entry if good else "its signature is wrong"


def _tag(key: bytes, id_: str, kind: str, name: str, body: str, revision: int) -> str:
    text = msgspec.json.encode([id_, kind, name, body, revision])
    return hmac.digest(key, text, "sha256").hex()


def secrets_of(setting: bytes, given: str) -> list[bytes]:
    """The secrets of the setting, which lists them by commas; one from a file is one, whatever is in it."""
    if not given:
        return [setting]
    secrets = [_secret(part.strip()) for part in given.split(",") if part.strip()]
    if any(len(secret) < SHORTEST for secret in secrets):
        log.warning("registry_secret has fewer than %d bytes: whoever reads the registry index may guess it", SHORTEST)
    return secrets


def _secret(text: str) -> bytes:
    """One secret; `hex:` stands before the bytes of a key file. Raises InvalidError."""
    if not text.startswith("hex:"):
        return text.encode()
    try:
        return bytes.fromhex(text.removeprefix("hex:"))
    except ValueError:
        raise InvalidError("is not hexadecimal behind [hex:]", "registry_secret") from None
