"""Parts of the page: sealed sessions, samples, differences, charts, the recent audit lines."""

from __future__ import annotations

import base64
import json

import pytest

from headrace.ui import sessions
from headrace.ui.audit_lines import LONGEST, MOST_LINES, AuditLines
from headrace.ui.definitions import Problem
from headrace.ui.differences import member_changes, parse, side_by_side
from headrace.ui.rates.history import RecentTotals, errors_by_pipeline, pipelines_by_traffic, rates_of, stage_rates
from headrace.ui.rates.sparklines import FEWEST, sparkline
from headrace.ui.rendering import environment, rendered
from headrace.ui.trials.samples import MOST_SAMPLES, SampleError, read_samples
from headrace.ui.view import ROWS, address, sliced


def test_a_session_is_opened_by_whoever_has_the_secret_and_hides_the_password():
    session = sessions.of_user("ann", "s3cret word")
    sealed = sessions.Seals(b"shared").seal(session)
    assert sessions.Seals(b"shared").open(sealed) == session
    assert sessions.Seals(b"another").open(sealed) is None
    assert "s3cret" not in sealed
    assert b"s3cret" not in base64.urlsafe_b64decode(sealed)
    assert session.headers["Authorization"] == f"Basic {base64.b64encode(b'ann:s3cret word').decode()}"


def test_a_session_that_is_too_old_or_changed_is_none(monkeypatch: pytest.MonkeyPatch):
    seals, session = sessions.Seals(b"shared"), sessions.of_token("t")
    sealed = seals.seal(session)
    for broken in ("", "x", sealed[:-3] + "AAA", "A" * 5000):
        assert seals.open(broken) is None
    monkeypatch.setattr(sessions, "LIFETIME_SECONDS", -1)
    assert seals.open(sealed) is None


def test_the_token_of_forms_is_of_one_session():
    seals, first, second = sessions.Seals(b"s"), sessions.anonymous(), sessions.anonymous()
    assert seals.is_csrf(first, seals.csrf(first))
    assert not seals.is_csrf(second, seals.csrf(first))
    assert not seals.is_csrf(first, "")
    assert not seals.is_csrf(first, "ä")


def test_samples_are_read_as_they_are_written():
    text = '{"n": 1.10}\n{"_source": {"n": 12345678901234567890}, "_id": "7", "_score": 1}'
    first, second = read_samples(text, "document")
    assert first.text == b'{"_source":{"n": 1.10}}'
    assert json.loads(second.text) == {"_source": {"n": 12345678901234567890}, "_id": "7"}
    assert (first.input["n"], str(first.input["n"])) == (parse("1.10"), "1.10")
    assert [each.text for each in read_samples('[{"query": {}}, {}]', "query")] == [b'{"query": {}}', b"{}"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no samples"),
        ("{", "line 1"),
        ("{}\n{]", "line 2"),
        ("[1]", "sample 1 is not an object"),
        ("[" * 100_000, "not JSON"),
        ("{}" * (MOST_SAMPLES + 1), "runs 20 at once"),
        (" " * (2 << 20), "characters"),
        ('{"a": NaN}', "not JSON"),
    ],
)
def test_what_is_no_sample_is_refused_with_the_reason(text: str, reason: str):
    with pytest.raises(SampleError, match=reason):
        read_samples(text, "document")


def test_differences_of_members_name_paths_and_values():
    before, after = {"a": {"b/c": 1}, "gone": "x", "n": parse("1.10")}, {"a": {"b/c": 2}, "n": parse("1.1"), "new": [1]}
    changes, more = member_changes(before, after)
    assert {(each.path, each.before, each.after) for each in changes} == {
        ("a.b/c", "1", "2"),
        ("gone", '"x"', None),
        ("new", None, "[1]"),
    }
    assert more == 0
    assert member_changes({}, {str(n): n for n in range(250)})[1] == 50


def test_lines_side_by_side_leave_out_what_is_the_same():
    left = [f"line {n}" for n in range(40)]
    right = [*left[:20], "inserted", *left[20:35], "changed", *left[36:]]
    rows = side_by_side("\n".join(left), "\n".join(right))
    assert [row.kind for row in rows if row.kind not in ("same", "gap")] == ["added", "changed"]
    assert rows[0].kind == "gap"
    assert next(row for row in rows if row.kind == "changed").left == "line 35"
    assert side_by_side("same", "same") == []


