"""Requests for the names, templates and mappings of the cluster, with the proxy's own credentials."""

from __future__ import annotations

import asyncio
import logging
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from opensearchpy import AsyncOpenSearch
from opensearchpy.exceptions import NotFoundError, OpenSearchException, RequestError

from headrace.http1 import tls
from headrace_pipelines.errors import InvalidError, RegistryError

if TYPE_CHECKING:
    import ssl

    from headrace.settings import Settings

log = logging.getLogger("headrace.mappings")

_FULL = re.compile(r"Limit of total fields \[(\d+)\] has been exceeded")
ANSWER_SECONDS = 10
"""Seconds for an answer of the cluster about itself or the registry."""


class Cluster:
    """A client with the registry's credentials. Every method raises RegistryError when the cluster does not answer."""

    def __init__(self, settings: Settings) -> None:
        self._client = _client(settings, tls.to_upstream(settings))
        self._closing: set[asyncio.Task[None]] = set()

    def reconnect(self, settings: Settings, ssl_context: ssl.SSLContext | None) -> None:
        """Other nodes, credentials and certificates for the requests to come; those in progress go on."""
        before, self._client = self._client, _client(settings, ssl_context)
        closing = asyncio.create_task(_close_later(before))
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """Closes the clients."""
        for closing in self._closing:
            closing.cancel()
        await asyncio.gather(*self._closing, return_exceptions=True)
        await _close(self._client)

    async def resolve(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The cluster's indexes with their aliases; and all names, with states and data streams."""
        aliases = await self._ask("/_alias", {"expand_wildcards": "all"})
        return aliases, await self._ask("/_resolve/index/*", {"expand_wildcards": "all"})

    async def mappings(self, names: str) -> dict[str, Any]:
        """The mappings of indexes, by name; of one that is not there nothing."""
        found: dict[str, Any] = await self._ask(f"/{quote(names, safe=',')}/_mapping", {"ignore_unavailable": "true"})
        return found

    async def fit_mapping(self, index: str) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """The mapping of an index and its flat settings of mappings; `None` where it is not there."""
        path = quote(index, safe="")
        try:
            mapping = await self._client.transport.perform_request("GET", f"/{path}/_mapping")
            settings = await self._client.transport.perform_request(
                "GET", f"/{path}/_settings/index.mapping*", params={"flat_settings": "true"}
            )
        except NotFoundError:
            return None
        except OpenSearchException as error:
            raise unavailable(error) from None
        name = next(iter(mapping), "")
        return mapping.get(name, {}).get("mappings", {}), settings.get(name, {}).get("settings", {})

    async def template_mapping(self, index: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """The same of an index that would be created, by the index template that it meets."""
        try:
            found = await self._client.transport.perform_request(
                "POST", f"/_index_template/_simulate_index/{quote(index, safe='')}"
            )
        except OpenSearchException as error:
            raise unavailable(error) from None
        template = found.get("template", {})
        return template.get("mappings", {}), _flat(template.get("settings", {}))

    async def add_fields(self, index: str, properties: dict[str, Any]) -> bool:
        """Adds fields to the mapping of an index; false where the cluster refuses.

        A mapping that is full gets room for them: its limit of fields rises by their number.
        """
        path = f"/{quote(index, safe='')}"
        refusal = await self._change(f"{path}/_mapping", {"properties": properties})
        if (full := _FULL.search(refusal)) is not None:
            limit = {"index.mapping.total_fields.limit": int(full[1]) + len(properties)}
            refusal = await self._change(f"{path}/_settings", limit)
            refusal = refusal or await self._change(f"{path}/_mapping", {"properties": properties})
            if not refusal:
                log.warning("the mapping of [%s] is full: its limit is now %d fields", index, *limit.values())
        return not refusal

    async def _change(self, path: str, body: dict[str, Any]) -> str:
        """Changes a mapping or settings; gives why the cluster refuses, if it does."""
        try:
            await self._client.transport.perform_request("PUT", path, body=body)
        except OpenSearchException as error:
            return str(error) or type(error).__name__
        return ""

    async def version(self) -> str:
        """The version of the cluster's state: it changes with every index, alias and data stream."""
        state = await self._ask("/_cluster/state/version")
        return f"{state['state_uuid']}:{state['version']}"

    async def templates(self) -> dict[str, Any]:
        """The cluster's templates and the creation dates of its indexes, by name."""
        created = await self._ask(
            "/_all/_settings/index.creation_date", {"expand_wildcards": "all", "flat_settings": "true"}
        )
        return {
            "index": (await self._ask("/_index_template"))["index_templates"],
            "legacy": await self._ask("/_template"),
            "created": {n: int(i["settings"].get("index.creation_date", 0)) for n, i in created.items()},
        }

    async def now(self) -> int:
        """The cluster's clock, in milliseconds since the epoch."""
        stats = await self._ask("/_cluster/stats", {"filter_path": "timestamp"})
        return int(stats["timestamp"])

    async def _ask(self, path: str, params: dict[str, str] | None = None) -> Any:
        try:
            return await self._client.transport.perform_request("GET", path, params=params)
        except OpenSearchException as error:
            raise unavailable(error) from None

    async def expand(self, expression: str) -> list[str]:
        """The concrete names that the cluster makes of a date-math name, whether the index exists or not.

        Raises BadNameError for one that it cannot read.
        """
        try:
            path = f"/_resolve/index/{quote(expression, safe='')}"
            answer = await self._client.transport.perform_request("GET", path)
        except NotFoundError as error:
            missing = error.info.get("error", {}).get("index") if isinstance(error.info, dict) else None
            return [missing or expression]
        except RequestError as error:
            told = error.info.get("error", {}) if isinstance(error.info, dict) else {}
            raise BadNameError(str(told.get("reason", f"[{expression}] is no name of an index"))) from None
        except OpenSearchException as error:
            raise unavailable(error) from None
        return [found["name"] for kind in ("indices", "aliases", "data_streams") for found in answer[kind]]

    async def cluster_has_pipeline(self, family: str, name: str) -> bool:
        """Whether the cluster itself has an `_ingest` or `_search` pipeline of this name."""
        try:
            await self._client.transport.perform_request("GET", f"/{family}/pipeline/{name}")
        except NotFoundError:
            return False
        except OpenSearchException as error:
            raise unavailable(error) from None
        return True


def _flat(settings: dict[str, Any], above: str = "") -> dict[str, Any]:
    """Settings with dotted names."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{above}{name}.")
        else:
            found[f"{above}{name}"] = value
    return found


def _client(settings: Settings, ssl_context: ssl.SSLContext | None) -> AsyncOpenSearch:
    auth = (settings.registry_user, settings.registry_password) if settings.registry_user else None
    return AsyncOpenSearch(
        hosts=settings.nodes,
        http_auth=auth,
        timeout=ANSWER_SECONDS,
        max_retries=len(settings.nodes) - 1,
        ssl_context=ssl_context,
    )


async def _close_later(client: AsyncOpenSearch) -> None:
    try:
        await asyncio.sleep(2 * ANSWER_SECONDS)
    finally:
        await _close(client)


async def _close(client: AsyncOpenSearch) -> None:
    """Closes a client. Its pool closes no connections that it takes for dead, so they are called alive first."""
    pool: Any = client.transport.connection_pool
    for _ in client.transport.hosts:
        pool.resurrect(True)
    await client.close()


class BadNameError(InvalidError):
    """A date-math name that is none, in the cluster's words."""

    type = "parse_exception"


def unavailable(error: OpenSearchException) -> RegistryError:
    """The cluster does not serve the registry now."""
    status, kind = getattr(error, "status_code", None), getattr(error, "error", None)
    if isinstance(status, int):
        detail = f"status {status}" + (f", {kind}" if isinstance(kind, str) and kind.isidentifier() else "")
    else:
        detail = type(error).__name__
    return RegistryError(f"the registry index cannot be reached ({detail})")
