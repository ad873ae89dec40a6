"""Pages as lists of code blocks, with what the info string of each says."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from markdown_it import MarkdownIt

if TYPE_CHECKING:
    from pathlib import Path

RUN = {"sh", "python"}
PARSED = {"json", "ndjson", "toml", "yaml"}
FILES = {"js", "rust", "wat"}
"""Only as a file: a command of the page uses it."""
SHOWN = {"mermaid", "text"}
COMPARED = {("json", "response"), ("text", "output")}
OPTIONS = {"file", "no-run"}


class BlockError(AssertionError):
    """A block that is wrong, with its page and line."""


@dataclass(frozen=True)
class Block:
    """A fenced code block."""

    place: str
    """`PAGE:LINE`."""
    kind: str
    text: str
    compared: bool = False
    """The block shows the output of the block before."""
    file: str = ""
    no_run: str = ""
    """The reason why it is not run."""

    def error(self, problem: str) -> BlockError:
        return BlockError(f"{self.place}: {problem}")


def read(path: Path, name: str) -> list[Block]:
    """The blocks of a page in order. Raises BlockError for one that no rule covers."""
    return parse(path.read_text(), name)


def parse(text: str, name: str) -> list[Block]:
    blocks = []
    for token in MarkdownIt().parse(text):
        if token.type in ("fence", "code_block"):
            assert token.map
            blocks.append(_block(f"{name}:{token.map[0] + 1}", token.info, token.content))
    return blocks


def _block(place: str, info: str, text: str) -> Block:
    try:
        kind, *words = shlex.split(info) or [""]
    except ValueError as error:
        raise BlockError(f"{place}: {error} in {info!r}") from None
    role = words.pop(0) if words and (kind, words[0]) in COMPARED else ""
    options = dict(word.split("=", 1) if "=" in word else (word, "") for word in words)
    block = Block(place, kind, text, bool(role), options.get("file", ""), options.get("no-run", ""))
    if kind not in RUN | PARSED | FILES | SHOWN:
        raise block.error(f"no rule says what to do with a block {info!r}")
    if set(options) - OPTIONS:
        raise block.error(f"unknown words in {info!r}")
    if "no-run" in options and not block.no_run.strip():
        raise block.error("no-run needs a reason")
    if kind in FILES and not options:
        raise block.error(f"a block of the kind {kind} needs file=")
    return block
