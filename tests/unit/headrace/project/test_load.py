"""A project directory: its set, its targets and variables, and directories that are none."""

from __future__ import annotations

import base64
import zipfile
from typing import TYPE_CHECKING

import pytest

from headrace.project import Project, ProjectError
from headrace_pipelines import Pipelines
from tests.unit.headrace.project.conftest import GOOD, TITLES

if TYPE_CHECKING:
    from pathlib import Path


def only(error: pytest.ExceptionInfo[ProjectError]):
    (problem,) = error.value.problems
    return problem


def test_a_good_directory_has_no_problems_and_is_a_set(write):
    project = Project.load(write(GOOD))
    assert project.problems() == []
    body = project.as_set({"commit": "abc"})
    assert body["set"] == "shop"
    assert body["source"] == {"commit": "abc"}
    assert body["udfs"] == [{"name": "titles", "language": "python", "source": TITLES}]
    assert [each["name"] for each in body["pipelines"]] == ["logs", "tenants"]
    assert body["pipelines"][0]["stages"][0]["config"]["parameters"] == {"by": "-"}
    assert body["associations"] == {
        "app-*": {"priority": 10, "document": "logs", "query": {"final_pipeline": "tenants"}}
    }


def test_the_bodies_of_a_set_are_those_of_the_rest_api(write):
    body = Project.load(write(GOOD)).as_set()
    pipelines = Pipelines.load(
        {each["name"]: each for each in body["pipelines"]}, {each["name"]: each for each in body["udfs"]}
    )
    assert pipelines.run("logs", [{"title": "A  B"}]).documents == [{"title": "a-b"}]


def test_a_number_stays_a_number_and_a_doubled_dollar_is_text(write):
    parameters = "{a: '${var:n}', b: 'x${var:n}', c: '$${var:n}', d: '${secret:KEY}'}"
    logs = GOOD["pipelines/logs.yaml"].replace('{by: "${var:by}"}', parameters)
    body = Project.load(write({**GOOD, "pipelines/logs.yaml": logs})).as_set()
    found = body["pipelines"][0]["stages"][0]["config"]["parameters"]
    assert found == {"a": 3, "b": "x3", "c": "${var:n}", "d": "${secret:KEY}"}


def test_every_target_has_variables_of_its_own(write):
    toml = GOOD["headrace.toml"] + '[target.prod]\nurl = "https://x"\nuser = "${env:U}"\nvars = { by = "+" }\n'
    folder = write({**GOOD, "headrace.toml": toml})
    found = Project.load(folder, "prod")
    assert found.as_set()["pipelines"][0]["stages"][0]["config"]["parameters"] == {"by": "+"}
    assert found.target_config.user == "${env:U}"


def test_a_variable_that_is_missing_has_a_position_and_there_is_no_set(write):
    folder = write({**GOOD, "headrace.toml": '[target.dev]\nvars = { bye = "-" }\n'})
    project = Project.load(folder)
    (problem,) = project.problems()
    assert (problem.file, problem.line, problem.column) == ("pipelines/logs.yaml", 5, 49)
    assert problem.field == "stages[0].config.parameters.by"
    assert "did you mean [bye]" in problem.hint
    with pytest.raises(ProjectError):
        project.as_set()


@pytest.mark.parametrize(
    ("toml", "line", "column", "field", "word"),
    [
        ("set = ", 1, 7, "", "not TOML"),
        ("sett = 'a'", 1, 1, "sett", "unknown field"),
        ("set = 'A B'", 1, 1, "set", "does not match"),
        ("set = 3", 1, 1, "set", "Expected"),
        ("[target.dev]\nurl = 'x'\n  crt = 'y'", 3, 3, "target.dev.crt", "unknown field"),
        ("[target.dev]\nvars = { a = [1] }", 2, 1, "target.dev.vars.a", "must be a text"),
        ("[target.dev.vars]\na = [1]", 2, 1, "target.dev.vars.a", "must be a text"),
        ("target = 3", 1, 1, "target", "tables"),
    ],
)
def test_a_wrong_headrace_toml_is_told_with_its_position(write, toml, line, column, field, word):
    with pytest.raises(ProjectError) as caught:
        Project.load(write({"headrace.toml": toml}))
    problem = only(caught)
    assert (problem.file, problem.line, problem.column, problem.field) == ("headrace.toml", line, column, field)
    assert word in problem.reason


def test_an_unknown_target_names_those_that_exist(write):
    with pytest.raises(ProjectError) as caught:
        Project.load(write(GOOD), "dv")
    assert "did you mean [dev]" in only(caught).hint


def test_a_folder_without_any_part_of_a_project_is_none(tmp_path):
    with pytest.raises(ProjectError) as caught:
        Project.load(tmp_path)
    assert "headrace init" in only(caught).hint


