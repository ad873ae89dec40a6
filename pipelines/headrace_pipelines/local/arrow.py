"""Arrow: columns of documents to bulks, and the outcome of a run back to columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from headrace_pipelines.errors import InvalidError

if TYPE_CHECKING:
    from headrace_pipelines.engine import Bulk
    from headrace_pipelines.local.outcomes import Failure

SOURCE, ID, INDEX, ROUTING = "_source", "_id", "_index", "_routing"
_METADATA = (ID, INDEX, ROUTING)
"""Columns that say where a document is."""
_KEYS = {ID: "_id", INDEX: "_index", ROUTING: "routing"}
"""Their names in an action line."""


def pyarrow_or_raise() -> Any:
    """The module. Raises ImportError that says what to install."""
    try:
        import pyarrow
    except ImportError as error:
        raise ImportError("Arrow needs pyarrow: pip install headrace-pipelines[arrow]") from error
    return pyarrow


def bulk_of(batch: Any) -> tuple[bytes, list[bytes]]:
    """The bulk of a record batch, and its documents. Raises InvalidError for a column that is missing or no text."""
    names = batch.schema.names
    if SOURCE not in names:
        raise InvalidError(f"must be a column of JSON texts; the columns are {', '.join(names)}", SOURCE)
    sources = [_text(value, row) for row, value in enumerate(batch.column(SOURCE).to_pylist())]
    metadata = [(_KEYS[name], batch.column(name).to_pylist()) for name in _METADATA if name in names]
    encode = msgspec.json.encode
    lines: list[bytes] = []
    for row, source in enumerate(sources):
        action = {key: column[row] for key, column in metadata if column[row] is not None}
        lines += (encode({"index": action}), source)
    lines.append(b"")
    return b"\n".join(lines), sources


def _text(value: Any, row: int) -> bytes:
    if isinstance(value, str):
        value = value.encode()
    if not isinstance(value, bytes):
        raise InvalidError(f"row {row} is no JSON text", SOURCE)
    if b"\n" in value or b"\r" in value:
        try:
            return msgspec.json.format(value, indent=-1)
        except msgspec.DecodeError as error:
            raise InvalidError(f"row {row} is no JSON: {error}", SOURCE) from None
    return value


def columns_of(bulk: Bulk, sources: list[bytes], failures: dict[int, Failure], *, keep_before: bool) -> Any:
    """The record batch of what a run over [`bulk_of`] has made: a row for each document, dropped and failed ones too.

    `_id`, `outcome` (one of `ActionState`), `reason` of a failure, and `_source` of what is left.
    """
    pyarrow = pyarrow_or_raise()
    ids, outcomes, reasons, texts = [], [], [], []
    states, _ = bulk.states()
    for position, (source, state) in enumerate(zip(sources, states, strict=False)):
        text = bulk.document(position)
        ids.append(bulk.source(position)[3])
        failure = failures.get(position)
        reasons.append(failure and f"{failure.type}: {failure.reason}")
        texts.append(None if state in ("dropped", "failed") else source if text is None else text)
        outcomes.append(state)
    fields = {
        ID: pyarrow.array(ids, pyarrow.string()),
        "outcome": pyarrow.array(outcomes, pyarrow.string()),
        "reason": pyarrow.array(reasons, pyarrow.string()),
        SOURCE: pyarrow.array(texts, pyarrow.large_binary()).cast(pyarrow.large_string()),
    }
    if keep_before:
        fields["before"] = pyarrow.array(sources, pyarrow.large_binary()).cast(pyarrow.large_string())
    return pyarrow.RecordBatch.from_pydict(fields)
