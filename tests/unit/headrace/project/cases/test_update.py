"""`--update`: outcomes become what is expected, and nothing else of a file changes."""

from __future__ import annotations

import json
from textwrap import dedent

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.project import Project
from headrace.project.cases.run import CaseRun
from headrace.project.cases.update import update
from tests.unit.headrace.project.conftest import GOOD


def updated(folder, name: str) -> str:
    run = CaseRun(Project.load(folder), [folder / "tests"])
    results = list(run.run())
    for file in run.files:
        update(file, [result for result in results if result.file is file])
    assert all(not r.failed for r in CaseRun(Project.load(folder), [folder / "tests"]).run())
    return (folder / name).read_bytes().decode()


def changed(write, before: str, after: str, name: str = "tests/a.cases.yaml", files=GOOD) -> None:
    folder = write({**files, name: before})
    assert updated(folder, name) == dedent(after)


def test_only_what_differs_is_written_and_comments_stay(write):
    before = """\
        # The cases of logs
        pipeline: logs   # the pipeline
        cases:
          - name: 'fine'
            docs: [ {title: A} ]
            expect:   [ {title:   a} ]   # as it is
          - name: block
            docs:
              - title: "A  B"   # two spaces
                level: WARN
                n: 1
            expect:
              # of the title
              - title: a-c   # wrong
                level: warn
                n: 1         # a number
          - name: flow
            docs: {title: X Y, n: 2}
            expect: {title: x, n: 2}   # behind

        # The end
        """
    after = before.replace("title: a-c", "title: a-b").replace("{title: x, n: 2}", "{title: x-y, n: 2}")
    changed(write, before, after)


def test_members_come_and_go_by_themselves(write):
    before = """\
        pipeline: logs
        cases:
          - name: a
            docs: {title: A, level: X, kept: 1}
            expect:
              title: a
              # gone soon
              old: 1   # goes
              # stays
              level: x
        """
    folder = write({**GOOD, "tests/a.cases.yaml": before})
    assert updated(folder, "tests/a.cases.yaml") == dedent(before).replace("      old: 1   # goes\n", "").replace(
        "      level: x\n", "      level: x\n      kept: 1\n"
    )


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("docs: {title: A}", "docs: {title: A}\nexpect: {title: a}"),
        ("docs: {title: A}   # given", "docs: {title: A}   # given\nexpect: {title: a}"),
        ("docs: {title: A, n: 1}\nexpect:\n  title: a   # it\n# end", "docs: {title: A, n: 1}\nexpect:\n  title: a   # it\n  n: 1\n# end"),
        ("docs: {title: A}\nexpect:", "docs: {title: A}\nexpect: {title: a}"),
        ("docs: {title: A}\nexpect_error: x", "docs: {title: A}\nexpect: {title: a}"),
        ("docs: {}\nexpect: {}", "docs: {}\nexpect_error: 'KeyError: ''title'' (line 3)'"),
        ("docs: {title: A}\ndropped: true   # no", "docs: {title: A}\nexpect: {title: a}   # no"),
        ("docs: {title: A}\nexpect_patch: []", "docs: {title: A}\nexpect_patch: [{op: replace, path: /title, value: a}]"),
        ("docs: [{title: A}, {}]\nexpect: []", "docs: [{title: A}, {}]\nexpect: [{title: a}, {_error: 'KeyError: ''title'' (line 3)'}]"),
        ("docs: {title: 1E3}\nexpect: {title: x}", "docs: {title: 1E3}\nexpect_error: 'AttributeError: ''float'' object has no attribute ''lower'' (line 3)'"),
        ("docs: {title: '1E3'}\nexpect: {title: x}", "docs: {title: '1E3'}\nexpect: {title: \"1e3\"}"),
        ("docs: {title: 'NO'}\nexpect: {title: x}", "docs: {title: 'NO'}\nexpect: {title: 'no'}"),
        ("docs: {title: A}\nexpect:\n  title: |\n    text\n    more\nignore: []", "docs: {title: A}\nexpect:\n  title: a\nignore: []"),
        ("dropped: true\ndocs: {title: A}\nuser: {a: 1}   # who\nexpect_error: x   # why\nignore: []", "expect: {title: a}\ndocs: {title: A}\nuser: {a: 1}   # who\nignore: []"),
        ("docs: {title: A}\nexpect_error:\n  reason: x\n# of the user\nuser: {a: 1}\ndropped: true", "docs: {title: A}\nexpect: {title: a}\n# of the user\nuser: {a: 1}"),
        ("docs: &x {title: A}\nexpect: *x", "docs: &x {title: A}\nexpect: {title: a}"),
    ],
)  # fmt: skip
def test_every_expectation_has_its_form(write, before, after):
    def text(body):
        return "pipeline: logs\ncases:\n  - name: a\n" + "".join(f"    {line}\n" for line in body.split("\n"))

    changed(write, text(before), text(after))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            '{"dropped": true, "name": "a", "docs": {"title": "A"}, "moved_to": "b", "user": {"n": 1}}',
            '{"expect": {"title": "a"}, "name": "a", "docs": {"title": "A"}, "user": {"n": 1}}',
        ),
        (
            '{"name": "a", "docs": {"title": "A"}, "expect_error": "x", "ignore": ["n"], "dropped": true}',
            '{"name": "a", "docs": {"title": "A"}, "expect": {"title": "a"}, "ignore": ["n"]}',
        ),
        (
            '{"name": "a", "docs": {"title": "A"},\n "expect_error": "x",\n "dropped": true\n}',
            '{"name": "a", "docs": {"title": "A"},\n "expect": {"title": "a"}\n}',
        ),
    ],
)
def test_members_between_expectations_stay(write, before, after):
    text = '{{"pipeline": "logs", "cases": [{}]}}\n'
    changed(write, text.format(before), text.format(after), "tests/a.cases.json")


