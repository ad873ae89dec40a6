"""Test cases in the engine: what passes, what fails and why, and that every outcome is the same each time."""

from __future__ import annotations

import time

import pytest

from headrace.project import Project
from headrace.project.cases.coverage import Coverage, percent
from headrace.project.cases.run import CaseRun
from tests.unit.headrace.project.conftest import GOOD

CLOCK = """\
import random, time, uuid
calls = 0
def process(doc, params):
    global calls
    calls += 1
    doc |= {"calls": calls, "time": time.time(), "draw": random.random(), "uuid": str(uuid.uuid4())}
    return doc
"""


def results(folder, text="", seed=0):
    return list(CaseRun(Project.load(folder), [folder / "tests"], text).run(seed))


def only(folder, **options):
    (result,) = results(folder, **options)
    return result


def case(write, subject: str, body: str, files=GOOD):
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    return only(write({**files, "tests/a.cases.yaml": f"{subject}\ncases:\n  - name: it\n{lines}\n"}))


@pytest.mark.parametrize(
    ("subject", "body"),
    [
        ("pipeline: logs", 'docs: [{title: "A  B", level: WARN}, {title: C}]\nexpect: [{title: a-b, level: warn}, {title: c}]'),
        ("pipeline: logs", "docs: {title: A}\nexpect: {title: a}"),
        ("pipeline: logs", "docs: {title: A}\nexpect_patch: [{op: replace, path: /title, value: a}]"),
        ("pipeline: logs", "docs: {level: A}\nexpect_error: KeyError"),
        ("pipeline: logs", "docs: {level: A}\nexpect_error: {stage: titles, status: 400}"),
        ("pipeline: logs", "docs: [{level: A}, {title: B}]\nexpect: [{_error: \"KeyError: 'title'\"}, {title: b}]"),
        ("pipeline: logs", "docs: {title: A, at: 3}\nexpect: {title: a, at: 4}\nignore: [at]"),
        ("pipeline: logs", "docs: [{title: A, l: [{s: 1}, {s: 2}]}]\nexpect: [{title: a, l: [{s: 3}, {}]}]\nignore: ['l[*].s']"),
        ("pipeline: logs", 'docs: {title: A B}\nparams: {by: "+"}\nexpect: {title: a+b}'),
        ("pipeline: tenants", "request: {}\nexpect: {query: {bool: {filter: [{term: {tenant: a}}]}}}"),
        ("udf: titles", "docs: {title: A B}\nexpect: {title: a b}"),
        ("udf: titles", 'hit: {_id: "1", title: A B}\nparams: {by: "_"}\nexpect: {_id: "1", title: a_b}'),
        ("index: app-1", "docs: {title: A B}\nexpect: {title: a-b}"),
        ("index: app-1", "request: {query: {match_all: {}}}\nexpect: {query: {bool: {must: [{match_all: {}}], filter: [{term: {tenant: a}}]}}}"),
        ("index: other", "docs: {title: A B}\nexpect: {title: A B}"),
    ],
)  # fmt: skip
def test_cases_pass(write, subject, body):
    result = case(write, subject, body)
    assert result.status == "passed", result.messages


@pytest.mark.parametrize(
    ("subject", "body", "message"),
    [
        ("pipeline: logs", "docs: {title: A}\nexpect: {title: b}", 'title: expected "b", found "a"'),
        ("pipeline: logs", "docs: {title: A}\nexpect: {title: a, n: 1}", "n: expected 1, found nothing"),
        ("pipeline: logs", "docs: {title: A, n: true}\nexpect: {title: a, n: 1}", "n: expected 1, found true"),
        ("pipeline: logs", "docs: {title: A}\nexpect_error: KeyError", 'expected an error with "KeyError", found no error'),
        ("pipeline: logs", "docs: {title: A}\nexpect_error: {status: 400}", 'expected an error with {"status":400}, found no error'),
        ("pipeline: logs", "docs: {}\nexpect: {}", "expected no error, found KeyError: 'title' (line 3) in stage [titles]"),
        ("pipeline: logs", "docs: {title: A}\ndropped: true", 'expected that every document is dropped, found {"title":"a"}'),
        ("pipeline: logs", "docs: {title: A}\nmoved_to: b", '_index: expected "b", found null'),
        ("pipeline: logs", "docs: {title: A}", "expected something, found no expect, expect_patch, expect_error, dropped or moved_to"),
        ("pipeline: logs", "docs: {title: A}\nexpect_patch: [{op: remove, path: /nope}]", "can't remove a non-existent object 'nope'"),
        ("pipeline: lgos", "docs: {title: A}\nexpect: {}", "the directory has no document pipeline [lgos]"),
        ("pipeline: logs", "request: {}\nexpect: {}", "the pipeline [logs] is of type document: the input is one of a query"),
        ("udf: nope", "docs: {title: A}\nexpect: {}", "UDF [nope] is missing"),
    ],
)  # fmt: skip
def test_failures_say_what_differs(write, subject, body, message):
    result = case(write, subject, body)
    assert result.status == "failed"
    assert message in result.messages[0]
    assert (result.line, result.column) == (3, 5)


