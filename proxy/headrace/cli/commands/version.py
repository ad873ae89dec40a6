"""`headrace version`: of the program, and of a proxy and its cluster."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from headrace.cli.command import REMOTE, command
from headrace.cli.output import emit, output_option
from headrace.cli.target import TARGET, URL, connect


@command(
    "Print the versions of the program and of a target.",
    example="headrace version\nheadrace version --url http://127.0.0.1:9280 -o json",
    name="version",
    exits=REMOTE,
)
@TARGET
@URL
@output_option
def show(target: str, url: str, output: str) -> None:
    """Asks a target only where one is named: the version of the proxy needs the rights of an administrator."""
    found: dict[str, Any] = {"headrace": version("headrace"), "headrace-pipelines": version("headrace-pipelines")}
    if target or url:
        with connect(target, url) as client:
            found |= {"proxy": client.request("GET", "/_proxy/info")["version"]}
            found |= {"cluster": client.request("GET", "/")["version"]["number"]}
    emit(
        [{"name": name, "version": value} for name, value in found.items()],
        {"component": "name", "version": "version"},
        output,
        found,
    )
