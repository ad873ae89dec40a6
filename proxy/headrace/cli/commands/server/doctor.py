"""`headrace doctor`: what goes wrong in installations, and the remedy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from headrace.cli.command import command
from headrace.cli.errors import ExitCode
from headrace.cli.output import emit, note, output_option
from headrace.cli.target import target_names

if TYPE_CHECKING:
    from headrace.client import Client
    from headrace.settings import Settings

COLUMNS = {"result": "level", "check": "check", "found": "found", "remedy": "remedy"}


@command(
    "Find what is wrong with an installation, and the remedy.",
    example="headrace doctor --config headrace.toml\n"
    "headrace doctor --url http://proxy-1:9280 --url http://proxy-2:9280 --bundle report.zip",
    exits=(),
)
@click.option("--config", metavar="FILE", help="Settings of a proxy: examine this host and the cluster with them.")
@click.option(
    "--target",
    "targets",
    multiple=True,
    metavar="NAME",
    help="A target of headrace.toml; may be repeated.",
    shell_complete=target_names,
)
@click.option("--url", "urls", multiple=True, metavar="URL", help="The address of a proxy; may be repeated.")
@click.option(
    "--bundle", type=click.Path(dir_okay=False, path_type=Path), help="Write a zip for a report, without secrets."
)
@output_option
def doctor(
    config: str | None, targets: tuple[str, ...], urls: tuple[str, ...], bundle: Path | None, output: str
) -> int:
    """With --config it examines this host and the cluster; with --target or --url, running proxies.

    With none of them it does both, with the settings of the environment and the default target. The exit status is 1
    where a finding is an error.
    """
    from headrace.cli.doctor import bundle as bundles
    from headrace.cli.doctor import cluster, machine, proxy
    from headrace.cli.doctor.finding import Level

    settings = _settings(config) if config or not (targets or urls) else None
    clients = _clients(targets, urls) if targets or urls or not config else []
    findings = []
    if settings is not None:
        findings += [*machine.examine(settings), *cluster.examine(settings)]
    findings += proxy.examine(clients)
    emit([finding._asdict() for finding in findings], COLUMNS, output, name="check")
    if bundle is not None:
        bundles.write(bundle, findings, settings, clients)
        note(f"wrote {bundle}")
    for client in clients:
        client.close()
    return ExitCode.FAILED if any(finding.level is Level.ERROR for finding in findings) else ExitCode.OK


def _settings(config: str | None) -> Settings:
    import os

    from headrace.settings import Sources

    return Sources(Path(config) if config else None, os.environ, {}).load().settings


def _clients(targets: tuple[str, ...], urls: tuple[str, ...]) -> list[Client]:
    from headrace.cli.target import connect

    named = [connect(target) for target in targets] + [connect("", url) for url in urls]
    return named or [connect()]
