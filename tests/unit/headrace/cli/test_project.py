"""`headrace init`, `validate`, `test` and `bench`, as a person calls them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from xml.etree import ElementTree

import pytest

from headrace.cli import main
from headrace.project.cases.engine import Ran
from headrace.project.cases.model import Outcome
from headrace.project.config import load_config
from headrace.project.source import Source
from headrace.project.tools import scaffold


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A new project directory, in which commands run."""
    monkeypatch.chdir(tmp_path)
    assert main(["init"]) == 0
    return tmp_path


def test_what_init_writes_is_valid_and_its_tests_pass(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["init", "search"]) == 0
    assert set(capsys.readouterr().out.split()) == {f"search/{name}" for name in (*scaffold.FILES, *scaffold.SCHEMAS)}
    assert main(["validate", "search"]) == 0
    assert main(["test", "search", "--coverage", "--min-coverage", "100"]) == 0
    assert "4 passed, 0 failed" in capsys.readouterr().out
    assert 'set = "search"' in (tmp_path / "search/headrace.toml").read_text()


def test_init_writes_over_no_file(project, capsys):
    (project / "headrace.toml").write_text('set = "mine"\n')
    (project / "udfs/titles.py").unlink()
    capsys.readouterr()
    assert main(["init"]) == 0
    done = capsys.readouterr()
    assert done.out.split() == ["udfs/titles.py"]
    assert "headrace.toml exists and stays as it is" in done.err
    assert (project / "headrace.toml").read_text() == 'set = "mine"\n'


def test_the_workflow_and_the_hooks_run_commands_that_exist(project, capsys):
    workflow = Source.read(project / ".github/workflows/headrace.yml", "w.yml").value
    hooks = Source.read(project / ".pre-commit-config.yaml", "h.yaml").value
    runs = [step.get("run", "") for job in workflow["jobs"].values() for step in job["steps"]]
    runs += [hook["entry"] for repo in hooks["repos"] for hook in repo["hooks"]]
    called = {match for run in runs for match in re.findall(r"\bheadrace ([a-z]+)", run)}
    assert {"validate", "test", "diff", "apply"} == called
    assert workflow["on"] == {"pull_request": None, "push": {"branches": ["main"]}}
    (difference,) = (step for step in workflow["jobs"]["check"]["steps"] if "headrace diff" in step.get("run", ""))
    assert "head.repo.full_name == github.repository" in difference["if"]
    targets = load_config(project).target
    for name in ("diff", "apply"):
        (options,) = (match for run in runs for match in re.findall(rf"headrace {name} (.*?)(?: > .*)?$", run, re.M))
        assert "--prune" in options.split(), "what is compared is what is applied"
        assert options.split()[options.split().index("--target") + 1] in targets
    assert "HEADRACE_URL" not in json.dumps(workflow), "the address is that of the target"
    for name in called - {"diff", "apply"}:
        assert main([name, "--help"]) == 0


@pytest.mark.parametrize("name", ["A Search!", "日本", "x" * 300])
def test_the_set_of_any_directory_has_a_valid_name(tmp_path, name, monkeypatch):
    folder = tmp_path / name[:100]
    folder.mkdir()
    monkeypatch.chdir(folder)
    assert main(["init"]) == 0
    assert main(["validate"]) == 0


def test_validate_has_forms_for_machines(project, capsys):
    pipeline = project / "pipelines/logs.yaml"
    pipeline.write_text(pipeline.read_text().replace("function: lowercase", "function: lowercas"))
    capsys.readouterr()
    assert main(["validate", "--format", "json"]) == 1
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["file"], found["line"], found["field"]) == ("pipelines/logs.yaml", 14, "stages[1].config.function")
    assert main(["validate", "--format", "github"]) == 1
    out = capsys.readouterr().out
    assert out.startswith(
        "::error file=pipelines/logs.yaml,line=14,col=17,title=headrace::no built-in is called [lowercas]"
    )
    assert out.count("\n") == 1
    assert main(["validate", "--format", "sarif"]) == 1
    (run,) = json.loads(capsys.readouterr().out)["runs"]
    location = run["results"][0]["locations"][0]["physicalLocation"]
    assert location == {
        "artifactLocation": {"uri": "pipelines/logs.yaml"},
        "region": {"startLine": 14, "startColumn": 17},
    }
    assert main(["validate"]) == 1
    assert capsys.readouterr().out.startswith("pipelines/logs.yaml:14:17: no built-in is called [lowercas]")


