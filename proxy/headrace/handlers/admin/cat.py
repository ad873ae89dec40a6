"""`/_cat/pipelines` and `/_cat/udfs`: tables as OpenSearch's `_cat` writes them."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from aiohttp import hdrs
from multidict import CIMultiDict

from headrace.protocol.media import types
from headrace.protocol.media.types import Media
from headrace.server.reply import reply_json
from headrace.server.response import send_whole
from headrace_pipelines.errors import InvalidError
from headrace_pipelines.registry.association import SLOTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiohttp import web

    from headrace.server.request import RequestContext
    from headrace_pipelines import PipelineType
    from headrace_pipelines.registry import Snapshot
    from headrace_pipelines.registry.association import Slots

Row = dict[str, str | None]


class Column(NamedTuple):
    """A column: its name, its description, and whether it has numbers, which stand on the right."""

    name: str
    about: str
    number: bool = False


PIPELINES = (
    Column("name", "name of the pipeline"),
    Column("type", "document, query or result"),
    Column("version", "active version"),
    Column("enabled", "whether it runs"),
    Column("stages", "number of its stages", number=True),
    Column("attached", "number of patterns, indexes and templates that have it", number=True),
    Column("managed_by", "set that it is of"),
    Column("updated", "time of the active version"),
)
UDFS = (
    Column("name", "name of the UDF"),
    Column("version", "version in force"),
    Column("language", "language of its source"),
    Column("abi", "ABI"),
    Column("size", "bytes of its code", number=True),
    Column("versions", "number of stored versions", number=True),
    Column("managed_by", "set that it is of"),
    Column("created", "time of the version"),
)


async def pipelines(context: RequestContext) -> web.StreamResponse:
    """All pipelines, a row each."""
    snapshot = context.snapshot
    attached = _attached(snapshot)
    rows: list[Row] = []
    for pipeline in snapshot.pipelines():
        definition = pipeline.definition
        kind, name = definition.type, definition.name
        rows.append(
            {
                "name": name,
                "type": kind.value,
                "version": definition.version,
                "enabled": str(definition.enabled).lower(),
                "stages": str(len(definition.stages)),
                "attached": str(attached[kind, name]),
                "managed_by": snapshot.managed_by("pipeline", f"{kind.value}:{name}") or None,
                "updated": pipeline.created,
            }
        )
    return await _table(context, PIPELINES, rows)


def _attached(snapshot: Snapshot) -> Counter[tuple[PipelineType, str | None]]:
    """How many patterns, indexes and templates have each pipeline, by its type and name."""
    records = snapshot.records
    holders: list[Slots] = [*records.patterns, *(each for each in records.associations if not each.deleted)]
    holders += [each.current for each in records.templates]
    found: Counter[tuple[PipelineType, str | None]] = Counter()
    for holder in holders:
        found.update({(slot.kind, holder.name(slot)) for slot in SLOTS})
    return found


async def udfs(context: RequestContext) -> web.StreamResponse:
    """All UDFs, a row each."""
    snapshot = context.snapshot
    rows: list[Row] = [
        {
            "name": record.name,
            "version": record.version,
            "language": record.manifest.language,
            "abi": record.abi,
            "size": str(record.size),
            "versions": str(len(snapshot.udf_versions(record.name))),
            "managed_by": snapshot.managed_by("udf", record.name) or None,
            "created": record.created,
        }
        for record in snapshot.udfs()
    ]
    return await _table(context, UDFS, rows)


async def _table(context: RequestContext, columns: Sequence[Column], rows: list[Row]) -> web.StreamResponse:
    """The rows as `h`, `s`, `v`, `help` and `format` ask for them. Raises InvalidError for an unknown column."""
    target = context.target
    if target.flag("help"):
        cells = [[column.name, "|", column.about] for column in columns]
        return await _text(context, _aligned(cells, [False] * 3))
    chosen = _columns(target.get("h"), columns, "h") or list(columns)
    for column, descending in reversed(_order(target.get("s"), columns)):
        rows.sort(key=partial(_sort_key, column), reverse=descending)
    if _structured(context):
        return await reply_json(context, 200, [{each.name: row[each.name] for each in chosen} for row in rows])
    cells = [[row[each.name] or "" for each in chosen] for row in rows]
    if target.flag("v"):
        cells.insert(0, [each.name for each in chosen])
    return await _text(context, _aligned(cells, [each.number for each in chosen]))


def _structured(context: RequestContext) -> bool:
    """Whether rows are asked for as values, in any of the cluster's media types."""
    form = context.target.get("format")
    if form is not None:
        return form.lower() in {media.name.lower() for media in Media}
    accept = context.request.headers.get(hdrs.ACCEPT)
    return accept is not None and "*" not in accept and types.named(accept) is not None


def _columns(text: str | None, columns: Sequence[Column], parameter: str) -> list[Column]:
    named = {column.name: column for column in columns}
    wanted = [name.strip() for name in (text or "").split(",") if name.strip()]
    for name in wanted:
        if name not in named:
            raise InvalidError(f"[{name}] is no column; there are {', '.join(named)}", parameter)
    return [named[name] for name in wanted]


def _order(text: str | None, columns: Sequence[Column]) -> list[tuple[Column, bool]]:
    """The columns to sort by, and whether each is sorted downwards."""
    found = []
    for each in (text or "").split(","):
        name, _, direction = each.strip().partition(":")
        if direction not in ("", "asc", "desc"):
            raise InvalidError(f"[{direction}] is no direction; there are asc and desc", "s")
        found += [(column, direction == "desc") for column in _columns(name, columns, "s")]
    return found


def _sort_key(column: Column, row: Row) -> tuple[int, str]:
    value = row[column.name] or ""
    return (int(value), "") if column.number else (0, value)


def _aligned(cells: list[list[str]], right: list[bool]) -> str:
    """Lines of cells, one blank between columns; the last cell of a line is not filled up, as in the cluster."""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    if widths and not right[-1]:
        widths[-1] = 0
    lines = (
        " ".join(
            cell.rjust(width) if on_right else cell.ljust(width)
            for cell, width, on_right in zip(line, widths, right, strict=True)
        )
        for line in cells
    )
    return "".join(f"{line}\n" for line in lines)


async def _text(context: RequestContext, text: str) -> web.StreamResponse:
    headers = CIMultiDict({hdrs.CONTENT_TYPE: "text/plain; charset=UTF-8"})
    return await send_whole(context.request, 200, "", headers, text.encode())
