"""The registry's home: a hidden index in the cluster, by opensearch-py.

One document for each pipeline version, UDF version, chunk of code, active marker and association. Versions are
created with `op_type=create` and never changed; markers and associations change by compare-and-set. The fingerprint
of the whole is count, maximum and sum of `_seq_no`: every write, late or early in the log, changes at least one of
them.
"""

from __future__ import annotations

import asyncio
import base64
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec
from opensearchpy import AsyncOpenSearch
from opensearchpy.exceptions import (
    ConflictError as OpenSearchConflict,
)
from opensearchpy.exceptions import (
    NotFoundError,
    OpenSearchException,
    RequestError,
)

from pipelines.association import Association, Pattern, Template
from pipelines.definition import decode, encode
from pipelines.errors import ConflictError, InvalidError, RegistryError
from pipelines.registry import PipelineRecord, Records, UdfRecord, key
from pipelines.udf.catalog import digest as digest_of
from proxy import tls

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from pipelines.definition import PipelineType
    from proxy.settings import Settings

log = logging.getLogger("headrace.registry")

CHUNK = 1 << 19
PAGE = 500
STARTING_ATTEMPTS = 20
STARTING_PAUSE = 0.05
MAPPING = {
    "settings": {
        "index": {
            "hidden": True,
            "number_of_shards": 1,
            "auto_expand_replicas": "0-1",
            "refresh_interval": "1s",
        }
    },
    "mappings": {"dynamic": False, "properties": {"kind": {"type": "keyword"}, "name": {"type": "keyword"}}},
}


