"""`headrace completion`: what a shell runs to complete commands, options and names."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from headrace.cli.command import command


@command(
    "Print the completion script of a shell.",
    example='eval "$(headrace completion bash)"\nheadrace completion fish > ~/.config/fish/completions/headrace.fish',
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Names of pipelines, UDFs and indexes come from the target of the command line."""
    from headrace.cli.root import root

    found = get_completion_class(shell)
    if found is not None:
        click.echo(found(root, {}, "headrace", "_HEADRACE_COMPLETE").source())