def test_overlapping_paths_run_a_case_once(write):
    folder = write({**GOOD, "tests/a.cases.yaml": "pipeline: logs\ncases: [{docs: {title: A}, expect: {title: a}}]\n"})
    write({"tests/logs/in.ndjson": '{"title": "A"}\n', "tests/logs/out.ndjson": '{"title": "a"}\n'})
    tests = folder / "tests"
    paths = [tests / "a.cases.yaml", tests, tests / "logs" / "in.ndjson", tests / "logs", tests / ".." / "tests"]
    run = CaseRun(Project.load(folder), paths)
    assert [result.label for result in run.run() if not result.failed] == [
        "tests/a.cases.yaml::case 1",
        "tests/logs::logs",
    ]


def test_a_folder_without_documents_is_a_failure(write):
    result = only(write({**GOOD, "tests/logs/in.ndjson": "\n", "tests/logs/out.ndjson": ""}))
    assert (result.status, result.reason) == ("unreadable", "has no document")


@pytest.mark.parametrize(
    ("text", "line", "column", "word"),
    [
        ("cases: [", 2, 1, "not YAML"),
        ("pipeline: logs\ncases:\n  - {name: a, doc: {}, expect: {}}", 3, 15, "unknown field"),
        ("pipeline: logs\ncases:\n  - {name: a, expect: {}}", 3, 5, "exactly one of docs"),
        ("pipeline: logs\nudf: titles\ncases: []", 1, 1, "exactly one of pipeline"),
        ("pipeline: logs\ncases:\n  - {name: a, docs: {}, now: tomorrow}", 3, 30, "must be a time"),
        ("pipeline: logs\ncases:\n  - {name: a, docs: 3}", 3, 21, "must be a list or an object"),
        ("pipeline: logs\ncases:\n  - {name: a, docs: {}, dropped: false}", 3, 34, "must be true"),
        ("pipeline: logs\ncases:\n  - {name: a, docs: {}}\n  - {name: a, docs: {}}", 4, 12, "another case"),
        ("pipeline: logs\ntype: document\ncases: []", 2, 1, "unknown field"),
        ("pipeline: logs\ncases:\n  - {name: a, docs: [], dropped: true}", 3, 21, "has no document"),
        ("- 1", 1, 1, "must be an object"),
    ],
)
def test_a_case_that_cannot_be_read_is_a_failure_with_its_position(write, text, line, column, word):
    found = [r for r in results(write({**GOOD, "tests/a.cases.yaml": text})) if r.status == "unreadable"]
    assert [(r.line, r.column) for r in found] == [(line, column)]
    assert word in found[0].reason


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("associations.yaml", "app-*: {priority: high, document: logs}\n", "associations cannot be read"),
        ("associations.yaml", "APP-*: {document: logs}\n", "is not an index pattern"),
        ("associations.yaml", "app-*: {document: logs\n", "associations.yaml:2:1"),
        ("associations.yaml", "app-*: {document: '${var:nothing}'}\n", "has no variable [nothing]"),
        ("associations.yaml", "- app-*\n", "must be an object of index patterns"),
        ("pipelines/logs.yaml", GOOD["pipelines/logs.yaml"].replace("var:by", "var:nothing"), "no variable [nothing]"),
        ("udfs/titles.udf.yaml", "description: ${var:nothing}\n", "no variable [nothing]"),
    ],
)
def test_a_case_fails_where_what_it_runs_cannot_be_read(write, name, text, reason):
    result = case(write, "index: app-1", "docs: {title: A}\nexpect: {title: A}", {**GOOD, name: text})
    assert result.status == "failed"
    assert reason in result.messages[0]


