"""Runs pipelines in this process, without a proxy: load definitions and UDFs, run them over documents.

For notebooks, batch jobs and tests. Definitions and UDFs are written as for the REST API
(`PUT /_pipeline/{name}`, `PUT /_udf/{name}`), and run in the same engine under the same limits.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from headrace_pipelines import definition as definitions
from headrace_pipelines.cache import BoundedCache
from headrace_pipelines.definition import PipelineType
from headrace_pipelines.engine import Batch, Bulk, Deadline
from headrace_pipelines.errors import InvalidError
from headrace_pipelines.executor import execute
from headrace_pipelines.executor.report import RunOptions
from headrace_pipelines.local.arrow import bulk_of, columns_of, pyarrow_or_raise
from headrace_pipelines.local.outcomes import BulkOutcome, Outcome, PipelineFailedError, failure_of
from headrace_pipelines.registry import PipelineRecord, Records, Snapshot, build, key, udf_record
from headrace_pipelines.udf import manifest as manifests
from headrace_pipelines.udf.catalog import Catalog
from headrace_pipelines.udf.secrets import Secrets

if TYPE_CHECKING:
    from headrace_pipelines.local.bundle import Bundle
    from headrace_pipelines.local.outcomes import Failure
    from headrace_pipelines.registry import Pipeline, UdfRecord

Document = Mapping[str, Any] | bytes | str
"""A JSON object: as a mapping, or as its text."""
UdfSource = Path | Mapping[str, Any] | str
"""A UDF: a file (`.py`, `.js`, `.wasm`), the body of `PUT /_udf/{name}`, or the source of a Python function."""

CACHE_VARIABLE = "HEADRACE_COMPILED"
"""The environment variable with the folder for the compiled modules of [`Pipelines.shared`]."""
_MAX_SHARED = 8
"""Bundles that a process keeps compiled: a job has one."""
_BATCH = 1000
"""Documents of one batch: enough for the cost of a batch not to show, few enough for memory to stay small."""


class Pipelines:
    """Compiled pipelines and their UDFs. Safe to use from threads."""

    def __init__(self, snapshot: Snapshot, bundle: Bundle | None = None) -> None:
        self._snapshot = snapshot
        self._bundle = bundle

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled by its bundle: the process that reads it compiles it once, with the secrets of its environment."""
        if self._bundle is None:
            raise TypeError("only pipelines of a bundle can be pickled: see Pipelines.of and Pipelines.shared")
        return Pipelines.shared, (self._bundle,)

    @classmethod
    def load(
        cls,
        pipelines: Mapping[str, Mapping[str, Any] | bytes | str],
        udfs: Mapping[str, UdfSource] | None = None,
        *,
        secrets: Mapping[str, str] | None = None,
        cache: Path | None = None,
    ) -> Pipelines:
        """Compiles pipelines and UDFs, by their names.

        `secrets`: values for `${secret:name}` in parameters. `cache`: a folder for compiled modules.
        Raises InvalidError, with the field at fault, for a definition or a UDF that does not compile.
        """
        return cls(_compiled(pipelines.items(), (udfs or {}).items(), Catalog(cache, secrets=Secrets(secrets))))

    @classmethod
    def of(cls, bundle: Bundle, *, secrets: Mapping[str, str] | None = None, cache: Path | None = None) -> Pipelines:
        """Compiles a bundle; `secrets` and `cache` as in [`load`]. Raises InvalidError."""
        catalog = Catalog(cache, secrets=Secrets(secrets))
        return cls(_compiled(bundle.pipelines, bundle.udfs, catalog), bundle)

    @classmethod
    def shared(cls, bundle: Bundle) -> Pipelines:
        """The pipelines of a bundle, compiled once in this process, with the secrets of its environment.

        The variable HEADRACE_COMPILED names the folder for compiled modules; without it each process compiles anew.
        Raises InvalidError.
        """
        with _LOCK:
            found = _SHARED.get(bundle.digest)
            if found is None:
                folder = os.environ.get(CACHE_VARIABLE)
                catalog = Catalog(Path(folder) if folder else None, secrets=Secrets.of(os.environ))
                found = cls(_compiled(bundle.pipelines, bundle.udfs, catalog), bundle)
                _SHARED.set(bundle.digest, found)
            return found

    def label(self, name: str) -> str:
        """`name@version` of a document pipeline, by its name or its `name@version`. Raises MissingError."""
        return self._find(name).label

    def _find(self, name: str) -> Pipeline:
        plain, _, version = name.partition("@")
        return self._snapshot.find(plain, version or None, PipelineType.DOCUMENT)

    def run_bulk(
        self, name: str, body: bytes, *, index: str | None = None, timeout: float = 30.0, final: bool = False
    ) -> BulkOutcome:
        """Runs a document pipeline over the actions of a bulk, as the proxy does with `POST /{index}/_bulk`.

        `name`: of the active version, or `name@version`. `index`: of actions that name none. `timeout`: in seconds.
        `final`: as a final pipeline, which cannot change the index of a document. Actions that write no document
        (deletes, scripted updates) stay. Raises MissingError, and BulkError for a body that is no bulk.
        """
        bulk = Bulk(body, index=index)
        failures = self._run_bulk(name, bulk, timeout, final=final)
        states, forwarded = bulk.states()
        rendered = bulk.render()
        return BulkOutcome(body if rendered is None else rendered, states, forwarded, list(failures.values()))

    def _run_bulk(self, name: str, bulk: Bulk, timeout: float, *, final: bool = False) -> dict[int, Failure]:
        """Runs a pipeline over a bulk; gives the failures by position."""
        pipeline = self._find(name)
        batch = bulk.batch([key for key, (_, _, writes) in enumerate(bulk.targets()) if writes])
        execute(pipeline, batch, Deadline(timeout), RunOptions(final=final))
        bulk.absorb(batch, pinned=pipeline.definition.name if final else None)
        found: dict[int, Failure] = {}
        if bulk.counts()[2]:
            for i in range(len(bulk)):
                state, failure = bulk.outcome(i)
                if state == "failed" and failure is not None:
                    found[i] = failure_of(i, failure)
        return found

    def run_record_batch(
        self, name: str, batch: Any, *, index: str = "_index", timeout: float = 30.0, keep_before: bool = False
    ) -> Any:
        """Runs a document pipeline over a `pyarrow.RecordBatch` with a column `_source` of JSON texts.

        `_id`, `_index` and `_routing` may be columns, too. Gives a record batch with a row for each document of the
        input: `_id`, `outcome`, `reason` of a failure, `_source` as it is now, and `before` if it is to be kept.
        Of a document that became several, `_source` is the first. Raises InvalidError for columns that do not fit.
        """
        body, sources = bulk_of(batch)
        if not sources:
            return columns_of(Bulk(b'{"index":{}}\n{}\n', index=index), [], {}, keep_before=keep_before)
        bulk = Bulk(body, index=index)
        failures = self._run_bulk(name, bulk, timeout)
        return columns_of(bulk, sources, failures, keep_before=keep_before)

    def run(
        self, name: str, documents: Iterable[Document], *, index: str | None = None, timeout: float = 30.0
    ) -> Outcome:
        """Runs a document pipeline over documents.

        `index`: what stages see as `_index`. `timeout`: seconds for each batch of a thousand documents.
        A document that fails is in `failures`; the others go on. Raises MissingError for an unknown pipeline, and
        BulkError for a text that is not a JSON object.
        """
        pipeline = self._find(name)
        outcome = Outcome()
        offset = 0
        for chunk in _chunks(documents, _BATCH):
            _run_documents(pipeline, chunk, index or "_index", offset, timeout, outcome)
            offset += len(chunk)
        return outcome

    def run_ndjson(self, name: str, text: bytes, *, index: str | None = None, timeout: float = 30.0) -> Outcome:
        """Runs a document pipeline over JSON objects, one on each line; empty lines are passed over."""
        return self.run(name, (line for line in text.splitlines() if line.strip()), index=index, timeout=timeout)

    def run_arrow(
        self, name: str, table: Any, *, index: str | None = None, timeout: float = 30.0
    ) -> tuple[Any, Outcome]:
        """Runs a document pipeline over the rows of a `pyarrow.Table`; gives the table of the documents that result.

        Needs pyarrow (`pip install headrace-pipelines[arrow]`). Values that JSON has no type for must be cast first.
        """
        pyarrow = pyarrow_or_raise()
        outcome = self.run(name, table.to_pylist(), index=index, timeout=timeout)
        return pyarrow.Table.from_pylist(outcome.documents), outcome

    def run_query(self, name: str, request: Document, *, timeout: float = 30.0) -> dict[str, Any]:
        """Runs a query pipeline over the body of a search. Raises PipelineFailedError."""
        return self._run_body(PipelineType.QUERY, name, request, timeout)

    def run_result(self, name: str, response: Document, *, timeout: float = 30.0) -> dict[str, Any]:
        """Runs a result pipeline over the response to a search. Raises PipelineFailedError."""
        return self._run_body(PipelineType.RESULT, name, response, timeout)

    def _run_body(self, kind: PipelineType, name: str, value: Document, timeout: float) -> dict[str, Any]:
        pipeline = self._snapshot.find(name, kind=kind)
        batch = Batch.of(kind.value, _text(value))
        execute(pipeline, batch, Deadline(timeout), RunOptions())
        _, failure = batch.outcome(0)
        if failure is not None:
            raise PipelineFailedError(failure_of(0, failure))
        result: dict[str, Any] = msgspec.json.decode(batch.document(0))
        return result