def minute(start: int, documents: int, failures: int = 0) -> dict[str, object]:
    stage = {"name": "s", "documents": documents, "failures": failures, "p99_ms": 2.0}
    activity = {**stage, "stages": [stage]}
    return {"start": f"{start:05}", "seconds": 60.0, "pipelines": {"document:a@2": activity, "document:ab@1": activity}}


def test_the_sums_of_minutes_are_kept_and_only_new_ones_are_asked_for():
    recent = RecentTotals(4)
    assert recent.missing(1000.0) == 4
    first = recent.add([minute(0, 600), minute(60, 600)], 1000.0)
    assert first is not None
    assert first.documents == 20.0
    assert [recent.missing(1000.0 + passed) for passed in (0, 59, 61, 1000)] == [2, 2, 3, 4]
    later = recent.add([minute(60, 1200), minute(120, 1200)], 1060.0)
    assert later is not None
    assert later.documents == 40.0
    assert "last 3 minutes: now 40.0, at most 40.0" in later.documents_chart.text
    for start in range(180, 900, 60):
        recent.add([minute(start, 0)], start)
    last = recent.add([], 1000.0)
    assert last is not None
    assert "last 4 minutes: now 0.0, at most 0.0" in last.documents_chart.text
    assert RecentTotals(4).add([], 0.0) is None


def test_rates_are_of_one_pipeline_and_its_stages():
    minutes = [minute(0, 600), minute(60, 1200, 60), minute(120, 1200, 60)]
    rates = rates_of(minutes, "document:a@")
    assert rates is not None
    assert (rates.documents, rates.failures, rates.p99) == (20.0, 1.0, 2.0)
    stage = stage_rates(minutes, "document:a@", "s")
    assert stage is not None
    assert stage.documents == 20.0
    assert rates_of([], "document:a@") is None
    assert errors_by_pipeline(minutes)["document:ab"] == 40.0
    assert [row["name"] for row in pipelines_by_traffic(minutes, 1)] == ["a"]


@pytest.mark.parametrize("values", [[], [0.0], [3.0], [0.0, 0.0], [1.0, 5.0, 2.0]])
def test_a_chart_is_within_its_edges_and_says_its_values(values: list[float]):
    chart = sparkline(values, "documents a second", len(values))
    for point in chart.line.split():
        x, y = map(float, point.split(","))
        assert 0 <= x <= chart.width
        assert 0 <= y <= chart.height
    assert f"at most {max(values, default=0):.0f}" in chart.text.replace(".0", "")
    page = environment().from_string('{% import "macros.html" as ui %}{{ ui.chart(chart) }}').render(chart=chart)
    few = 0 < len(values) < FEWEST
    assert (chart.dots.count("M"), "<path" in page, "<polyline" in page) == (len(values) * few, few, not few)


def test_the_recent_audit_entries_are_bounded():
    kept = AuditLines()
    for n in range(MOST_LINES + 5):
        kept.keep({"action": f"PUT /_pipeline/p{n}", "status": 201, "user": "u" * 10_000})
    entries = kept.recent()
    assert len(entries) == MOST_LINES
    assert entries[0]["action"] == f"PUT /_pipeline/p{MOST_LINES + 4}"
    assert len(entries[1]["user"]) == LONGEST


def test_a_table_is_shown_in_parts():
    rows = list(range(ROWS * 2 + 1))
    assert (sliced(rows, 3).first, sliced(rows, 3).last, sliced(rows, 99).page) == (2 * ROWS + 1, 2 * ROWS + 1, 3)
    assert (sliced([], 1).first, sliced([], 1).pages) == (0, 1)


def test_addresses_quote_what_they_are_made_of():
    assert address("pipelines", "document", "a/b?", q="x&y") == "/_proxy/ui/pipelines/document/a%2Fb%3F?q=x%26y"


def test_problems_are_text_in_a_template():
    shown = rendered("pipelines/problems.html", {"problems": [Problem('"><b>', "<i>")], "checked": True})
    assert b"<b>" not in shown
    assert b"<i>" not in shown
