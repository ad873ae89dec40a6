"""`headrace top`: what pipelines and their stages do now, over all workers and proxies."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from headrace.cli.command import REMOTE, command
from headrace.cli.errors import ExitCode, Failure
from headrace.cli.output import coloured, emit, note, printable
from headrace.cli.target import TARGET, completed, connect, pipeline_names

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Group

    from headrace.cli.commands.watch.rates import Interval, Row, Watched

SORT_NAMES = ("docs", "failures", "p99", "fuel")
SORT_KEYS = {"d": "docs", "f": "failures", "p": "p99", "u": "fuel"}
QUIT = "q"
SHORTEST_SECONDS = 0.2
"""Seconds of the shortest interval: each question has all workers add up their counts."""
KEY_SECONDS = 0.1
"""Seconds between two looks for a key, and for the news of the targets."""
COLUMNS = {
    "pipeline": "name",
    "stage": "stage",
    "docs/s": "documents",
    "fail/s": "failures",
    "p50 ms": "p50",
    "p99 ms": "p99",
    "fuel/doc": "fuel",
}


@command(
    "Show what pipelines do now: rates, percentiles, fuel.",
    example="headrace top\nheadrace top --once --sort p99 -o json\nheadrace top --url http://a:9200 --url http://b:9200",
    exits=REMOTE,
    name="top",
)
@click.option("--once", is_flag=True, help="Print one interval, and end.")
@click.option("--sort", type=click.Choice(SORT_NAMES), default="docs", show_default=True, help="What comes first.")
@click.option(
    "--pipeline",
    default="",
    metavar="[TYPE:]NAME[@VERSION]",
    help="Only this pipeline.",
    shell_complete=completed(pipeline_names),
)
@click.option("--every", default="2s", show_default=True, metavar="DURATION", help="Length of an interval.")
@click.option("-o", "--output", type=click.Choice(("table", "json")), default="table", help="Format of the output.")
@TARGET
@click.option("--url", "urls", multiple=True, metavar="URL", help="The address of a proxy; several add up.")
def top(once: bool, sort: str, pipeline: str, every: str, output: str, target: str, urls: tuple[str, ...]) -> None:
    """Documents, failures, percentiles of runs and fuel of each pipeline and stage, over all workers.

    On a terminal the keys d, f, p and u sort by documents, failures, p99 and fuel; q ends. A proxy that restarts is
    asked again until it answers.
    """
    from headrace.cli.commands.watch.rates import Poller, Watched, interval_of
    from headrace_pipelines import units

    seconds = units.seconds(every, "--every")
    if seconds < SHORTEST_SECONDS:
        raise Failure(f"at least {SHORTEST_SECONDS:g}s", "--every", code=ExitCode.USAGE)
    with contextlib.ExitStack() as stack:
        clients = {url: stack.enter_context(connect(target, url)) for url in urls or ("",)}
        targets = [Watched(_address(target, url), client, pipeline) for url, client in clients.items()]
        if once:
            _ask_twice(targets, seconds)
            _print(interval_of(targets), sort, output)
            return
        poller = Poller(targets, seconds)
        poller.start()
        try:
            if output == "table" and coloured(sys.stdout):
                _show(targets, sort)
            else:
                _print_on(targets, sort, output, seconds)
        finally:
            poller.over.set()


def _address(target: str, url: str) -> str:
    """The address of a target as it is shown: without credentials."""
    from headrace.client import target as targets

    parts = urlsplit(targets.load(target, url).url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _ask_twice(targets: list[Watched], seconds: float) -> None:
    """One interval. Raises the error of a target that refuses, and Failure where none answers."""
    for pause in (seconds, 0.0):
        for target in targets:
            target.ask()
            if target.refused is not None:
                raise target.refused
        if not any(target.workers for target in targets):
            raise Failure("; ".join(target.note for target in targets), code=ExitCode.UNREACHABLE)
        time.sleep(pause)


def _intervals(targets: list[Watched]) -> Iterator[Interval]:
    """The intervals, each as soon as a target has something new, else `None` again and again."""
    from headrace.cli.commands.watch.rates import interval_of

    while True:
        for target in targets:
            if target.refused is not None:
                raise target.refused
        yield interval_of(targets)


def _print_on(targets: list[Watched], sort: str, output: str, seconds: float) -> None:
    """Prints an interval after the other, for files and programs."""
    time.sleep(seconds + KEY_SECONDS)
    for interval in _intervals(targets):
        _print(interval, sort, output)
        sys.stdout.flush()
        time.sleep(seconds)


def _print(interval: Interval, sort: str, output: str) -> None:
    if output == "json":
        import msgspec

        click.echo(msgspec.json.encode(_data(interval, sort)).decode())
        return
    for each in interval.notes:
        note(printable(each, keep=""))
    emit([_cells(row, stage) for row, stage in _lines(interval, sort)], COLUMNS, "table")


def _sorted(interval: Interval, sort: str) -> list[Row]:
    from headrace.cli.commands.watch.rates import SORTS

    return sorted(interval.rows, key=lambda row: (-SORTS[sort](row), row.name))


def _lines(interval: Interval, sort: str) -> Iterator[tuple[Row, Row | None]]:
    """The pipelines, each followed by its stages."""
    for row in _sorted(interval, sort):
        yield row, None
        for stage in row.stages:
            yield row, stage


def _cells(row: Row, stage: Row | None) -> dict[str, str]:
    shown = stage or row
    return {
        "name": "" if stage else row.name,
        "stage": stage.name if stage else "",
        "documents": _number(shown.documents),
        "failures": _number(shown.failures),
        "p50": f"{shown.p50_ms:.3g}",
        "p99": f"{shown.p99_ms:.3g}",
        "fuel": _number(shown.fuel),
    }


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _data(interval: Interval, sort: str) -> dict[str, Any]:
    return {
        "seconds": round(interval.seconds, 3),
        "workers": interval.workers,
        "notes": list(interval.notes),
        "pipelines": [
            _row_data(row) | {"stages": [_row_data(s) for s in row.stages]} for row in _sorted(interval, sort)
        ],
    }


def _row_data(row: Row) -> dict[str, Any]:
    return {
        "name": row.name,
        "runs_per_second": round(row.runs, 3),
        "documents_per_second": round(row.documents, 3),
        "failures_per_second": round(row.failures, 3),
        "p50_ms": row.p50_ms,
        "p99_ms": row.p99_ms,
        "fuel_per_document": round(row.fuel, 1),
    }


def _show(targets: list[Watched], sort: str) -> None:
    """Shows the newest interval on the terminal until q is pressed."""
    from rich.console import Console
    from rich.live import Live

    from headrace.cli.commands.watch.keys import keys

    console = Console(markup=False, highlight=False)
    shown: object = None
    with keys() as pressed, Live(console=console, screen=True, auto_refresh=False) as live:
        for interval in _intervals(targets):
            if shown != (shown := (interval, sort, console.height)):
                live.update(_screen(*shown), refresh=True)
            if pressed is None:
                time.sleep(KEY_SECONDS)
                continue
            for key in pressed(KEY_SECONDS):
                if key == QUIT:
                    return
                sort = SORT_KEYS.get(key, sort)


def _screen(interval: Interval, sort: str, height: int) -> Group:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    head = f"{interval.workers} workers · {len(interval.rows)} pipelines at work · sorted by {sort}"
    notes = [Text(printable(each, keep=""), style="yellow") for each in interval.notes]
    table = Table(box=None, header_style="bold", pad_edge=False, expand=True)
    for heading in COLUMNS:
        table.add_column(heading, justify="left" if heading in ("pipeline", "stage") else "right", no_wrap=True)
    room = max(height - len(notes) - 4, 1)
    for count, (row, stage) in enumerate(_lines(interval, sort)):
        if count == room:
            break
        style = "bold" if stage is None else "red" if stage.failures else ""
        table.add_row(*(printable(cell, keep="") for cell in _cells(row, stage).values()), style=style)
    body = table if interval.rows else Text("No pipeline ran in the last interval.", style="dim")
    keys = Text("d documents  f failures  p p99  u fuel  q quit", style="dim")
    return Group(Text(head), *notes, body, keys)
