"""The program: its commands by name, and how each ends."""

from __future__ import annotations

import os
import sys
import traceback
from typing import TYPE_CHECKING

import click

from headrace.cli.command import LazyGroup
from headrace.cli.errors import ExitCode, Failure, failure_of
from headrace.cli.output import coloured, printable

if TYPE_CHECKING:
    from collections.abc import Sequence

SECTIONS: dict[str, dict[str, tuple[str, str]]] = {
    "Proxies": {
        "demo": ("Show pipelines at work on a real OpenSearch.", "server.demo:demo"),
        "serve": ("Run the proxy.", "server.serve:serve"),
        "check-config": ("Check and print the settings in force.", "server.serve:check_config"),
        "reload": ("Have a proxy read its settings and certificates again.", "server.reload:reload"),
        "health": ("Ask the proxy of this host whether it is alive.", "server.serve:health"),
        "doctor": ("Find what is wrong with an installation, and the remedy.", "server.doctor:doctor"),
    },
    "Project directories": {
        "init": ("Write a project directory to begin with.", "directory.project:init"),
        "validate": ("Check a project directory, offline.", "directory.project:validate"),
        "test": ("Run test cases in the engine, without a cluster.", "directory.testing:test"),
        "schema": ("Print the JSON Schema of a kind of file.", "directory.schema:schema"),
        "dev": ("Check, test and apply a project at each change.", "directory.dev:dev"),
        "diff": ("Show what applying a directory would change.", "directory.registry:diff"),
        "apply": ("Bring a directory in force, as a whole.", "directory.registry:apply"),
        "export": ("Write a set as a project directory.", "directory.registry:export"),
        "history": ("Show the revisions of a set.", "directory.registry:history"),
        "rollback": ("Bring an earlier revision of a set in force again.", "directory.registry:rollback"),
        "sync": ("Apply a directory whenever it changes.", "directory.registry:sync"),
    },
    "Pipelines and UDFs": {
        "pipeline": ("List, store, run and change pipelines.", "execute:pipeline"),
        "udf": ("Write, test and upload user-defined functions.", "udf:udf"),
        "bench": ("Measure a UDF, and compare with a baseline.", "directory.testing:bench"),
        "attach": ("Attach pipelines to the indexes of a pattern.", "attach:attach"),
        "detach": ("Remove what is attached to a pattern.", "attach:detach"),
        "resolve": ("Show which pipelines run on an index, and why.", "attach:resolve"),
        "rollout": ("Release a version of a pipeline on live traffic, step by step.", "watch.rollout:rollout"),
        "dead": ("List dead letters, and send them again.", "watch.dead:dead"),
        "fit": ("Show which values do not fit the mapping of an index.", "watch.fit:fit"),
        "backfill": ("Send what is indexed already through a pipeline.", "jobs.backfill:backfill"),
        "import": ("Convert pipelines of the cluster, Logstash, Vector or INFINI.", "convert:convert"),
    },
    "Watching": {
        "tail": ("Watch documents, queries and results change, live.", "watch.tail:tail"),
        "top": ("Show what pipelines do now: rates, percentiles, fuel.", "watch.top:top"),
    },
    "The program": {
        "completion": ("Print the completion script of a shell.", "completion:completion"),
        "version": ("Print the versions of the program and of a target.", "version:show"),
    },
}
"""Every command, by the section of the help: its summary, and its attribute of a module of `headrace.cli.commands`."""
INTERRUPTED = 130
"""Exit status after Ctrl-C: 128 and the number of SIGINT, as shells report it."""
BROKEN_PIPE = 141
"""Exit status when the reader of the output has gone: 128 and the number of SIGPIPE."""


def _show_version(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from importlib.metadata import version

        click.echo(f"headrace {version('headrace')}")
        ctx.exit()


@click.group(
    cls=LazyGroup, sections=SECTIONS, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version, help="Print the version."
)
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.option("-q", "--quiet", is_flag=True, help="Print results only, without notes and progress.")
@click.option("-v", "--verbose", is_flag=True, help="Print the calls to the target, without secrets.")
@click.pass_context
def root(ctx: click.Context, /, **flags: bool) -> None:
    """Runs your own code on the traffic of OpenSearch.

    Start with `headrace demo`, or with `headrace init`.
    """
    ctx.obj = {**(ctx.obj or {}), **flags}
    if not coloured(sys.stdout):
        ctx.color = False


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status. Never shows a traceback but with `--debug`."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    stdout = sys.stdout
    try:
        code = root.main(given, "headrace", standalone_mode=False, obj={"arguments": given})
        sys.stdout.flush()
    except (click.exceptions.Abort, KeyboardInterrupt, EOFError):
        return INTERRUPTED
    except BrokenPipeError:
        return _silenced()
    except SystemExit:
        # click replaces the output and ends the process by itself where the reader of the output has gone.
        if sys.stdout is stdout:
            raise
        return _silenced()
    except Exception as error:  # noqa: BLE001 - the outermost frame
        return _ended(error, debug="--debug" in given)
    return code if isinstance(code, int) else ExitCode.OK


def _silenced() -> int:
    """Sends what is still in the buffers nowhere, so that the end of the process does not fail on them."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno() if sys.__stdout__ else 1)
    return BROKEN_PIPE


def _ended(error: Exception, *, debug: bool) -> int:
    """Tells the user how the command failed."""
    if debug:
        traceback.print_exception(error)
    if isinstance(error, click.ClickException):
        return _misused(error)
    failure = failure_of(error)
    if failure is None:
        name = type(error).__name__
        failure = Failure(f"{name}: {error}", hint="this is a defect: run the command with --debug and report it")
    field = f" ({failure.field})" if failure.field else ""
    click.echo(f"{_red('error:')} {printable(failure.reason)}{field}", err=True)
    if failure.hint:
        click.echo(f"hint: {printable(failure.hint)}", err=True)
    return failure.code


def _misused(error: click.ClickException) -> int:
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(error.format_message(), err=True)
        return ExitCode.USAGE
    click.echo(f"{_red('error:')} {error.format_message()}", err=True)
    if isinstance(error, click.UsageError) and error.ctx is not None:
        click.echo(f"hint: `{error.ctx.command_path} --help` has the options", err=True)
    return ExitCode.USAGE


def _red(text: str) -> str:
    """Colours a word of a message; click leaves the colour out where no terminal shows it."""
    return click.style(text, fg="red", bold=True) if coloured(sys.stderr) else text