def test_files_of_a_directory_are_named_from_where_validate_runs(project, monkeypatch, capsys):
    (project / "pipelines/logs.yaml").write_text("a: [")
    monkeypatch.chdir(project.parent)
    capsys.readouterr()
    assert main(["validate", project.name, "--format", "github"]) == 1
    assert f"file={project.name}/pipelines/logs.yaml,line=" in capsys.readouterr().out


def test_validate_reads_the_cases_too(project, capsys):
    (project / "tests/bad.cases.yaml").write_text("pipeline: logs\ncases:\n  - {nam: x, docs: {}}\n")
    capsys.readouterr()
    assert main(["validate"]) == 1
    assert (
        "tests/bad.cases.yaml:3:6: unknown field (cases[0].nam)\n  hint: did you mean [name]?"
        in capsys.readouterr().out
    )


def test_variables_of_a_target_are_chosen_by_name_or_environment(project, capsys, monkeypatch):
    toml = project / "headrace.toml"
    toml.write_text(toml.read_text() + '\n[target.bare]\nurl = "http://127.0.0.1:1"\n')
    assert main(["validate", "--target", "dev"]) == 0
    assert main(["validate", "--target", "bare"]) == 1
    monkeypatch.setenv("HEADRACE_TARGET", "bare")
    assert main(["validate"]) == 1
    monkeypatch.setenv("HEADRACE_TARGET", "of another directory")
    assert main(["validate"]) == 0
    assert main(["validate", "--target", "bar"]) == 1
    assert "did you mean [bare]? there are bare, dev" in capsys.readouterr().out


def test_failures_are_shown_with_line_and_difference(project, capsys):
    (project / "tests/bad.cases.yaml").write_text(
        "pipeline: logs\ncases:\n  - {name: x, docs: {title: A}, expect: {title: b}}\n"
    )
    capsys.readouterr()
    assert main(["test"]) == 1
    out = capsys.readouterr().out
    assert 'FAIL tests/bad.cases.yaml::x\n     tests/bad.cases.yaml:3:5\n     title: expected "b", found "a"\n' in out
    assert out.endswith("4 passed, 1 failed\n")
    assert main(["test", "-k", "TITLES.cases"]) == 0
    assert capsys.readouterr().out == "2 passed, 0 failed\n"
    assert main(["test", "tests/bad.cases.yaml", "--update"]) == 0
    assert capsys.readouterr().out == "new  tests/bad.cases.yaml::x\n0 passed, 0 failed, 1 updated\n"
    assert "expect: {title: a}}" in (project / "tests/bad.cases.yaml").read_text()


def test_no_test_found_is_a_usage_error(project, capsys, tmp_path, monkeypatch):
    assert main(["test", "-k", "nothing of the kind"]) == 2
    assert "no test case is found" in capsys.readouterr().err
    empty = tmp_path / "empty"
    empty.mkdir()
    assert main(["test", str(empty)]) == 2


def test_a_directory_that_is_no_project_is_told(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["test"]) == 2
    assert "headrace init" in capsys.readouterr().err
    assert main(["validate"]) == 1


def test_too_little_coverage_fails(project, capsys):
    (project / "tests/logs.cases.yaml").unlink()
    assert main(["test", "--coverage"]) == 0
    out = capsys.readouterr().out
    assert "document logs: 0 % (0 of 3)" in out
    assert "pipelines/logs.yaml:5: stage [titles]: never runs" in out
    assert main(["test", "--min-coverage", "50"]) == 1


def test_junit_has_every_case(project, tmp_path):
    (project / "tests/bad.cases.yaml").write_text(
        'pipeline: logs\ncases:\n  - {name: x, docs: {title: A}, expect: {title: "\\u0001"}}\n'
    )
    (project / "tests/worse.cases.yaml").write_text("pipeline: [")
    assert main(["test", "--junit", "report.xml"]) == 1
    root = ElementTree.parse(project / "report.xml").getroot()
    assert root.attrib["tests"] == "6"
    assert (root.attrib["failures"], root.attrib["errors"]) == ("1", "1")
    names = {case.attrib["name"] for case in root.iter("testcase")}
    assert {"x", "the file", "spaces"} <= names


