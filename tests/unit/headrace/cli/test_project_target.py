"""Whose variables a command sends: those of the target that it calls, or an error."""

from __future__ import annotations

import pytest

from headrace.cli import main
from headrace.cli.errors import ExitCode

STAGES = 'stages: [{name: s, type: native, config: {function: set, parameters: {field: a, value: "${var:v}"}}}]\n'
NOBODY = "http://127.0.0.1:9"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A directory whose targets have variables."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "pipelines/p.yaml").write_text(f"type: document\n{STAGES}")
    (tmp_path / "headrace.toml").write_text(
        f'[target.dev]\nurl = "{NOBODY}"\nvars = {{ v = 1 }}\n[target.prod]\nurl = "{NOBODY}"\nvars = {{ v = 2 }}\n'
    )
    return tmp_path


@pytest.mark.parametrize("command", [["diff"], ["apply", "--yes"], ["export", "."], ["sync", "--once"]])
def test_an_address_without_a_target_is_an_error_where_targets_have_variables(folder, command, monkeypatch, capsys):
    assert main([*command, "--url", NOBODY]) == ExitCode.FAILED
    assert "the address names no target" in (shown := capsys.readouterr().err)
    assert "name one with --target or HEADRACE_TARGET: dev, prod" in shown
    assert main([*command, "--url", NOBODY, "--target", "prod"]) == ExitCode.UNREACHABLE
    monkeypatch.setenv("HEADRACE_URL", NOBODY)
    assert main(command) == ExitCode.FAILED
    monkeypatch.setenv("HEADRACE_TARGET", "dev")
    assert main(command) == ExitCode.UNREACHABLE


def test_an_address_is_enough_where_no_target_has_variables(folder):
    (folder / "pipelines/p.yaml").unlink()
    (folder / "headrace.toml").write_text(f'[target.dev]\nurl = "{NOBODY}"\n')
    assert main(["diff", "--url", NOBODY]) == ExitCode.UNREACHABLE


def test_offline_commands_need_no_target(folder, monkeypatch):
    monkeypatch.setenv("HEADRACE_URL", NOBODY)
    assert main(["validate"]) == 0
