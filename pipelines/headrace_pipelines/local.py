"""Runs pipelines in this process, without a proxy: load definitions and UDFs, run them over documents.

For notebooks, batch jobs and tests. Definitions and UDFs are written as for the REST API
(`PUT /_pipeline/{name}`, `PUT /_udf/{name}`), and run in the same engine under the same limits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from headrace_pipelines import definition as definitions
from headrace_pipelines.definition import PipelineType
from headrace_pipelines.engine import Batch, Bulk, Deadline
from headrace_pipelines.errors import HeadraceError, InvalidError
from headrace_pipelines.executor import execute
from headrace_pipelines.executor.report import RunOptions
from headrace_pipelines.registry import PipelineRecord, Records, Snapshot, build, key, udf_record
from headrace_pipelines.udf import manifest as manifests
from headrace_pipelines.udf.catalog import Catalog
from headrace_pipelines.udf.secrets import Secrets

if TYPE_CHECKING:
    from headrace_pipelines.registry import Pipeline, UdfRecord

Document = Mapping[str, Any] | bytes | str
"""A JSON object: as a mapping, or as its text."""
UdfSource = Path | Mapping[str, Any] | str
"""A UDF: a file (`.py`, `.js`, `.wasm`), the body of `PUT /_udf/{name}`, or the source of a Python function."""

_BATCH = 1000
"""Documents of one batch: enough for the cost of a batch not to show, few enough for memory to stay small."""


class Failure(NamedTuple):
    """A document that a pipeline failed. `position`: in the input, from 0. `status`: the HTTP status of the error."""

    position: int
    status: int
    type: str
    reason: str
    stage: str


@dataclass
class Outcome:
    """The result of a run: documents in the order of the input, each as JSON text, and what became of the others.

    A stage may make several documents of one; they follow it. `dropped` counts documents that a stage dropped.
    """

    texts: list[bytes] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    dropped: int = 0
    trace: list[dict[str, Any]] = field(default_factory=list)

    @property
    def documents(self) -> list[dict[str, Any]]:
        """The documents, decoded."""
        return [msgspec.json.decode(text) for text in self.texts]

    @property
    def ndjson(self) -> bytes:
        """The documents, one on each line."""
        return b"".join(text.replace(b"\n", b" ") + b"\n" for text in self.texts)


class PipelineFailedError(HeadraceError):
    """A query or result pipeline failed; `status` and `type` are those of the stage's error; `reason` names it."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(f"stage [{failure.stage}]: {failure.reason}")
        self.status = failure.status
        self.type = failure.type


class Pipelines:
    """Compiled pipelines and their UDFs. Safe to use from threads."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

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
        catalog = Catalog(cache, secrets=Secrets(secrets))
        records, codes = [], {}
        for name, source in (udfs or {}).items():
            record, code = _udf(catalog, name, source)
            records.append(record)
            codes[record.digest] = code
        stored, active = [], {}
        for name, body in pipelines.items():
            definition = definitions.parse(_text(body), name)
            definition = msgspec.structs.replace(definition, version=definition.version or "1")
            stored.append(PipelineRecord(definition=definition, created=""))
            active[key(definition.type, name)] = definition.version
        registry = Records(pipelines=stored, active=active, udfs=records)
        snapshot = build(registry, codes, catalog, Snapshot())
        for pipeline in snapshot.pipelines():
            if pipeline.fault is not None:
                raise pipeline.fault
        return cls(snapshot)

    def run(
        self, name: str, documents: Iterable[Document], *, index: str | None = None, timeout: float = 30.0
    ) -> Outcome:
        """Runs a document pipeline over documents.

        `index`: what stages see as `_index`. `timeout`: seconds for each batch of a thousand documents.
        A document that fails is in `failures`; the others go on. Raises MissingError for an unknown pipeline, and
        BulkError for a text that is not a JSON object.
        """
        pipeline = self._snapshot.find(name, kind=PipelineType.DOCUMENT)
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
        try:
            import pyarrow
        except ImportError as error:
            raise ImportError("run_arrow needs pyarrow: pip install headrace-pipelines[arrow]") from error

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
            raise PipelineFailedError(_failure(0, failure))
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
            outcome.failures.append(_failure(offset + batch.slot(i), failure))
        elif state == "dropped":
            outcome.dropped += 1
        else:
            outcome.texts.append(bytes(batch.document(i)))


def _failure(position: int, failure: tuple[int, str, str, str, str]) -> Failure:
    status, kind, reason, _, stage = failure
    return Failure(position, status, kind, reason, stage)


def _udf(catalog: Catalog, name: str, source: UdfSource) -> tuple[UdfRecord, bytes]:
    abi = None
    if isinstance(source, Mapping):
        manifest, code, abi = manifests.parse(msgspec.json.encode(source), name)
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
