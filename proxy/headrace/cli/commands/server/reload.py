"""`headrace reload`: has a running proxy read its settings, secrets and certificates again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.cli.command import REMOTE, command
from headrace.cli.output import emit, note, output_option
from headrace.cli.target import target_options

if TYPE_CHECKING:
    from headrace.client import Client


@command(
    "Have a proxy read its settings and certificates again.",
    example="headrace reload\nheadrace reload --target prod -o json",
    exits=REMOTE,
    name="reload",
)
@target_options
@output_option
def reload(client: Client, output: str) -> None:
    """All workers of the proxy reload. A wrong configuration changes nothing, and its error is printed."""
    report = client.request("POST", "/_proxy/reload")
    rows = [{"name": name, "effect": "in force"} for name in report["changed"]]
    rows += [{"name": name, "effect": "needs a restart"} for name in report["restart_needed"]]
    if not rows and output == "table":
        note("nothing has changed")
        return
    emit(rows, {"setting": "name", "effect": "effect"}, output, report)