def _run_documents(
    pipeline: Pipeline, chunk: list[bytes], index: str, offset: int, timeout: float, outcome: Outcome
) -> None:
    bulk = Bulk(b"".join(b'{"index":{}}\n' + text + b"\n" for text in chunk), index=index)
    batch = bulk.batch(list(range(len(chunk))))
    execute(pipeline, batch, Deadline(timeout), RunOptions())
    for i in range(len(batch)):
        state, failure = batch.outcome(i)
        if failure is not None:
            outcome.failures.append(failure_of(offset + batch.slot(i), failure))
        elif state == "dropped":
            outcome.dropped += 1
        else:
            outcome.texts.append(bytes(batch.document(i)))


def _compiled(
    pipelines: Iterable[tuple[str, Mapping[str, Any] | bytes | str]],
    udfs: Iterable[tuple[str, UdfSource | bytes]],
    catalog: Catalog,
) -> Snapshot:
    """All of them, compiled. Raises InvalidError for the first that cannot be."""
    records, codes = [], {}
    for name, source in udfs:
        record, code = _udf(catalog, name, source)
        records.append(record)
        codes[record.digest] = code
    stored, active = [], {}
    for name, body in pipelines:
        definition = definitions.parse(_text(body), name)
        definition = msgspec.structs.replace(definition, version=definition.version or "1")
        stored.append(PipelineRecord(definition=definition, created=""))
        active[key(definition.type, name)] = definition.version
    snapshot = build(Records(pipelines=stored, active=active, udfs=records), codes, catalog, Snapshot())
    for pipeline in snapshot.compiled.values():
        if pipeline.fault is not None:
            raise pipeline.fault
    return snapshot


