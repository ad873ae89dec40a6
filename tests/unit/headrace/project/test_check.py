"""Offline validation: every problem of a directory at once, each at its position, with the nearest name."""

from __future__ import annotations

import pytest

from headrace.project import Project
from tests.unit.headrace.project.conftest import GOOD

STAGE = "  - {name: %s, type: native, config: {function: set, parameters: {field: a, value: 1}}}\n"


def problems(write, files):
    return {(p.file, p.line, p.column): p for p in Project.load(write(files)).problems()}


def document(*stages: str) -> str:
    return "type: document\nstages:\n" + "".join(stages)


def test_all_problems_of_a_pipeline_are_told_at_once(write):
    text = """\
        type: document
        stagez: 3
        stages:
          - name: one
            type: python
            confg: {x: 1}
            config: {udf_nam: titles}
          - name: two
            typ: native
            if: doc.level === "x"
            config: {function: lowercase, parameters: {fild: x}}
          - name: three
            type: nativ
            config: {function: lowercase}
        on_failure: aborrt
        """
    found = problems(write, {"pipelines/a.yaml": text})
    positions = {key[1:]: (p.field, p.hint.partition("?")[0]) for key, p in found.items()}
    assert positions == {
        (2, 1): ("stagez", "did you mean [stages]"),
        (6, 5): ("stages[0].confg", "did you mean [config]"),
        (7, 14): ("stages[0].config.udf_nam", "did you mean [udf_name]"),
        (8, 5): ("stages[1].type", ""),
        (13, 11): ("stages[2].type", "did you mean [native]"),
        (15, 13): ("on_failure", "did you mean [abort]"),
    }


def test_every_stage_is_compiled_for_itself(write):
    text = """\
        type: document
        stages:
          - name: two
            type: native
            if: doc.level === "x"
            config: {function: lowercase, parameters: {fild: x}}
          - name: two
            type: native
            on_failure: [{name: h, type: native, config: {function: sett}}]
            config:
              function: grok
              parameters:
                field: x
                patterns:
                  - "%{NOPE:x}"
          - name: code
            type: python
            config:
              code: |
                document["a"] = 1
                document["b"] = (
          - name: comp
            type: composite
            if: nope.x == 1
            timeout: 3 bananas
            config: {stages: [{name: x, type: native, config: {function: set, parameters: {field: a}}}]}
        """
    found = {key[1:]: p.reason for key, p in problems(write, {"pipelines/b.yaml": text}).items()}
    assert set(found) == {
        (5, 21),
        (6, 48),
        (7, 11),
        (9, 61),
        (15, 11),
        (21, 25),
        (24, 9),
        (25, 14),
        (26, 83),
    }
    assert "CEL" in found[5, 21]
    assert found[6, 48] == "unknown field"
    assert "used twice" in found[7, 11]
    assert "Unable to find pattern [NOPE]" in found[15, 11]
    assert "was never closed" in found[21, 25]
    assert found[24, 9].startswith("[nope] is not known here")


@pytest.mark.parametrize(
    ("stage", "column", "word", "hint"),
    [
        ("{name: u, type: python, config: {udf_name: titels}}", 48, "is not in this directory", "[titles]"),
        ("{name: p, type: composite, config: {pipeline: lgos}}", 51, "no document pipeline", "[logs]"),
        ("{name: p, type: native, config: {function: pipeline, parameters: {name: zz}}}", 77, "no document", "logs"),
        ("{name: p, type: composite, config: {pipeline: tenants}}", 51, "no document pipeline", "logs"),
        ("{name: u, type: python, config: {udf_name: titles, udf_version: '7'}}", 0, "", ""),
        ("{name: p, type: composite, config: {pipeline: logs, version: latest}}", 0, "", ""),
        (
            "{name: p, type: native, config: {function: pipeline, parameters: {name: zz, ignore_missing_pipeline: true}}}",
            0,
            "",
            "",
        ),
    ],
)
def test_references_are_found_in_the_directory(write, stage, column, word, hint):
    found = list(Project.load(write({**GOOD, "pipelines/x.yaml": document(f"  - {stage}\n")})).problems())
    if not word:
        assert found == []
        return
    (problem,) = found
    assert (problem.line, problem.column) == (3, column)
    assert word in problem.reason
    assert hint in problem.hint


