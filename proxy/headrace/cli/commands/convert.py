"""`headrace import`: pipelines of the cluster as pipelines of Headrace."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from headrace.cli.command import REMOTE, command
from headrace.cli.output import emit, output_option
from headrace.cli.target import target_options

if TYPE_CHECKING:
    from headrace.client import Client


@command(
    "Convert pipelines of the cluster.",
    example="headrace import ingest access-logs --as logs\nheadrace import search spelling --as spelling-2",
    exits=REMOTE,
    name="import",
)
@click.argument("kind", type=click.Choice(["ingest", "search"]))
@click.argument("source")
@click.option("--as", "name", required=True, metavar="NAME", help="The name that the new pipeline has.")
@output_option
@target_options
def convert(client: Client, kind: str, source: str, name: str, output: str) -> None:
    """Reads the pipeline SOURCE of the cluster with your credentials, converts it and stores it.

    An error names the processor or the Painless condition that cannot be converted; then nothing is stored.
    """
    found = client.pipelines.convert({kind: source, "name": name})
    columns = {"name": "name", "version": "version", "type": "type"}
    emit(found["pipelines"], columns, output, found)
