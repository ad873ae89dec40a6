"""Files of a data lake: NDJSON and Parquet in by splits; dead letters and reports out as Parquet.

A document of a file has no version: it is created where its id is free, so a second run finds it done. Its id, where it
has none of its own, is made of the path, the position and the text: equal lines are documents of their own.
"""

from __future__ import annotations

import glob
import hashlib
import os
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from headrace.backfill.cluster.reading import Hit, Page
from headrace.backfill.spec import BackfillError
from headrace.protocol.indices.dead_letter_record import fields_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from headrace.backfill.spec import ItemResult, JobSpec, Marks, WorkItem
    from headrace.protocol.indices.dead_letter_record import DeadLetter

PARQUET = ".parquet"
NDJSON = (".ndjson", ".jsonl")
SPLIT = 64 << 20
"""Bytes of NDJSON of an item: some seconds of work."""
MAX_LINE = 100 << 20
"""Bytes of a line: what the cluster takes as one request at most."""
MAX_ID = 512
"""Bytes of an id that the cluster takes at most."""
MAX_ROWS = 5000
"""Rows of a page."""
_SOURCE, _ID, _ROUTING = "_source", "_id", "_routing"
"""Columns of Parquet with a whole document as JSON, its id and its routing; without the first, a row is a document."""


def are_files(source: str) -> bool:
    """Whether a source is files, by how its name ends."""
    return source.endswith((PARQUET, *NDJSON))


def normal(source: str) -> str:
    """A source in one spelling: of files the absolute path, also where the name of one ends with a slash."""
    stripped = source.rstrip("/")
    return os.path.abspath(stripped) if are_files(stripped) else source  # noqa: PTH100 - a pattern, without `..`


def normal_folder(folder: str) -> str:
    """A folder of dead letters in one spelling."""
    return os.path.join(os.path.abspath(folder), "")  # noqa: PTH100, PTH118 - it ends with a slash


def real(path: str) -> str:
    """A file by the one path that it has whatever links lead to it; the name of an index as it is."""
    return os.path.realpath(path) if path.startswith("/") else path


def paths_of(source: str) -> list[str]:
    """The files of a source. Raises BackfillError where there is none."""
    # Workers, and the process that resumes the job, may be in another folder.
    paths = sorted(glob.glob(normal(source), recursive=True))  # noqa: PTH207 - a pattern
    if not paths:
        raise BackfillError(f"there are no files [{source}]", "source")
    for path in paths:
        if Path(path).is_dir():
            raise BackfillError(
                f"[{path}] is a folder: name its files, such as [{path}/*{Path(path).suffix}]", "source"
            )
    return paths


def marks_of(source: str) -> Marks:
    """The bytes of each file, or its row groups. Raises BackfillError where there is no file."""
    return {path: {"0": _extent(path)} for path in paths_of(source)}


def _extent(path: str) -> int:
    if path.endswith(PARQUET):
        with _opened(path) as file:
            return int(file.num_row_groups)
    return Path(path).stat().st_size


def split_of(path: str) -> int:
    """How much of a file an item has: bytes, or row groups."""
    return 1 if path.endswith(PARQUET) else SPLIT


