"""The files of a new project directory: a pipeline, a UDF, cases, checks for every change, schemas for editors."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from headrace.project.config import DEFAULT_SET
from headrace.project.tools import schemas

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = """\
#:schema .headrace/project.json
# What this directory stores on a proxy carries the name of the set.
set = "{set}"

# Where `headrace diff` and `headrace apply` go. Secrets come from the environment, such as HEADRACE_PASSWORD.
[target.dev]
url = "http://127.0.0.1:9280"
vars = {{ separator = "-" }}

# The workflow in .github applies the directory to it.
[target.prod]
url = "https://search.example.org"
vars = {{ separator = "-" }}
# ca = "ca.pem"
# user = "${{env:HEADRACE_USER}}"
"""
PIPELINE = """\
# yaml-language-server: $schema=../.headrace/pipeline.json
type: document
description: Tidies log lines before they are indexed
stages:
  - name: titles
    type: python
    config:
      udf_name: titles
      parameters: {by: "${var:separator}"}
  - name: level
    type: native
    if: has(doc.level)
    config:
      function: lowercase
      parameters: {field: level}
"""
UDF = '''\
# @udf: description=Normalises titles
# @udf: timeout=100ms
from headrace.udf import Document, Params, Result


def process(doc: Document, params: Params) -> Result:
    """Called for every document; what it returns replaces the document, None leaves it as it is."""
    if "title" in doc:
        doc["title"] = params.get("by", " ").join(doc["title"].lower().split())
    return doc
'''
ASSOCIATIONS = """\
# yaml-language-server: $schema=.headrace/associations.json
# Patterns of index names, with the pipelines that run there.
app-*:
  priority: 10
  document: logs
"""
CASES = """\
# yaml-language-server: $schema=../.headrace/cases.json
pipeline: logs
cases:
  - name: titles and levels
    docs:
      - {title: "First  Title", level: WARN}
      - {title: Second}
    expect:
      - {title: first-title, level: warn}
      - {title: second}
  - name: a document without a title stays as it is
    docs: {message: text}
    expect: {message: text}
"""
UDF_CASES = """\
# yaml-language-server: $schema=../.headrace/cases.json
udf: titles
cases:
  - name: spaces
    docs: {title: " A  B "}
    expect: {title: a b}
  - name: with a parameter
    params: {by: "_"}
    docs: {title: A B}
    expect: {title: a_b}
"""
WORKFLOW = """\
name: headrace
on:
  pull_request:
  push:
    branches: [main]
permissions:
  contents: read
  pull-requests: write
jobs:
  check:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - uses: actions/setup-python@v5
        with: {python-version: "3.13"}
      - run: pip install headrace
      - run: headrace validate --format github
      - run: headrace test --coverage --junit headrace-tests.xml
      - uses: actions/upload-artifact@v4
        if: always()
        with: {name: headrace-tests, path: headrace-tests.xml}
      - name: Differences as a comment
        # A fork has no secrets.
        if: github.event_name == 'pull_request' && github.event.pull_request.head.repo.full_name == github.repository
        env:
          GH_TOKEN: ${{ github.token }}
          HEADRACE_ADMIN_TOKEN: ${{ secrets.HEADRACE_ADMIN_TOKEN }}
        run: |
          code=0
          headrace diff --target prod --prune > diff.txt || code=$?
          { echo '```'; cat diff.txt; echo '```'; } > comment.md
          gh pr comment ${{ github.event.number }} --edit-last --create-if-none --body-file comment.md
          # 3: there are differences.
          test "$code" -eq 0 || test "$code" -eq 3
  apply:
    if: github.event_name == 'push'
    needs: check
    runs-on: ubuntu-latest
    concurrency: headrace-apply
    steps:
      - uses: actions/checkout@v4
      - uses: actions/setup-python@v5
        with: {python-version: "3.13"}
      - run: pip install headrace
      - run: headrace apply --target prod --prune --yes --wait
        env:
          HEADRACE_ADMIN_TOKEN: ${{ secrets.HEADRACE_ADMIN_TOKEN }}
"""
PRE_COMMIT = """\
repos:
  - repo: local
    hooks:
      - id: headrace-validate
        name: headrace validate
        entry: headrace validate
        language: system
        pass_filenames: false
      - id: headrace-test
        name: headrace test
        entry: headrace test
        language: system
        pass_filenames: false
"""
IGNORED = """\
.env
*.pem
headrace-tests.xml
"""
FILES = {
    "headrace.toml": CONFIG,
    "pipelines/logs.yaml": PIPELINE,
    "udfs/titles.py": UDF,
    "associations.yaml": ASSOCIATIONS,
    "tests/logs.cases.yaml": CASES,
    "tests/titles.cases.yaml": UDF_CASES,
    ".github/workflows/headrace.yml": WORKFLOW,
    ".pre-commit-config.yaml": PRE_COMMIT,
    ".gitignore": IGNORED,
}
SCHEMAS = {f".headrace/{kind}.json": kind for kind in ("pipeline", "udf", "cases", "associations", "project")}
"""Files with the schemas that editors read, and what each describes."""


def write(folder: Path) -> tuple[list[str], list[str]]:
    """Writes the files that are not there; gives the paths of those written, and of those left as they are.

    Raises OSError.
    """
    written, left = [], []
    for name in (*FILES, *SCHEMAS):
        path = folder / name
        if path.exists() or path.is_symlink():
            left.append(name)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_text(name, folder))
        written.append(name)
    return written, left


def _text(name: str, folder: Path) -> str:
    if name in SCHEMAS:
        return json.dumps(schemas.KINDS[SCHEMAS[name]](), separators=(",", ":")) + "\n"
    text = FILES[name]
    return text.format(set=set_name(folder)) if text is CONFIG else text


def set_name(folder: Path) -> str:
    """The name of the directory as that of a set."""
    name = re.sub(r"[^a-z0-9._-]+", "-", folder.resolve().name.lower()).strip("-._")
    return name[:128] or DEFAULT_SET
