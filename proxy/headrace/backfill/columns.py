"""Documents as columns of Arrow, for the data frames of other engines: read, run, written, compared.

A row is a document: `_id`, `_index`, `_routing`, `_seq_no` (`null` where the source does not show it) and `_source`, a
JSON text. An engine hands out items and batches; what happens to them is here.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec

from headrace.backfill import bundles, files, items
from headrace.backfill.cluster import reading
from headrace.backfill.cluster.dead import PERMANENT, keep, letter
from headrace.backfill.cluster.link import Link
from headrace.backfill.cluster.reading import Hit
from headrace.backfill.cluster.records import Pass
from headrace.backfill.cluster.writing import copies, send
from headrace.backfill.diff import changed_paths
from headrace.backfill.kernel import MOVED, RUN_SECONDS, UNFIT
from headrace.backfill.spec import MAX_PATHS, BackfillError, Connection, Counts, JobSpec
from headrace.protocol.indices.dead_letter_record import Fault
from headrace_pipelines import Bundle, Pipelines

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from headrace.backfill.spec import WorkItem

ID, INDEX, ROUTING, SEQ_NO, SOURCE = "_id", "_index", "_routing", "_seq_no", "_source"
OUTCOME, REASON, BEFORE = "outcome", "reason", "before"
RESULTS = (OUTCOME, REASON, SOURCE)
"""What a run adds to the columns of its input, in place of their `_source`."""
OPTIONS = frozenset({"url", "target", "file", "index", "query", "workers", "slices", "dead_letters", "pipeline"})
"""Options of the format `headrace`; credentials are none of them."""
_WORKERS = 8
"""Workers that a plan is made for where nobody says how many there are."""


def connection_of(options: Mapping[str, str]) -> Connection:
    """How workers find the cluster. Raises BackfillError for an option that is none: a plan must show no secret."""
    wrong = sorted(set(options) - OPTIONS)
    if wrong:
        raise BackfillError(
            f"is no option; options are {', '.join(sorted(OPTIONS))}; credentials are in the environment of the "
            "executors (HEADRACE_USER, HEADRACE_PASSWORD_FILE) or in the headrace.toml that the option file names",
            wrong[0],
        )
    if not options.get("index"):
        raise BackfillError("is required", "index")
    return Connection(options.get("target", ""), options.get("url", ""), options.get("file", ""))


def reading_job(options: Mapping[str, str]) -> JobSpec:
    """A job that only reads. Raises BackfillError for options that are wrong."""
    connection = connection_of(options)
    query = options.get("query", "")
    return JobSpec(job="", source=options["index"], target="", pipeline="", bundle=Bundle(()), cluster=connection,
                   query=query)  # fmt: skip


def writing_job(options: Mapping[str, str]) -> JobSpec:
    """A job that only writes. Raises BackfillError for options that are wrong."""
    connection = connection_of(options)
    params = {"pipeline": options["pipeline"]} if options.get("pipeline") else {}
    job = JobSpec(job="", source="", target=options["index"], pipeline="", bundle=Bundle(()), cluster=connection,
                  params=params)  # fmt: skip
    return msgspec.structs.replace(job, stream=options.get("dead_letters") or job.stream)


def plan(job: JobSpec, *, workers: int = 0, slices: int = 0) -> list[WorkItem]:
    """The items of a read: by sequence numbers, else by slices. Raises ClientError, UnreachableError, BackfillError."""
    link = Link.shared(job.cluster, job.patience)
    workers = workers or _WORKERS
    items.indexes_of(link, job.source)
    if slices or not items.readable(link, job.source):
        return items.items_of(Pass(number=1, slices=slices or 2 * workers), job.source, frozenset())
    survey = items.survey(link, job.source)
    planned = Pass(number=1, high=survey.marks, size=items.item_size(survey.operations, workers))
    return items.items_of(planned, job.source, items.primary_only(link, job.source))


def read(job: JobSpec, item: WorkItem) -> Iterator[Any]:
    """The documents of an item as record batches of bounded bytes. Raises what [`reading.pages`] raises."""
    import pyarrow

    texts = pyarrow.string()
    link = Link.shared(job.cluster, job.patience)
    for page in reading.pages(link, job, item, once=True):
        hits = page.hits
        decode = msgspec.json.decode
        columns = {
            ID: pyarrow.array([hit.name for hit in hits], texts),
            INDEX: pyarrow.array([hit.index or item.index for hit in hits], texts),
            ROUTING: pyarrow.array([decode(hit.routing, type=str) if hit.routing else None for hit in hits], texts),
            SEQ_NO: pyarrow.array([None if hit.seq_no < 0 else hit.seq_no for hit in hits], pyarrow.int64()),
            SOURCE: pyarrow.array([bytes(hit.source) for hit in hits], pyarrow.binary()).cast(texts),
        }
        yield pyarrow.RecordBatch.from_pydict(columns)


class Code(msgspec.Struct, frozen=True):
    """A pipeline with all that it refers to, for other processes."""

    label: str
    bundle: Bundle

    @classmethod
    def of(cls, pipeline: str, bundle: Bundle | None = None, connection: Connection | None = None) -> Code:
        """A pipeline of a bundle, or of the proxy of `connection`. Raises ClientError, MissingError, BackfillError."""
        if bundle is not None:
            return cls(Pipelines.shared(bundle).label(pipeline), bundle)
        proxy = bundles.Proxy((connection or Connection()).load())
        try:
            chosen = bundles.bundle_of(proxy, pipeline)
        finally:
            proxy.close()
        return cls(chosen.label, chosen.bundle)


def run(code: Code, batches: Iterable[Any], *, keep_before: bool = False) -> Iterator[Any]:
    """What a pipeline makes of record batches, row by row: other columns stay. Raises what the data plane raises."""
    import pyarrow

    pipelines = Pipelines.shared(code.bundle)
    for batch in batches:
        # A column without values costs as much as one with them.
        taken = [
            name
            for name in (SOURCE, ID, INDEX, ROUTING)
            if name in batch.schema.names and batch.column(name).null_count < batch.num_rows
        ]
        taken = taken if SOURCE in taken else [SOURCE, *taken]
        result = pipelines.run_record_batch(
            code.label, batch.select(taken), timeout=RUN_SECONDS, keep_before=keep_before
        )
        columns = {name: batch.column(name) for name in kept_columns(batch.schema.names, keep_before=keep_before)}
        columns |= {OUTCOME: result.column(OUTCOME), REASON: _reasons(result)}
        columns[SOURCE] = result.column(SOURCE).cast(pyarrow.string())
        if keep_before:
            columns[BEFORE] = result.column(BEFORE).cast(pyarrow.string())
        yield pyarrow.RecordBatch.from_pydict(columns)


def _reasons(result: Any) -> Any:
    """Why documents failed, and why those that the pipeline moves are not written."""
    import pyarrow
    from pyarrow import compute

    moved = compute.equal(result.column(OUTCOME), "moved")
    return compute.if_else(moved, pyarrow.scalar(MOVED), result.column(REASON))


def kept_columns(names: Iterable[str], *, keep_before: bool) -> list[str]:
    """The columns that a run leaves as they are. Raises BackfillError where `_source` is none, or a result is one."""
    names = list(names)
    if SOURCE not in names:
        raise BackfillError(f"must be a column of JSON texts; the columns are {', '.join(names)}", SOURCE)
    for name in (OUTCOME, REASON, *((BEFORE,) if keep_before else ())):
        if name in names:
            raise BackfillError("is a column already: rename it", name)
    return [name for name in names if name != SOURCE]


def write(job: JobSpec, batches: Iterable[Any]) -> Counts:
    """Writes documents by idempotent bulks; rows that a pipeline dropped or failed are counted, not written.

    A document with a `_seq_no` has an external version, so an older copy never replaces a newer one. Documents that the
    cluster refuses for good are kept as dead letters. Raises ClientError, UnreachableError, and BackfillError for rows
    that have no `_id`.
    """
    counts = Counts()
    link = Link.shared(job.cluster, job.patience)
    throttled = link.throttled
    for batch in batches:
        counts.read += batch.num_rows
        for hits, broken in _pages(batch, job.page_bytes, counts):
            _written(link, job, hits, counts)
            keep(link, job, [letter(job, hit, fault) for hit, fault in broken])
    counts.throttled = link.throttled - throttled
    return counts


def _pages(batch: Any, page_bytes: int, counts: Counts) -> Iterator[tuple[list[Hit], list[tuple[Hit, Fault]]]]:
    """The documents of a batch in pages, and those that have no way to be written, with the reason."""
    names = batch.schema.names
    for name in (ID, SOURCE):
        if name not in names:
            raise BackfillError(f"is no column; the columns are {', '.join(names)}", name)
    columns = {name: batch.column(name).to_pylist() for name in (ID, SOURCE, ROUTING, SEQ_NO, OUTCOME) if name in names}
    hits: list[Hit] = []
    broken: list[tuple[Hit, Fault]] = []
    size = 0
    for row, source in enumerate(columns[SOURCE]):
        outcome = columns[OUTCOME][row] if OUTCOME in columns else None
        if source is None:
            counts.failed += outcome == "failed"
            counts.dropped += outcome != "failed"
            continue
        hit, fault = _hit(columns, row, source)
        if outcome == "moved":
            fault = Fault("pipeline", 400, "illegal_argument_exception", MOVED)
        if fault is not None:
            counts.failed += 1
            broken.append((hit, fault))
            continue
        hits.append(hit)
        size += len(hit.source)
        if size >= page_bytes:
            counts.bytes += size
            yield hits, broken
            hits, broken, size = [], [], 0
    counts.bytes += size
    yield hits, broken


def _hit(columns: Mapping[str, list[Any]], row: int, source: str | bytes) -> tuple[Hit, Fault | None]:
    """The document of a row, and why it cannot be sent, if so: the cluster would refuse others with it."""
    if columns[ID][row] is None:
        raise BackfillError(f"is null in row {row} of a batch: a second attempt would write the document twice", ID)
    encode = msgspec.json.encode
    text = source.encode() if isinstance(source, str) else source
    reason = files.id_fault(str(columns[ID][row]))
    try:
        text = files.single_line(text)
    except msgspec.MsgspecError as error:
        reason = str(error)
    hit = Hit(msgspec.Raw(encode(str(columns[ID][row]))), msgspec.Raw(text))
    if ROUTING in columns and columns[ROUTING][row] is not None:
        hit.routing = msgspec.Raw(encode(str(columns[ROUTING][row])))
    if SEQ_NO in columns and columns[SEQ_NO][row] is not None:
        hit.seq_no = columns[SEQ_NO][row]
    return hit, Fault("pipeline", 400, UNFIT, reason) if reason else None


def _written(link: Link, job: JobSpec, hits: list[Hit], counts: Counts) -> None:
    """Writes a page, and counts what became of it."""
    versioned = [hit for hit in hits if hit.seq_no >= 0]
    plain = [hit for hit in hits if hit.seq_no < 0]
    for part, body in ((versioned, copies(versioned)), (plain, unversioned(plain))):
        if not part:
            continue
        sent = send(link, job.target, body, len(part), job.params)
        counts.retried += sent.repeated
        counts.written += len(part) - len(sent.refused)
        letters = []
        for order, refusal in sent.refused.items():
            error = refusal.error
            if refusal.status == 409:
                counts.conflicts += 1
            elif refusal.status in PERMANENT:
                counts.rejected += 1
                fault = Fault("mapping", refusal.status, error.type, error.text, job.pipeline)
                letters.append(letter(job, part[order], fault))
            else:
                raise BackfillError(f"[{job.target}] refuses a document: {refusal.status}: {error.text}")
        keep(link, job, letters)


def refresh(job: JobSpec) -> None:
    """Makes what is written searchable. Raises ClientError, UnreachableError."""
    Link.shared(job.cluster, job.patience).json("POST", items.path_of(job.target, "_refresh"))


def unversioned(hits: list[Hit]) -> bytes:
    """The bulk of documents that have no version: the last one that is written under an id stays."""
    lines: list[bytes | msgspec.Raw] = []
    for hit in hits:
        routing = b',"routing":%b' % hit.routing if hit.routing else b""
        lines += (b'{"index":{"_id":%b%b}}' % (hit.id, routing), hit.source)
    lines.append(b"")
    return b"\n".join(lines)


def summarize(batches: Iterable[Any]) -> Iterator[Any]:
    """How many rows have which outcome, which path changed how, and which failure: batches of `kind, name, documents`.

    `kind`: `outcome`, `path` (such as `~ host.ip`) or `reason`. The counts of several workers must be added. Names of
    paths and reasons are bounded; what is over counts as `*`. The input is of [`run`] with `keep_before`.
    """
    import pyarrow

    outcomes: Counter[str] = Counter()
    bounded: dict[str, Counter[str]] = {"path": Counter(), "reason": Counter()}

    def count(kind: str, name: str) -> None:
        counter = bounded[kind]
        counter[name if name in counter or len(counter) < MAX_PATHS else "*"] += 1

    for batch in batches:
        names = (OUTCOME, REASON, BEFORE, SOURCE)
        for outcome, reason, before, after in zip(*(batch.column(name).to_pylist() for name in names), strict=True):
            outcomes[outcome] += 1
            if reason is not None:
                count("reason", reason[:200])
            elif outcome in ("changed", "moved"):
                for path in changed_paths(before.encode(), after.encode()):
                    count("path", path)
    rows = [("outcome", name, number) for name, number in outcomes.items()]
    rows += [(kind, name, number) for kind, counter in bounded.items() for name, number in counter.items()]
    kinds, names_, numbers = ([row[column] for row in rows] for column in range(3))
    yield pyarrow.RecordBatch.from_pydict(
        {
            "kind": pyarrow.array(kinds, pyarrow.string()),
            "name": pyarrow.array(names_, pyarrow.string()),
            "documents": pyarrow.array(numbers, pyarrow.int64()),
        }
    )
