"""The name behind an `Authorization` header, for logs: never a password, never a token."""

from __future__ import annotations

import base64
import hashlib

SCHEMES = frozenset({"bearer", "apikey", "negotiate", "digest", "aws4-hmac-sha256"})
"""Schemes of credentials that OpenSearch, Elasticsearch and AWS have (RFC 9110, section 11)."""


def user_of(authorization: str) -> str:
    """The user of Basic credentials; of others their scheme, where it is one of SCHEMES, else `unknown`.

    A header that is a bare token has no scheme: nothing of it is shown.
    """
    scheme, value = _parts(authorization)
    if scheme != "basic":
        return scheme if value and scheme in SCHEMES else "unknown" if authorization else ""
    return _basic_user(value) or "basic"


def _parts(authorization: str) -> tuple[str, str]:
    """The scheme in small letters and what is behind it, without the spaces around both."""
    scheme, _, value = authorization.strip().partition(" ")
    return scheme.lower(), value.strip()


def _basic_user(value: str) -> str | None:
    """The user of Basic credentials as OpenSearch reads them; `None` where it is not plain.

    It decodes what is before the next space, which needs no `=` at its end.
    Else a client has as many names as it writes spellings of its own.
    """
    text = value.partition(" ")[0].rstrip("=")
    try:
        user, colon, _ = base64.b64decode(text + "=" * (-len(text) % 4), validate=True).partition(b":")
    except ValueError:
        return None
    # Without a colon it may be a password alone.
    return user.decode(errors="replace") if colon else None


def identity_of(authorization: str) -> str:
    """A name for whom credentials are of: the user of Basic ones, else their scheme with 12 digits of their SHA-256.

    Empty without credentials. Whether they are right is not checked.
    """
    if not authorization:
        return ""
    scheme, value = _parts(authorization)
    user = _basic_user(value) if scheme == "basic" else None
    if user is not None:
        return user
    spelt = f"{scheme} {value}".encode("latin-1", "replace")
    return f"{user_of(authorization)}:{hashlib.sha256(spelt).hexdigest()[:12]}"
