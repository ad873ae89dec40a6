"""The form of the pages, as CONTRIBUTING.md ("Language of code and documents") describes it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from tests.conftest import ROOT
from tests.docs.pages import name_of, pages

KINDS = ("Tutorial", "How-to", "Reference", "Explanation")
FRONT_PAGES = {"README.md", "pipelines/README.md", "proxy/README.md"}
"""These introduce a product and are of no kind."""
PATH = re.compile(rf"(?:{'|'.join(p.name for p in ROOT.iterdir() if p.is_dir())})/[a-z_/.-]*")
LONGEST = 100
"""Characters of a line."""
DECISIONS = sorted((ROOT / "docs/decisions").glob("*.md"))


def links(page: Path) -> list[str]:
    inline = [token for token in MarkdownIt().parse(page.read_text()) if token.type == "inline"]
    return [str(child.attrs["href"]) for token in inline for child in token.children or () if "href" in child.attrs]


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    found = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}


def dead_paths(page: Path) -> list[str]:
    """Paths of this repository in code spans that do not exist; capitals and `*` stand for any name."""
    inline = [token for token in MarkdownIt().parse(page.read_text()) if token.type == "inline"]
    spans = [child.content for token in inline for child in token.children or () if child.type == "code_inline"]
    return [span for span in spans if PATH.fullmatch(span) and not (ROOT / span).exists()]


def broken(page: Path) -> list[str]:
    wrong = []
    for target in links(page):
        path, _, anchor = target.partition("#")
        to = page.parent / path if path else page
        if "://" not in target and (not to.exists() or (anchor and anchor not in anchors(to))):
            wrong.append(target)
    return wrong


@pytest.mark.parametrize("page", [*pages(), *DECISIONS, ROOT / "CHANGELOG.md", ROOT / "benches/README.md"], ids=name_of)
def test_links_lead_to_a_file_and_to_a_heading(page: Path):
    assert broken(page) == []


def test_broken_links_are_found(tmp_path: Path):
    page = tmp_path / "page.md"
    page.write_text(
        "# A `b`: c\n[x](#a-b-c) [x](page.md#a-b-c) [x](no.md) [x](#no) [x][r] https://x.y\n\n[r]: page.md#no\n"
    )
    assert broken(page) == ["no.md", "#no", "page.md#no"]


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_paths_exist(page: Path):
    assert dead_paths(page) == []


def test_dead_paths_are_found(tmp_path: Path):
    page = tmp_path / "page.md"
    page.write_text("`tests/docs` `tests/no.py` `docs/no` `native/NAME.rs` `application/wasm` `tests/NAME.py`\n")
    assert dead_paths(page) == ["tests/no.py", "docs/no"]


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_lines_are_short_except_those_of_tables(page: Path):
    lines = enumerate(page.read_text().splitlines(), 1)
    assert [n for n, line in lines if len(line) > LONGEST and not line.lstrip().startswith("|")] == []


@pytest.mark.parametrize("page", [page for page in pages() if name_of(page) not in FRONT_PAGES], ids=name_of)
def test_the_first_line_says_the_kind_of_the_page(page: Path):
    title, empty, kind, *_ = page.read_text().splitlines()
    assert title.startswith("# ")
    assert empty == ""
    assert re.match(rf"\*({'|'.join(KINDS)})\*: ", kind)