def _udf(catalog: Catalog, name: str, source: UdfSource | bytes) -> tuple[UdfRecord, bytes]:
    abi = None
    if isinstance(source, Mapping | bytes):
        manifest, code, abi = manifests.parse(
            source if isinstance(source, bytes) else msgspec.json.encode(source), name
        )
    elif isinstance(source, Path):
        code = source.read_bytes()
        manifest = manifests.raw(code, name, "", manifests.LANGUAGE_OF_SUFFIX.get(source.suffix, "wasm"))
    else:
        code = source.encode()
        manifest = manifests.raw(code, name, "", manifests.PYTHON)
    manifest = msgspec.structs.replace(manifest, version=manifest.version or "1")
    return udf_record(catalog, manifest, code, "", abi), code


def _text(value: Document) -> bytes:
    """The JSON text of a document, on one line. Raises InvalidError for a value that is not one."""
    if isinstance(value, str):
        value = value.encode()
    if not isinstance(value, bytes):
        try:
            return msgspec.json.encode(value)
        except (TypeError, ValueError) as error:
            raise InvalidError(f"not a JSON object: {error}") from None
    if b"\n" in value or b"\r" in value:
        # A line end between members is white space; one inside of a string is no JSON.
        try:
            return msgspec.json.format(value, indent=-1)
        except msgspec.DecodeError as error:
            raise InvalidError(f"not a JSON object: {error}") from None
    return value


def _chunks(documents: Iterable[Document], size: int) -> Iterable[list[bytes]]:
    chunk: list[bytes] = []
    for each in documents:
        chunk.append(_text(each))
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


_LOCK = threading.Lock()
_SHARED: BoundedCache[str, Pipelines] = BoundedCache(_MAX_SHARED)
"""Compiled bundles of this process, by digest."""
