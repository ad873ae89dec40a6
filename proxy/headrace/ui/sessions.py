"""Who is logged in: sealed cookies, so that every worker and every proxy with the same secret opens them.

A session holds the credentials that its requests to the API carry. The cookie is encrypted and signed (Fernet: AES-CBC
and HMAC-SHA-256, with the time of its making), so that neither a thief of the cookie reads a password in it nor anybody
makes one.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets

import msgspec
from cryptography.fernet import Fernet, InvalidToken

from headrace.http1.headers import ADMIN_HEADER

LIFETIME_SECONDS = 8 * 3600
"""Seconds after its log-in for which a session holds: a working day."""
MOST_COOKIE_BYTES = 3500
"""Maximum length in bytes of a sealed session: browsers keep no cookie above 4,096."""


class Session(msgspec.Struct, frozen=True, omit_defaults=True):
    """A session: a random id, and the credentials of who logged in, if anybody did."""

    id: str
    user: str = ""
    authorization: str = ""
    token: str = ""

    @property
    def logged_in(self) -> bool:
        """Whether it has credentials."""
        return bool(self.authorization or self.token)

    @property
    def headers(self) -> dict[str, str]:
        """The headers that carry the credentials."""
        found = {"Authorization": self.authorization, ADMIN_HEADER: self.token}
        return {name: value for name, value in found.items() if value}

    @property
    def name(self) -> str:
        """Who it is, for people."""
        return self.user or ("administrator" if self.token else "")


def anonymous() -> Session:
    """A new session of nobody."""
    return Session(secrets.token_urlsafe(24))


def of_user(user: str, password: str) -> Session:
    """A new session with Basic credentials."""
    text = base64.b64encode(f"{user}:{password}".encode()).decode()
    return Session(secrets.token_urlsafe(24), user, f"Basic {text}")


def of_token(token: str) -> Session:
    """A new session with the admin token."""
    return Session(secrets.token_urlsafe(24), token=token)


class Seals:
    """Seals sessions under a secret, and makes the CSRF tokens that are bound to them."""

    def __init__(self, secret: bytes) -> None:
        self._fernet = Fernet(base64.urlsafe_b64encode(hashlib.sha256(b"headrace ui sessions" + secret).digest()))
        self._key = hashlib.sha256(b"headrace ui forms" + secret).digest()

    def seal(self, session: Session) -> str:
        """The text of a cookie."""
        return self._fernet.encrypt(msgspec.json.encode(session)).decode()

    def open(self, text: str) -> Session | None:
        """The session in a cookie; `None` for one that is too old, broken or not ours."""
        if not text or len(text) > MOST_COOKIE_BYTES:
            return None
        try:
            return msgspec.json.decode(self._fernet.decrypt(text, ttl=LIFETIME_SECONDS), type=Session)
        except (InvalidToken, msgspec.DecodeError):
            return None

    def csrf(self, session: Session) -> str:
        """The token of the forms of a session."""
        return hmac.new(self._key, session.id.encode(), "sha256").hexdigest()

    def is_csrf(self, session: Session, token: str) -> bool:
        """Whether a form was made for this session."""
        return hmac.compare_digest(self.csrf(session).encode(), token.encode())
