"""The commands, a module for each name in the table of `headrace.cli.root`."""
