"""`headrace fit`: which values of a file do not fit the mapping of an index."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any
from urllib.parse import quote

import click

from headrace.cli.command import REMOTE, command
from headrace.cli.errors import ExitCode, Failure
from headrace.cli.output import emit, note, output_option
from headrace.cli.target import target_options

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from headrace.client import Client

COLUMNS = {"field": "path", "reason": "reason", "count": "count"}
CHUNK = 1000
"""Documents of one request."""
CHUNK_BYTES = 8 << 20
"""Bytes of one request, about."""


@command(
    "Show which values do not fit the mapping of an index.",
    example="headrace fit app-logs docs.ndjson\nheadrace fit app-logs docs.ndjson --documents -o json",
    exits=(*REMOTE, ExitCode.DIFFERENCES),
)
@click.argument("index")
@click.argument("file", type=click.File("rb"))
@click.option("--documents", is_flag=True, help="Print the documents that do not fit, as they would be written.")
@output_option
@target_options
def fit(client: Client, index: str, file: IO[bytes], documents: bool, output: str) -> ExitCode:
    """FILE has one document on each line; `-` reads standard input. Nothing is written.

    The options are those of `fit_mapping` in the pipeline of the index. The exit status is 3 where a value does not
    fit.
    """
    counts: dict[tuple[str, str], int] = {}
    total, changed = 0, []
    for chunk in _chunks(_lines(file)):
        answer = client.request("POST", f"/{quote(index, safe='')}/_pipeline/_fit", body={"docs": chunk})
        total += answer["documents"]
        changed += [doc for doc in answer["docs"] if not doc["fits"]] if documents else []
        for each in answer["fields"]:
            key = (each["path"], each["reason"])
            counts[key] = counts.get(key, 0) + each["count"]
    rows = [
        {"path": path, "reason": reason, "count": count}
        for (path, reason), count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    ]
    found: dict[str, Any] = {"index": index, "documents": total, "fields": rows}
    if documents:
        found["docs"] = changed
    emit(rows, COLUMNS, output, found)
    note(f"{total} documents, {sum(counts.values())} values that do not fit")
    return ExitCode.DIFFERENCES if counts else ExitCode.OK


def _lines(file: IO[bytes]) -> Iterator[tuple[int, Any]]:
    """The documents of a file with their lengths. Raises Failure with the line of what is none."""
    import msgspec

    for number, line in enumerate(file, 1):
        if line.strip():
            try:
                yield len(line), msgspec.json.decode(line)
            except msgspec.DecodeError as error:
                raise Failure(f"{file.name}:{number}: {error}") from None


def _chunks(lines: Iterable[tuple[int, Any]]) -> Iterator[list[Any]]:
    chunk, size = [], 0
    for length, value in lines:
        chunk.append(value)
        size += length
        if len(chunk) == CHUNK or size > CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk
