"""`headrace schema`: JSON Schemas of the files that people write."""

from __future__ import annotations

import click

from headrace.cli.command import command

KINDS = ("pipeline", "udf", "cases", "associations", "settings", "project")
"""As in `headrace.project.tools.schemas`, which imports the engine."""


@command(
    "Print the JSON Schema of a kind of file.",
    example="headrace schema pipeline > pipeline.json\nheadrace schema cases\nheadrace schema settings",
)
@click.argument("kind", metavar="KIND", type=click.Choice(KINDS))
def schema(kind: str) -> None:
    """Editors complete and check a file by its schema, and check-jsonschema does so in workflows.

    KIND is one of pipeline, udf (a manifest), cases, associations, settings (of a proxy) and project (the
    headrace.toml of a directory). Schemas are of JSON Schema 2020-12.
    """
    from headrace.cli.output import emit_data
    from headrace.project.tools import schemas

    emit_data(schemas.KINDS[kind](), "json")