def _arrow(field: str = "") -> Any:
    """Pyarrow with its reader of Parquet. Raises BackfillError that says what to install."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise BackfillError("Parquet needs pyarrow: pip install headrace[parquet]", field) from None
    return pyarrow


def check_files(source: str, report: str, stream: str) -> None:
    """Raises BackfillError where files could not be read or written in the end, before there is something to lose."""
    for field, needed in (
        ("source", source.endswith(PARQUET)),
        ("report", report.endswith(PARQUET)),
        ("dead_letters", is_folder(stream)),
    ):
        if needed:
            _arrow(field)
    if report and not os.access(Path(report).absolute().parent, os.W_OK | os.X_OK):
        raise BackfillError(f"there is no folder for [{report}] that can be written to", "report")


@contextmanager
def _opened(path: str) -> Iterator[Any]:
    """A file of Parquet. Raises BackfillError for one that cannot be read."""
    pyarrow = _arrow()
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            yield file
    except (pyarrow.ArrowException, OSError) as error:
        raise BackfillError(f"[{path}] cannot be read as Parquet: {str(error)[:500]}", "source") from None


class Row(NamedTuple):
    """A document of a file: its text, its own id and routing if it has some, and where it is: a byte or a row.

    `fault`: why it is no document; its text is then what can be shown of it.
    """

    text: bytes
    id: str | None
    routing: str | None
    position: int
    fault: str = ""


def pages(job: JobSpec, item: WorkItem) -> Iterator[Page]:
    """The documents of a part of a file, in pages of bounded bytes. Raises BackfillError, OSError."""
    found = _rows(job, item) if item.index.endswith(PARQUET) else _lines(item)
    unit = "row" if item.index.endswith(PARQUET) else "the line at byte"
    page = Page([], 0)
    for row in found:
        hit = _hit(job, item.index, row)
        fault = row.fault or id_fault(hit.name)
        if fault:
            page.broken.append((hit, f"{unit} {row.position} of [{item.index}]: {fault}"))
        else:
            page.hits.append(hit)
        page.bytes += len(row.text)
        if page.bytes >= job.page_bytes or len(page.hits) + len(page.broken) >= MAX_ROWS:
            yield page
            page = Page([], 0)
    if page.hits or page.broken:
        yield page


def _hit(job: JobSpec, path: str, row: Row) -> Hit:
    id_ = row.id
    if id_ is None and job.id_field:
        id_ = _field(row.text, job.id_field)
    if id_ is None:
        id_ = hashlib.sha256(b"%b\0%d\0%b" % (path.encode(), row.position, row.text)).hexdigest()[:40]
    hit = Hit(msgspec.Raw(msgspec.json.encode(id_)), msgspec.Raw(row.text))
    if row.routing is not None:
        hit.routing = msgspec.Raw(msgspec.json.encode(row.routing))
    return hit


def _field(text: bytes, path: str) -> str | None:
    """The text or number at a dotted path; `None` where there is none."""
    try:
        value: Any = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return None
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else None


def _lines(item: WorkItem) -> Iterator[Row]:
    """The lines that begin in the part; the last one may end behind it."""
    with Path(item.index).open("rb") as file:
        if item.low:
            file.seek(item.low - 1)
            file.readline(MAX_LINE)
        while (position := file.tell()) < item.high:
            line = file.readline(MAX_LINE)
            if len(line) == MAX_LINE:
                reason = f"the line at byte {position} of [{item.index}] is longer than {MAX_LINE} bytes"
                raise BackfillError(reason, "source")
            if text := line.strip():
                yield Row(text, None, None, position)


def _rows(job: JobSpec, item: WorkItem) -> Iterator[Row]:
    for batch, position in _batches(job, item):
        yield from _documents(batch, position)


def _batches(job: JobSpec, item: WorkItem) -> Iterator[tuple[Any, int]]:
    """The rows of an item as record batches of about a page, each with the position of its first row in the file.

    Of whole documents no other columns than theirs. Raises BackfillError for a column of them that has no texts.
    """
    with _opened(item.index) as file:
        position = sum(file.metadata.row_group(each).num_rows for each in range(item.low))
        groups = list(range(item.low, item.high))
        rows = sum(file.metadata.row_group(each).num_rows for each in groups)
        size = sum(file.metadata.row_group(each).total_byte_size for each in groups)
        count = max(1, min(MAX_ROWS, job.page_bytes * rows // max(1, size)))
        names = file.schema_arrow.names
        wanted = None
        if _SOURCE in names:
            wanted = [name for name in (_SOURCE, _ID, _ROUTING) if name in names]
            kind = file.schema_arrow.field(_SOURCE).type
            if not _has_texts(kind):
                raise BackfillError(f"the column {_SOURCE} of [{item.index}] has {kind}, not JSON texts", "source")
        for batch in file.iter_batches(batch_size=count, row_groups=groups, columns=wanted):
            yield batch, position
            position += batch.num_rows


def _has_texts(kind: Any) -> bool:
    """Whether values of a type of Arrow are texts, or bytes, or nothing."""
    types = _arrow().types
    if types.is_dictionary(kind):
        return _has_texts(kind.value_type)
    of = ("string", "large_string", "string_view", "binary", "large_binary", "fixed_size_binary", "binary_view", "null")
    return any(getattr(types, f"is_{each}", bool)(kind) for each in of)


def _documents(batch: Any, position: int) -> list[Row]:
    """The rows of a batch, each for itself where one is no document: it has no text, or what JSON cannot say."""
    unfit = (_arrow().ArrowException, TypeError, ValueError, OverflowError, msgspec.MsgspecError)
    try:
        return _converted(batch, position)
    except unfit as error:
        if batch.num_rows > 1:
            return [row for at in range(batch.num_rows) for row in _documents(batch.slice(at, 1), position + at)]
        values = {name: _value(batch.column(name)) for name in batch.schema.names}
        text = values.get(_SOURCE)
        if text is None:
            text = msgspec.json.encode({name: _text(value) for name, value in values.items()})
        id_, routing = (_text(values.get(name)) for name in (_ID, _ROUTING))
        return [Row(text.encode() if isinstance(text, str) else text, id_, routing, position, str(error)[:500])]


def _converted(batch: Any, position: int) -> list[Row]:
    """The rows of a batch. Raises what tells that a value has no form in JSON."""
    names = batch.schema.names
    ids, routings = (_texts(batch, name) for name in (_ID, _ROUTING))
    if _SOURCE in names:
        sources = batch.column(_SOURCE).to_pylist()
        if None in sources:
            raise ValueError(f"there is no {_SOURCE}")
        texts = list(map(single_line, sources))
    else:
        rows = batch.drop_columns([name for name in (_ID, _ROUTING) if name in names]).to_pylist()
        texts = list(map(msgspec.json.encode, rows))
    return list(map(Row, texts, ids, routings, range(position, position + len(texts))))


def _texts(batch: Any, name: str) -> list[str | None]:
    if name not in batch.schema.names:
        return [None] * int(batch.num_rows)
    return list(map(_text, batch.column(name).to_pylist()))


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _value(column: Any) -> Any:
    """The value of a column of one row, else its text; `None` where there is none, or it cannot be shown."""
    with suppress(Exception):
        return column.to_pylist()[0]
    with suppress(Exception):
        return column.cast(_arrow().string()).to_pylist()[0]
    return None


def single_line(source: str | bytes) -> bytes:
    """A JSON text as a bulk can have it. Raises MsgspecError for one of several lines that is no JSON."""
    text = source.encode() if isinstance(source, str) else bytes(source)
    return msgspec.json.format(text, indent=-1) if b"\n" in text or b"\r" in text else text


def id_fault(name: str) -> str:
    """Why a document cannot have an id: the cluster would refuse all documents that are sent with it. Else nothing."""
    if not name:
        return "the id is empty"
    size = len(name.encode(errors="replace"))
    return f"the id has {size} bytes, more than {MAX_ID}" if size > MAX_ID else ""


def is_folder(stream: str) -> bool:
    """Whether dead letters go to files."""
    return stream.endswith("/")


class DeadLetterFiles:
    """The dead letters of an item as Parquet files of a folder, one for each page that has some."""

    def __init__(self, folder: str, job: JobSpec, item: WorkItem) -> None:
        self._folder = Path(folder)
        self._stem = f"{job.job}-{hashlib.sha256(item.key.encode()).hexdigest()[:16]}"
        self._count = 0
        self._folder.mkdir(parents=True, exist_ok=True)
        for path in self._folder.glob(f"{self._stem}-*{PARQUET}"):
            # An earlier run of the item may have ended within it.
            path.unlink(missing_ok=True)

    def keep(self, letters: Sequence[DeadLetter]) -> None:
        """Writes the records of a page."""
        if not letters:
            return
        rows = []
        for letter in letters:
            fields = fields_of(letter)
            error = fields.pop("error")
            rows.append({**fields, **{f"error.{name}": value for name, value in error.items()}})
        names = dict.fromkeys(name for row in rows for name in row)
        columns = {name: [row.get(name) for row in rows] for name in names}
        path = self._folder / f"{self._stem}-{self._count}{PARQUET}"
        _write(path, _arrow().table(columns))
        self._count += 1


def write_report(name: str, result: ItemResult) -> None:
    """The result as Parquet, a row for each count, path, reason and sample; by another ending as JSON."""
    path = Path(name)
    if path.suffix != PARQUET:
        path.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=2))
        return
    counts = msgspec.to_builtins(result.counts)
    rows: list[dict[str, Any]] = [{"kind": "count", "name": key, "value": float(n)} for key, n in counts.items()]
    rows += [{"kind": "path", "name": key, "value": float(n)} for key, n in result.paths.items()]
    rows += [{"kind": "reason", "name": key, "value": float(n)} for key, n in result.reasons.items()]
    rows += [
        {"kind": "sample", "name": each.outcome, "id": each.id, "before": each.before, "after": each.after}
        | {"reason": each.reason}
        for each in result.samples
    ]
    pyarrow = _arrow()
    text = pyarrow.string()
    types = {"kind": text, "name": text, "value": pyarrow.float64(), "id": text, "before": text, "after": text}
    schema = pyarrow.schema({**types, "reason": text})
    _write(path, pyarrow.table({key: [row.get(key) for row in rows] for key in schema.names}, schema=schema))


def _write(path: Path, table: Any) -> None:
    """Writes a file at once, or not at all."""
    temporary = path.with_name(f".{path.name}.tmp")
    _arrow().parquet.write_table(table, temporary)
    temporary.replace(path)
