"""`headrace rollout`: releases of a version on live traffic."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from headrace.cli.command import REMOTE, command
from headrace.cli.errors import ExitCode, Failure
from headrace.cli.output import confirm, emit, note, output_option
from headrace.cli.target import PIPELINE_TYPES, completed, pipeline_names, target_options

if TYPE_CHECKING:
    from headrace.client import Client

NAME = click.argument("name", shell_complete=completed(pipeline_names))
TYPE = click.option(
    "--type", "kind", type=click.Choice(PIPELINE_TYPES), help="The type, where pipelines of several have the name."
)
COLUMNS = {
    "version": "label",
    "role": "role",
    "share": "share",
    "documents": "documents",
    "failed": "failed",
    "dropped": "dropped",
    "error rate": "error_rate",
    "p50 ms": "p50_duration_ms",
    "p99 ms": "p99_duration_ms",
}
POLL_SECONDS = 1.0
"""Seconds between two questions for the state of a rollout."""
LIMITS = ("error_rate", "diff_rate", "dropped_rate", "p99_ratio")


@click.group(short_help="Release a version of a pipeline on live traffic, step by step.")
def rollout() -> None:
    """Releases a version on live traffic: a growing share of the keys meets it, unless it is aborted."""


@command(
    "Start a rollout of a stored version.",
    example=(
        "headrace rollout start logs 4 --step 1:10m --step 25:1h --abort-if error_rate=0.005 --abort-if p99_ratio=2\n"
        "headrace rollout start logs 4 --mode shadow --ignore event.ingested"
    ),
    exits=REMOTE,
    group=rollout,
)
@NAME
@click.argument("version")
@click.option(
    "--mode",
    type=click.Choice(("canary", "shadow")),
    default="canary",
    show_default=True,
    help="Whether clients get what the candidate makes, or it is only compared.",
)
@click.option("--step", "steps", multiple=True, metavar="PERCENT[:TIME]", help="A step, such as 1:10m; in order.")
@click.option("--key", help="_id, user, header:NAME, or an expression in CEL.")
@click.option("--abort-if", "limits", multiple=True, metavar="LIMIT=VALUE", help=f"One of {', '.join(LIMITS)}.")
@click.option("--min-samples", type=click.IntRange(1), help="Documents of the candidate in a window; default: 500.")
@click.option("--fallback", type=click.Choice(("error", "stable")), help="What the candidate fails on; default: error.")
@click.option("--ignore", multiple=True, metavar="PATH", help="With shadow: a path whose differences do not count.")
@click.option("--execute", type=click.FloatRange(0, 1), help="With shadow: the share of searches that are sent twice.")
@TYPE
@output_option
@target_options
def start(client: Client, name: str, version: str, kind: str | None, output: str, **asked: Any) -> None:
    """VERSION is stored beside the active one, by `headrace pipeline put --no-activate`."""
    _emit(client.pipelines.start_rollout(name, _body(version, **asked), type=kind), output)


def _body(version: str, *, steps: tuple[str, ...], limits: tuple[str, ...], **asked: Any) -> dict[str, Any]:
    body: dict[str, Any] = {"candidate": version} | {name: value for name, value in asked.items() if value}
    if steps:
        body["steps"] = [_step(text) for text in steps]
    if limits:
        body["abort_if"] = dict(_limit(text) for text in limits)
    if ignore := asked.get("ignore"):
        body["ignore"] = list(ignore)
    return body


def _step(text: str) -> dict[str, Any]:
    percent, _, duration = text.partition(":")
    try:
        step: dict[str, Any] = {"percent": float(percent)}
    except ValueError:
        raise Failure(f"[{text}] is no step", "--step", "write 25:1h", ExitCode.USAGE) from None
    return step | ({"for": duration} if duration else {})


def _limit(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        if name in LIMITS:
            return name, float(value)
    except ValueError:
        pass
    raise Failure(f"[{text}] is no limit", "--abort-if", "write error_rate=0.005", ExitCode.USAGE)


@command(
    "Show how far a rollout is, and what both versions did.",
    example="headrace rollout status logs\nheadrace rollout status logs --watch",
    exits=REMOTE,
    group=rollout,
)
@NAME
@click.option("--watch", is_flag=True, help="Show it each second, until it has ended.")
@TYPE
@output_option
@target_options
def status(client: Client, name: str, watch: bool, kind: str | None, output: str) -> int:
    """With `--watch` the exit status is 0 for a version that was promoted, and 1 for one that was aborted."""
    shown, before = client.pipelines.rollout(name, type=kind), ""
    while watch and shown["state"] in ("running", "paused"):
        if (line := _line(shown)) != before:
            note(line)
            before = line
        time.sleep(POLL_SECONDS)
        shown = client.pipelines.rollout(name, type=kind)
    _emit(shown, output)
    return ExitCode.FAILED if watch and shown["state"] == "aborted" else ExitCode.OK


@command("Make the candidate the active version.", example="headrace rollout promote logs", exits=REMOTE, group=rollout)
@NAME
@click.option("--force", is_flag=True, help="Change what a set from git manages.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@TYPE
@output_option
@target_options
def promote(client: Client, name: str, force: bool, yes: bool, kind: str | None, output: str) -> None:
    """All traffic meets it from then on; the rollout has ended."""
    confirm(f"make the candidate of {name} the active version?", yes=yes)
    forced = {"force": True} if force else {}
    _emit(client.pipelines.change_rollout(name, "promote", type=kind, **forced), output)


@command(
    "Give all traffic back to the stable version.", example="headrace rollout abort logs", exits=REMOTE, group=rollout
)
@NAME
@TYPE
@output_option
@target_options
def abort(client: Client, name: str, kind: str | None, output: str) -> None:
    """Confirms an abort that a proxy has made, too: its alert ends."""
    _emit(client.pipelines.change_rollout(name, "abort", type=kind), output)


@command("Keep the percentage of a rollout.", example="headrace rollout pause logs", exits=REMOTE, group=rollout)
@NAME
@TYPE
@output_option
@target_options
def pause(client: Client, name: str, kind: str | None, output: str) -> None:
    """The candidate goes on at this percentage, and is still aborted if it is bad."""
    _emit(client.pipelines.change_rollout(name, "pause", type=kind), output)


@command("Have the step of a rollout go on.", example="headrace rollout resume logs", exits=REMOTE, group=rollout)
@NAME
@TYPE
@output_option
@target_options
def resume(client: Client, name: str, kind: str | None, output: str) -> None:
    """The step has the time that was left of it when the rollout was paused."""
    _emit(client.pipelines.change_rollout(name, "resume", type=kind), output)


def _line(shown: dict[str, Any]) -> str:
    """A rollout in one line."""
    line = f"{shown['name']}@{shown['candidate']}: {shown['state']}, {shown['mode']} at {shown['percent']:g} %"
    if shown["reason"]:
        line += f": {shown['reason']}"
    return line


def _emit(shown: dict[str, Any], output: str) -> None:
    share = shown["percent"] if shown["mode"] == "canary" else 0.0
    shares = {"stable": f"{100 - share:g} %", "candidate": f"{share:g} %"}
    rows = [
        {**facts, "label": f"{shown['name']}@{facts['version']}", "role": role, "share": shares[role]}
        for role, facts in shown["versions"].items()
    ]
    if output == "table":
        note(_line(shown))
    emit(rows, COLUMNS, output, shown)
