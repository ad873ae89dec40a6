"""The `headrace` command: `serve` runs a proxy, `check-config` shows the settings in force, `udf` is for developers."""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import uvloop

from headrace.app import Proxy
from headrace.cli import udf as udf_cli
from headrace.http1 import tls
from headrace.ops import logging as proxy_logging
from headrace.ops import supervisor
from headrace.settings import Settings, load
from headrace_pipelines import keep_buffers
from headrace_pipelines.errors import InvalidError

if TYPE_CHECKING:
    from collections.abc import Sequence

USAGE_ERROR = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    options = parser().parse_args(arguments)
    if options.command == "udf":
        return udf_cli.main(options)
    given = {name: getattr(options, name) for name in Settings.__struct_fields__}
    try:
        settings = load(options.config, os.environ, given)
        tls.check(settings)
    except InvalidError as error:
        print(f"headrace: {error.reason}", file=sys.stderr)
        return USAGE_ERROR
    if options.command == "check-config":
        print(msgspec.json.format(msgspec.json.encode(settings.shown()), indent=2).decode())
        return 0
    proxy_logging.configure(settings.log_level)
    keep_buffers()
    _raise_file_limit()
    try:
        if settings.workers > 1 and supervisor.identity() is None:
            given_arguments = sys.argv[1:] if arguments is None else arguments
            return uvloop.run(
                supervisor.supervise(settings.workers, given_arguments, settings.seconds("shutdown_grace"))
            )
        uvloop.run(serve(settings))
    except OSError as error:
        print(f"headrace: cannot listen on {settings.listen}: {error.strerror}", file=sys.stderr)
        return 1
    return 0


def _raise_file_limit() -> None:
    """Takes as many file numbers as the system allows: each connection needs one, and a shell's default is 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def parser() -> argparse.ArgumentParser:
    """The command line; every setting is an option of both commands."""
    top = argparse.ArgumentParser(
        prog="headrace", description="A drop-in endpoint in front of OpenSearch that runs pipelines."
    )
    commands = top.add_subparsers(dest="command", required=True)
    for name, text in (("serve", "run the proxy"), ("check-config", "check and print the settings")):
        command = commands.add_parser(name, help=text)
        command.add_argument("--config", type=Path, help="TOML file with settings")
        for field in Settings.__struct_fields__:
            command.add_argument(f"--{field.replace('_', '-')}", dest=field, metavar="VALUE")
    udf_cli.add_arguments(commands)
    return top


async def serve(settings: Settings) -> None:
    """Runs a proxy until SIGTERM or SIGINT, then stops it cleanly."""
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, over.set)
    proxy = Proxy(settings)
    try:
        await proxy.start()
        await over.wait()
    finally:
        await proxy.stop()
