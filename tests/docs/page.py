"""Runs the blocks of a page in a folder of its own, against a proxy and a node."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from tests.docs.blocks import Block

SECONDS = 60
"""For one block: the longest of them compiles the Python guest."""
PROXY = "localhost:9200"
NODE = "localhost:9201"
VARIES = {"took"}
"""Members whose numbers differ between runs."""
COMMANDS = {"sh": ["bash", "-eo", "pipefail", "-c"], "python": [sys.executable, "-c"]}


@dataclass
class Page:
    """A run of a page. `proxy` and `node` are host:port; the pages say `localhost:9200` and `localhost:9201`."""

    folder: Path
    proxy: str = PROXY
    node: str = NODE
    output: str | None = None
    """Of the last block that ran, until a block shows it."""

    def run(self, blocks: list[Block]) -> None:
        """Runs the blocks in order. Raises BlockError at the first one that fails."""
        for n, block in enumerate(blocks):
            self._step(block, shown=any(after.compared for after in blocks[n + 1 : n + 2]))

    def _step(self, block: Block, *, shown: bool) -> None:
        check(block)
        if block.file:
            self._write(block)
        elif block.no_run:
            self.output = None
        elif block.compared:
            self._compare(block)
        elif block.kind in COMMANDS:
            self.output = self._execute(block)
            if not shown:
                refuse_errors(block, self.output)

    def _write(self, block: Block) -> None:
        if Path(block.file).name != block.file:
            raise block.error("file= is a name without a folder")
        (self.folder / block.file).write_text(self._with_addresses(block.text))

    def _execute(self, block: Block) -> str:
        command = [*COMMANDS[block.kind], self._with_addresses(block.text)]
        own = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        try:
            done = subprocess.run(
                command,
                cwd=self.folder,
                env={**own, "PATH": path, "NO_PROXY": "*", "PYTHONWARNINGS": ""},
                capture_output=True,
                text=True,
                timeout=SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise block.error(f"did not end within {SECONDS} s") from None
        if done.returncode:
            raise block.error(f"ended with {done.returncode}\n{done.stdout}{done.stderr}")
        return self._as_on_the_page(done.stdout)

    def _compare(self, block: Block) -> None:
        if self.output is None:
            raise block.error("no block before it has an output that is not shown yet")
        output, self.output = self.output, None
        if block.kind == "text":
            # A table of the cluster's form pads its last column, too; a page has no spaces at the end of a line.
            if block.text.strip() not in "\n".join(line.rstrip() for line in output.splitlines()):
                raise block.error(f"is not in the output\n{output}")
            return
        found = values(output)
        if not found:
            raise block.error(f"the output is no JSON\n{output}")
        for earlier in found[:-1]:
            refuse_error(block, earlier)
        if difference := missing(json.loads(block.text), found[-1]):
            raise block.error(f"{difference}\n{json.dumps(found[-1], indent=1)}")

    def _with_addresses(self, text: str) -> str:
        text = re.sub(r"\b(localhost|127\.0\.0\.1):9200\b", self.proxy, text)
        return re.sub(r"\b(localhost|127\.0\.0\.1):9201\b", self.node, text)

    def _as_on_the_page(self, text: str) -> str:
        return text.replace(self.proxy, "127.0.0.1:9200").replace(self.node, "127.0.0.1:9201")


def check(block: Block) -> None:
    """Raises BlockError for text that its kind does not allow, also where the block is not run."""
    try:
        match block.kind:
            case "json":
                json.loads(block.text)
            case "ndjson":
                for line in block.text.splitlines():
                    json.loads(line)
            case "toml":
                tomllib.loads(block.text)
            case "yaml":
                list(yaml.safe_load_all(block.text))
            case "python":
                ast.parse(block.text)
            case "sh":
                subprocess.run(["bash", "-n"], input=block.text, capture_output=True, text=True, check=True)
    except subprocess.CalledProcessError as error:
        raise block.error(error.stderr) from None
    except (ValueError, SyntaxError, yaml.YAMLError) as error:
        raise block.error(f"is no {block.kind}: {error}") from None


def values(output: str) -> list[Any]:
    """The JSON values of an output, one behind the other; none if it is anything else."""
    found, decoder, rest = [], json.JSONDecoder(), output.strip()
    while rest:
        try:
            value, end = decoder.raw_decode(rest)
        except ValueError:
            return []
        found.append(value)
        rest = rest[end:].strip()
    return found


def refuse_errors(block: Block, output: str) -> None:
    """Raises BlockError for a response that no block shows and that is an error."""
    for value in values(output):
        refuse_error(block, value)


def refuse_error(block: Block, value: Any) -> None:
    if isinstance(value, dict) and (value.get("error") or value.get("errors")):
        raise block.error(f"a response is an error that the page does not show\n{json.dumps(value)}")


def missing(expected: Any, found: Any, path: str = "$") -> str:
    """The first difference; empty where `found` has the members of `expected`, and lists of its lengths."""
    if isinstance(expected, dict) and isinstance(found, dict):
        for name, value in expected.items():
            if name not in found:
                return f"{path}.{name} is missing"
            varies = name in VARIES and isinstance(found[name], (int, float))
            if not varies and (difference := missing(value, found[name], f"{path}.{name}")):
                return difference
        return ""
    if isinstance(expected, list) and isinstance(found, list):
        if len(expected) != len(found):
            return f"{path} has {len(found)} elements, not {len(expected)}"
        pairs = enumerate(zip(expected, found, strict=True))
        return next((d for n, (a, b) in pairs if (d := missing(a, b, f"{path}[{n}]"))), "")
    same = type(expected) is type(found) and expected == found
    return "" if same else f"{path} is {json.dumps(found)}, not {json.dumps(expected)}"
