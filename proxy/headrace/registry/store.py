"""The registry's home: a hidden index in the cluster, by opensearch-py.

One document for each pipeline version, UDF version, active marker and association, signed and with a revision; a
deletion is a document, too. Whoever can write the index so changes nothing of the registry ([`registry.ledger`]). Every
write is compare-and-set on what stands there, whatever it is. Code stands beside them, in chunks under its digest. The
fingerprint of the whole is count, maximum and sum of `_seq_no`: every write, late or early in the log, changes at least
one of them.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
from opensearchpy.exceptions import (
    ConflictError as OpenSearchConflict,
)
from opensearchpy.exceptions import (
    NotFoundError,
    OpenSearchException,
    RequestError,
)

from headrace.registry.cluster_metadata import Cluster, unavailable
from headrace.registry.ledger import Found
from headrace.registry.records_codec import HOLDERS, Document, pipeline_document, text_of, udf_document
from headrace.registry.signatures import DELETED, FIELDS, MANIFEST, Entry
from headrace_pipelines.errors import ConflictError, RegistryError
from headrace_pipelines.registry import key
from headrace_pipelines.udf.catalog import digest as digest_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from headrace.registry.ledger import Ledger
    from headrace.registry.records_codec import Holder
    from headrace.settings import Settings
    from headrace_pipelines.definition import PipelineType
    from headrace_pipelines.registry import PipelineRecord, UdfRecord

CHUNK = 1 << 19
"""Bytes of code in a document."""
PAGE = 500
"""Documents that a search for them answers."""
STARTING_ATTEMPTS = 20
STARTING_PAUSE = 0.05
"""Attempts, and seconds between them, while a new shard answers 503: a second in all."""
MOST_SEEN = 10_000
"""Maximum number of reports of processes that are read: whoever can write the index may add any number."""
ATTEMPTS = 5
"""Attempts at an unconditional write, each on the state that is stored then."""
_PLAIN = {"type": "object", "enabled": False}
MAPPING = {
    "settings": {
        "index": {
            "hidden": True,
            "number_of_shards": 1,
            "auto_expand_replicas": "0-1",
            "refresh_interval": "1s",
        }
    },
    # Every field is there, so that none can be mapped as something that refuses our values.
    "mappings": {
        "dynamic": False,
        "properties": {
            "kind": {"type": "keyword"},
            "name": {"type": "keyword"},
            "body": _PLAIN,
            "revision": _PLAIN,
            "signature": _PLAIN,
        },
    },
}
_PREFERENCE = {"preference": "headrace"}
"""All searches of all processes read one copy of the shard: two show a write at different moments."""
_NO_PIPELINE = {"pipeline": "_none"}
"""Writes of ours pass no pipeline of the cluster."""


@dataclass(frozen=True)
class VersionedValue:
    """A document as it stands now, to be changed by compare-and-set; `seq_no` is `None` when it is not there."""

    id: str
    entry: Entry | None
    seq_no: int | None
    primary_term: int | None

    @property
    def value(self) -> Any:
        """The decoded body; `None` for a missing or deleted document."""
        return msgspec.json.decode(self.entry.body) if self.entry is not None and self.entry.live else None


class Unreadable:
    """In place of a source that cannot be decoded."""


class Store(Cluster):
    """Reads and writes the registry index. Every method raises RegistryError when the cluster does not answer."""

    def __init__(self, settings: Settings, ledger: Ledger) -> None:
        super().__init__(settings)
        self.index = settings.registry_index
        self.ledger = ledger

    async def fingerprint(self) -> str:
        """Changes with every write; empty while the index does not exist."""
        body = {
            "size": 0,
            "track_total_hits": True,
            "query": {"bool": {"must_not": [_SEEN]}},
            "aggs": {"s": {"stats": {"field": "_seq_no"}}},
        }
        try:
            search = partial(self._client.search, index=self.index, body=body, params=_PREFERENCE)
            answer = await _started(search)
        except NotFoundError:
            return ""
        except OpenSearchException as error:
            raise unavailable(error) from None
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

    async def documents(self) -> list[Found]:
        """Everything but code, whatever it is. Raises RegistryError unless all of it could be read."""
        query = {"bool": {"must_not": [_CODE, _SEEN]}}
        return [
            Found(hit["_id"], hit.get("_source"), hit["_seq_no"], hit["_primary_term"])
            async for hit in self._hits(query, list(FIELDS))
            if not is_report(hit.get("_source"))
        ]

    async def seen(self) -> AsyncIterator[tuple[str, Any]]:
        """The newest reports of processes ([`registry.presence`]) with their ids, unverified; at most MOST_SEEN."""
        count = 0
        async for hit in self._hits(_SEEN, list(FIELDS), "desc"):
            yield hit["_id"], hit.get("_source")
            count += 1
            if count >= MOST_SEEN:
                return

    async def overwrite(self, entry: Entry) -> None:
        """Writes a document that is no part of the registry, whatever stands there."""
        await self._index(entry.id, entry.source, {"refresh": "false"})

    async def drop(self, id_: str) -> None:
        """Deletes a document that is no part of the registry."""
        await self._delete_chunk(id_)

    async def chunks(self) -> dict[str, int]:
        """The ids of the chunks of code, each with the number of its last write."""
        return {hit["_id"]: hit["_seq_no"] async for hit in self._hits(_CODE, False)}

    async def _hits(
        self, query: dict[str, Any], source: list[str] | bool, order: str = "asc"
    ) -> AsyncIterator[dict[str, Any]]:
        """All hits, page by page in the order of the log, or the newest first."""
        body: dict[str, Any] = {
            "size": PAGE,
            "sort": [{"_seq_no": order}],
            "query": query,
            "seq_no_primary_term": True,
        }
        while True:
            try:
                hits = await self._page(body | {"_source": source})
            except UnfitError:
                raise
            except (RecursionError, RegistryError):
                # One source that cannot be decoded would hide all others.
                if source is False:
                    raise
                hits = [await self._with_source(hit) for hit in await self._page(body | {"_source": False})]
            for hit in hits:
                yield hit
            if len(hits) < PAGE:
                return
            body["search_after"] = hits[-1]["sort"]

    async def _page(self, body: dict[str, Any]) -> list[dict[str, Any]]:
        try:
            answer = await self._client.search(index=self.index, body=body, params=_PREFERENCE)
            if answer["_shards"]["failed"] or answer["timed_out"]:
                raise RegistryError(f"the registry index [{self.index}] could not be read whole")
            hits: list[dict[str, Any]] = answer["hits"]["hits"]
        except OpenSearchException as error:
            raise refused(error) from None
        except (KeyError, TypeError):
            raise RegistryError(f"the search of the registry index [{self.index}] has no readable answer") from None
        return hits

    async def _with_source(self, hit: dict[str, Any]) -> dict[str, Any]:
        """A hit that was read without its source, with it."""
        try:
            answer = await self._client.get(index=self.index, id=hit["_id"], params=_SOURCE)
            source = answer.get("_source") if answer["_seq_no"] == hit["_seq_no"] else Unreadable
        except NotFoundError:
            source = Unreadable
        except (RecursionError, OpenSearchException) as error:
            if isinstance(getattr(error, "status_code", None), int):
                raise unavailable(error) from None  # type: ignore[arg-type]
            source = Unreadable
        return hit | {"_source": source}

    async def code(self, digest: str) -> bytes:
        """The code of a UDF, put together from its chunks. Raises RegistryError if it is incomplete or altered."""
        parts: list[bytes] = []
        while True:
            try:
                answer = await self._client.get(index=self.index, id=f"code:{digest}:{len(parts)}")
                parts.append(base64.b64decode(answer["_source"]["body"]))
            except NotFoundError:
                break
            except OpenSearchException as error:
                raise unavailable(error) from None
            except (RecursionError, KeyError, TypeError, ValueError, binascii.Error):
                break
        code = b"".join(parts)
        if await asyncio.to_thread(digest_of, code) != digest:
            raise RegistryError(f"the stored code with digest [{digest}] is incomplete or was altered")
        return code

    async def add_pipeline(self, record: PipelineRecord) -> bool:
        """Stores a version; false if that version is there already."""
        definition = record.definition
        name = key(definition.type, definition.name)
        return await self._create(f"pipeline:{name}@{definition.version}", pipeline_document(record))

    async def remove_pipeline(self, kind: PipelineType, name: str, version: str) -> None:
        """Removes a version; nothing happens if it is gone."""
        await self._remove(f"pipeline:{key(kind, name)}@{version}")

    async def active(self, kind: PipelineType, name: str) -> VersionedValue:
        """Which version is active, as it stands now."""
        return await self.read(f"active:{key(kind, name)}")

    async def set_active(self, kind: PipelineType, name: str, version: str | None, before: VersionedValue) -> None:
        """Makes a version active, or none; raises ConflictError if somebody changed it since `before` was read."""
        await self._set("active", key(kind, name), version, before)

    async def add_udf(self, record: UdfRecord) -> bool:
        """Stores the manifest of a version, whose code is there; false if that version is there already."""
        return await self._create(f"udf:{record.manifest.label}", udf_document(record))

    async def write_code(self, digest: str, code: bytes) -> None:
        """Stores code under its digest, over whatever stands there."""
        for n in range(0, len(code), CHUNK):
            text = base64.b64encode(code[n : n + CHUNK]).decode()
            body = {"kind": "code", "name": digest, "body": text}
            await self._index(f"code:{digest}:{n // CHUNK}", body, {"refresh": "false"})

    async def remove_udf(self, record: UdfRecord) -> None:
        """Removes a version; its code stays."""
        await self._remove(f"udf:{record.manifest.label}")

    async def remove_code(self, record: UdfRecord) -> None:
        """Removes the code of a version."""
        for n in range(-(-record.size // CHUNK)):
            await self._delete_chunk(f"code:{record.digest}:{n}")

    async def attached(self, holder: type[Holder], name: str) -> VersionedValue:
        """The stored attachment of an index, a pattern or a template."""
        return await self.read(f"{HOLDERS[holder]}:{name}")

    async def attach(self, holder: type[Holder], name: str, value: Holder | None, before: VersionedValue) -> None:
        """Changes what is attached; `None` removes it. Raises ConflictError as [`set_active`]."""
        await self._set(HOLDERS[holder], name, value, before)

    async def seal(self) -> None:
        """Writes the manifest after a change; what of it is lost to others is written by the next one."""
        for _ in range(ATTEMPTS if self.ledger.manifest() is not None else 0):
            before = await self.read(MANIFEST)
            # Not taken into the ledger: a search need not see yet what another proxy has just written.
            document = self.ledger.manifest(before.entry)
            if document is None:
                return
            try:
                await self.save(before, document)
            except ConflictError:
                continue
            return

    async def repair(self, id_: str, stands: Found | None) -> bool:
        """Writes the document that is in force over what stands in its place; false if others were there first."""
        entry = self.ledger.entries[id_]
        before = VersionedValue(id_, None, None, None)
        if stands is not None:
            before = VersionedValue(id_, None, stands.seq_no, stands.primary_term)
        try:
            await self._write(entry, before, refresh=False)
        except OpenSearchConflict:
            return False
        return True

    async def holds(self, id_: str) -> bool:
        """Whether what stands under an id is what is in force."""
        found = await self._get(id_)
        return found is not None and self.ledger.signer.verified(id_, found.source) == self.ledger.entries[id_]

    async def refresh(self) -> None:
        """Lets searches see what was written."""
        try:
            await self._client.indices.refresh(index=self.index)
        except OpenSearchException as error:
            raise unavailable(error) from None

    async def read(self, id_: str) -> VersionedValue:
        """A document as it stands now, or as this proxy knows it where that is newer."""
        found = await self._get(id_)
        if found is None:
            return VersionedValue(id_, self.ledger.newest(id_), None, None)
        entry = self.ledger.signer.verified(id_, found.source)
        newest = self.ledger.newest(id_, entry if isinstance(entry, Entry) else None)
        return VersionedValue(id_, newest, found.seq_no, found.primary_term)

    async def _get(self, id_: str) -> Found | None:
        """The stored document of an id, unverified; `None` for none."""
        try:
            answer = await _started(partial(self._client.get, index=self.index, id=id_, params=_SOURCE))
        except NotFoundError:
            return None
        except (RecursionError, OpenSearchException) as error:
            if isinstance(error, OpenSearchException) and isinstance(getattr(error, "status_code", None), int):
                raise unavailable(error) from None
            answer = await self._position(id_)
        return Found(id_, answer.get("_source"), answer["_seq_no"], answer["_primary_term"])

    async def _position(self, id_: str) -> Any:
        """The answer of [`_get`] without the source, which cannot be decoded."""
        try:
            return await self._client.get(index=self.index, id=id_, params={"_source": "false"})
        except OpenSearchException as error:
            raise unavailable(error) from None

    async def stage(self, before: VersionedValue, document: Document) -> Entry:
        """Writes the next revision of a document, which the next refresh shows. Raises ConflictError as [`save`]."""
        self.ledger.require_sole()
        entry = self._next(before, document)
        try:
            await self._write(entry, before, refresh=False)
        except OpenSearchConflict:
            raise lost_race(document.name) from None
        return entry

    def _next(self, before: VersionedValue, document: Document) -> Entry:
        """The next revision of a document, signed."""
        newest = self.ledger.newest(before.id, before.entry)
        return self.ledger.signer.sign(before.id, document, newest.revision + 1 if newest is not None else 1)

    async def _create(self, id_: str, document: Document) -> bool:
        before = await self.read(id_)
        if before.value is not None:
            return False
        try:
            await self.save(before, document)
        except ConflictError:
            return False
        return True

    async def _set(self, kind: str, name: str, value: object, before: VersionedValue) -> None:
        if value is None:
            if before.value is not None:
                await self.save(before, Document(kind=DELETED, name=name, body="null"))
            return
        await self.save(before, Document(kind=kind, name=name, body=text_of(value)))

    async def _remove(self, id_: str) -> None:
        for attempt in range(ATTEMPTS):
            before = await self.read(id_)
            if before.entry is None or not before.entry.live:
                return
            try:
                await self.save(before, Document(kind=DELETED, name=before.entry.name, body="null"))
                break
            except ConflictError:
                if attempt == ATTEMPTS - 1:
                    raise

    async def save(self, before: VersionedValue, document: Document) -> None:
        """Writes the next revision of a document. Raises ConflictError if somebody was there first, RegistryError."""
        self.ledger.require_sole()
        entry = self._next(before, document)
        try:
            await self._write(entry, before)
        except OpenSearchConflict:
            raise lost_race(document.name) from None
        self.ledger.record(entry)

    async def _write(self, entry: Entry, before: VersionedValue, *, refresh: bool = True) -> None:
        params: dict[str, Any] = {"refresh": "true" if refresh else "false"}
        if before.seq_no is None:
            params["op_type"] = "create"
        else:
            params |= {"if_seq_no": before.seq_no, "if_primary_term": before.primary_term}
        await self._index(entry.id, entry.source, params)

    async def _index(self, id_: str, body: dict[str, Any], params: dict[str, Any]) -> None:
        """Writes a document. Raises OpenSearch's ConflictError, UnfitError, RegistryError."""
        sent = {**params, **_NO_PIPELINE, "require_alias": "false"}
        try:
            await self._client.index(index=self.index, id=id_, body=body, params=sent)
        except OpenSearchConflict:
            raise
        except OpenSearchException as error:
            raise refused(error) from None

    async def _delete_chunk(self, id_: str) -> None:
        try:
            await self._client.delete(index=self.index, id=id_, params={"refresh": "false"})
        except NotFoundError:
            return
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
        try:
            await self._client.cluster.health(index=self.index, wait_for_status="yellow")
        except OpenSearchException as error:
            raise unavailable(error) from None

    async def make_anew(self) -> None:
        """Replaces an index that does not take or give back our documents by an empty one."""
        try:
            await self._client.indices.delete(index=self.index)
        except NotFoundError:
            pass
        except OpenSearchException as error:
            raise unavailable(error) from None
        await self.ensure_index()


