"""Generated options and generated documents, through the cluster's processors and through the built-ins: the same comes out.

`HEADRACE_TEST_NATIVES` pipelines for each built-in (more by hand), `HEADRACE_SEED` for others.
"""

from __future__ import annotations

import json
import os
from random import Random
from typing import Any

import pytest

from headrace_pipelines._wasm import Native
from tests.conftest import Http
from tests.node.stages.generated_natives import OPTIONS, document, options
from tests.node.stages.test_native import JAVAS_OWN, ours, simulated

PIPELINES = int(os.environ.get("HEADRACE_TEST_NATIVES", "12"))
DOCUMENTS = 16
SEED = os.environ.get("HEADRACE_SEED", "headrace")
MACHINERY = (
    *JAVAS_OWN,
    "For input string",
    "Index ",
    "position",
    "Failed to get value",
    "Cannot read",
    "Cannot invoke",
)
"""Beginnings of reasons that are texts of Java's machinery: there only the failure itself must be the same."""


def made(function: str, parameters: dict[str, Any], one: dict[str, Any]) -> Any:
    """What ours makes of a document; a pipeline that is refused fails all of them."""
    try:
        Native(function, "document", json.dumps(parameters).encode())
    except ValueError as refused:
        return ("error", "refused", str(refused))
    return ours(function, parameters, one)


def wanted_difference(function: str, parameters: dict[str, Any], one: dict[str, Any], theirs: Any, mine: Any) -> str:
    """The row of docs/reference/differences.md that a difference belongs to; empty if it is none that is wanted."""
    text = json.dumps([parameters, one], ensure_ascii=False)
    if function == "append" and parameters.get("allow_duplicates") is False and theirs[0] == mine[0] == "document":
        return "append to a missing field"
    if function == "dissect" and mine[0] == "document" and (",," in text or "  " in text):
        return "dissect and delimiters in a row"
    if function == "kv" and "_id=" in text and theirs[3] == "[1, 5]":
        return "kv and the name of metadata"
    if function == "user_agent" and "Firefox" in text:
        return "user_agent and empty parts of a version"
    if "self-referencing" in str(theirs):
        return "an object put into itself"
    if "[0]" in text or "unexpected value type" in str(theirs):
        return "no difference of a pipeline that is stored"
    if theirs[0] == "document" and mine[0] == "error" and "metadata field [" in str(mine[2]):
        return "metadata that is no text, or is removed"
    return ""


def alike(function: str, parameters: dict[str, Any], one: dict[str, Any], theirs: Any, mine: Any) -> bool:
    """Whether both say the same: equal as JSON with the types of numbers, or both a failure for the same reason."""
    if theirs[0] == mine[0] == "error":
        java = str(theirs[2]).startswith(MACHINERY) or "exception" in str(theirs[2]).lower()
        # The cluster writes a line's values while it reads on: of two faults it may meet the other first.
        java = java or function == "csv" or (function == "dissect" and "  " in json.dumps(one))
        # Ours names a field without what says that it is no metadata.
        same = str(theirs[2]).replace("_source.", "") == str(mine[2]).replace("_source.", "")
        return java or same or mine[1] == "refused" or theirs[1] in ("parse_exception", "script_exception")
    told = [json.dumps(side, sort_keys=True) for side in (theirs, mine)]
    return told[0] == told[1] or bool(wanted_difference(function, parameters, one, theirs, mine))


@pytest.mark.parametrize("function", OPTIONS)
async def test_whatever_the_options_the_cluster_and_we_make_the_same(direct: Http, function: str):
    random = Random(SEED + function)
    different = []
    for _ in range(PIPELINES):
        parameters = options(random, function)
        documents = [document(random, function) for _ in range(DOCUMENTS)]
        expected = await simulated(direct, function, parameters, documents)
        for one, theirs in zip(documents, expected, strict=True):
            mine = made(function, parameters, one)
            if not alike(function, parameters, one, theirs, mine):
                different.append((parameters, one, theirs, mine))
    shown = "\n".join("\n    ".join(json.dumps(part, ensure_ascii=True) for part in row) for row in different[:8])
    assert not different, f"{len(different)} of {PIPELINES * DOCUMENTS}\n{shown}"
