"""The plugin of pytest: its fixtures, and case files as tests, in a pytest of their own."""

from __future__ import annotations

import os
import subprocess
import sys

from headrace.project.tools import scaffold

TESTS = '''\
import pytest
from headrace.testing import FailedError


def test_udf(udf):
    titles = udf("udfs/titles.py", params={"by": "-"})
    assert titles({"title": "A B"}) == {"title": "a-b"}
    assert titles.hit({"_id": "1", "title": "A B"}) == {"_id": "1", "title": "a-b"}


def test_udf_beside_the_test(udf, tmp_path):
    path = tmp_path / "u.py"
    path.write_text("""
def process(doc, params, ctx):
    print("seen", doc)
    if "n" not in doc:
        return False
    return [{"i": i, "index": ctx["index"]} for i in range(doc["n"])]
""")
    split = udf(path)
    assert split({"n": 2}, index="a") == [{"i": 0, "index": "a"}, {"i": 1, "index": "a"}]
    assert split({}) is None
    assert split.logs[0].endswith("seen {}")


def test_pipeline(pipeline):
    logs = pipeline("logs")
    assert logs({"title": "A B", "level": "X"}) == {"title": "a-b", "level": "x"}
    with pytest.raises(FailedError, match="AttributeError") as caught:
        logs({"title": 3})
    assert caught.value.stage == "titles"


def test_missing(udf):
    with pytest.raises(FileNotFoundError):
        udf("nothing.py")
'''


def run(folder, *arguments, environment=None):
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:asyncio",
        "-p",
        "no:aiohttp",
        "-W",
        "error",
        *arguments,
    ]
    given = {**os.environ, **(environment or {})}
    return subprocess.run(command, cwd=folder, env=given, capture_output=True, text=True, check=False)


def test_fixtures_run_udfs_and_pipelines_in_the_sandbox(tmp_path):
    scaffold.write(tmp_path)
    (tmp_path / "tests/test_it.py").write_text(TESTS)
    done = run(tmp_path)
    assert "4 passed" in done.stdout, done.stdout


def test_case_files_are_tests_if_asked_for(tmp_path):
    scaffold.write(tmp_path)
    (tmp_path / "tests/bad.cases.yaml").write_text(
        "pipeline: logs\ncases:\n  - {name: ok, docs: {}, expect: {}}\n  - {name: x, docs: {title: A}, expect: {title: b}}\n"
        "  - {name: y, doc: {}}\n"
    )
    assert "no tests ran" in run(tmp_path).stdout
    done = run(tmp_path, "--headrace")
    assert done.returncode == 1
    assert "2 failed, 5 passed" in done.stdout
    assert 'title: expected "b", found "a"' in done.stdout
    assert "tests/bad.cases.yaml:5:15: unknown field" in done.stdout
    assert "Traceback" not in done.stdout
    assert "1 passed" in run(tmp_path, "--headrace", "tests/bad.cases.yaml", "-k", "ok").stdout


VARIABLES = """\
import pytest
from headrace.project import ProjectError


def test_udf(udf, pipeline):
    assert udf("udfs/titles.py").logs == []
    assert pipeline("logs")({"title": "A B"}) == {"title": "a+b"}


def test_missing_variable(udf):
    with pytest.raises(ProjectError, match="titles.udf.yaml:1:.*has no variable .nothing"):
        udf("other/titles.py")
"""


def test_fixtures_and_case_files_have_the_variables_of_the_target(tmp_path):
    scaffold.write(tmp_path)
    toml = tmp_path / "headrace.toml"
    toml.write_text(toml.read_text() + '\n[target.plus]\nvars = { separator = "+", text = "it" }\n')
    (tmp_path / "udfs/titles.udf.yaml").write_text("description: ${var:text}\n")
    (tmp_path / "other").mkdir()
    (tmp_path / "other/titles.py").write_text((tmp_path / "udfs/titles.py").read_text())
    (tmp_path / "other/titles.udf.yaml").write_text("description: ${var:nothing}\n")
    (tmp_path / "tests/test_it.py").write_text(VARIABLES)
    for path in (tmp_path / "tests").glob("*.cases.yaml"):
        path.unlink()
    (tmp_path / "tests/plus.cases.yaml").write_text(
        "pipeline: logs\ncases: [{docs: {title: A B}, expect: {title: 'a${var:separator}b'}}]\n"
    )
    for options, environment in ([], {"HEADRACE_TARGET": "plus"}), (["--headrace-target", "plus"], {}):
        done = run(tmp_path, "--headrace", *options, environment=environment)
        assert "3 passed" in done.stdout, done.stdout
    assert "2 failed, 1 passed" in run(tmp_path, "--headrace").stdout, "the first target has no variable [text]"
