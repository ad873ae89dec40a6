"""What commands print: a table for people, JSON, YAML or names for scripts."""

from __future__ import annotations

import os
import sys
import unicodedata
from typing import TYPE_CHECKING, Any, TextIO

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

FORMATS = ("table", "json", "yaml", "name")
GAP = "  "
"""Spaces between the columns of a plain table."""
_CONTROL = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""Categories of Unicode that a terminal shows as something else than a character."""


def output_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds `-o`, as the parameter `output`."""
    option = click.option(
        "-o", "--output", type=click.Choice(FORMATS), default="table", show_default=True, help="Format of the output."
    )
    return option(function)


def emit(
    rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str], output: str, data: Any = None, *, name: str = ""
) -> None:
    """Prints rows. `columns` has `heading: key`; `name` is the key of a row's name; the first column without it.

    `data` is what JSON and YAML show in place of the rows.
    """
    if output in ("json", "yaml"):
        emit_data(list(rows) if data is None else data, output)
    elif output == "name":
        name = name or next(iter(columns.values()))
        for row in rows:
            click.echo(printable(str(row.get(name, "")), keep=""))
    elif rows:
        _emit_table([[_cell(row.get(key)) for key in columns.values()] for row in rows], list(columns))
    else:
        note("nothing found")


def emit_data(data: Any, output: str) -> None:
    """Prints a value as JSON, or as YAML where `output` says so."""
    import msgspec

    if output == "yaml":
        click.echo(msgspec.yaml.encode(data).decode(), nl=False)
        return
    text = msgspec.json.format(msgspec.json.encode(data), indent=2).decode()
    if coloured(sys.stdout):
        from rich.console import Console
        from rich.syntax import Syntax

        Console(soft_wrap=True).print(Syntax(text, "json", background_color="default"))
    else:
        click.echo(text)


def note(text: str) -> None:
    """Prints a line for people on standard error; not with `--quiet`."""
    context = click.get_current_context(silent=True)
    if context is None or not (context.find_root().obj or {}).get("quiet"):
        click.echo(text, err=True)


def confirm(question: str, *, yes: bool) -> None:
    """Asks before something is deleted. Raises Failure without a terminal and without `--yes`."""
    from headrace.cli.errors import ExitCode, Failure

    if yes:
        return
    if not sys.stdin.isatty():
        raise Failure(question.rstrip("?") + ": not confirmed", hint="pass --yes", code=ExitCode.USAGE)
    if not click.confirm(question, err=True):
        raise Failure("cancelled")


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, list | tuple):
        return ",".join(_cell(part) for part in value)
    return "" if value is None else printable(str(value), keep="")


def printable(text: str, keep: str = "\n\t") -> str:
    """`text` with control characters as escapes: what a target answers must not steer the terminal."""
    if text.isprintable():
        return text
    return "".join(c if c in keep or unicodedata.category(c) not in _CONTROL else repr(c)[1:-1] for c in text)


def coloured(stream: TextIO) -> bool:
    """Whether a stream shows colours: a terminal, unless `NO_COLOR` or `TERM=dumb` says otherwise."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _emit_table(rows: list[list[str]], headings: list[str]) -> None:
    if coloured(sys.stdout):
        from rich.console import Console
        from rich.table import Table

        table = Table(*headings, box=None, header_style="bold", pad_edge=False)
        for row in rows:
            table.add_row(*row)
        Console(markup=False, highlight=False).print(table)
        return
    lines = [[heading.upper() for heading in headings], *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(headings))]
    for line in lines:
        click.echo(GAP.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
