"""Permissions to read, change and attach pipelines: asked of the cluster with the caller's own credentials.

The security plugin of OpenSearch 3 answers any request with `perform_permission_check=true` with whether it would be
allowed, and does nothing. A cluster without the plugin refuses the unknown parameter, also before it does anything
(measured on 3.8.0), so that asking is safe. The plugin of OpenSearch 2 does not know the parameter either, but says
who the caller is (`authinfo`): then one of the roles in `admin_roles` is wanted. Without that there is nobody to ask.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol
from urllib.parse import quote

import msgspec
from aiohttp import hdrs

from headrace.upstream.client import ClusterRefusedError
from headrace_pipelines.cache import BoundedCache
from headrace_pipelines.errors import RefusedError

if TYPE_CHECKING:
    from collections.abc import Collection

    from aiohttp import web

    from headrace.upstream.client import Answer

KEPT_SECONDS = 60.0
"""Seconds for which a permission counts after the cluster granted it: a withdrawn one ends within that time."""
MAX_KEPT = 10_000
"""Permissions that are kept: some 100 bytes each, so at most a megabyte."""
_PROBE = "perform_permission_check=true"
_WHO = "/_plugins/_security/authinfo"
_CREDENTIALS = (hdrs.AUTHORIZATION, hdrs.COOKIE)


@dataclass(frozen=True)
class Verdict:
    """The answer of the cluster; `allowed` is `None` where it cannot be asked."""

    allowed: bool | None
    missing: tuple[str, ...] = ()


class _Told(msgspec.Struct, rename="camel"):
    access_allowed: bool
    missing_privileges: list[str] = []


class _Who(msgspec.Struct):
    roles: list[str]


class Caller(Protocol):
    """A request, as far as its sender is concerned."""

    @property
    def request(self) -> web.BaseRequest:
        """The request, with the credentials in its headers."""
        ...

    async def call_cluster(self, method: str, path: str, body: bytes | None = None) -> Answer:
        """A call to the cluster with the credentials of the request."""
        ...


class Permissions:
    """The cluster's answers, kept for a minute where they are yes; by a hash of the credentials, never by the text."""

    def __init__(self, admin_roles: Collection[str] = ()) -> None:
        self._admin_roles = frozenset(admin_roles)
        self._allowed: BoundedCache[bytes, float] = BoundedCache(MAX_KEPT)

    async def manage(self, caller: Caller) -> Verdict:
        """Whether this caller may change pipelines: who may change the cluster's own. Raises ClusterRefusedError."""
        return await self._ask(caller, "/_ingest/pipeline/headrace", b'{"processors":[]}')

    async def read(self, caller: Caller) -> Verdict:
        """Whether this caller may read pipelines: who may read the cluster's own. Raises ClusterRefusedError."""
        return await self._ask(caller, "/_ingest/pipeline", None, method="GET")

    async def search(self, caller: Caller, index: str) -> Verdict:
        """Whether this caller may read the documents of an index, or of an expression. Raises ClusterRefusedError."""
        return await self._ask(caller, f"/{quote(index, safe='*,')}/_search", None, method="GET")

    async def attach(self, caller: Caller, index: str) -> None:
        """Raises RefusedError unless this caller may change the settings of an index, or there is nobody to ask."""
        verdict = await self._ask(caller, f"/{quote(index, safe='*,')}/_settings", b'{"index":{}}')
        if verdict.allowed is False:
            raise RefusedError(
                f"attaching pipelines to [{index}] needs the right to change its settings: "
                f"{', '.join(verdict.missing) or 'indices:admin/settings/update'}"
            )

    async def write(self, caller: Caller, index: str) -> Verdict:
        """Whether this caller may write documents to an index. Raises ClusterRefusedError."""
        return await self._ask(caller, f"/{quote(index, safe='')}/_doc", b"{}", method="POST", by_role=False)

    async def _ask(
        self, caller: Caller, path: str, body: bytes | None, method: str = "PUT", *, by_role: bool = True
    ) -> Verdict:
        """`by_role`: where permissions cannot be asked for, the roles of administrators decide."""
        key = self._key(caller, f"{method} {path}")
        if (self._allowed.get(key) or 0.0) > time.monotonic():
            return Verdict(True)
        answer = await caller.call_cluster(method, f"{path}?{_PROBE}", body)
        if answer.status == 401:
            raise ClusterRefusedError(answer)
        if answer.status == 400 and b"perform_permission_check" in answer.body:
            verdict = await self._by_role(caller) if by_role else Verdict(None)
        else:
            verdict = _verdict(answer)
        if verdict.allowed:
            self._allowed.set(key, time.monotonic() + KEPT_SECONDS)
        return verdict

    async def _by_role(self, caller: Caller) -> Verdict:
        answer = await caller.call_cluster("GET", _WHO, b"")
        if answer.status == 401:
            raise ClusterRefusedError(answer)
        try:
            roles = msgspec.json.decode(answer.body, type=_Who).roles if answer.ok else None
        except msgspec.DecodeError:
            roles = None
        if roles is None:
            return Verdict(None)
        wanted = " or ".join(sorted(self._admin_roles))
        return Verdict(True) if self._admin_roles.intersection(roles) else Verdict(False, (f"the role {wanted}",))

    @staticmethod
    def _key(caller: Caller, path: str) -> bytes:
        headers = caller.request.headers
        parts = [path, *(f"{name}: {value}" for name in _CREDENTIALS for value in headers.getall(name, []))]
        parts += sorted(f"{k}: {v}" for k, v in headers.items() if k.lower().startswith("x-proxy-"))
        return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogateescape")).digest()


def _verdict(answer: Answer) -> Verdict:
    """The plugin's answer to a permission check."""
    try:
        told = msgspec.json.decode(answer.body, type=_Told)
    except msgspec.DecodeError:
        return Verdict(False, (f"the cluster answers {answer.status}",))
    return Verdict(told.access_allowed, tuple(told.missing_privileges))
