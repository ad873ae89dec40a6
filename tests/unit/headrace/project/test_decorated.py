"""`headrace.udf`: the decorator declares the manifest of a UDF, and its types hold in the sandbox."""

from __future__ import annotations

import subprocess
import sys

import pytest

from headrace.project import Project
from headrace.project.cases.run import CaseRun

UDF = """\
{imports}
from headrace.udf import Context, Document, Result, udf

{head}
    by: str = "-"
    n: int
    tags: list[str] | None = None


@udf(params=Options, description="Repeats", timeout="50ms", tags=["a"])
def process(doc: Document, params: Options) -> Result:
    doc["x"] = {value}
    return doc
"""
KINDS = {
    "struct": ("import msgspec", "class Options(msgspec.Struct, kw_only=True):", "params.by * params.n"),
    "dataclass": ("import dataclasses", "@dataclasses.dataclass(kw_only=True)\nclass Options:", "params.by * params.n"),
    "typed dict": ("import typing", "class Options(typing.TypedDict, total=False):", 'params.get("by", "-") * params["n"]'),
}  # fmt: skip


def source(kind: str) -> str:
    imports, head, value = KINDS[kind]
    text = UDF.format(imports=imports, head=head, value=value)
    return text.replace(' = "-"', "").replace(" = None", "") if kind == "typed dict" else text


@pytest.mark.parametrize("kind", KINDS)
def test_the_function_is_given_a_value_of_the_declared_type(write, kind):
    cases = "udf: repeat\ncases:\n  - {name: a, params: {by: x, n: 3, tags: []}, docs: {}, expect: {x: xxx}}\n"
    folder = write({"udfs/repeat.py": source(kind), "tests/a.cases.yaml": cases})
    project = Project.load(folder)
    assert project.problems() == []
    (result,) = CaseRun(project, [folder / "tests"]).run()
    assert result.messages == []


def test_the_manifest_is_read_without_running_the_code(write):
    (body,) = Project.load(write({"udfs/repeat.py": source("struct")})).as_set()["udfs"]
    assert body["description"] == "Repeats"
    assert body["limits"] == {"timeout": "50ms"}
    assert body["tags"] == ["a"]
    assert body["parameters"] == [
        {"name": "by", "type": "string", "default": "-"},
        {"name": "n", "type": "integer", "required": True},
        {"name": "tags", "type": "array"},
    ]


def test_declared_parameters_hold_for_the_stages_of_pipelines(write):
    stage = "  - {name: r, type: python, config: {udf_name: repeat, parameters: {n: a}}}\n"
    files = {"udfs/repeat.py": source("struct"), "pipelines/p.yaml": f"type: document\nstages:\n{stage}"}
    (problem,) = Project.load(write(files)).problems()
    assert (problem.field, problem.reason) == ("stages[0].config.parameters.n", "must be of type integer")


@pytest.mark.parametrize(
    ("decorator", "word"),
    [
        ("@udf(timout='1s')", "[timout] is no argument"),
        ("@udf(timeout=str(3))", "must be a constant"),
        ("@udf(params=Nothing)", "must name a class of this file"),
        ("@udf(params=Odd)", "is no type of a parameter"),
    ],
)
def test_a_wrong_decorator_has_a_position(write, decorator, word):
    text = f"from headrace.udf import udf\nclass Odd:\n    a: bytes\n{decorator}\ndef process(doc): return doc\n"
    (problem,) = Project.load(write({"udfs/u.py": text})).problems()
    assert word in problem.reason
    assert problem.line in (3, 4)


def test_the_names_of_the_older_module_work_in_the_sandbox(write):
    text = "from headrace import Context, Document, Params, Result\ndef process(doc: Document, params: Params) -> Result:\n    return doc\n"
    assert Project.load(write({"udfs/u.py": text})).problems() == []


def test_a_decorated_function_is_a_function_and_the_module_needs_no_engine():
    code = (
        "import sys\nfrom headrace.udf import Document, udf\n"
        "@udf(description='x')\ndef process(doc: Document):\n    return doc\n"
        "assert process({'a': 1}) == {'a': 1}\n@udf\ndef other(doc):\n    return doc\nassert other(1) == 1\n"
        "assert 'headrace_pipelines' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