def test_modules_manifests_and_packages_are_in_the_body_of_a_udf(write, tmp_path):
    folder = write({"udfs/m.udf.yaml": "language: rust\nparameters: [{name: a, type: integer}]\n"})
    (folder / "udfs/m.wasm").write_bytes(b"\0asm")
    with zipfile.ZipFile(folder / "udfs/lib.zip", "w") as archive:
        archive.writestr("lib.py", "x = 1")
    write({"udfs/p.py": "import lib\ndef process(doc): return doc\n", "udfs/p.udf.json": '{"packages": ["lib.zip"]}'})
    module, python = Project.load(folder).as_set()["udfs"]
    assert module["language"] == "rust"
    assert base64.b64decode(module["wasm"]) == b"\0asm"
    assert base64.b64decode(python["packages"][0]) == (folder / "udfs/lib.zip").read_bytes()


@pytest.mark.parametrize("name", ["pipelines/a.yaml", "udfs/a.py", "udfs/b.udf.yaml", "associations.yaml"])
def test_a_link_out_of_the_directory_is_not_read(write, tmp_path: Path, name: str):
    folder = write({"udfs/b.py": "def process(document, parameters):\n    return document\n"})
    outside = tmp_path.with_name(f"{tmp_path.name}-outside")
    outside.write_text("private")
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).symlink_to(outside)
    problems = Project.load(folder).problems()
    assert [(each.file, "link out of" in each.reason) for each in problems] == [(name, True)]


def test_links_within_a_directory_are_read(write):
    folder = write({"kept/a.py": "def process(document, parameters):\n    return document\n", "udfs/b.py": "x = 1\n"})
    (folder / "udfs" / "a.py").symlink_to("../kept/a.py")
    folder.with_name("linked").symlink_to(folder)
    assert [each.name for each in Project.load(folder.with_name("linked")).files.udfs] == ["a", "b"]


def test_a_package_outside_of_the_directory_is_refused(write):
    folder = write({"udfs/p.py": "def process(doc): return doc\n", "udfs/p.udf.yaml": "packages: [../../secret.zip]\n"})
    (problem,) = Project.load(folder).problems()
    assert "is no file of this directory" in problem.reason
    assert (problem.file, problem.line, problem.column) == ("udfs/p.udf.yaml", 1, 12)


@pytest.mark.parametrize(
    ("files", "word"),
    [
        ({"udfs/a.py": b"\xff"}, "not UTF-8"),
        ({"pipelines/a.yaml": b"\xff"}, "not UTF-8"),
        ({"pipelines/a.yaml": b"- 1"}, "must be an object"),
        ({"pipelines/a.yaml": b"name: 3\ntype: document"}, "must be a text"),
        ({"associations.yaml": b"[1]"}, "must be an object"),
        ({"udfs/a.py": b"# @udf: nme=x\n"}, "is not known"),
        ({"udfs/a.udf.yaml": b"a: 1"}, "no code beside"),
        ({"udfs/a.py": b"", "udfs/a.udf.yaml": b"source: x"}, "is the file udfs/a.py itself"),
    ],
)
def test_files_that_cannot_be_read_are_problems(tmp_path, files, word):
    for name, data in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    assert word in Project.load(tmp_path).problems()[0].reason


def test_a_set_has_a_maximum_of_objects(write):
    patterns = "".join(f"a{i}-*: {{document: logs}}\n" for i in range(1000))
    problems = Project.load(write({**GOOD, "associations.yaml": patterns})).problems()
    assert [problem.reason for problem in problems] == ["the directory has 1003 objects; a set has at most 1000"]


@pytest.mark.parametrize(
    ("manifest", "field", "reason"),
    [
        ("name: 7\n", "name", "must be a text"),
        ("language: [python]\n", "language", "must be a text"),
        ("packages: a.zip\n", "packages", "must be a list"),
    ],
)
def test_a_manifest_whose_fields_have_another_type_is_a_problem(write, manifest, field, reason):
    files = Project.load(write({**GOOD, "udfs/titles.udf.yaml": manifest})).files
    (problem,) = files.problems
    assert (problem.file, problem.line, problem.field) == ("udfs/titles.udf.yaml", 1, field)
    assert problem.reason == reason


def test_a_name_in_a_decorator_is_a_text(write):
    code = "from headrace.udf import udf\n\n@udf(name=7)\ndef process(doc, params):\n    return doc\n"
    (problem,) = Project.load(write({**GOOD, "udfs/titles.py": code})).files.problems
    assert problem.file == "udfs/titles.py"


def test_a_module_in_a_language_of_text_is_a_problem(write):
    folder = write({**GOOD, "udfs/m.udf.yaml": "language: python\n"})
    (folder / "udfs/m.wasm").write_bytes(b"\x00asm\xff")
    (problem,) = Project.load(folder).files.problems
    assert (problem.file, problem.field) == ("udfs/m.udf.yaml", "language")


@pytest.mark.parametrize(
    "name", ["headrace.toml", "pipelines/logs.yaml", "udfs/titles.py", "udfs/titles.udf.yaml", "associations.yaml"]
)
def test_a_file_that_is_not_utf_8_is_a_problem(write, name):
    folder = write({**GOOD})
    (folder / name).write_bytes(b"# \xff\n")
    try:
        problems = Project.load(folder).files.problems
    except ProjectError as error:
        problems = error.problems
    assert [(each.file, "not UTF-8" in each.reason) for each in problems] == [(name, True)]
