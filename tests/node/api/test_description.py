"""Schemathesis sends what the description of our endpoints allows, and what it forbids, to a proxy and a node.

No request ends with a 5xx, and every answer has a described status, media type and shape.
`HEADRACE_SCHEMATHESIS_SECONDS=60` runs longer, with other requests each time.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from openapi_spec_validator import validate

from tests.node.api import reduced

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Http

SECONDS = int(os.environ.get("HEADRACE_SCHEMATHESIS_SECONDS", "5"))
"""Seconds for each run in the gate."""
SEED = [] if "HEADRACE_SCHEMATHESIS_SECONDS" in os.environ else ["--seed", "7"]
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")


async def run(url: str, folder: Path, description: dict[str, Any], *options: str) -> tuple[int, str]:
    """Runs schemathesis in a process of its own; gives its exit status and its report."""
    file = folder / "description.json"
    file.write_text(json.dumps(description))
    command = [str(SCHEMATHESIS), "run", str(file), "--url", url, "--checks", CHECKS, *SEED, *options]
    command += ["--suppress-health-check", "all", "--generation-database", "none", "--no-color", "--warnings", "off"]
    process = await asyncio.create_subprocess_exec(
        *command, cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    return process.returncode or 0, output.decode()


@pytest.mark.parametrize(
    ("reduce", "options"),
    [
        (reduced.broad, ("--phases", "coverage", "--mode", "all")),
        (reduced.broad, ("--phases", "fuzzing", "--mode", "all")),
        (reduced.focused, ("--phases", "fuzzing", "--mode", "positive")),
    ],
    ids=["borders", "broad", "focused"],
)
async def test_every_answer_is_as_it_is_described(
    serve: Callable[..., Any], tmp_path: Path, reduce: Callable[[], dict[str, Any]], options: tuple[str, ...]
):
    process, http = serve()
    await process.ready(http)
    status, report = await run(process.url, tmp_path, reduce(), *options, "--max-time", str(SECONDS))
    assert status == 0, report
    assert "generated" in report
    assert (await http.get("/_proxy/health/ready")).status == 200


async def test_a_wrong_description_is_found(serve: Callable[..., Any], tmp_path: Path):
    process, http = serve()
    await process.ready(http)
    description = reduced.focused()
    description["components"]["schemas"]["PipelineList"]["properties"]["total"] = {"type": "string"}
    status, report = await run(
        process.url, tmp_path, description, "--phases", "fuzzing", "--include-path", "/_pipeline", "-n", "5"
    )
    assert status == 1, report
    assert "Response violates schema" in report


async def test_the_description_is_valid_and_served_to_everybody(through: Http):
    answer = await through.get("/_proxy/openapi.json")
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("application/json")
    validate(answer.json)
    assert answer.json["openapi"] == "3.1.0"
    assert "/_pipeline/{name}" in answer.json["paths"]
