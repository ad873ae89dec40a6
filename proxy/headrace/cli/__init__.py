"""The `headrace` command. `root` has the table of commands; each is a module of `commands`.

A command imports what it needs when it runs: `headrace --help` needs click alone.
"""

from headrace.cli.root import main

__all__ = ["main"]