def test_a_circle_is_told_in_each_of_its_pipelines_and_in_no_other(write):
    stage = "  - {name: s, type: composite, config: {pipeline: %s}}\n"
    files = {f"pipelines/{name}.yaml": document(stage % other) for name, other in ("ab", "bc", "ca", "da")}
    found = problems(write, files)
    assert {key[0] for key in found} == {"pipelines/a.yaml", "pipelines/b.yaml", "pipelines/c.yaml"}
    assert all("circle: a > b > c > a" in problem.reason for problem in found.values())


def test_what_is_broken_is_told_where_it_is_and_nowhere_else(write):
    files = {
        **GOOD,
        "udfs/titles.py": "def process(doc):\n    return (\n",
        "pipelines/other.yaml": document("  - {name: s, type: composite, config: {pipeline: logs}}\n"),
    }
    assert set(problems(write, files)) == {("udfs/titles.py", 2, 12)}


@pytest.mark.parametrize(
    ("files", "file", "position", "word"),
    [
        ({"udfs/u.py": "import nope\n"}, "udfs/u.py", (1, 1), "No module named 'nope'"),
        ({"udfs/u.py": "x = 1\n"}, "udfs/u.py", (1, 1), "defines no function"),
        ({"udfs/u.js": "export function process(doc) { return doc\n"}, "udfs/u.js", None, "SyntaxError"),
        ({"udfs/u.wat": "(modul"}, "udfs/u.wat", (1, 2), "expected valid module field"),
        ({"udfs/U.py": "def process(doc): return doc\n"}, "udfs/U.py", (1, 1), "does not match"),
        (
            {"udfs/u.py": "def process(doc): return doc\n", "udfs/u.udf.yaml": "limits:\n  timeout: 1h\n"},
            "udfs/u.udf.yaml",
            (2, 12),
            "more than this proxy allows",
        ),
        (
            {
                "udfs/u.py": "def process(doc): return doc\n",
                "udfs/u.udf.yaml": "parameters:\n  - {name: a, type: str}\n",
            },
            "udfs/u.udf.yaml",
            (2, 21),
            "[str] is not one of ",
        ),
        (
            {"udfs/u.py": "def process(doc): return doc\n", "udfs/u.js": "export function process(d) { return d }\n"},
            "udfs/u.py",
            (1, 1),
            "is in udfs/u.js, too",
        ),
    ],
)
def test_udfs_are_compiled_and_started(write, files, file, position, word):
    (problem,) = Project.load(write(files)).problems()
    assert problem.file == file
    assert position in (None, (problem.line, problem.column))
    assert word in problem.reason


def test_declared_parameters_are_checked_in_the_stages(write):
    files = {
        **GOOD,
        "udfs/titles.udf.yaml": "parameters: [{name: by, type: integer}, {name: to, required: true}]\n",
    }
    (problem,) = Project.load(write(files)).problems()
    assert problem.field == "stages[0].config.parameters.by"
    assert (problem.file, problem.line, problem.column) == ("pipelines/logs.yaml", 5, 49)


def test_associations_name_patterns_slots_and_pipelines(write):
    text = """\
        App-*: {document: logs}
        app-*: {priority: x, document: logs}
        b-*: {documnt: logs}
        c-*: {document: {final: logs, default: zz}, query: logs}
        d-*: {document: _none}
        e-*: {priority: 3}
        """
    found = problems(write, {**GOOD, "associations.yaml": text})
    assert {key[1:]: p.reason.split(":")[0] for key, p in found.items()} == {
        (1, 1): "[App-*] is not an index pattern",
        (2, 19): "must be a whole number",
        (3, 7): "unknown field",
        (4, 40): "no document pipeline of this directory is called [zz]",
        (4, 52): "pipeline [logs] is of type document",
        (6, 6): "names no pipeline; delete the association instead",
    }


def test_two_files_of_one_pipeline_are_told(write):
    (problem,) = Project.load(write({**GOOD, "pipelines/logs.json": '{"type": "document", "stages": []}'})).problems()[
        1:
    ]
    assert "another file has the document pipeline [logs]" in problem.reason


def test_secrets_need_no_value_offline(write):
    logs = GOOD["pipelines/logs.yaml"].replace("${var:by}", "${secret:NOWHERE}")
    assert Project.load(write({**GOOD, "pipelines/logs.yaml": logs})).problems() == []
