"""`headrace backfill`: what is indexed already, or lies in files, through a version of a pipeline."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from headrace.cli.command import REMOTE, command
from headrace.cli.errors import ExitCode
from headrace.cli.target import URL, target_names

if TYPE_CHECKING:
    from headrace.cli.commands.jobs.options import Options

ENGINES = ("local", "spark", "ray")
EXAMPLE = """
headrace backfill --source logs --pipeline logs@4 --diff
headrace backfill --source logs-1 --target logs-2 --pipeline logs@4 --swap-alias logs
headrace backfill --source logs --in-place --pipeline logs@4 --rate 2000
headrace backfill --resume 5a1f0c2e9d3b
"""


@command(
    "Send what is indexed already through a pipeline.",
    example=EXAMPLE,
    name="backfill",
    exits=(*REMOTE, ExitCode.DIFFERENCES),
)
@click.option("--source", metavar="INDEX", help="The index to read; or NDJSON or Parquet files, with `*`.")
@click.option("--target", metavar="INDEX", help="The index to write to; it must be there.")
@click.option("--pipeline", metavar="NAME[@VERSION]", help="The document pipeline; default version: the active one.")
@click.option("--in-place", "same_index", is_flag=True, help="Change documents where they are.")
@click.option("--query", help="Only documents that match: a query in JSON, or in query string syntax.")
@click.option("--diff", is_flag=True, help="Write nothing; show what would change.")
@click.option("--swap-alias", "alias", metavar="ALIAS", help="Have an alias name the target at the end.")
@click.option("--mirror/--no-mirror", default=None, help="Delete from the target what the source lacks.")
@click.option("--delete-dropped", is_flag=True, help="In place: delete documents that the pipeline drops.")
@click.option("--resume", metavar="JOB", help="Go on with a job that ended early.")
@click.option("--take-over", "seize", is_flag=True, help="With --resume: also from a process that is at work.")
@click.option("--replace", is_flag=True, help="Write documents of the target again that have the same version.")
@click.option("--rate", type=click.IntRange(1), help="The most documents a second, in each pass.")
@click.option(
    "--max-latency", "latency", type=click.IntRange(1), metavar="MS",
    help="Slow down while the 99th percentile of searches takes longer than so many milliseconds.",
)  # fmt: skip
@click.option("--workers", type=click.IntRange(1, 256), help="Processes; default: the processors of this machine.")
@click.option("--engine", type=click.Choice(ENGINES), default="local", show_default=True, help="What runs the workers.")
@click.option("--master", metavar="URL", help="Spark, such as spark://HOST:7077 or local[4]; or Ray.")
@click.option("--slices", type=click.IntRange(1, 1024), help="Read by a scroll in so many slices.")
@click.option("--id-field", metavar="FIELD", help="Files: the field with the id; default: a hash of place and text.")
@click.option("--dead-letters", metavar="STREAM|DIR", help="Where failed documents go; DIR/ for Parquet files.")
@click.option("--report", metavar="FILE", type=click.Path(dir_okay=False), help="Write the result as Parquet or JSON.")
@click.option("--dir", "folder", metavar="DIR", help="Use the pipeline of a project directory.")
@click.option("--state", metavar="DIR", help="Use the pipeline of a proxy's state folder, without the proxy.")
@click.option("--proxy", metavar="NAME", default="", help="A target of headrace.toml.", shell_complete=target_names)
@URL
@click.option(
    "--cluster", metavar="URL", envvar="HEADRACE_CLUSTER", help="A node, to read and write without the proxy."
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def backfill(as_json: bool, **given: Any) -> int:
    """The target gets each document of the source as the pipeline leaves it, also while others write to the source.

    A document that is newer in the target stays. Documents that fail are kept as dead letters. The pipeline comes from
    the proxy; documents go to the node of --cluster and back, or through the proxy without it.
    """
    from headrace.cli.commands.jobs import shown
    from headrace.cli.commands.jobs.options import Options
    from headrace.cli.commands.jobs.prepared import Prepared, prepare

    options: Options = Options(**given)
    with prepare(options) as prepared, shown.progress() as watch:
        if options.diff:
            assert isinstance(prepared, Prepared)  # noqa: S101 - a diff goes on with no job
            result = prepared.diff(watch)
            shown.emit_diff(prepared.job, result, as_json=as_json)
        else:
            record = prepared.run(watch)
            result = record.result
            shown.emit_record(record, as_json=as_json)
    if options.report:
        from headrace.backfill.files import write_report

        write_report(options.report, result)
    counts = result.counts
    # Without a diff: the target is not what the pipeline makes of the source, whose rest is dead letters.
    different = bool(counts.failed or counts.rejected)
    if options.diff:
        different = different or bool(counts.changed or counts.dropped)
    return ExitCode.DIFFERENCES if different else ExitCode.OK
