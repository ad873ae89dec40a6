"""Expressions out of reports and of pipelines in use come to the same as at the cluster."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

from tests.conftest import Http
from tests.node.stages.test_native import ours, simulated

CASES = json.loads((Path(__file__).parent / "cases.json").read_text())


def found(function: str, options: dict[str, Any], document: dict[str, Any]) -> Any:
    try:
        return ours(function, options, document)
    except ValueError:
        return ("error",)


def alike(mine: Any, theirs: Any) -> bool:
    """The same document and metadata; of errors only that there is one, as Java's own words are not copied."""
    return bool(mine[0] == theirs[0] and (mine[0] == "error" or mine == theirs))


async def test_cases_come_to_the_same_as_at_the_cluster(direct: Http):
    asked = (simulated(direct, case["processor"], case["options"], case["docs"]) for case in CASES)
    different = defaultdict(list)
    for case, answers in zip(CASES, await asyncio.gather(*asked), strict=True):
        for document, theirs in zip(case["docs"], answers, strict=True):
            mine = found(case["processor"], case["options"], document)
            if not alike(mine, theirs):
                different[case["processor"]].append((case["options"], document, mine, theirs))
    assert not different
    assert len(CASES) > 300
