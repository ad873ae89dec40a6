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
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() != "basic":
        return scheme.lower() if value and scheme.lower() in SCHEMES else "unknown" if authorization else ""
    try:
        user, colon, _ = base64.b64decode(value, validate=True).decode().partition(":")
    except ValueError:
        return "basic"
    # Without a colon it may be a password alone.
    return user if colon else "basic"


def identity_of(authorization: str) -> str:
    """A name for whom credentials are of: the user of Basic ones, else their scheme with 12 digits of their SHA-256.

    Empty without credentials. Whether they are right is not checked.
    """
    if not authorization:
        return ""
    user = user_of(authorization)
    if authorization.partition(" ")[0].lower() == "basic" and user != "basic":
        return user
    return f"{user}:{hashlib.sha256(authorization.encode('latin-1', 'replace')).hexdigest()[:12]}"
