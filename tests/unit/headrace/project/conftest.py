"""Project directories for tests."""

from __future__ import annotations

from textwrap import dedent
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TITLES = """\
# @udf: description=Normalises titles
def process(doc, params):
    doc["title"] = params.get("by", " ").join(doc["title"].lower().split())
    return doc
"""
LOGS = """\
type: document
stages:
  - name: titles
    type: python
    config: {udf_name: titles, parameters: {by: "${var:by}"}}
  - name: level
    type: native
    if: has(doc.level)
    config: {function: lowercase, parameters: {field: level}}
"""
TENANTS = """\
type: query
stages:
  - name: tenant
    type: native
    config: {function: filter_query, parameters: {query: {term: {tenant: a}}}}
"""
GOOD = {
    "headrace.toml": 'set = "shop"\n\n[target.dev]\nurl = "http://127.0.0.1:9280"\nvars = { by = "-", n = 3 }\n',
    "pipelines/logs.yaml": LOGS,
    "pipelines/tenants.yaml": TENANTS,
    "udfs/titles.py": TITLES,
    "associations.yaml": "app-*: {priority: 10, document: logs, query: {final_pipeline: tenants}}\n",
}


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes files into a directory, by their paths, and gives the directory."""

    def written(files: dict[str, str], folder: Path = tmp_path) -> Path:
        for name, text in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(dedent(text))
        return folder

    return written
