"""The audit log: a line of JSON for every change of pipelines, UDFs and attachments, refused ones too.

Who (the name of Basic credentials, never a password), from where, what, with which outcome; no bodies.
"""

from __future__ import annotations

import base64
import logging
from typing import TYPE_CHECKING

import msgspec
from aiohttp import hdrs

if TYPE_CHECKING:
    from headrace.server.request import RequestContext

log = logging.getLogger("headrace.audit")


def record(context: RequestContext, status: int, *, gone: bool = False) -> None:
    """Writes the line of a request that asked for a change; `gone`: its client did not wait for the answer."""
    if context.audit is None:
        return
    headers = context.request.headers
    entry = {
        "action": f"{context.method} {context.target.raw_path}",
        "status": status,
        "user": user_of(headers.get(hdrs.AUTHORIZATION, "")),
        "source": context.request.remote or "",
        **context.audit,
    }
    if gone:
        entry["client"] = "gone"
    if opaque := headers.get("X-Opaque-Id"):
        entry["x_opaque_id"] = opaque
    log.info("%s", msgspec.json.encode(entry).decode())


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
        return base64.b64decode(value, validate=True).decode().partition(":")[0]
    except ValueError:
        return "basic"