def test_cases_of_what_does_not_compile_say_where_it_is(write):
    broken = {**GOOD, "udfs/titles.py": "def process(doc):\n    return (\n", "udfs/a.py": "x = 1\n"}
    for subject in ("udf: titles", "pipeline: logs"):
        result = case(write, subject, "docs: {}\nexpect: {}", broken)
        assert "udfs/titles.py:2:12: cannot be started: SyntaxError" in result.reason
    result = case(write, "pipeline: logs", "docs: {}\nexpect: {}", {**GOOD, "pipelines/logs.yaml": "type: document\n"})
    assert "pipelines/logs.yaml" in result.reason


def test_the_cases_beside_an_unreadable_one_run(write):
    text = "pipeline: logs\ncases:\n  - {name: a, docs: 3}\n  - {name: b, docs: {title: A}, expect: {title: a}}\n"
    assert [r.status for r in results(write({**GOOD, "tests/a.cases.yaml": text}))] == ["unreadable", "passed"]


def test_time_and_randomness_are_fixed_and_no_case_sees_another(write):
    files = {**GOOD, "udfs/clock.py": CLOCK}
    text = "udf: clock\nnow: 2027-02-03T04:05:06.789Z\ncases:\n" + "".join(
        f"  - {{name: c{i}, docs: [{{}}, {{}}], expect: []}}\n" for i in range(3)
    )
    folder = write({**files, "tests/a.cases.yaml": text})

    def outputs(**options):
        return [[o.source for each in r.outcomes for o in each.outputs] for r in results(folder, **options)]

    first, *others = outputs()
    assert [document["calls"] for document in first] == [1, 2]
    assert {document["time"] for document in first} == {1801627506.789}
    assert first[0]["draw"] != first[1]["draw"]
    assert all(each == first for each in others)
    assert outputs(text="c2") == [first]
    assert outputs(seed=1)[0][0]["draw"] != first[0]["draw"]
    assert outputs(seed=1)[0][0]["uuid"] != first[0]["uuid"]


def test_built_ins_see_the_time_of_the_case(write):
    stage = "  - {name: now, type: native, config: {function: set, parameters: {field: at, value: '{{_ingest.timestamp}}'}}}\n"
    folder = write(
        {
            "pipelines/now.yaml": f"type: document\nstages:\n{stage}",
            "tests/a.cases.yaml": "pipeline: now\ncases:\n"
            "  - {name: fixed, docs: {}, now: 2030-01-01T00:00:00Z, expect: {at: '2030-01-01T00:00:00Z'}}\n"
            "  - {name: default, docs: {}, expect: {at: '2026-01-01T00:00:00Z'}}\n",
        }
    )
    assert [r.messages for r in results(folder)] == [[], []]


def test_time_is_the_systems_again_after_a_case(write):
    from headrace_pipelines import Pipelines

    case(write, "pipeline: logs", "docs: {title: A}\nexpect: {title: a}")
    source = "import time\ndef process(doc):\n    return {'time': time.time()}\n"
    stages = [{"name": "t", "type": "python", "config": {"udf_name": "t"}}]
    pipelines = Pipelines.load({"p": {"type": "document", "stages": stages}}, {"t": source})
    assert abs(pipelines.run("p", [{}]).documents[0]["time"] - time.time()) < 60


def test_documents_move_and_final_pipelines_cannot_move_them(write):
    files = {
        "pipelines/mover.yaml": "type: document\nstages:\n  - {name: m, type: native, config: {function: set, "
        "parameters: {field: _index, value: b-1}}}\n",
        "pipelines/stamp.yaml": "type: document\nstages:\n  - {name: s, type: native, config: {function: set, "
        "parameters: {field: seen, value: true}}}\n",
        "associations.yaml": "a-*: {document: mover}\nb-*: {document: {final: stamp}}\nc-*: {document: {final: mover}}\n",
        "tests/a.cases.yaml": "index: a-1\ncases:\n  - {name: moved, docs: {x: 1}, moved_to: b-1, expect: {x: 1, seen: true}}\n"
        "  - {name: shown, docs: [{_id: 7, _source: {x: 1}}], expect: [{_index: b-1, _id: '7', _source: {x: 1, seen: true}}]}\n",
        "tests/c.cases.yaml": "index: c-1\ncases:\n  - {name: pinned, docs: {x: 1}, expect_error: can't change the target index}\n",
    }
    assert [(r.status, r.messages) for r in results(write(files))] == [("passed", [])] * 3