def test_json_stays_json(write):
    before = '{"pipeline": "logs", "cases": [\n\t{"name": "a", "docs": {"title": "A"}, "expect": {"title": "b"}}]}\n'
    changed(write, before, before.replace('"b"', '"a"'), "tests/a.cases.json")


def test_lines_end_as_they_ended(write):
    folder = write(GOOD)
    (folder / "tests").mkdir()
    text = "pipeline: logs\r\ncases:\r\n  - name: a\r\n    docs: {title: A}\r\n    expect: {title: b}\r\n"
    (folder / "tests/a.cases.yaml").write_bytes(text.encode())
    assert updated(folder, "tests/a.cases.yaml") == text.replace("b}", "a}")


def test_a_file_without_differences_is_not_written(write):
    folder = write({**GOOD, "tests/a.cases.yaml": "pipeline: logs\ncases: [{docs: {title: A}, expect: {title: a}}]\n"})
    before = (folder / "tests/a.cases.yaml").stat().st_mtime_ns
    updated(folder, "tests/a.cases.yaml")
    assert (folder / "tests/a.cases.yaml").stat().st_mtime_ns == before


def test_a_folder_has_its_outputs_written(write):
    folder = write({**GOOD, "tests/logs/in.ndjson": '{"title": "A"}\n{}\n'})
    assert updated(folder, "tests/logs/out.ndjson") == '{"title": "a"}\n{"_error": "KeyError: \'title\' (line 3)"}\n'


_SCALARS = (
    st.none() | st.booleans() | st.integers(-5, 10**20) | st.text(max_size=8) | st.sampled_from(["no", "1e3", "0o7"])
)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcdef"), inner, max_size=3),
    max_leaves=8,
)
_DOCUMENTS = st.dictionaries(st.sampled_from("abcdef"), _VALUES, max_size=4)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    pairs=st.lists(st.tuples(_DOCUMENTS, _DOCUMENTS), min_size=1, max_size=4), flow=st.sampled_from([None, True, False])
)
def test_any_expectation_becomes_any_outcome(write, pairs, flow):
    """The pipeline changes nothing, so that the outcome is the input; what a case expected before is arbitrary."""
    stage = "  - {name: s, type: native, config: {function: remove, parameters: {field: []}}}\n"
    cases = [{"name": f"c{i}", "docs": [doc], "expect": [before]} for i, (doc, before) in enumerate(pairs)]
    text = "# top\n" + yaml.safe_dump(
        {"pipeline": "same", "cases": json.loads(json.dumps(cases))}, default_flow_style=flow
    )
    text = text.replace("docs:", "docs:  ") + "# end\n"
    folder = write({"pipelines/same.yaml": f"type: document\nstages:\n{stage}"})
    (folder / "tests").mkdir(exist_ok=True)
    (folder / "tests/a.cases.yaml").write_text(text)
    after = updated(folder, "tests/a.cases.yaml")
    assert after.startswith("# top\n")
    assert after.endswith("# end\n")