class UnfitError(RegistryError):
    """The index does not take our documents, or our searches for them: somebody else has made or set it."""


def refused(error: OpenSearchException) -> RegistryError:
    """The error of a refused write or search; UnfitError where the index itself is the reason."""
    reason = unavailable(error)
    if isinstance(error, RequestError) and "closed" not in str(error.error):
        return UnfitError(reason.reason)
    return reason


def is_report(source: object) -> bool:
    """Whether a document is one of a process, which a search finds only in an index with another mapping."""
    return isinstance(source, dict) and source.get("kind") == "seen"


async def _started(call: Callable[[], Awaitable[Any]]) -> Any:
    """The answer of a call, repeated while a shard that another proxy has just created answers 503."""
    for _ in range(STARTING_ATTEMPTS - 1):
        try:
            return await call()
        except OpenSearchException as error:
            if getattr(error, "status_code", None) != 503:
                raise
            await asyncio.sleep(STARTING_PAUSE)
    return await call()


_SEEN = {"match": {"kind": {"query": "seen", "lenient": True}}}
_CODE = {"match": {"kind": {"query": "code", "lenient": True}}}
_SOURCE = {"_source_includes": ",".join(FIELDS)}


def lost_race(name: str) -> ConflictError:
    """Somebody else's write came first."""
    return ConflictError(f"[{name}] was changed by another request at the same time; read it and try again")