def test_a_folder_of_documents_is_a_case(write):
    folder = write(
        {
            **GOOD,
            "tests/logs/in.ndjson": '{"title": "A"}\n\n{"title": "B"}\n',
            "tests/logs/out.ndjson": '{"title":"a"}\n{"title":"x"}\n',
        }
    )
    result = only(folder)
    assert result.label == "tests/logs::logs"
    assert result.messages == ['[1].title: expected "x", found "b"']
    write(
        {
            "tests/logs/case.yaml": "udf: titles\n",
            "tests/logs/in.ndjson": '{"title": "A B"}\n',
            "tests/logs/out.ndjson": '{"title":"a b"}\n',
        }
    )
    assert only(folder).status == "passed"
    write({"tests/logs/in.ndjson": "{\n"})
    assert "not JSON" in only(folder).reason


def test_coverage_has_stages_conditions_and_handlers_with_their_lines(write):
    text = """\
        type: document
        on_failure:
          - {name: note, type: native, config: {function: set, parameters: {field: failed, value: true}}}
        stages:
          - name: one
            type: native
            if: has(doc.a)
            config: {function: set, parameters: {field: b, value: 1}}
          - name: two
            type: native
            on_failure: continue
            config: {function: lowercase, parameters: {field: level}}
          - name: group
            type: composite
            config:
              stages:
                - {name: inner, type: native, if: doc.level == "x", config: {function: remove, parameters: {field: level}}}
          - {name: off, type: native, enabled: false, config: {function: drop}}
          - {name: other, type: composite, config: {pipeline: other}}
        """
    other = (
        "type: document\nstages:\n  - {name: t, type: native, config: {function: trim, parameters: {field: level}}}\n"
    )
    cases = "pipeline: p\ncases:\n  - {name: a, docs: {a: 1, level: Y}, expect: {a: 1, b: 1, level: y}}\n"
    folder = write({"pipelines/p.yaml": text, "pipelines/other.yaml": other, "tests/a.cases.yaml": cases})

    def report():
        project = Project.load(folder)
        coverage = Coverage(project.files)
        assert all(r.status == "passed" for r in CaseRun(project, [folder / "tests"]).run(coverage=coverage))
        return coverage.report()

    other_report, p = report()
    assert (other_report.covered, other_report.total) == (1, 1)
    assert (p.covered, p.total) == (5, 10)
    assert p.uncovered == [
        (2, "the pipeline: never on_failure is taken"),
        (3, "stage [on_failure/note]: never runs"),
        (7, "stage [one]: never if is false"),
        (11, "stage [two]: never on_failure is taken"),
        (17, "stage [group/inner]: never if is true"),
    ]
    more = (
        cases
        + "  - {name: b, docs: {level: x}, expect_error: level}\n  - {name: c, docs: {level: 3}, expect_error: x}\n"
    )
    write(
        {
            "tests/a.cases.yaml": more.replace("expect_error: level", "expect: {failed: true}").replace(
                "expect_error: x", "expect: {level: 3, failed: true}"
            )
        }
    )
    assert percent(report()) == 100.0


def test_two_hundred_cases_take_less_than_five_seconds(write):
    text = "pipeline: logs\ncases:\n" + "".join(
        f"  - {{name: c{i}, docs: {{title: A B, level: X}}, expect: {{title: a-b, level: x}}}}\n" for i in range(200)
    )
    folder = write({**GOOD, "tests/a.cases.yaml": text})
    begin = time.monotonic()
    assert {r.status for r in results(folder)} == {"passed"}
    assert time.monotonic() - begin < 5


def test_a_run_has_a_maximum_of_cases(write, monkeypatch):
    monkeypatch.setattr("headrace.project.cases.read.MOST_CASES", 2)
    text = "pipeline: logs\ncases:\n" + "".join(f"  - {{name: c{i}, docs: {{}}}}\n" for i in range(3))
    assert "a run has at most 2" in only(write({**GOOD, "tests/a.cases.yaml": text})).reason