def test_bench_compares_with_a_baseline(project, capsys, monkeypatch):
    monkeypatch.setattr("headrace.project.tools.bench.ROUND_SECONDS", 0.005)
    (project / "docs.ndjson").write_text('{"title": "A B"}\n\n{"title": "C"}\n')
    command = ["bench", "udfs/titles.py", "--input", "docs.ndjson"]
    assert main([*command, "--save", "base.json", "-o", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["documents"] == 2
    assert set(found["microseconds"]) == {"1", "10", "100", "1000"}
    assert found["microseconds"]["1000"] < found["microseconds"]["1"]
    assert found["cold_start_ms"] > 0
    assert found["memory_peak"] > 1 << 20
    assert main([*command, "--baseline", "base.json", "--max-regression", "100000%"]) == 0
    slow = {name: value / 1000 for name, value in found["microseconds"].items()}
    (project / "base.json").write_text(json.dumps({**found, "microseconds": slow}))
    assert main([*command, "--baseline", "base.json"]) == 1
    assert "batches of 1:" in capsys.readouterr().err


def test_bench_tells_which_document_fails(project, capsys):
    (project / "docs.ndjson").write_text('{"title": "A B"}\n{"title": 3}\n')
    assert main(["bench", "udfs/titles.py", "--input", "docs.ndjson"]) == 1
    assert "document 2 fails: AttributeError" in capsys.readouterr().err
    assert main(["bench", "udfs/titles.py", "--input", "docs.ndjson", "--max-regression", "much"]) == 2


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--params", "["], "--params: is no JSON object"),
        (["--params", "[1]"], "--params: is no JSON object: Expected `object`, got `array`"),
        (["--baseline", "docs.ndjson"], "docs.ndjson has no figures: Object missing required field"),
        (["--baseline", "udfs/titles.py"], "udfs/titles.py has no figures: JSON is malformed"),
    ],
)
def test_bench_tells_what_is_wrong_with_its_options(project, capsys, options, reason):
    (project / "docs.ndjson").write_text('{"title": "A B"}\n')
    assert main(["bench", "udfs/titles.py", "--input", "docs.ndjson", *options]) == 2
    shown = capsys.readouterr().err
    assert reason in shown
    assert "defect" not in shown


@pytest.mark.parametrize(
    "options",
    [
        ["--against", "dev", "--coverage"],
        ["--against", "dev", "--min-coverage", "10"],
        ["--watch", "--from-index", "app-1"],
        ["--anonymise"],
    ],
)
def test_options_without_an_effect_are_usage_errors(project, capsys, options):
    assert main(["test", *options]) == 2
    assert "error: --" in capsys.readouterr().err


def test_cases_against_a_target_have_its_variables(project, monkeypatch, capsys):
    def run(_, case):
        return Ran([Outcome(tuple(case.inputs))], [], [])

    monkeypatch.setattr("headrace.project.cases.against.TargetEngine.run", run)
    toml = project / "headrace.toml"
    toml.write_text(f'{toml.read_text()}\n[target.plus]\nurl = "http://127.0.0.1:9"\nvars = {{ separator = "+" }}\n')
    (project / "tests/logs.cases.yaml").write_text(
        "pipeline: logs\ncases: [{docs: {title: '${var:separator}'}, expect: {title: +}}]\n"
    )
    assert main(["test", "-k", "logs", "--against", "plus"]) == 0, capsys.readouterr().out
    assert main(["test", "-k", "logs", "--against", "dev"]) == 1


def test_watch_goes_on_after_failures(project, monkeypatch, capsys):
    """An unreachable target, files that vanish and an unreadable project: the next change may mend them."""

    def follow(_, once):
        once(set())
        toml = (project / "headrace.toml").read_text()
        (project / "headrace.toml").write_text("[")
        once({"headrace.toml"})
        (project / "headrace.toml").write_text(toml)
        (project / "tests").rename(project / "gone")
        once({"tests"})
        (project / "headrace.toml").unlink()
        once({"headrace.toml"})

    monkeypatch.setattr("headrace.project.tools.watching.follow", follow)
    toml = project / "headrace.toml"
    toml.write_text(toml.read_text().replace("9280", "9"))
    assert main(["test", "--watch", "--against", "dev"]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert sum(line.startswith("hint: ") for line in lines) >= 3
    assert any("serve" in line for line in lines)
    assert any(line.startswith("headrace.toml:1:") for line in lines)
    assert "error: no test case is found" in lines


def test_watch_runs_the_cases_at_each_change_until_it_is_ended(project):
    command = [sys.executable, "-m", "headrace", "test", "--watch", "--junit", "report.xml"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "PYTHONUNBUFFERED": "1"})
    try:
        assert next(line for line in process.stdout if b"passed" in line) == b"4 passed, 0 failed\n"
        (project / "tests/notes.txt").write_text("no file of the project")
        (project / "tests/titles.cases.yaml").unlink()
        assert next(line for line in process.stdout if b"passed" in line) == b"2 passed, 0 failed\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