class _Stored(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One document of the index; `body` is JSON text, so that what people wrote stays as they wrote it."""

    kind: str
    name: str
    body: str


@dataclass(frozen=True)
class Marked:
    """A document that changes by compare-and-set, as it was read; `seq_no` is `None` when it is not there."""

    value: Any
    seq_no: int | None
    primary_term: int | None


class Store:
    """Reads and writes the registry index. Every method raises RegistryError when the cluster does not answer."""

    def __init__(self, settings: Settings) -> None:
        self.index = settings.registry_index
        self._nodes = len(settings.nodes)
        auth = (settings.registry_user, settings.registry_password) if settings.registry_user else None
        self._client = AsyncOpenSearch(
            hosts=settings.nodes,
            http_auth=auth,
            timeout=10,
            max_retries=len(settings.nodes) - 1,
            ssl_context=tls.to_upstream(settings),
        )

    async def close(self) -> None:
        """Closes the client. Its pool closes no connections that it takes for dead, so they are called alive first."""
        pool: Any = self._client.transport.connection_pool
        for _ in range(self._nodes):
            pool.resurrect(True)
        await self._client.close()

    async def fingerprint(self) -> str:
        """Changes with every write; empty while the index does not exist."""
        body = {"size": 0, "track_total_hits": True, "aggs": {"s": {"stats": {"field": "_seq_no"}}}}
        for attempt in range(STARTING_ATTEMPTS):
            try:
                answer = await self._client.search(index=self.index, body=body)
                break
            except NotFoundError:
                return ""
            except OpenSearchException as error:
                # A shard that another proxy has just created answers 503 for a moment.
                if attempt == STARTING_ATTEMPTS - 1 or getattr(error, "status_code", None) != 503:
                    raise unavailable(error) from None
                await asyncio.sleep(STARTING_PAUSE)
        try:
            shards, stats = answer["_shards"], answer["aggregations"]["s"]
            answers = shards["successful"] and not shards["failed"]
            seen = f"{stats['count']}:{stats['max']}:{stats['sum']}"
        except (KeyError, TypeError):
            raise RegistryError(
                f"the upstream answered a search of the registry index [{self.index}] with something else than a "
                "search's result; is it OpenSearch or Elasticsearch?"
            ) from None
        if not answers:
            raise RegistryError(f"the registry index [{self.index}] has no shard that answers")
        return seen

    async def load(self) -> tuple[Records, str]:
        """All records and the fingerprint that they had before they were read."""
        fingerprint = await self.fingerprint()
        if not fingerprint:
            return Records(), ""
        documents = [document async for document in self._documents()]
        return records_of(documents), fingerprint

    async def _documents(self) -> AsyncIterator[_Stored]:
        """Everything but code, page by page in the order of ids."""
        query: dict[str, Any] = {
            "size": PAGE,
            "sort": [{"_seq_no": "asc"}],
            "query": {"bool": {"must_not": [{"term": {"kind": "code"}}]}},
        }
        while True:
            try:
                answer = await self._client.search(index=self.index, body=query)
            except OpenSearchException as error:
                raise unavailable(error) from None
            hits = answer["hits"]["hits"]
            for hit in hits:
                yield msgspec.convert(hit["_source"], _Stored)
            if len(hits) < PAGE:
                return
            query["search_after"] = hits[-1]["sort"]

    async def code(self, digest: str) -> bytes:
        """The code of a UDF, put together from its chunks. Raises RegistryError if it is incomplete or altered."""
        parts: list[bytes] = []
        while True:
            try:
                answer = await self._client.get(index=self.index, id=f"code:{digest}:{len(parts)}")
            except NotFoundError:
                break
            except OpenSearchException as error:
                raise unavailable(error) from None
            parts.append(base64.b64decode(answer["_source"]["body"]))
        code = b"".join(parts)
        if digest_of(code) != digest:
            raise RegistryError(f"the stored code with digest [{digest}] is incomplete or was altered")
        return code

    async def add_pipeline(self, record: PipelineRecord) -> bool:
        """Stores a version; false if that version is there already."""
        definition = record.definition
        name = key(definition.type, definition.name)
        return await self._create(f"pipeline:{name}@{definition.version}", pipeline_document(record))

    async def remove_pipeline(self, kind: PipelineType, name: str, version: str) -> None:
        """Removes a version; nothing happens if it is gone."""
        await self._delete(f"pipeline:{key(kind, name)}@{version}")

    async def active(self, kind: PipelineType, name: str) -> Marked:
        """Which version is active, as it stands now."""
        return await self._read(f"active:{key(kind, name)}")

    async def set_active(self, kind: PipelineType, name: str, version: str | None, before: Marked) -> None:
        """Makes a version active, or none; raises ConflictError if somebody changed it since `before` was read."""
        id_ = f"active:{key(kind, name)}"
        if version is None:
            await self._delete(id_, before)
            return
        await self._replace(id_, _Stored(kind="active", name=key(kind, name), body=_json(version)), before)

    async def add_udf(self, record: UdfRecord, code: bytes) -> bool:
        """Stores code and manifest of a version, the manifest last; false if that version is there already."""
        for n in range(0, len(code), CHUNK):
            text = base64.b64encode(code[n : n + CHUNK]).decode()
            chunk = _Stored(kind="code", name=record.digest, body=text)
            await self._create(f"code:{record.digest}:{n // CHUNK}", chunk, refresh=False)
        return await self._create(f"udf:{record.manifest.label}", udf_document(record))

    async def remove_udf(self, record: UdfRecord, *, code_too: bool) -> None:
        """Removes a version, and its code where no other version has the same."""
        await self._delete(f"udf:{record.manifest.label}")
        if code_too:
            for n in range(-(-record.size // CHUNK)):
                await self._delete(f"code:{record.digest}:{n}")

    async def attached(self, holder: type[Holder], name: str) -> Marked:
        """What is attached to an index, a pattern or a template, as it stands now."""
        return await self._read(f"{HOLDERS[holder]}:{name}")

    async def attach(self, holder: type[Holder], name: str, value: Holder | None, before: Marked) -> None:
        """Changes what is attached; `None` removes it. Raises ConflictError as [`set_active`]."""
        kind = HOLDERS[holder]
        if value is None:
            await self._delete(f"{kind}:{name}", before)
            return
        await self._replace(f"{kind}:{name}", _Stored(kind=kind, name=name, body=_json(value)), before)

    async def republish(self, records: Records, codes: dict[str, bytes]) -> None:
        """Writes a whole registry into an index that was lost; what is there already stays."""
        for udf in records.udfs:
            if udf.digest in codes:
                await self.add_udf(udf, codes[udf.digest])
        for pipeline in records.pipelines:
            await self.add_pipeline(pipeline)
        for name, version in records.active.items():
            await self._create(f"active:{name}", _Stored(kind="active", name=name, body=_json(version)))
        for document in holder_documents(records):
            await self._create(f"{document.kind}:{document.name}", document)

    async def resolve(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The cluster's indexes with their aliases; and all names, with states and data streams."""
        aliases = await self._ask("/_alias", {"expand_wildcards": "all"})
        return aliases, await self._ask("/_resolve/index/*", {"expand_wildcards": "all"})

    async def mappings(self, names: str) -> dict[str, Any]:
        """The mappings of indexes, by name; of one that is not there nothing."""
        found: dict[str, Any] = await self._ask(f"/{quote(names, safe=',')}/_mapping", {"ignore_unavailable": "true"})
        return found

    async def version(self) -> str:
        """The version of the cluster's state: it changes with every index, alias and data stream."""
        state = await self._ask("/_cluster/state/version")
        return f"{state['state_uuid']}:{state['version']}"

    async def templates(self) -> dict[str, Any]:
        """What the cluster's templates say of names, and when its indexes were created: by name."""
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
        """The concrete names that the cluster makes of a date-math name, whether the index exists or not."""
        try:
            path = f"/_resolve/index/{quote(expression, safe='')}"
            answer = await self._client.transport.perform_request("GET", path)
        except NotFoundError as error:
            missing = error.info.get("error", {}).get("index") if isinstance(error.info, dict) else None
            return [missing or expression]
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

    async def _read(self, id_: str) -> Marked:
        try:
            found = await self._client.get(index=self.index, id=id_)
        except NotFoundError:
            return Marked(None, None, None)
        except OpenSearchException as error:
            raise unavailable(error) from None
        value = msgspec.json.decode(found["_source"]["body"])
        return Marked(value, found["_seq_no"], found["_primary_term"])

    async def _create(self, id_: str, document: _Stored, *, refresh: bool = True) -> bool:
        params: dict[str, Any] = {"op_type": "create", "refresh": "true" if refresh else "false"}
        try:
            await self._write(id_, document, params)
        except OpenSearchConflict:
            return False
        return True

    async def _replace(self, id_: str, document: _Stored, before: Marked) -> None:
        params: dict[str, Any] = {"refresh": "true"}
        if before.seq_no is None:
            params["op_type"] = "create"
        else:
            params |= {"if_seq_no": before.seq_no, "if_primary_term": before.primary_term}
        try:
            await self._write(id_, document, params)
        except OpenSearchConflict:
            raise lost_race(document.name) from None

    async def _write(self, id_: str, document: _Stored, params: dict[str, Any]) -> None:
        body = msgspec.to_builtins(document)
        try:
            await self._client.index(index=self.index, id=id_, body=body, params={**params, "require_alias": "false"})
        except OpenSearchConflict:
            raise
        except OpenSearchException as error:
            raise unavailable(error) from None

    async def _delete(self, id_: str, before: Marked | None = None) -> None:
        params: dict[str, Any] = {"refresh": "true"}
        if before is not None and before.seq_no is not None:
            params |= {"if_seq_no": before.seq_no, "if_primary_term": before.primary_term}
        try:
            await self._client.delete(index=self.index, id=id_, params=params)
        except NotFoundError:
            return
        except OpenSearchConflict:
            raise lost_race(id_.partition(":")[2]) from None
        except OpenSearchException as error:
            raise unavailable(error) from None

    async def _wait_for_index(self) -> None:
        try:
            await self._client.cluster.health(index=self.index, wait_for_status="yellow")
        except OpenSearchException as error:
            raise unavailable(error) from None

    async def ensure_index(self) -> None:
        """Creates the index if it is not there, and waits until it can be written, whoever created it."""
        try:
            if not await self._client.indices.exists(index=self.index):
                await self._client.indices.create(index=self.index, body=MAPPING)
        except RequestError as error:
            if "already_exists" not in str(error.error):
                raise unavailable(error) from None
        except OpenSearchException as error:
            raise unavailable(error) from None
        await self._wait_for_index()


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def pipeline_document(record: PipelineRecord) -> _Stored:
    """A version as it is stored."""
    name = key(record.definition.type, record.definition.name)
    body = {"created": record.created, "definition": msgspec.Raw(encode(record.definition))}
    return _Stored(kind="pipeline", name=name, body=_json(body))


def udf_document(record: UdfRecord) -> _Stored:
    """A UDF's manifest as it is stored."""
    return _Stored(kind="udf", name=record.manifest.name, body=_json(record))


Holder = Association | Pattern | Template
"""What pipelines are attached to."""
HOLDERS: dict[type[Holder], str] = {Association: "association", Pattern: "pattern", Template: "template"}


def holder_documents(records: Records) -> list[_Stored]:
    """Associations as they are stored."""
    named: list[tuple[str, Holder]] = [(a.index, a) for a in records.associations]
    named += [(p.pattern, p) for p in records.patterns]
    named += [(t.key, t) for t in records.templates]
    return [_Stored(kind=HOLDERS[type(holder)], name=name, body=_json(holder)) for name, holder in named]


def records_of(documents: list[_Stored]) -> Records:
    """The registry behind the documents of the index.

    An entry that cannot be read (a newer Headrace wrote it, or somebody by hand) is left out and logged; what depends
    on it fails, the rest of the registry works.
    """
    pipelines: list[PipelineRecord] = []
    udfs: list[UdfRecord] = []
    associations: list[Association] = []
    patterns: list[Pattern] = []
    templates: list[Template] = []
    active: dict[str, str] = {}
    for document in documents:
        try:
            match document.kind:
                case "pipeline":
                    pipelines.append(_pipeline_record(document.body))
                case "udf":
                    udfs.append(msgspec.json.decode(document.body, type=UdfRecord))
                case "association":
                    associations.append(msgspec.json.decode(document.body, type=Association))
                case "pattern":
                    patterns.append(msgspec.json.decode(document.body, type=Pattern))
                case "template":
                    templates.append(msgspec.json.decode(document.body, type=Template))
                case "active":
                    active[document.name] = msgspec.json.decode(document.body, type=str)
        except (msgspec.MsgspecError, InvalidError, KeyError) as error:
            log.error("the %s [%s] in the registry cannot be read: %s", document.kind, document.name, error)
    return Records(
        pipelines=pipelines,
        active=active,
        udfs=udfs,
        associations=associations,
        patterns=patterns,
        templates=templates,
    )


def _pipeline_record(body: str) -> PipelineRecord:
    stored = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    return PipelineRecord(
        definition=decode(bytes(stored["definition"])), created=msgspec.json.decode(stored["created"])
    )


def documents_of(records: Records) -> list[_Stored]:
    """The opposite of [`records_of`], for the copy on disk."""
    return [
        *map(pipeline_document, records.pipelines),
        *map(udf_document, records.udfs),
        *holder_documents(records),
        *(_Stored(kind="active", name=name, body=_json(version)) for name, version in records.active.items()),
    ]


def pack(records: Records) -> bytes:
    """Records as one JSON text, for the copy on disk."""
    return msgspec.json.encode(documents_of(records))


def unpack(text: bytes) -> Records:
    """The opposite of [`pack`]."""
    return records_of(msgspec.json.decode(text, type=list[_Stored]))


def lost_race(name: str) -> ConflictError:
    """Somebody else's write came first."""
    return ConflictError(f"[{name}] was changed by another request at the same time; read it and try again")


def unavailable(error: OpenSearchException) -> RegistryError:
    """The cluster does not serve the registry now."""
    status = getattr(error, "status_code", None)
    detail = f"status {status}" if isinstance(status, int) else type(error).__name__
    return RegistryError(f"the registry index cannot be reached ({detail}); data without pipelines still passes")


__all__ = ["Marked", "Store", "pack", "unpack"]
