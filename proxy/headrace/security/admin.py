"""Rights to read and to change the registry, and the defence against pages in a browser.

With an admin token its holders are administrators. Without one the cluster is asked with the caller's credentials, and
where it cannot be asked, only a loopback listener serves. Against pages in a browser on the same machine, a foreign
`Origin` is refused, on loopback listeners a foreign `Host` too (DNS rebinding), and changes need a content type that
pages cannot send without a preflight request.
"""

from __future__ import annotations

import hmac
import ipaddress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from aiohttp import hdrs

from headrace.http1.headers import ADMIN_HEADER
from headrace_pipelines.errors import MediaTypeError, RefusedError

if TYPE_CHECKING:
    from headrace.server.request import RequestContext
    from headrace.upstream.permissions import Verdict

_SIMPLE = frozenset({"text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""})
"""Media types that a page may send anywhere without asking (Fetch standard, CORS-safelisted), and none."""


async def require_admin(context: RequestContext, *, changes: bool = True) -> None:
    """Raises RefusedError unless this caller may change pipelines and UDFs, and run them by hand.

    `changes`: whether the request is one for a change, or one for something that only administrators may see.

    Raises MediaTypeError for a body of a type that a page can send unasked.
    """
    context.audit, context.asks_for_change = context.audit or {}, changes
    _refuse_pages(context)
    if context.has_body and context.media in _SIMPLE:
        raise MediaTypeError(
            f"Content-Type header [{context.request.headers.get(hdrs.CONTENT_TYPE, '')}] is not supported for changes; "
            "send [application/json], or the type of the UDF's code"
        )
    if context.components.settings.admin_token:
        if not _has_token(context):
            if context.request.headers.get(ADMIN_HEADER):
                raise RefusedError(f"the admin token in {ADMIN_HEADER} is wrong")
            raise RefusedError(f"changing or running pipelines needs the admin token in {ADMIN_HEADER}")
        return
    verdict = await context.components.permissions.manage(context)
    if verdict.allowed is False:
        raise RefusedError(
            "changing or running pipelines needs the rights to change those of the cluster: "
            f"{', '.join(verdict.missing) or 'cluster:admin/ingest/pipeline/put'}"
        )
    if verdict.allowed is None and not context.components.settings.loopback:
        raise RefusedError(
            "pipelines and UDFs are read-only here: the cluster cannot be asked who may change them, and this "
            "proxy listens on more than loopback and has no admin_token"
        )


async def require_attaching(context: RequestContext, index: str) -> None:
    """Raises RefusedError unless this caller may attach pipelines to `index`; a holder of the admin token may."""
    if not context.components.settings.admin_token:
        await context.components.permissions.attach(context, index)


async def require_reader(context: RequestContext) -> None:
    """Raises RefusedError unless this caller may read pipelines, UDFs, their statistics and the metrics."""
    _refuse_pages(context)
    if _has_token(context):
        return
    verdict = await context.components.permissions.read(context)
    if verdict.allowed is False:
        raise RefusedError(
            "reading pipelines needs the right to read those of the cluster: "
            f"{', '.join(verdict.missing) or 'cluster:admin/ingest/pipeline/get'}"
        )
    if verdict.allowed is None and (
        context.components.settings.admin_token or not context.components.settings.loopback
    ):
        raise RefusedError(
            f"reading pipelines, UDFs, statistics and metrics needs the admin token in {ADMIN_HEADER}: the cluster "
            "cannot be asked who may read them. Metrics may be on a listener of their own: metrics_listen"
        )


async def shown_to(context: RequestContext, statistics: Any) -> Any:
    """Statistics as this caller may see them: reasons of failures may quote documents, and are for administrators."""
    return statistics if await _is_admin(context) else _without_reasons(statistics)


async def _is_admin(context: RequestContext) -> bool:
    if context.components.settings.admin_token:
        return _has_token(context)
    verdict: Verdict = await context.components.permissions.manage(context)
    return verdict.allowed is True or (verdict.allowed is None and context.components.settings.loopback)


def _without_reasons(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_reasons(each) for each in value]
    if not isinstance(value, dict):
        return value
    shown = {name: _without_reasons(each) for name, each in value.items()}
    if isinstance(shown.get("last_errors"), list):
        shown["last_errors"] = [{n: v for n, v in each.items() if n != "reason"} for each in shown["last_errors"]]
    return shown


def _has_token(context: RequestContext) -> bool:
    token = context.components.settings.admin_token
    sent = context.request.headers.get(ADMIN_HEADER, "")
    return bool(token) and hmac.compare_digest(sent.encode(), token.encode())


def _refuse_pages(context: RequestContext) -> None:
    """Raises RefusedError for what a page of another site asks."""
    headers, settings = context.request.headers, context.components.settings
    host = headers.get(hdrs.HOST, "")
    origin = headers.get(hdrs.ORIGIN)
    if origin is not None and authority_of(origin) != host:
        raise RefusedError(f"a page of [{origin}] must not ask this proxy for pipelines")
    if settings.loopback and not is_own_name(host, settings.advertise, settings.allowed_hosts):
        raise RefusedError(
            f"[{host}] is not a name of this proxy, which listens on loopback; add it to the setting allowed_hosts"
        )


def authority_of(origin: str) -> str:
    """Host and port of an `Origin`; empty for one that is none (RFC 6454, section 7)."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""


def is_own_name(host: str, advertised: str, allowed: str) -> bool:
    """Whether a `Host` header names a proxy on loopback: against names that a page points at it (DNS rebinding)."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    names = {each.strip().lower() for each in allowed.split(",") if each.strip()}
    if (
        name == "localhost"
        or "*" in names
        or name in names
        or name == (urlsplit(f"//{advertised}").hostname or name + ".")
    ):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
