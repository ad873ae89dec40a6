"""`GET /_proxy/info`: what a proxy is and how it is set, for administrators and for `headrace doctor`."""

from __future__ import annotations

import hashlib
import hmac
import os
import platform
import time
from importlib.metadata import version
from typing import TYPE_CHECKING

from headrace.security import admin
from headrace.server.reply import reply_json

if TYPE_CHECKING:
    from aiohttp import web

    from headrace.server.request import RequestContext

COMPARED = ("cursor_secret", "registry_secret")
"""Secrets that have to be the same in all proxies of a cluster."""
_STARTED = time.time()


async def info(context: RequestContext) -> web.StreamResponse:
    """Versions, settings without secrets, the time, and fingerprints of the secrets that proxies share."""
    await admin.require_admin(context, changes=False)
    settings = context.components.settings
    answer = {
        "name": "headrace",
        "version": version("headrace"),
        "engine": version("headrace-pipelines"),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "process": os.getpid(),
        "now_ms": int(time.time() * 1000),
        "uptime_seconds": round(time.time() - _STARTED),
        "registry": context.components.registry.state,
        "settings": settings.shown(),
        "fingerprints": {name: fingerprint(getattr(settings, name)) for name in COMPARED},
    }
    return await reply_json(context, 200, answer)


def fingerprint(secret: str) -> str:
    """Eight hexadecimal digits that two proxies have in common if they have the secret in common; empty without one.

    It is an HMAC-SHA256 under the secret, cut to 32 bits: it shows equality and not the secret.
    """
    return hmac.new(secret.encode(), b"headrace fingerprint", hashlib.sha256).hexdigest()[:8] if secret else ""
