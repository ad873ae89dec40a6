"""The options that name the proxy a command calls."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace.client import Client
    from headrace.client.target import Target


PIPELINE_TYPES = ("document", "query", "result")


def target_names(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    """Names of targets, for the completion of a shell."""
    from pathlib import Path

    from headrace.client import target as targets

    file = targets.find_file(Path.cwd())
    return [name for name in (targets.tables(file) if file else {}) if name.startswith(incomplete)]


TARGET = click.option(
    "--target", default="", metavar="NAME", help="A target of headrace.toml.", shell_complete=target_names
)
URL = click.option("--url", default="", metavar="URL", help="The address of the proxy.")


def target_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds `--target` and `--url`, and gives the function a connected `client`."""

    @TARGET
    @URL
    @functools.wraps(function)
    def with_client(*args: Any, target: str, url: str, **options: Any) -> Any:
        with connect(target, url) as client:
            return function(*args, client=client, **options)

    return with_client


def connect(target: Target | str = "", url: str = "") -> Client:
    """The client of a target, by name or as it is. Raises Failure for a target that does not exist."""
    from headrace.cli.errors import ExitCode, Failure
    from headrace.client import Client
    from headrace_pipelines.errors import InvalidError

    context = click.get_current_context(silent=True)
    if context is not None and (context.find_root().obj or {}).get("verbose"):
        _show_calls()
    try:
        return Client(url, target=target)
    except InvalidError as error:
        raise Failure(error.reason.removeprefix(f"[{error.field}] "), error.field, code=ExitCode.USAGE) from None


def _show_calls() -> None:
    """Prints a line for each call: method, address, status and time. opensearch-py logs bodies at `debug` only."""
    import logging

    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.getLogger("opensearch")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)


COMPLETION_SECONDS = 2.0
"""Seconds for the answer of a target whose names are completed: a person waits at the prompt."""


def _hurried(target: str, url: str) -> Client:
    import msgspec

    from headrace.client import Client
    from headrace.client import target as targets

    return Client(target=msgspec.structs.replace(targets.load(target, url), timeout=COMPLETION_SECONDS))


def completed(list_names: Callable[[Client], list[str]]) -> Callable[..., list[str]]:
    """Completes an argument with names that the target of the command line has; nothing where it does not answer."""

    def complete(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
        try:
            with _hurried(ctx.params.get("target") or "", ctx.params.get("url") or "") as client:
                return [name for name in list_names(client) if name.startswith(incomplete)]
        except Exception:  # noqa: BLE001 - a completion never shows an error
            return []

    return complete


def pipeline_names(client: Client) -> list[str]:
    """Names of the pipelines of a target."""
    return [found["name"] for found in client.pipelines.list()["pipelines"]]


def udf_names(client: Client) -> list[str]:
    """Names of the UDFs of a target."""
    return [found["name"] for found in client.udfs.list()["udfs"]]


def index_names(client: Client) -> list[str]:
    """Names of the indexes of the cluster behind a target."""
    rows = client.request("GET", "/_cat/indices", params={"format": "json", "h": "index"})
    return [row["index"] for row in rows]
