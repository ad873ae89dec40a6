"""The report of a run for continuous integration: JUnit's XML."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from junitparser import Error, Failure, JUnitXml, TestCase, TestSuite

from headrace.project.cases.run import UNREADABLE

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from headrace.project.cases.run import Result


def write(path: Path, results: Iterable[Result]) -> None:
    """Writes the results to a file, a suite for each file of cases. Raises OSError."""
    report = JUnitXml("headrace")
    for name, group in groupby(results, key=lambda result: result.file.name):
        suite = TestSuite(name)
        for result in group:
            suite.add_testcase(_case(name, result))
        report.add_testsuite(suite)
    report.update_statistics()  # type: ignore[no-untyped-call]
    report.write(str(path), pretty=True)


def _case(suite: str, result: Result) -> TestCase:
    case = TestCase(result.case.name if result.case is not None else "the file", suite, round(result.seconds, 6))
    if result.failed:
        kind = Error if result.status == UNREADABLE else Failure
        found = kind(_clean(result.messages[0] if result.messages else result.status), result.status)
        where = f"{result.file.name}:{result.line}:{result.column}"
        found.text = _clean("\n".join([where, *result.messages, *(f"| {line}" for line in result.logs)]))
        case.result = [found]
    return case


def _clean(text: str) -> str:
    """Without characters that XML 1.0 has no form for."""
    return "".join(c if c in "\t\n\r" or " " <= c <= "\ud7ff" or c >= "\ue000" else "\ufffd" for c in text)
