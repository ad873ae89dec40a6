"""A zip for a report: findings, settings, statistics; no secret, no document, no credentials in an address."""

from __future__ import annotations

import platform
import zipfile
from importlib.metadata import distributions
from typing import TYPE_CHECKING, Any

import msgspec

from headrace.cli.doctor import machine
from headrace.client import ClientError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from headrace.cli.doctor.finding import Finding
    from headrace.client import Client
    from headrace.settings import Settings

CALLS = {
    "info": "/_proxy/info",
    "ready": "/_proxy/health/ready",
    "pipeline-stats": "/_pipeline/_stats",
    "associations": "/_pipeline/_association",
}
"""What is asked of each proxy. Definitions and UDFs are left out: they may hold business rules."""
REASONS = "last_errors"
"""The member of statistics with reasons of errors, which quote values of documents and of parameters."""


def write(path: Path, findings: list[Finding], settings: Settings | None, clients: Sequence[Client]) -> None:
    """Writes the zip. Raises OSError."""
    files: dict[str, Any] = {
        "findings.json": [finding._asdict() for finding in findings],
        "environment.json": machine.environment(),
        "machine.json": {"system": platform.platform(), "python": platform.python_version()},
        "libraries.json": {found.name: found.version for found in distributions()},
    }
    if settings is not None:
        files["settings.json"] = settings.shown()
    for i, client in enumerate(clients):
        for name, call in CALLS.items():
            files[f"proxy-{i + 1}/{name}.json"] = _asked(client, call)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, value in files.items():
            archive.writestr(name, msgspec.json.format(msgspec.json.encode(value), indent=2))


def _asked(client: Client, call: str) -> Any:
    try:
        return _without_reasons(client.request("GET", call))
    except (ClientError, UnreachableError) as error:
        return {"error": str(error)}


def _without_reasons(value: Any) -> Any:
    """`value` whose samples of errors have the time, the stage and the type only."""
    if isinstance(value, list):
        return [_without_reasons(each) for each in value]
    if not isinstance(value, dict):
        return value
    kept = {name: _without_reasons(each) for name, each in value.items() if name != REASONS}
    if isinstance(value.get(REASONS), list):
        kept[REASONS] = [{n: each[n] for n in ("time", "stage", "type") if n in each} for each in value[REASONS]]
    return kept
