"""The work of `headrace dev`: the cases that a change concerns, and a set under other names."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time

import pytest

from headrace.project import Project
from headrace.project.cases.run import CaseRun
from headrace.project.tools.dev import concerned, namespace, prefixed
from headrace_pipelines import Pipelines
from headrace_pipelines.errors import InvalidError
from tests.unit.headrace.project.conftest import GOOD

OUTER = """\
type: document
on_failure:
  - {name: h, type: composite, config: {pipeline: logs}}
stages:
  - name: group
    type: composite
    config:
      stages:
        - {name: inner, type: composite, config: {pipeline: logs}}
        - {name: by_name, type: native, config: {function: pipeline, parameters: {name: logs}}}
        - {name: alien, type: native, config: {function: pipeline, parameters: {name: cluster, ignore_missing_pipeline: true}}}
"""
CASES = {f"tests/{name}.cases.yaml": f"{subject}\ncases: [{{docs: {{title: A}}, expect: {{title: a}}}}]\n" for name, subject in (
    ("logs", "pipeline: logs"), ("outer", "pipeline: outer"), ("titles", "udf: titles"), ("index", "index: app-1"))}  # fmt: skip
ALL = {**GOOD, "pipelines/outer.yaml": OUTER, **CASES}


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"udfs/titles.py"}, {"titles", "logs", "outer", "index"}),
        ({"pipelines/logs.yaml"}, {"logs", "outer", "index"}),
        ({"pipelines/outer.yaml"}, {"outer", "index"}),
        ({"pipelines/tenants.yaml"}, {"index"}),
        ({"associations.yaml"}, {"index"}),
        ({"tests/logs.cases.yaml"}, {"logs"}),
        ({"headrace.toml"}, {"titles", "logs", "outer", "index"}),
        ({"pipelines/gone.yaml"}, {"titles", "logs", "outer", "index"}),
    ],
)
def test_a_change_concerns_what_depends_on_it(write, changed, expected):
    folder = write(ALL)
    project = Project.load(folder)
    runs = concerned(project.files, changed)
    run = CaseRun(project, [folder / "tests"])
    assert {file.name.removeprefix("tests/").partition(".")[0] for file in run.files if runs(file)} == expected


def test_a_set_in_a_namespace_names_its_own_objects_only(write):
    body = prefixed(Project.load(write(ALL)).as_set(), "dev-me-")
    assert body["set"] == "dev-me-shop"
    assert [udf["name"] for udf in body["udfs"]] == ["dev-me-titles"]
    assert [each["name"] for each in body["pipelines"]] == ["dev-me-logs", "dev-me-outer", "dev-me-tenants"]
    outer = body["pipelines"][1]
    inner, by_name, alien = outer["stages"][0]["config"]["stages"]
    assert inner["config"]["pipeline"] == outer["on_failure"][0]["config"]["pipeline"] == "dev-me-logs"
    assert by_name["config"]["parameters"]["name"] == "dev-me-logs"
    assert alien["config"]["parameters"]["name"] == "cluster"
    assert body["associations"] == {
        "dev-me-app-*": {"priority": 10, "document": "dev-me-logs", "query": {"final_pipeline": "dev-me-tenants"}}
    }
    loaded = Pipelines.load({p["name"]: p for p in body["pipelines"]}, {u["name"]: u for u in body["udfs"]})
    assert loaded.run("dev-me-logs", [{"title": "A B"}]).documents == [{"title": "a-b"}]


def test_a_name_that_becomes_too_long_is_refused(write):
    stage = "stages: [{name: s, type: native, config: {function: trim, parameters: {field: a}}}]"
    folder = write({f"pipelines/{'x' * 125}.yaml": f"type: document\n{stage}\n"})
    with pytest.raises(InvalidError, match="too long for a trial"):
        prefixed(Project.load(folder).as_set(), "dev-me-")


@pytest.mark.parametrize(("user", "expected"), [("me", "dev-me-"), ("A.B C", "dev-a-b-c-"), ("日本", "dev-me-")])
def test_a_namespace_has_a_valid_name(user, expected):
    assert namespace(user) == expected


@pytest.fixture
def session(write):
    """`headrace dev` as a process; gives what it prints until a word comes."""
    folder = write(ALL)
    process = subprocess.Popen(
        [sys.executable, "-m", "headrace", "dev", str(folder), "--no-apply"],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )

    def until(word: str, seconds: float = 60.0) -> str:
        shown, end = b"", time.monotonic() + seconds
        while word.encode() not in shown and time.monotonic() < end:
            if select.select([process.stdout], [], [], 0.1)[0]:
                shown += os.read(process.stdout.fileno(), 1 << 16)
        assert word in shown.decode(), shown.decode()
        return shown.decode()

    yield folder, until, process
    process.kill()
    process.wait()
    process.stdout.close()


def test_dev_runs_what_a_change_concerns_until_it_is_ended(session):
    folder, until, process = session
    assert "valid; 4 passed, 0 failed" in until(" s\n")
    started = time.monotonic()
    (folder / "tests/titles.cases.yaml").write_text("udf: titles\ncases: [{docs: {title: A}, expect: {title: b}}]\n")
    shown = until(" s\n")
    assert time.monotonic() - started < 10
    assert "tests/titles.cases.yaml" in shown
    assert 'title: expected "b", found "a"' in shown
    assert "valid; 0 passed, 1 failed" in shown
    (folder / "pipelines/logs.yaml").write_text("type: document\nstages: 3\n")
    assert "pipelines/logs.yaml:2:9: expected `array`, got `int` (stages)" in until("(stages)")
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == 0
