"""Commands of click with a help that says what scripts need: an example and the exit status."""

from __future__ import annotations

import importlib
import inspect
from typing import TYPE_CHECKING, Any

import click

from headrace.cli.errors import MEANINGS, ExitCode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

REMOTE = (ExitCode.CONFLICT, ExitCode.UNREACHABLE, ExitCode.REFUSED)
"""What else can happen to a command that calls a proxy."""


class Leaf(click.Command):
    """A command with an example and documented exit codes."""

    example: str = ""
    exits: tuple[ExitCode, ...] = ()

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the examples and the exit status behind the options."""
        with formatter.section("Examples"):
            for line in self.example.strip().splitlines():
                formatter.write_text(f"$ {line.strip()}")
        with formatter.section("Exit status"):
            formatter.write_dl([(str(int(code)), MEANINGS[code]) for code in sorted(self.exits)])
        super().format_epilog(ctx, formatter)


def command(
    summary: str,
    *,
    example: str,
    name: str | None = None,
    exits: tuple[ExitCode, ...] = (),
    group: click.Group | None = None,
) -> Callable[[Callable[..., Any]], Leaf]:
    """Makes a function a command: `summary` is its line in lists, `example` has a command on each line.

    `exits` are the exit codes beside 0, 1 and 2. The docstring of the function is the text of its help.
    """

    def decorated(function: Callable[..., Any]) -> Leaf:
        text = f"{summary}\n\n{inspect.cleandoc(function.__doc__ or '')}"
        leaf = click.command(name, cls=Leaf, help=text, short_help=summary)(function)
        leaf.example = example
        leaf.exits = tuple({ExitCode.OK, ExitCode.FAILED, ExitCode.USAGE, *exits})
        if group is not None:
            group.add_command(leaf)
        return leaf

    return decorated


class LazyGroup(click.Group):
    """A group that imports a command when it is called, so that the help of the program is quick.

    `sections` has `title: {name: (summary, "module:attribute")}`; modules are those of `headrace.cli.commands`.
    """

    def __init__(self, *args: Any, sections: Mapping[str, Mapping[str, tuple[str, str]]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.sections = sections
        self.table = {name: row for section in sections.values() for name, row in section.items()}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of the commands, in the order of the table."""
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Imports the command."""
        if cmd_name not in self.table:
            return None
        module, _, attribute = self.table[cmd_name][1].partition(":")
        found: click.Command = getattr(importlib.import_module(f"headrace.cli.commands.{module}"), attribute)
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command of the first argument, or an error with the nearest names."""
        if args[0] not in self.table and not args[0].startswith("-"):
            raise click.NoSuchCommand(args[0], possibilities=self.table, ctx=ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Lists the summaries by section, without importing a command."""
        for title, section in self.sections.items():
            with formatter.section(title):
                formatter.write_dl([(name, summary) for name, (summary, _) in section.items()])


STREAM_OUTPUT = click.option(
    "-o",
    "--output",
    type=click.Choice(("pretty", "json")),
    default="pretty",
    show_default=True,
    help="Lines for people, or JSON.",
)
"""The option of commands that print a stream."""
