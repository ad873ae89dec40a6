"""Which pages there are, and what their blocks leave in the cluster."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.conftest import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.docs.blocks import Block

SINGLE = ("README.md", "CONTRIBUTING.md", "pipelines/README.md", "proxy/README.md")
CLUSTER_OBJECTS = r"_ingest/pipeline|_search/pipeline|_index_template"
"""Paths under which a page may name objects of the cluster that are no indexes."""
NAMED = re.compile(rf"localhost:9200/((?:(?:{CLUSTER_OBJECTS})/)?[a-z][\w.-]*)")


def pages() -> list[Path]:
    """The pages whose blocks are tests. Decisions are records, not instructions."""
    docs = [page for page in sorted((ROOT / "docs").rglob("*.md")) if page.parent.name != "decisions"]
    return [*(ROOT / name for name in SINGLE), *docs]


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def objects_of(blocks: list[Block]) -> set[str]:
    """Paths of the indexes and other objects of the cluster that the blocks name."""
    return {path for block in blocks if block.kind == "sh" and not block.no_run for path in NAMED.findall(block.text)}


def prefix(page: Path) -> str:
    """The beginning of all those names: the first word of the page's name."""
    return re.split(r"[-.]", page.name.lower())[0]
