"""The command line itself: help, exit status, start-up, completion, output."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import click
import pytest

from headrace.cli import main
from headrace.cli.command import Leaf
from headrace.cli.commands.pipeline import read_document
from headrace.cli.errors import MEANINGS, ExitCode, failure_of
from headrace.cli.output import emit, printable
from headrace.cli.root import BROKEN_PIPE, root
from tests.conftest import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HEADRACE = [sys.executable, "-m", "headrace"]
HEAVY = (
    "aiohttp",
    "opensearchpy",
    "rich",
    "yaml",
    "msgspec",
    "headrace_pipelines",
    "headrace.app",
    "importlib.metadata",
)
"""Modules that take longer to import than a help to show."""


def leaves(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    if not isinstance(command, click.Group):
        yield path, command
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        found = command.get_command(context, name)
        assert found is not None
        yield from leaves(found, (*path, name))


LEAVES = dict(leaves(root))


@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
def test_every_command_explains_itself(path: tuple[str, ...], capsys: pytest.CaptureFixture[str]):
    leaf = LEAVES[path]
    assert isinstance(leaf, Leaf)
    assert main([*path, "--help"]) == 0
    text = capsys.readouterr().out
    assert "Examples:" in text
    assert "Exit status:" in text
    assert f"headrace {' '.join(path)}" in leaf.example, "the example shows the command"
    assert leaf.short_help, "a summary of one line"
    assert leaf.short_help.endswith(".")
    for parameter in leaf.params:
        assert isinstance(parameter, click.Argument) or parameter.help, parameter.name
    if any(parameter.name == "target" for parameter in leaf.params) and path != ("version",):
        assert {ExitCode.UNREACHABLE, ExitCode.REFUSED} <= set(leaf.exits)


def test_the_table_has_the_summaries_of_the_commands():
    for name, (summary, _) in root.table.items():
        command = root.get_command(click.Context(root), name)
        assert command is not None
        assert command.short_help == summary, name


@pytest.mark.parametrize("arguments", [["--help"], ["pipeline", "--help"], ["udf", "put", "--help"]])
def test_a_help_imports_nothing_heavy(arguments: list[str]):
    code = f"import sys\nfrom headrace.cli import main\nmain({arguments})\nprint(sorted(sys.modules), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not [name for name in HEAVY if f"'{name}'" in done.stderr]


def test_the_page_lists_every_command_and_exit_status():
    page = (ROOT / "docs/reference/cli.md").read_text()
    rows = re.findall(r"^\| `headrace ([\w -]+)` \| (.+) \|$", page, re.MULTILINE)
    assert rows == [(" ".join(path), leaf.short_help) for path, leaf in LEAVES.items()]
    assert all(f"| {int(code)} | {meaning} |" in page for code, meaning in MEANINGS.items())


def test_the_exit_status_of_each_kind_of_failure(capsys: pytest.CaptureFixture[str]):
    assert set(MEANINGS) == set(ExitCode)
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("headrace ")
    assert main(["pipline"]) == ExitCode.USAGE
    assert "Did you mean 'pipeline'?" in capsys.readouterr().err
    assert main(["serve", "--upstrem", "x"]) == ExitCode.USAGE
    assert "--upstream" in capsys.readouterr().err
    assert main(["pipeline", "list", "--url", "http://127.0.0.1:9"]) == ExitCode.UNREACHABLE
    assert "hint: " in capsys.readouterr().err
    assert main(["pipeline", "list", "--target", "nowhere"]) == ExitCode.USAGE
    assert "(target)" in capsys.readouterr().err
    assert failure_of(ValueError("a defect")) is None


@pytest.mark.parametrize("arguments", ["schema pipeline", "serve --help"])
def test_a_reader_that_goes_ends_the_command_quietly(arguments: str):
    # The reader is gone before the command writes.
    shell = f"({sys.executable} -m headrace {arguments}; echo $? >&2) | true"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=True)
    assert done.stderr == f"{BROKEN_PIPE}\n"


def test_an_interrupt_ends_the_command_without_a_traceback(tmp_path: Path):
    (tmp_path / "headrace.toml").write_text('set = "s"\n[target.dev]\nurl = "http://127.0.0.1:9"\n')
    process = subprocess.Popen([*HEADRACE, "sync", "--dir", str(tmp_path), "--every", "30s"], stderr=subprocess.PIPE)
    assert process.stderr is not None
    process.stderr.readline()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert b"Traceback" not in err
    assert process.returncode in (0, 130)


SHELLS = {"bash": "bash --norc -c", "zsh": "zsh -f -c", "fish": "fish --no-config -c"}


@pytest.mark.parametrize("shell", SHELLS)
def test_the_completion_script_loads(shell: str, capsys: pytest.CaptureFixture[str]):
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert "_HEADRACE_COMPLETE" in script
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed: the script was made, not loaded")
    if shell == "zsh":
        script = f"autoload -U compinit && compinit -u -D\n{script}"
    done = subprocess.run([*SHELLS[shell].split(), script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_commands_complete():
    environment = {**os.environ, "_HEADRACE_COMPLETE": "bash_complete", "COMP_WORDS": "headrace pi", "COMP_CWORD": "1"}
    done = subprocess.run(HEADRACE, env=environment, capture_output=True, text=True, check=False)
    assert "plain,pipeline" in done.stdout


def test_rows_in_every_format(capsys: pytest.CaptureFixture[str]):
    rows = [{"name": "a", "active": True, "tags": ["x", "y"]}, {"name": "long-name", "active": False, "tags": []}]
    columns = {"name": "name", "active": "active", "tags": "tags"}
    emit(rows, columns, "table")
    assert capsys.readouterr().out == "NAME       ACTIVE  TAGS\na          yes     x,y\nlong-name  no\n"
    emit(rows, columns, "name")
    assert capsys.readouterr().out == "a\nlong-name\n"
    emit(rows, columns, "json")
    assert json.loads(capsys.readouterr().out) == rows
    emit(rows, columns, "yaml")
    assert "- name: a\n" in capsys.readouterr().out


def test_what_a_target_says_does_not_steer_the_terminal(capsys: pytest.CaptureFixture[str]):
    rows = [{"name": "a\x1b]0;x\x07b\nc\u202e", "value": "tä\t\u200f"}]
    for output in ("table", "name"):
        emit(rows, {"name": "name", "value": "value"}, output)
        shown = capsys.readouterr().out
        assert r"a\x1b]0;x\x07b\nc\u202e" in shown
        assert all(c.isprintable() or c == "\n" for c in shown)
    assert printable("one\n\x1b[2Jtwo ä") == "one\n\\x1b[2Jtwo ä"


def test_a_file_that_is_not_utf_8_is_no_defect(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "a.json").write_bytes(b"\xff\xfe{")
    assert main(["pipeline", "put", "a", str(tmp_path / "a.json")]) == ExitCode.FAILED
    shown = capsys.readouterr().err
    assert "not UTF-8" in shown
    assert "defect" not in shown


def test_a_byte_order_mark_is_no_part_of_a_file(tmp_path: Path):
    (tmp_path / "a.json").write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert read_document(str(tmp_path / "a.json")) == {"a": 1}


def test_no_arguments_are_a_help_and_no_error(capsys: pytest.CaptureFixture[str]):
    assert main([]) == ExitCode.USAGE
    assert capsys.readouterr().err.startswith("Usage:")
